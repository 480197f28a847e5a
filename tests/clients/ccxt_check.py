#!/usr/bin/env python3
"""Unmodified ccxt against the local exchange: an independent client that knows only Binance.

    ccxt_check.py --exchange http://127.0.0.1:PORT --key KEY --secret SECRET

Spot and USD-M in turn: the synced book must equal REST's at the same update id, a post-only order
must rest, a crossing one must be refused, a market order must fill, its fill must arrive on the
user stream, a cancel must cancel, and balances must change by exactly what the fills say.
Prints one line per claim and `N passed, N failed`; exit status 1 if any failed.
"""

import argparse
import asyncio
import re
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt
import ccxt.pro

DIFFS_MIN = 50
LEVELS_COMPARED = 100
COMPARISONS_MIN = 10
BOOKS_KEPT = 200
CLAIM_TIMEOUT_S = 90
SYNC_TIMEOUT_S = 60
REST_READS_MAX = 100
EVENT_TIMEOUT_S = 15
POLL_S = 0.1
AMOUNT = "0.05"
QUOTE = "USDT"
REST_BELOW = Decimal("0.98")  # a post-only bid this far below the best one rests
CROSS_ABOVE = Decimal("1.005")  # one this far above the best offer crosses


class Claims:
    """Counts what held and what did not; a failed claim does not stop the next one."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    async def check(self, name: str, deed: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                await deed()
        except Exception as error:
            self.failed += 1
            frame = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAILED  {name}: {type(error).__name__}: {error} ({frame.name}:{frame.lineno})")
        else:
            self.passed += 1
            print(f"ok      {name}")
        sys.stdout.flush()


def recording(exchange_class: type) -> type:
    """The same client, its raw user events kept in `events` before it handles them as always."""

    class Recording(exchange_class):
        def handle_message(self, client: Any, message: Any) -> Any:
            event = message.get("event", message) if isinstance(message, dict) else {}
            if event.get("e") in ("executionReport", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"):
                self.events.append(event)
            return super().handle_message(client, message)

    return Recording


def client_of(exchange_class: type, base_url: str, key: str, secret: str) -> Any:
    """A client whose every address is ours; nothing else about it is changed."""
    client = recording(exchange_class)({
        "apiKey": key,
        "secret": secret,
        "enableRateLimit": False,
        "options": {
            "fetchMargins": False,
            "fetchCurrencies": False,
            "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
        },
    })
    client.events = []
    client.urls["api"] = at_home(client.urls["api"], base_url)
    return client


def at_home(urls: Any, base_url: str) -> Any:
    """Replaces scheme and host of every address, however deep in the tree it stands."""
    if isinstance(urls, dict):
        return {name: at_home(url, base_url) for name, url in urls.items()}
    if isinstance(urls, str):
        urls = re.sub(r"^https?://[^/]+", base_url, urls)
        return re.sub(r"^wss?://[^/]+", base_url.replace("http", "ws", 1), urls)
    return urls


class Trading:
    """One client on one market, with its book and its user stream being watched."""

    def __init__(self, client: Any, symbol: str) -> None:
        self.client = client
        self.symbol = symbol
        self.books: dict[int, tuple[list[Any], list[Any]]] = {}
        self.n_diffs = 0
        self.orders: dict[str, list[str]] = {}
        self.trades: dict[str, dict[str, Any]] = {}
        self.positions: list[dict[str, Any]] = []
        self.broken: BaseException | None = None
        self.resting: dict[str, Any] = {}

    async def watch_book(self) -> None:
        while True:
            book = await self.client.watch_order_book(self.symbol)
            if book["nonce"] in self.books:
                continue
            self.n_diffs += 1
            self.books[book["nonce"]] = top(book["bids"], book["asks"])
            if len(self.books) > BOOKS_KEPT:
                self.books.pop(next(iter(self.books)))

    async def watch_orders(self) -> None:
        while True:
            for order in await self.client.watch_orders(self.symbol):
                self.orders.setdefault(order["id"], []).append(order["status"])

    async def watch_trades(self) -> None:
        while True:
            for trade in await self.client.watch_my_trades(self.symbol):
                self.trades[trade["id"]] = trade

    async def watch_positions(self) -> None:
        while True:
            self.positions += await self.client.watch_positions([self.symbol])

    async def until(
        self, what: str, is_so: Callable[[], bool], timeout_s: float = EVENT_TIMEOUT_S
    ) -> None:
        """Waits for a fact; a watcher that broke tells why at once."""
        end = time.monotonic() + timeout_s
        while not is_so():
            if self.broken is not None:
                raise AssertionError(f"while waiting for {what}: {self.broken!r}")
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {timeout_s} s")
            await asyncio.sleep(POLL_S)

    def trades_of(self, order_id: str) -> list[dict[str, Any]]:
        return [trade for trade in self.trades.values() if trade["order"] == order_id]

    def price(self, side: str, factor: Decimal) -> str:
        bids, asks = self.books[max(self.books)]
        best = (bids if side == "bid" else asks)[0][0]
        return self.client.price_to_precision(self.symbol, float(Decimal(str(best)) * factor))

    # ── claims both markets share ──

    async def syncs_its_book(self) -> None:
        await self.until(
            f"{DIFFS_MIN} synced diffs", lambda: self.n_diffs >= DIFFS_MIN, SYNC_TIMEOUT_S)
        bids, asks = self.books[max(self.books)]
        assert bids[0][0] < asks[0][0], f"crossed book: bid {bids[0]}, ask {asks[0]}"

    async def book_equals_rest(self) -> None:
        """Same update id, same levels on both sides: so every diff until then was right."""
        n_equal = 0
        for _ in range(REST_READS_MAX):
            rest = await self.client.fetch_order_book(self.symbol, LEVELS_COMPARED)
            await asyncio.sleep(2 * POLL_S)  # the diff of that update id may still be on its way
            if self.broken is not None:
                raise self.broken
            if rest["nonce"] in self.books:
                have, want = self.books[rest["nonce"]], top(rest["bids"], rest["asks"])
                pairs = [pair for side in (0, 1)
                         for pair in zip(have[side], want[side], strict=True)]
                wrong = [pair for pair in pairs if pair[0] != pair[1]]
                assert not wrong, f"at {rest['nonce']}: streamed and REST differ: {wrong[:3]}"
                n_equal += 1
            if n_equal == COMPARISONS_MIN:
                return
        raise AssertionError(f"{REST_READS_MAX} REST books, only {n_equal} at an id of the stream")

    async def post_only_rests(self) -> None:
        order = await self.client.create_order(
            self.symbol, "limit", "buy", float(AMOUNT), float(self.price("bid", REST_BELOW)),
            {"postOnly": True})
        self.resting = order
        open_orders = await self.client.fetch_open_orders(self.symbol)
        found = [open_order for open_order in open_orders if open_order["id"] == order["id"]]
        assert len(found) == 1, f"{order['id']} is not among {open_orders}"
        assert found[0]["status"] == "open" and found[0]["filled"] == 0, found
        await self.until("NEW on the user stream",
                         lambda: "open" in self.orders.get(order["id"], []))

    async def cancel_cancels(self) -> None:
        order_id = self.resting["id"]
        await self.client.cancel_order(order_id, self.symbol)
        open_ids = [order["id"] for order in await self.client.fetch_open_orders(self.symbol)]
        assert order_id not in open_ids, f"{order_id} is still open"
        await self.until("CANCELED on the user stream",
                         lambda: "canceled" in self.orders.get(order_id, []))
        try:
            await self.client.cancel_order(order_id, self.symbol)
        except ccxt.OrderNotFound:
            return
        raise AssertionError("a second cancel was accepted")

    async def crossing_post_only_is_refused(self, reason: str) -> None:
        try:
            order = await self.client.create_order(
                self.symbol, "limit", "buy", float(AMOUNT),
                float(self.price("ask", CROSS_ABOVE)), {"postOnly": True})
        except ccxt.InvalidOrder as refusal:
            assert reason in str(refusal), f"refused for another reason: {refusal}"
            return
        raise AssertionError(f"it was accepted as {order['id']}")

    async def market_order(self, side: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Sends a market order and returns its raw fills as the user stream told them."""
        order = await self.client.create_order(
            self.symbol, "market", side, float(AMOUNT), None, params)
        order_id = order["id"]
        await self.until("closed order on the user stream",
                         lambda: "closed" in self.orders.get(order_id, []))

        def told() -> Decimal:
            amounts = [Decimal(str(trade["amount"])) for trade in self.trades_of(order_id)]
            return sum(amounts, Decimal(0))

        await self.until("all fills on the user stream", lambda: told() == Decimal(AMOUNT))
        final = await self.client.fetch_order(order_id, self.symbol)
        assert final["status"] == "closed", final
        assert Decimal(str(final["filled"])) == Decimal(AMOUNT), final
        return [trade["info"] for trade in self.trades_of(order_id)]


