#!/usr/bin/env python3
"""Writes the hand-made inputs of the fuzz targets anew: tests/data/fuzz/TARGET/NAME.

    tools/fuzz-corpus.py

Every input is written as tests/it/fuzz/targets reads it, see tests/data/fuzz/README.md. Run it when
that changes, and keep inputs of another origin under other names: it only replaces its own.
"""

import hashlib
import struct
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests/data/fuzz"
GOOD = ROOT / "tests/data/config/good/local"

MIN_TICK, MAX_TICK = -887272, 887272
MIN_PRICE, MAX_PRICE = 4295128739, 1461446703485210103287273052203988822378723970342
Q96 = 1 << 96
SANE, UP, OUT, LIMIT, BELOW = 1, 2, 4, 8, 16


def main():
    targets = {
        "factory_logs": logs(FACTORY),
        "operator_files": operator_files(),
        "prices": prices(),
        "v2_amounts": v2_amounts(),
        "v2_logs": logs(V2),
        "v3_logs": logs(V3),
        "v4_logs": logs(V4),
        "v3_swap": swaps(fee=struct.pack(">IB", 3000, 0x54)),
        "v4_swap": swaps(fee=struct.pack(">II", 3000, 400 | 600 << 12)),
        "v3_pool": pools(setups=[(0, 0), (1, 0), (2, 1), (3, 2)], sides=V3_SIDES),
        "v4_pool": pools(setups=[(0, 0), (1, 1), (2, 2), (3, 0), (4, 1)], sides=V4_SIDES),
    }
    total = 0
    for target, inputs in targets.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / name).write_bytes(data)
            total += len(data)
        print(f"{target}: {len(inputs)} inputs")
    print(f"{total} bytes")


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


def wide(value, length=None):
    value %= 1 << 256
    length = (value.bit_length() + 7) // 8 if length is None else length
    return bytes([length]) + value.to_bytes(length, "big")


def i32(value):
    return struct.pack(">i", value)


def tick(value):
    """A tick of the protocol, as Input::tick reads it."""
    return i32(value - MIN_TICK)


def word(value):
    return (value % (1 << 256)).to_bytes(32, "big")


# ── prices, amounts, files ───────────────────────────────────────────────────────────────────────


def prices():
    numbers = [0, 1, MIN_PRICE - 1, MIN_PRICE, MIN_PRICE + 1, Q96 - 1, Q96, Q96 + 1,
               1 << 128, MAX_PRICE - 1, MAX_PRICE, (1 << 160) - 1, 1 << 160, (1 << 256) - 1]
    ticks = [MIN_TICK, MIN_TICK + 1, -1, 0, 1, 193921, MAX_TICK - 2, MAX_TICK - 1]
    beyond = [MIN_TICK - 1, MAX_TICK, MAX_TICK + 1, -(1 << 31), (1 << 31) - 1]
    found = {}
    for at, number in enumerate(numbers):
        other = numbers[(at * 5 + 3) % len(numbers)]
        found[f"price-{at}"] = wide(number) + wide(other) + b"\1" + tick(ticks[at % len(ticks)])
    for at, value in enumerate(beyond):
        found[f"tick-{at}"] = wide(Q96) + wide(Q96) + b"\0" + i32(value)
    return found | {"nothing": b""}


def v2_amounts():
    cases = {
        "uniswap": (997, 1000, 10**12, 10**21, 10**9),
        "quarter-percent": (9975, 10000, 10**24, 10**18, 12345),
        "no-fee": (1, 1, 100, 100, 50),
        "all-fee-but-one": (1, 2**32 - 1, 10**30, 10**30, 10**20),
        "nothing-kept": (0, 1000, 1, 1, 1),
        "more-than-all": (1001, 1000, 1, 1, 1),
        "one": (997, 1000, 1, 1, 1),
        "empty-in": (997, 1000, 0, 5, 1),
        "empty-out": (997, 1000, 5, 0, 1),
        "zero": (997, 1000, 5, 5, 0),
        "whole-reserve": (997, 1000, 1000, 1000, 1000),
        "last-unit": (997, 1000, 1000, 1000, 999),
        "uint112": (997, 1000, 2**112 - 1, 2**112 - 1, 2**112 - 1),
        "overflow": (997, 1000, 2**256 - 1, 2**256 - 1, 2**256 - 1),
        "lopsided": (997, 1000, 1, 2**200, 2**40),
        "other-side": (997, 1000, 2**200, 1, 2**40),
        "exact": (1, 1, 6, 6, 3),
    }
    pack = lambda num, den, *rest: struct.pack(">II", num, den) + b"".join(map(wide, rest))
    return {name: pack(*case) for name, case in cases.items()}


