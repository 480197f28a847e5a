"""The reconciler against a tiny fake chain and a tiny fake exchange on loopback."""

import hashlib
import hmac
import json
import threading
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import reconcile
from reconcile import CannotJudge, Key, Ledger

SIGNER = "0x" + "11" * 20
STRANGER = "0x" + "22" * 20
WETH, USDT, MANAGER, V2_POOL, USDC = (
    "0x" + byte * 20 for byte in ("aa", "bb", "cc", "dd", "ee"))
BLOCK_HASH = "0x" + "ab" * 32
KEY, SECRET = "the key", "the secret"


class FakeServer(BaseHTTPRequestHandler):
    """Serves JSON-RPC by POST and the signed REST by GET, from `server.state`."""

    def log_message(self, format, *args):
        """Silence."""

    def reply(self, body, status=200):
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            result = self.rpc(call["method"], call["params"])
            self.reply({"jsonrpc": "2.0", "id": 1, "result": result})
        except LookupError as error:
            refusal = {"code": 3, "message": f"execution reverted: {error}"}
            self.reply({"jsonrpc": "2.0", "id": 1, "error": refusal})

    def rpc(self, method, params):
        state = self.server.state
        if method == "eth_chainId":
            return hex(state["chain_id"])
        if method == "eth_getBlockByNumber":
            return {"hash": BLOCK_HASH, "number": "0x7b"}
        assert params[1] == {"blockHash": BLOCK_HASH}, params
        if method == "eth_getBalance":
            state["n_balance_reads"] += 1
            return hex(state["native"][params[0]] + state["drift"] * state["n_balance_reads"])
        assert method == "eth_call", method
        return self.contract(params[0]["to"], params[0]["data"][2:])

    def contract(self, contract, payload):
        state, selector = self.server.state, payload[:8]
        words = [int(payload[start:start + 64], 16) for start in range(8, len(payload), 64)]
        owned = [nft for nft in state["nfts"] if nft["owner"] == SIGNER]
        if selector == reconcile.BALANCE_OF:
            count = len(owned) if contract == MANAGER else state["tokens"].get(contract, 0)
            return "0x" + f"{count:064x}"
        if selector == reconcile.TOKEN_OF_OWNER_BY_INDEX:
            return "0x" + f"{owned[words[1]]['id']:064x}"
        nft = {nft["id"]: nft for nft in state["nfts"]}[words[0]]
        if selector == reconcile.OWNER_OF:
            return "0x" + f"{int(nft['owner'], 16):064x}"
        return "0x" + "".join(f"{value:064x}" for value in [0] * 7 + [nft["liquidity"], 0, 0, 0, 0])

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if self.server.state["busy"].pop(path, None) is not None:
            self.send_response(429)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if path == "/api/v3/time":
            return self.reply({"serverTime": 1_700_000_000_000})
        signed, _, signature = query.partition("&signature=")
        right = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        fields = urllib.parse.parse_qs(signed)
        if signature != right or self.headers["X-MBX-APIKEY"] != KEY or "timestamp" not in fields:
            return self.reply({"code": -1022, "msg": "Signature is not valid."}, 400)
        return self.reply(self.server.state[path])


def fresh_state():
    return {
        "chain_id": 31337,
        "native": {SIGNER: 10**18, STRANGER: 5},
        "n_balance_reads": 0,
        "drift": 0,
        "busy": {},
        "tokens": {WETH: 2 * 10**18, USDT: 3_000_000},
        "nfts": [{"id": 7, "owner": SIGNER, "liquidity": 123},
                 {"id": 8, "owner": STRANGER, "liquidity": 9}],
        "/api/v3/account": {"updateTime": 1, "balances": [
            {"asset": "ETH", "free": "1.50000000", "locked": "0.50000000"},
            {"asset": "USDT", "free": "100.00000001", "locked": "0.00000000"}]},
        "/fapi/v2/balance": [{"asset": "USDT", "balance": "50.00000000"}],
        "/fapi/v3/positionRisk": [
            {"symbol": "ETHUSDT", "positionSide": "BOTH", "positionAmt": "-1.250"}],
    }


def fresh_ledger():
    wallet = f"wallet:31337:{SIGNER}"
    return Ledger({
        Key(wallet, "eip155:31337/native"): 10**18,
        Key(wallet, f"eip155:31337/erc20:{WETH}"): 2 * 10**18,
        Key(wallet, f"eip155:31337/erc20:{USDT}"): 3_000_000,
        Key("position:31337:7", f"eip155:31337/v3lp:{MANAGER}:7"): 123,
        Key("venue:spot", "venue:spot/ETH"): 200_000_000,
        Key("venue:spot", "venue:spot/USDT"): 10_000_000_001,
        Key("venue:hedge", "venue:hedge/USDT"): 5_000_000_000,
        Key("venue:hedge", "venue:hedge/ETHUSDT-PERP"): -125_000_000,
    }, {})