def top(bids: list[Any], asks: list[Any]) -> tuple[list[Any], list[Any]]:
    """A copy of the best levels, price and quantity only."""
    return ([level[:2] for level in bids[:LEVELS_COMPARED]],
            [level[:2] for level in asks[:LEVELS_COMPARED]])


@asynccontextmanager
async def trading(client: Any, symbol: str, has_positions: bool) -> AsyncIterator[Trading]:
    """Watchers run for the length of the block; the client is closed at its end."""
    it = Trading(client, symbol)
    watchers: list[asyncio.Task[None]] = []

    def watch(deed: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await deed
            except Exception as error:  # told by the next claim that waits
                it.broken = error
        watchers.append(asyncio.create_task(guarded()))

    try:
        await client.load_markets()
        await client.authenticate({"type": "swap"} if has_positions else {})
        watch(it.watch_book())
        watch(it.watch_orders())
        watch(it.watch_trades())
        if has_positions:
            watch(it.watch_positions())
        await it.until("open user stream", lambda: has_user_stream(client))
        yield it
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await client.close()


def has_user_stream(client: Any) -> bool:
    return any(found.connected.done() for url, found in client.clients.items()
               if "/ws-api/" in url or "/private/" in url)


# ── spot ──


async def check_spot(claims: Claims, base_url: str, key: str, secret: str) -> None:
    client = client_of(ccxt.pro.binance, base_url, key, secret)
    client.options["fetchMarkets"] = {"types": ["spot"]}
    async with trading(client, "ETH/USDT", has_positions=False) as it:
        async def refuses() -> None:
            await it.crossing_post_only_is_refused("Order would immediately match and take.")

        async def fills_exactly() -> None:
            before = await spot_balances(client)
            fills = await it.market_order("buy", {})
            fills += await it.market_order("sell", {})
            want = dict(before)
            for fill in fills:
                sign = 1 if fill["S"] == "BUY" else -1
                want["ETH"] += sign * Decimal(fill["l"])
                want[QUOTE] -= sign * Decimal(fill["Y"])
                want[fill["N"]] -= Decimal(fill["n"])
            have = await spot_balances(client)
            assert have == want, f"balances are {have}, the fills say {want}"

        await claims.check("spot: the book syncs", it.syncs_its_book)
        await claims.check("spot: the book equals REST's at one update id", it.book_equals_rest)
        await claims.check("spot: a post-only order rests and is seen", it.post_only_rests)
        await claims.check("spot: a crossing post-only order is refused", refuses)
        await claims.check("spot: balances change by exactly the fills", fills_exactly)
        await claims.check("spot: a cancel cancels, once", it.cancel_cancels)


async def spot_balances(client: Any) -> dict[str, Decimal]:
    """Free plus locked of each asset, as the exchange wrote it."""
    info = (await client.fetch_balance())["info"]
    return {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in info["balances"]}


# ── USD-M ──


async def check_usdm(claims: Claims, base_url: str, key: str, secret: str) -> None:
    client = client_of(ccxt.pro.binanceusdm, base_url, key, secret)
    client.options["fetchMarkets"] = {"types": ["linear"]}
    async with trading(client, "ETH/USDT:USDT", has_positions=True) as it:
        async def refuses() -> None:
            await it.crossing_post_only_is_refused("-5022")

        async def fills_exactly() -> None:
            wallet, n_events = await quiet_wallet(client)
            contracts = await usdm_contracts(client)
            fills = await it.market_order("sell", {})
            await it.until("the new position on the user stream", lambda: bool(it.positions))
            fills += await it.market_order("buy", {"reduceOnly": True} if contracts <= 0 else {})
            for fill in fills:
                assert fill["N"] == QUOTE, f"commission in {fill['N']}"
                wallet += Decimal(fill["rp"]) - Decimal(fill["n"])
                contracts += Decimal(fill["l"]) * (1 if fill["S"] == "BUY" else -1)
            await wallet_becomes(client, wallet, n_events)
            have = await usdm_contracts(client)
            assert have == contracts, f"{have} contracts, the fills say {contracts}"

        await claims.check("usdm: the book syncs", it.syncs_its_book)
        await claims.check("usdm: the book equals REST's at one update id", it.book_equals_rest)
        await claims.check("usdm: a post-only order rests and is seen", it.post_only_rests)
        await claims.check("usdm: a crossing post-only order is refused", refuses)
        await claims.check("usdm: wallet and position change by exactly the fills", fills_exactly)
        await claims.check("usdm: a cancel cancels, once", it.cancel_cancels)


async def quiet_wallet(client: Any) -> tuple[Decimal, int]:
    """A balance with no event around it, and the number of events seen until then."""
    for _ in range(REST_READS_MAX):
        n_events = len(client.events)
        wallet = await usdm_wallet(client)
        await asyncio.sleep(5 * POLL_S)
        if len(client.events) == n_events:
            return wallet, n_events
    raise AssertionError("events never paused")


async def wallet_becomes(client: Any, wanted: Decimal, n_events: int) -> None:
    """Funding may be paid meanwhile; the stream names each payment, so the sum stays exact."""
    have, want = None, wanted
    for _ in range(int(EVENT_TIMEOUT_S / POLL_S)):
        paid = [Decimal(row["bc"]) for event in client.events[n_events:]
                if event["e"] == "ACCOUNT_UPDATE" and event["a"]["m"] == "FUNDING_FEE"
                for row in event["a"]["B"] if row["a"] == QUOTE]
        have, want = await usdm_wallet(client), wanted + sum(paid)
        if have == want:
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"the wallet holds {have}, fills and funding say {want}")


