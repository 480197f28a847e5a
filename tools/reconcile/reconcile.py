#!/usr/bin/env python3
"""The independent reconciler: does the ledger agree with the world, to the last unit?

    reconcile.py --world world.json --out FILE

It shares no code with the agent. It reads three things only: the chain's RPC, the exchange's REST
in Binance's protocol, and the table `postings` (in a read-only transaction). FILE becomes a JSON
list of {place, unit, ledger, actual, difference, at}; difference = actual - ledger, all integers as
strings in the unit's smallest step. A row whose place is entry:<id> is an entry that does not sum
to zero in that unit.

Judged are: every place (wallet:, position:, venue:) and unit found in the postings or found at the
real place, and that each entry sums to zero per unit. Token principal of a position is booked at
cost, is no balance on chain and is therefore not compared.

The world is read before and after the ledger; if it moved in between, all is read again.

Exit status: 0 every difference is 0; 1 there are differences; 2 cannot judge (it says why).
"""

import argparse
import hashlib
import hmac
import json
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

HTTP_TIMEOUT_S = 10
DATABASE_TIMEOUT_S = 20
RECV_WINDOW_MS = 10_000
ATTEMPTS_MAX = 5
ATTEMPT_PAUSE_S = 1.0
NFTS_MAX = 10_000
HTTP_TOO_MANY = 429
WAIT_MAX_S = 65  # request limits are counted by the minute
VENUE_STEPS = Decimal(10**8)  # venue assets and contracts are counted in steps of 1e-8
# A product that does not fit is an error, never a rounding.
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])

EXIT_AGREES, EXIT_DIFFERS, EXIT_CANNOT_JUDGE = 0, 1, 2

# Accounts that explain why a balance moved; nothing in the world can be compared with them.
EXPLANATIONS = ("equity:", "external:", "income:", "expense:", "trading:", "owed:")

# What a V4 pool names its chain's own coin.
NATIVE_COIN = f"0x{0:040x}"

# Function selectors: the first four bytes of keccak256 of the signature.
BALANCE_OF = "70a08231"  # balanceOf(address), ERC-20 and ERC-721
TOKEN_OF_OWNER_BY_INDEX = "2f745c59"  # tokenOfOwnerByIndex(address,uint256)
OWNER_OF = "6352211e"  # ownerOf(uint256)
POSITIONS = "99fbab88"  # positions(uint256)
# nonce, operator, token0, token1, fee, tickLower, tickUpper, liquidity, ...
POSITIONS_LIQUIDITY_WORD = 7


class CannotJudge(Exception):
    """The comparison could not be made; the text says why."""


class Wait(CannotJudge):
    """The venue's request limit is used up for so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the venue's request limit is used up for {seconds} s")
        self.seconds = seconds


class Reverted(Exception):
    """The contract refused the call."""


class Key(NamedTuple):
    """What is compared: a place and a unit in it."""

    place: str
    unit: str


class Actual(NamedTuple):
    """What a place really holds, and the moment that is true at."""

    amount: int
    at: str


class Ledger(NamedTuple):
    """What the postings say."""

    places: dict[Key, int]  # the sum of each place and unit
    unbalanced: dict[Key, int]  # entries that do not sum to zero, by entry and unit


Row = dict[str, str]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compares the ledger with the world.")
    parser.add_argument(
        "--world", type=Path, required=True, help="world.json written by demo or fork")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON rows go")
    options = parser.parse_args(arguments)
    try:
        world = json.loads(options.world.read_text(encoding="utf8"))
        rows = reconcile(world, lambda: read_ledger(world.get("database")))
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf8")
    except CannotJudge as reason:
        print(f"reconcile: cannot judge: {reason}", file=sys.stderr)
        return EXIT_CANNOT_JUDGE
    except Exception as error:  # an unforeseen failure must not look like a verdict
        traceback.print_exc()
        print(f"reconcile: cannot judge: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_CANNOT_JUDGE
    wrong = differing(rows)
    for row in wrong:
        print("reconcile: {place} {unit}: ledger {ledger}, actual {actual}, "
              "difference {difference} at {at}".format(**row), file=sys.stderr)
    print(f"reconcile: {len(rows)} compared, {len(wrong)} differ")
    return EXIT_DIFFERS if wrong else EXIT_AGREES


def reconcile(world: dict[str, Any], ledger_of: Callable[[], Ledger]) -> list[Row]:
    """Reads world, ledger, world until the world stood still and all agree; the last one counts.

    More than one reading gives the agent time to book what has just happened; what is really lost
    stays lost in all of them.
    """
    rows: list[Row] = []
    moved: list[Key] = []
    for attempt in range(ATTEMPTS_MAX):
        if attempt > 0:
            time.sleep(ATTEMPT_PAUSE_S)
        before = read_world(world, list(ledger_of().places))
        ledger = ledger_of()
        after = read_world(world, list(dict.fromkeys([*before, *ledger.places])))
        moved = [key for key, actual in after.items()
                 if key not in before or before[key].amount != actual.amount]
        rows = compare(ledger, after)
        if not moved and not differing(rows):
            break
    if moved:
        names = ", ".join(f"{key.place} {key.unit}" for key in moved)
        raise CannotJudge(f"the world moved during each of {ATTEMPTS_MAX} readings: {names}")
    return rows


def compare(ledger: Ledger, actuals: dict[Key, Actual]) -> list[Row]:
    unmeasured = [f"{key.place} {key.unit}" for key in ledger.places if key not in actuals]
    if unmeasured:
        raise CannotJudge(f"no way to measure: {', '.join(unmeasured)}")
    rows = [row_of(key, ledger.places.get(key, 0), actuals[key]) for key in sorted(actuals)]
    rows += [row_of(key, amount, Actual(0, "sum of the entry's postings"))
             for key, amount in sorted(ledger.unbalanced.items())]
    return rows


def differing(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["difference"] != "0"]


def row_of(key: Key, booked: int, actual: Actual) -> Row:
    difference = actual.amount - booked
    return {"place": key.place, "unit": key.unit, "ledger": str(booked),
            "actual": str(actual.amount), "difference": str(difference), "at": actual.at}


# ── the ledger ────────────────────────────────────────────────────────────────────────────────


BALANCES = """
    select account, unit, sum(amount)::text
    from postings
    group by account, unit
    order by account, unit
