#!/usr/bin/env python3
"""Cut two Binance recordings (spot and USD-M, same coin) to the small tapes the local exchange replays.

Usage: trim-tapes.py SPOT.jsonl.gz USDM.jsonl.gz OUT_DIR

Input line: `<local receive time, ns> <raw websocket JSON>`; one line is the REST depth snapshot.
Output `<name>.tape.gz`, one fact per line, prices and quantities as the venue wrote them less trailing zeros:
  # comment
  A b|a <price> <quantity>                the book at the start of the tape
  D <ms> (b|a <price> <quantity>)...      a depth diff: absolute sizes, 0 removes
  T <ms> b|a <price> <quantity>           a trade; b or a is the side that RESTED and was taken
<ms> counts from the start of the common span, on the venue's own clock. Order is by that clock; at equal times
trades come before the depth diff that already contains them.
Kept: depth diffs and market trades of the common span, on levels within BAND of the first mid price.
Dropped: bookTicker (it follows from the book), far levels, trades not made by the market (insurance fund, ADL).
"""
import gzip
import json
import sys
from decimal import Decimal
from pathlib import Path

BAND = Decimal("0.015")


def plain(text):
    value = format(Decimal(text).normalize(), "f")
    return "0" if value == "-0" else value


def read(path):
    """-> (snapshot, [(event ms, order, kind, payload)]) sorted by the venue's clock."""
    snapshot, events = None, []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            message = json.loads(line.split(" ", 1)[1])
            if "lastUpdateId" in message:
                snapshot = snapshot or message
                continue
            event = message["data"]
            if event.get("e") == "depthUpdate":
                events.append((event.get("T", event["E"]), 1, event["u"], event))
            elif event.get("e") == "trade" and event.get("X", "MARKET") == "MARKET":
                events.append((event["T"], 0, event["t"], event))
    if snapshot is None:
        sys.exit(f"{path}: no depth snapshot")
    events.sort(key=lambda e: e[:3])
    return snapshot, events


def synced(snapshot, events):
    """The book at the snapshot, and only the events after it."""
    book = {(s, Decimal(p)): q for s, side in (("b", "bids"), ("a", "asks")) for p, q in snapshot[side]}
    last = snapshot["lastUpdateId"]
    depth = [e for e in events if e[1] == 1 and e[2] > last]
    start = depth[0][0]
    return book, start, [e for e in events if e[0] >= start and (e[1] == 0 or e[2] > last)]


def cut(book, events, first, last):
    kept = []
    for ms, order, _, event in events:
        if ms < first and order == 1:
            apply(book, event)
        elif first <= ms <= last:
            kept.append((ms - first, order, event))
    return kept


def apply(book, event):
    for side in "ba":
        for price, quantity in event[side]:
            if Decimal(quantity) == 0:
                book.pop((side, Decimal(price)), None)
            else:
                book[(side, Decimal(price))] = quantity


def write(path, title, book, kept):
    bid = max(p for s, p in book if s == "b")
    ask = min(p for s, p in book if s == "a")
    assert bid < ask, "the book at the start of the tape is crossed"
    mid = (bid + ask) / 2
    low, high = mid * (1 - BAND), mid * (1 + BAND)
    rows = [f"# {title}"]
    for (side, price), quantity in sorted(book.items()):
        if low <= price <= high:
            rows.append(f"A {side} {plain(price)} {plain(quantity)}")
    for ms, order, event in kept:
        if order == 0:
            if Decimal(event["q"]) > 0:
                rows.append(f"T {ms} {'b' if event['m'] else 'a'} {plain(event['p'])} {plain(event['q'])}")
            continue
        levels = [f"{s} {plain(p)} {plain(q)}" for s in "ba" for p, q in event[s] if low <= Decimal(p) <= high]
        if levels:
            rows.append(f"D {ms} {' '.join(levels)}")
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as out:
        out.write(("\n".join(rows) + "\n").encode())
    print(path, len(rows), "rows", path.stat().st_size, "bytes", kept[-1][0], "ms")


def main():
    spot_path, usdm_path, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    spot, usdm = synced(*read(spot_path)), synced(*read(usdm_path))
    first = max(spot[1], usdm[1])
    last = min(spot[2][-1][0], usdm[2][-1][0])
    for name, title, (book, _, events) in (
        ("spot_ethusdt", "Binance spot ETHUSDT", spot),
        ("usdm_ethusdt", "Binance USD-M ETHUSDT perpetual", usdm),
    ):
        kept = cut(book, events, first, last)
        write(out / f"{name}.tape.gz", f"{title}, starts at unix ms {first}, ends at {last}", book, kept)


if __name__ == "__main__":
    main()