async def usdm_wallet(client: Any) -> Decimal:
    info = (await client.fetch_balance())["info"]
    return next(Decimal(row["walletBalance"]) for row in info["assets"] if row["asset"] == QUOTE)


async def usdm_contracts(client: Any) -> Decimal:
    rows = await client.fapiPrivateV3GetPositionRisk({"symbol": "ETHUSDT"})
    return sum((Decimal(row["positionAmt"]) for row in rows), Decimal(0))


async def check_all(base_url: str, key: str, secret: str) -> Claims:
    claims = Claims()
    for name, check in (("spot", check_spot), ("usdm", check_usdm)):
        try:
            await check(claims, base_url, key, secret)
        except Exception as error:
            claims.failed += 1
            print(f"FAILED  {name}: the client did not start: {type(error).__name__}: {error}")
    return claims


def main() -> int:
    parser = argparse.ArgumentParser(description="Unmodified ccxt against the local exchange.")
    parser.add_argument("--exchange", required=True, help="its base URL")
    parser.add_argument("--key", required=True)
    parser.add_argument("--secret", required=True)
    options = parser.parse_args()
    claims = asyncio.run(check_all(options.exchange.rstrip("/"), options.key, options.secret))
    print(f"{claims.passed} passed, {claims.failed} failed")
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main())