def operator_files():
    files = ["agent.toml", "chains/local.toml", "strategies/weth-usdt-lp.toml"]
    texts = [(GOOD / file).read_bytes() for file in files]
    found = {f"good-{at}": bytes([at]) + text for at, text in enumerate(texts)}
    for at, text in enumerate(texts):
        found[f"half-{at}"] = bytes([at]) + text[: len(text) // 2]
        found[f"no-utf8-{at}"] = bytes([at]) + text[:200] + b"\xff\xfe = 1\n"
        found[f"empty-{at}"] = bytes([at])
    return found | {
        "brackets": b"\1" + b"[" * 200,
        "dots": b"\2" + b"a." * 200 + b"a = 1",
        "number": b"\0schema = 99999999999999999999999999",
    }


# ── logs ─────────────────────────────────────────────────────────────────────────────────────────

# Of each event, in the order of the targets: topics after its name, and words of its data. a: an
# address, u: a number, t: a tick.
V2 = ["|uu", "aa|uuuu", "a|uu", "aa|uu"]
V3 = ["|pt", "aa|iiput", "att|auuu", "att|uuu", "att|auu", "aa|uuuu", "|bbbb", "aa|uu"]
V4 = ["uaa|ftapt", "ua|iiputf", "ua|ttiu", "ua|uu", "u|f"]
FACTORY = ["aa|au", "aaf|ta", "uaa|ftapt"]
FITTING = {"a": 0x11 << 152, "u": 10**20, "p": Q96, "t": -198010, "i": -(10**20), "b": 4, "f": 500}
WRONG = {"a": 1 << 160, "u": 1 << 255, "p": 1 << 160, "t": 1 << 23, "i": 1 << 255, "b": 256,
         "f": 1 << 24}


def logs(events):
    found = {"nothing": b"", "no-topic": bytes([0, 0]) + word(1),
             "unknown": bytes([1, 255]) + word(12345), "topics": bytes([5, 0]) + word(1) * 6}
    for at, event in enumerate(events):
        indexed, data = event.split("|")
        log = lambda values: bytes([1 + len(indexed), at]) + b"".join(map(word, values))
        letters = indexed + data
        fitting = [FITTING[letter] for letter in letters]
        found[f"{at}-fits"] = log(fitting)
        found[f"{at}-zero"] = log([0] * len(letters))
        found[f"{at}-longer"] = log(fitting) + b"\7" * 33
        found[f"{at}-shorter"] = log(fitting)[:-1]
        found[f"{at}-topics"] = bytes([len(indexed), at]) + log(fitting)[2:]
        for place, letter in enumerate(letters):
            values = list(fitting)
            values[place] = WRONG[letter]
            if place in (0, len(indexed), len(letters) - 1):
                found[f"{at}-wrong-{place}"] = log(values)
    return found


# ── swaps ────────────────────────────────────────────────────────────────────────────────────────


def sane(flags, at, amount, positions, spacing=60, above=0, limit=None):
    state = struct.pack(">H", spacing - 1) + tick(at) + wide(above) + bytes([len(positions)])
    for begin, width, liquidity in positions:
        state += struct.pack(">hH", begin, width - 1) + wide(liquidity)
    flags |= SANE | (0 if limit is None else LIMIT)
    return flags, state + wide(amount) + (b"" if limit is None else tick(limit))


def wild(flags, spacing, price, at, liquidity, nets, amount, limit=None):
    state = i32(spacing) + wide(price) + i32(at) + wide(liquidity) + bytes([len(nets)])
    for place, net in nets:
        state += struct.pack(">h", place) + wide(net % (1 << 128))
    flags |= 0 if limit is None else LIMIT
    return flags, state + wide(amount) + (b"" if limit is None else wide(limit))


def swaps(fee):
    near = [(-10, 20, 10**18), (-100, 200, 10**20), (-1000, 2000, 10**15)]
    gap = [(-50, 20, 10**18), (30, 20, 10**18)]
    full = [(-14787, 4096, 10**18), (-2000, 4000, 10**18)]
    cases = {
        "in-range": sane(0, -30, 10**12, near),
        "in-range-up": sane(UP, -30, 10**12, near, above=12345),
        "in-range-out": sane(OUT, -30, 10**12, near),
        "in-range-out-up": sane(OUT | UP, -30, 10**12, near),
        "across": sane(0, 5, 10**20, near),
        "across-up": sane(UP, 5, 10**20, near),
        "across-out": sane(OUT, 5, 10**19, near),
        "to-the-end": sane(0, 5, 2**200, near),
        "to-the-end-up": sane(UP | OUT, 5, 2**200, near),
        "limit": sane(0, 5, 10**22, near, limit=-601),
        "limit-on-tick": sane(UP, 5, 10**22, near, limit=600),
        "limit-behind": sane(UP, 5, 10**22, near, limit=-600),
        "one-below": sane(BELOW, 600, 10**15, near),
        "one-below-up": sane(BELOW | UP, 600, 10**15, near),
        "word-edge": sane(BELOW, 256 * 60, 10**10, near),
        "one-unit": sane(0, 0, 1, near),
        "one-unit-out": sane(OUT, 0, 1, near),
        "zero": sane(0, 0, 0, near),
        "gap": sane(UP, 0, 10**18, gap),
        "gap-down": sane(OUT, 0, 10**17, gap),
        "empty": sane(0, 100, 10**6, []),
        "lowest": sane(UP, MIN_TICK, 10**6, full),
        "highest": sane(0, MAX_TICK - 1, 10**6, full),
        "widest": sane(0, 0, 10**20, [(-20, 40, 10**22)], spacing=16383),
        "narrow": sane(UP, 0, 10**9, [(-300, 600, 10**15)], spacing=10),
        "largest": sane(0, 0, 2**255 - 1, near),
        "too-large": sane(0, 0, 2**255, near),
        "wild-spacing": wild(0, 0, Q96, 0, 10**18, [], 10**9),
        "wild-negative": wild(UP, -60, Q96, 0, 10**18, [(1, 5)], 10**9),
        "wild-price": wild(0, 60, (1 << 256) - 1, 0, 10**18, [], 10**9),
        "wild-tick": wild(UP, 60, Q96, 500000, 10**18, [(3, -(2**127))], 10**9),
        "wild-behind": wild(0, 60, Q96, 50000, 10**18, [(2, 10**18)], 10**19, limit=Q96 >> 1),
        "wild-nets": wild(UP, 60, Q96, 0, 10**18, [(1, -(10**19)), (2, 2**127 - 1)], 10**30),
        "wild-liquidity": wild(OUT, 200, Q96, 0, 2**128 - 1, [], 2**120, limit=MIN_PRICE + 1),
        "wild-limit": wild(UP, 200, Q96, 0, 2**128 - 1, [], 2**120, limit=MAX_PRICE),
    }
    found = {name: bytes([flags]) + fee + rest for name, (flags, rest) in cases.items()}
    all_fee = struct.pack(">I", 0xFFFFFFFF) + fee[4:]
    flags, rest = sane(0, 0, 10**9, near)
    return found | {"all-fee": bytes([flags]) + all_fee + rest, "nothing": b""}


# ── pools ────────────────────────────────────────────────────────────────────────────────────────


def dice(seed):
    """Numbers that are the same on every machine and every Python."""
    state = hashlib.sha256(seed.encode()).digest()
    while True:
        state = hashlib.sha256(state).digest()
        yield from state[:16]


V3_SIDES = [bytes([8, kind, 0x54]) + bytes(8) for kind in range(4)]
V4_SIDES = [bytes([8, kind]) + struct.pack(">I", 400 | 600 << 12) for kind in range(3)]


def pools(setups, sides):
    change = lambda begin, width, amount, gone=0: (
        bytes([0, gone]) + struct.pack(">hH", begin, width - 1) + wide(amount))
    trade = lambda flags, amount, away: (
        bytes([5, flags]) + wide(amount) + struct.pack(">H", away - 1))
    found = {"nothing": b""}
    for number, (fee, spacing) in enumerate(setups):
        first = bytes([fee, spacing, 0]) + tick(-30 if number % 2 else 2560)
        liquid = change(-20, 40, 10**18) + change(-3, 5, 10**15)
        trades = trade(0, 10**15, 700) + trade(UP | OUT, 10**14, 900) + trade(UP | LIMIT, 10**17, 19999)
        found |= {
            f"{number}-unopened": bytes([fee, spacing]) + trades,
            f"{number}-trades": first + liquid + trades + change(-3, 5, 10**15, gone=1) + trades,
            f"{number}-empty": first + trades + liquid + change(-20, 40, 10**18, gone=1) + trades,
            f"{number}-gone": first + liquid + change(-20, 40, 2 * 10**18, gone=1) + trades,
            f"{number}-wide": first + change(-999, 999, 1) + change(0, 1000, 2**90 - 1) + trades,
        }
        roll = dice(f"{fee} {spacing}")
        for life in range(4):
            tail = bytes(next(roll) for _ in range(160))
            found[f"{number}-dice-{life}"] = first + liquid + tail
        for kind, side in enumerate(sides):
            side += wide(10**12) + wide(10**9)
            any_log = bytes([10, kind * 2]) + bytes(next(roll) for _ in range(96))
            found[f"{number}-side-{kind}"] = first + liquid + side + trades + side + any_log + trades
    return found


if __name__ == "__main__":
    main()