class ReconcileTest(unittest.TestCase):
    def setUp(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), FakeServer)
        self.server.state = self.state = fresh_state()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        patience = mock.patch.object(reconcile, "ATTEMPT_PAUSE_S", 0)
        patience.start()
        self.addCleanup(patience.stop)
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.site = {
            "chain_id": 31337, "rpc_http": url,
            "contracts": {"weth": WETH, "usdt": USDT, "usdc": USDC, "position_manager": MANAGER},
            "pools": [{"address": V2_POOL, "dex": "uniswap_v2", "token0": WETH, "token1": USDT}],
        }
        self.world = {
            "chains": [self.site], "exchange_http": url, "signer": SIGNER,
            "accounts": [
                {"venue": venue, "side": side, "api_key": KEY, "api_secret": SECRET}
                for venue, side in (("spot", "spot"), ("hedge", "usdm"))
            ],
        }
        self.ledger = fresh_ledger()

    def rows(self):
        return reconcile.reconcile(self.world, lambda: self.ledger)

    def check(self, *expected):
        """Exactly the expected (place, unit, difference) differ."""
        rows = reconcile.differing(self.rows())
        wrong = [(row["place"], row["unit"], row["difference"]) for row in rows]
        self.assertEqual(wrong, list(expected))

    def test_equal_books_agree_and_name_their_moment(self):
        rows = self.rows()
        self.assertEqual(reconcile.differing(rows), [])
        native = next(row for row in rows if row["unit"] == "eip155:31337/native")
        self.assertEqual(native["at"], f"block {BLOCK_HASH} (123)")
        self.assertEqual((native["ledger"], native["actual"]), (str(10**18), str(10**18)))
        self.assertIn("1700000000000", next(r for r in rows if r["unit"].endswith("-PERP"))["at"])

    def test_one_stolen_wei_is_seen(self):
        self.state["native"][SIGNER] -= 1
        self.check((f"wallet:31337:{SIGNER}", "eip155:31337/native", "-1"))

    def test_token_differences_are_seen_beyond_float_precision(self):
        self.state["tokens"][WETH] = 2 * 10**18 + 1
        self.check((f"wallet:31337:{SIGNER}", f"eip155:31337/erc20:{WETH}", "1"))

    def test_pool_shares_nobody_booked_are_seen(self):
        self.state["tokens"][V2_POOL] = 4
        self.check((f"wallet:31337:{SIGNER}", f"eip155:31337/erc20:{V2_POOL}", "4"))

    def test_a_v4_pool_has_no_shares_and_its_native_coin_is_no_token(self):
        pool = {"address": f"0x{10:064x}", "dex": "uniswap_v4", "token1": USDT}
        self.site["pools"].append({**pool, "token0": reconcile.NATIVE_COIN})
        units = {row["unit"] for row in self.rows()}
        self.assertIn(f"eip155:31337/erc20:{USDT}", units)
        asked = {unit.rpartition(":")[2] for unit in units}
        self.assertTrue(asked.isdisjoint([pool["address"], reconcile.NATIVE_COIN]))
        self.check()

    def test_a_position_the_ledger_does_not_know_is_seen(self):
        self.state["nfts"].append({"id": 9, "owner": SIGNER, "liquidity": 55})
        self.check(("position:31337:9", f"eip155:31337/v3lp:{MANAGER}:9", "55"))

    def test_a_burned_position_holds_nothing(self):
        self.state["nfts"] = []
        self.check(("position:31337:7", f"eip155:31337/v3lp:{MANAGER}:7", "-123"))

    def test_a_position_given_away_is_not_ours(self):
        self.state["nfts"][0]["owner"] = STRANGER
        self.check(("position:31337:7", f"eip155:31337/v3lp:{MANAGER}:7", "-123"))

    def test_other_wallets_of_the_ledger_are_read_too(self):
        self.ledger.places[Key(f"wallet:31337:{STRANGER}", "eip155:31337/native")] = 4
        self.check((f"wallet:31337:{STRANGER}", "eip155:31337/native", "1"))

    def test_locked_balances_count(self):
        self.state["/api/v3/account"]["balances"][0]["locked"] = "0.49999999"
        self.check(("venue:spot", "venue:spot/ETH", "-1"))

    def test_venue_assets_nobody_booked_are_seen(self):
        self.state["/fapi/v2/balance"].append({"asset": "BNB", "balance": "0.00000001"})
        self.check(("venue:hedge", "venue:hedge/BNB", "1"))

    def test_what_a_venue_does_not_list_it_does_not_hold(self):
        self.state["/fapi/v3/positionRisk"] = []
        self.check(("venue:hedge", "venue:hedge/ETHUSDT-PERP", "125000000"))

    def test_a_side_without_an_account_is_not_asked_and_listed_tokens_are(self):
        del self.world["accounts"][0]
        for asset in ("ETH", "USDT"):
            del self.ledger.places[Key("venue:spot", f"venue:spot/{asset}")]
        self.site["contracts"] = {"position_manager": MANAGER}
        self.site["tokens"] = [WETH, USDC]
        self.check()
        self.state["tokens"][USDC] = 1
        self.check((f"wallet:31337:{SIGNER}", f"eip155:31337/erc20:{USDC}", "1"))

    def test_an_entry_that_does_not_sum_to_zero_is_seen(self):
        self.ledger.unbalanced[Key("entry:e1", "venue:spot/ETH")] = 3
        self.check(("entry:e1", "venue:spot/ETH", "-3"))

    def test_a_ledger_that_catches_up_agrees(self):
        late = fresh_ledger()
        late.places[Key("venue:spot", "venue:spot/ETH")] -= 1
        readings = iter([late, late, fresh_ledger(), fresh_ledger()])
        rows = reconcile.reconcile(self.world, lambda: next(readings))
        self.assertEqual(reconcile.differing(rows), [])

    def cannot_judge(self, reason):
        self.assertRaisesRegex(CannotJudge, reason, self.rows)

    def test_a_used_up_request_limit_is_waited_for(self):
        self.state["busy"] = {"/fapi/v2/balance": True}
        self.check()

    def test_a_moving_world_cannot_be_judged(self):
        self.state["drift"] = 1
        self.cannot_judge("moved during each")

    def test_another_chain_cannot_be_judged(self):
        self.state["chain_id"] = 1
        self.cannot_judge("serves chain 1")

    def test_an_unknown_venue_cannot_be_judged(self):
        self.ledger.places[Key("venue:okx", "venue:okx/ETH")] = 1
        self.cannot_judge("no way to measure: venue:okx")

    def test_a_place_on_another_chain_cannot_be_judged(self):
        self.ledger.places[Key(f"wallet:1:{SIGNER}", "eip155:1/native")] = 1
        self.cannot_judge("is on no chain of the world")

    def test_a_wrong_secret_cannot_judge(self):
        self.world["accounts"][1]["api_secret"] = "another"
        self.cannot_judge("-1022")

    def test_a_balance_finer_than_a_step_cannot_be_judged(self):
        self.state["/fapi/v2/balance"][0]["balance"] = "0.000000001"
        self.cannot_judge("finer than 1e-8")

    def test_a_dead_chain_cannot_be_judged(self):
        self.site["rpc_http"] = "http://127.0.0.1:1"
        self.cannot_judge("does not answer")