"""
UNBALANCED = """
    select entry_id::text, unit, sum(amount)::text
    from postings
    group by entry_id, unit
    having sum(amount) <> 0
    order by entry_id, unit
"""


def read_ledger(database: dict[str, Any] | None) -> Ledger:
    """Both sums from one snapshot of the database."""
    connection = connect(database)
    try:
        connection.run("begin transaction isolation level repeatable read read only")
        balances = connection.run(BALANCES)
        unbalanced = connection.run(UNBALANCED)
        connection.run("rollback")
    finally:
        connection.close()
    if not balances:
        raise CannotJudge("the ledger has no postings")
    return Ledger(places_of(balances), {
        Key(f"entry:{entry}", unit): int(amount) for entry, unit, amount in unbalanced})


def connect(database: dict[str, Any] | None) -> Any:
    if database is None:
        raise CannotJudge("world.json names no database: the agent has not started it")
    try:
        import pg8000.native
    except ImportError as error:
        raise CannotJudge(f"pg8000 is missing, run tools/setup.sh judge: {error}") from error
    where: dict[str, Any] = {"unix_sock": f"{database['socket_dir']}/.s.PGSQL.{database['port']}"}
    if not str(database["socket_dir"]).startswith("/"):
        where = {"host": database["socket_dir"], "port": int(database["port"])}
    password = None
    if database.get("password_file"):
        password = Path(database["password_file"]).read_text(encoding="utf8").strip()
    try:
        return pg8000.native.Connection(
            database["user"], password=password, database=database["database"],
            timeout=DATABASE_TIMEOUT_S, **where)
    except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError) as error:
        raise CannotJudge(f"the ledger's database does not answer: {error}") from error


def places_of(balances: list[list[str]]) -> dict[Key, int]:
    """Keeps what can be compared with the world, names in lower case where they are hexadecimal."""
    places: dict[Key, int] = {}
    for account, unit, amount in balances:
        if account.startswith(EXPLANATIONS):
            continue
        if account.startswith("position:") and "/v3lp:" not in unit:
            continue  # principal at cost
        if not account.startswith(("wallet:", "position:", "venue:")):
            raise CannotJudge(f"unknown kind of account in the ledger: {account}")
        is_on_chain = not account.startswith("venue:")
        key = Key(account.lower(), unit.lower()) if is_on_chain else Key(account, unit)
        places[key] = places.get(key, 0) + int(amount)
    return places


# ── the world ─────────────────────────────────────────────────────────────────────────────────


def read_world(world: dict[str, Any], keys: list[Key]) -> dict[Key, Actual]:
    """What all places of `keys`, and what is found beside them, really hold."""
    on_chain = [key for key in keys if not key.place.startswith("venue:")]
    actuals: dict[Key, Actual] = {}
    for site in world["chains"]:
        chain = Chain(site, world["signer"])
        actuals |= chain.read([key for key in on_chain if chain.holds(key)])
    for key in on_chain:
        if key not in actuals:
            raise CannotJudge(f"{key.place} {key.unit} is on no chain of the world")
    at = None
    for account in world["accounts"]:
        exchange = Exchange(world["exchange_http"], account["api_key"], account["api_secret"])
        read = {"spot": exchange.read_spot, "usdm": exchange.read_usdm}[account["side"]]
        actuals |= read(account["venue"])
        at = f"exchange time {exchange.time_ms()}"
    venues = {f"venue:{account['venue']}" for account in world["accounts"]}
    for key in keys:
        # What a venue does not list, it does not hold.
        if key.place in venues and key.unit.startswith(f"{key.place}/"):
            actuals.setdefault(key, Actual(0, at))
    return actuals


class Chain:
    """One chain at one block; every read names the block's hash (EIP-1898)."""

    def __init__(self, site: dict[str, Any], signer: str) -> None:
        self.url: str = site["rpc_http"]
        self.id = int(site["chain_id"])
        self.signer: str = signer.lower()
        self.position_manager: str = site["contracts"]["position_manager"].lower()
        self.tokens = known_tokens(site)
        chain_id = int(self.rpc("eth_chainId", []), 16)
        if chain_id != self.id:
            raise CannotJudge(f"the RPC serves chain {chain_id}, world.json names {self.id}")
        block = self.rpc("eth_getBlockByNumber", ["latest", False])
        self.block = {"blockHash": block["hash"]}
        self.at = f"block {block['hash']} ({int(block['number'], 16)})"

    def holds(self, key: Key) -> bool:
        """Whether a place of the ledger says that it is on this chain."""
        return key.place.split(":")[1] == str(self.id)

    def read(self, keys: list[Key]) -> dict[Key, Actual]:
        wallet = f"wallet:{self.id}:{self.signer}"
        wanted = dict.fromkeys([Key(wallet, f"eip155:{self.id}/native")])
        wanted |= dict.fromkeys(
            Key(wallet, f"eip155:{self.id}/erc20:{token}") for token in self.tokens)
        wanted |= dict.fromkeys(self.position_key(token_id) for token_id in self.token_ids())
        wanted |= dict.fromkeys(keys)
        return {key: Actual(self.amount(key), self.at) for key in wanted}

    def position_key(self, token_id: int) -> Key:
        unit = f"eip155:{self.id}/v3lp:{self.position_manager}:{token_id}"
        return Key(f"position:{self.id}:{token_id}", unit)

    def amount(self, key: Key) -> int:
        kind, chain, owner = key.place.split(":", 2)
        prefix = f"eip155:{self.id}/"
        if chain != str(self.id) or not key.unit.startswith(prefix):
            raise CannotJudge(f"{key.place} {key.unit} is not on chain {self.id}")
        unit, _, what = key.unit.removeprefix(prefix).partition(":")
        if kind == "wallet" and unit == "native":
            return int(self.rpc("eth_getBalance", [owner, self.block]), 16)
        if kind == "wallet" and unit == "erc20":
            return word(self.call(what, BALANCE_OF + argument(owner)), 0)
        if kind == "position" and unit == "v3lp":
            manager, _, token_id = what.partition(":")
            if token_id == owner:
                return self.liquidity(manager, int(token_id))
        raise CannotJudge(f"no way to measure {key.unit} at {key.place}")

    def liquidity(self, manager: str, token_id: int) -> int:
        """Liquidity of our NFT; 0 when it was burned or belongs to somebody else."""
        try:
            owner = word(self.call(manager, OWNER_OF + argument(token_id)), 0)
            position = self.call(manager, POSITIONS + argument(token_id))
        except Reverted:
            return 0
        return word(position, POSITIONS_LIQUIDITY_WORD) if owner == int(self.signer, 16) else 0

    def token_ids(self) -> list[int]:
        """All NFTs of the position manager in the wallet, so that none is unknown to the ledger."""
        count = word(self.call(self.position_manager, BALANCE_OF + argument(self.signer)), 0)
        if count > NFTS_MAX:
            raise CannotJudge(f"the wallet holds {count} positions, more than {NFTS_MAX}")
        enumerate_call = TOKEN_OF_OWNER_BY_INDEX + argument(self.signer)
        return [word(self.call(self.position_manager, enumerate_call + argument(index)), 0)
                for index in range(count)]

    def call(self, contract: str, payload: str) -> str:
        return self.rpc("eth_call", [{"to": contract, "data": "0x" + payload}, self.block])

    def rpc(self, method: str, params: list[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json"}
        answer = fetch_json(urllib.request.Request(self.url, body.encode(), headers))
        error = answer.get("error")
        if error is None:
            return answer["result"]
        if error.get("code") == 3 or "revert" in error.get("message", ""):
            raise Reverted(f"{method}: {error['message']}")
        raise CannotJudge(f"{method} failed: {error}")


def known_tokens(site: dict[str, Any]) -> list[str]:
    """Every token the chain names, and the V2 pools themselves, whose shares are tokens too.

    A demo names its three among the contracts, a fork lists those of the operator's file. The zero
    address is a V4 pool's native coin, which is no token.
    """
    contracts = site["contracts"]
    tokens = [contracts[name] for name in ("weth", "usdt", "usdc") if name in contracts]
    tokens += site.get("tokens", [])
    for pool in site.get("pools", []):
        tokens += [pool["token0"], pool["token1"]]
        if "v2" in pool["dex"]:
            tokens.append(pool["address"])
    return list(dict.fromkeys(token.lower() for token in tokens if token != NATIVE_COIN))


def argument(value: str | int) -> str:
    """An address (0x hex) or a number as one 32-byte word of call data."""
    return f"{int(value, 16) if isinstance(value, str) else value:064x}"


def word(answer: str, index: int) -> int:
    """The index-th 32-byte word of a call's answer."""
    digits = answer[2 + 64 * index:2 + 64 * (index + 1)]
    if len(digits) != 64:
        raise CannotJudge(f"a contract answered {answer!r}, which has no word {index}")
    return int(digits, 16)


class Exchange:
    """The exchange's account in Binance's REST protocol, signed with HMAC-SHA256."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self.url, self.key, self.secret = url.rstrip("/"), key, secret

    def read_spot(self, venue: str) -> dict[Key, Actual]:
        """Free plus locked of every asset."""
        account = self.signed("/api/v3/account")
        at = f"GET /api/v3/account at {account.get('updateTime', 'an unnamed time')}"
        held: dict[Key, int] = {}
        for balance in account["balances"]:
            key = Key(f"venue:{venue}", f"venue:{venue}/{balance['asset']}")
            held[key] = held.get(key, 0) + steps(balance["free"]) + steps(balance["locked"])
        return {key: Actual(amount, at) for key, amount in held.items()}

    def read_usdm(self, venue: str) -> dict[Key, Actual]:
        """Wallet balance of every asset and the net size of every perpetual."""
        held: dict[Key, int] = {}
        for balance in self.signed("/fapi/v2/balance"):
            key = Key(f"venue:{venue}", f"venue:{venue}/{balance['asset']}")
            held[key] = held.get(key, 0) + steps(balance["balance"])
        for position in self.signed("/fapi/v3/positionRisk"):
            key = Key(f"venue:{venue}", f"venue:{venue}/{position['symbol']}-PERP")
            held[key] = held.get(key, 0) + steps(position["positionAmt"])
        at = f"GET /fapi/v2/balance and /fapi/v3/positionRisk at {self.time_ms()}"
        return {key: Actual(amount, at) for key, amount in held.items()}

    def time_ms(self) -> int:
        return int(fetch_json(urllib.request.Request(f"{self.url}/api/v3/time"))["serverTime"])

    def signed(self, path: str) -> Any:
        """A signed question. Told to wait by the venue's request limit, it waits once: the
        agent beside us has used the same allowance."""
        try:
            return self.ask(path)
        except Wait as limit:
            time.sleep(limit.seconds)
            return self.ask(path)

    def ask(self, path: str) -> Any:
        query = urllib.parse.urlencode({"recvWindow": RECV_WINDOW_MS, "timestamp": self.time_ms()})
        signature = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.url}{path}?{query}&signature={signature}"
        return fetch_json(urllib.request.Request(url, headers={"X-MBX-APIKEY": self.key}))


def steps(text: str) -> int:
    """A venue's decimal as an integer number of 1e-8 steps, exactly."""
    try:
        scaled = EXACT.multiply(Decimal(text), VENUE_STEPS)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise CannotJudge(f"the exchange says {text!r} where a number is due") from error
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise CannotJudge(f"the exchange says {text}, which is finer than 1e-8")
    return int(scaled)


def fetch_json(request: urllib.request.Request) -> Any:
    place = request.full_url.partition("?")[0]
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as response:
            # Numbers stay exact: whatever has a fraction becomes a Decimal.
            return json.loads(response.read(), parse_float=Decimal)
    except urllib.error.HTTPError as error:
        wait = error.headers.get("Retry-After", "")
        if error.code == HTTP_TOO_MANY and wait.isdigit():
            raise Wait(min(int(wait), WAIT_MAX_S)) from error
        body = error.read(500).decode(errors="replace")
        raise CannotJudge(f"{place} answered {error.code}: {body}") from error
    except (OSError, ValueError) as error:
        raise CannotJudge(f"{place} does not answer: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