class PlacesTest(unittest.TestCase):
    def test_explanations_and_principal_at_cost_are_not_places(self):
        self.assertEqual(reconcile.places_of([
            ["equity:opening", "venue:spot/ETH", "-5"],
            ["owed:31337:7", f"eip155:31337/erc20:{WETH}", "5"],
            ["position:31337:7", f"eip155:31337/erc20:{WETH}", "5"],
            ["position:31337:7", f"eip155:31337/v3lp:{MANAGER}:7", "6"],
        ]), {Key("position:31337:7", f"eip155:31337/v3lp:{MANAGER}:7"): 6})

    def test_addresses_in_any_case_are_one_place(self):
        unit = "eip155:31337/native"
        upper, lower = f"wallet:31337:0x{'AB' * 20}", f"wallet:31337:0x{'ab' * 20}"
        self.assertEqual(reconcile.places_of([[upper, unit, "1"], [lower, unit, str(10**70)]]),
                         {Key(lower, unit): 10**70 + 1})

    def test_an_unknown_kind_of_account_cannot_be_judged(self):
        with self.assertRaisesRegex(CannotJudge, "pocket:me"):
            reconcile.places_of([["pocket:me", "venue:spot/ETH", "1"]])

    def test_steps_are_exact_for_any_size(self):
        self.assertEqual(reconcile.steps("123456789012345678901234567890.00000001"),
                         12345678901234567890123456789000000001)
        for text in ("NaN", "Infinity", "", "one", None):
            with self.assertRaises(CannotJudge):
                reconcile.steps(text)


if __name__ == "__main__":
    unittest.main()
