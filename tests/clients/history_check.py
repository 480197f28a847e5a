#!/usr/bin/env python3
"""Unmodified DuckDB reads the history: a Parquet reader that knows nothing of us.

    history_check.py --binary target/debug/tidekeeper

Imports the samples of `tests/data/history` into a new state folder and reads what was written with
DuckDB. Every row must be what the sample's own text says, digit for digit, read here by Python's
csv and json alone. Prints one line per claim and `N passed, N failed`; exit status 1 if any failed.
"""

import argparse
import csv
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "history"
POOL = "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8"
IMPORTS: dict[str, list[str]] = {
    "binance_usdm_ethusdt.jsonl.gz": ["--venue", "binance"],
    "univ3_usdc_weth_3000.csv.gz": ["--chain", "1", "--pool", POOL],
    "funding_rates.csv.gz": [],
    "candles_synthetic.csv": ["--venue", "nowhere"],
}
COMMAND_TIMEOUT_S = 60


class History:
    """A state folder of its own, with every sample imported."""

    def __init__(self, binary: Path, state: Path) -> None:
        self.binary = binary
        self.state = state
        for name, options in IMPORTS.items():
            self.run("import", "--state-dir", str(state), *options, str(SAMPLES / name))

    def run(self, *arguments: str) -> None:
        command = [str(self.binary), "data", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def rows(self, sheet: str, columns: list[str], file: Path | None = None) -> list[tuple]:
        """Columns of a sheet in the order of its source, as text; nothing is the empty text."""
        place = str(file or self.state / "history" / "*" / f"{sheet}.parquet")
        chosen = ", ".join(f"coalesce({as_text(column)}, '')" for column in columns)
        query = f"select {chosen} from read_parquet('{place}', hive_partitioning = false) order by seq"
        return duckdb.sql(query).fetchall()


def as_text(column: str) -> str:
    """Instants as whole seconds, everything else as it is."""
    if column == "timestamp":
        return "cast(cast(epoch(timestamp) as bigint) as varchar)"
    return f'cast("{column}" as varchar)'


def lines(name: str) -> Iterator[str]:
    opened = gzip.open if name.endswith(".gz") else open
    with opened(SAMPLES / name, "rt", encoding="utf-8") as file:
        yield from file


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(lines(name)))


def equal(got: list[tuple], want: list[tuple]) -> None:
    assert want, "the sample is empty: nothing was compared"
    assert len(got) == len(want), f"{len(got)} rows, the sample has {len(want)}"
    for number, (one, other) in enumerate(zip(got, want, strict=True)):
        assert one == other, f"row {number} is {one}, the sample says {other}"


def check_pools(history: History) -> None:
    source = table("univ3_usdc_weth_3000.csv.gz")
    columns = list(source[0])
    want = [tuple(row[column] for column in columns) for row in source]
    equal(history.rows("pools", columns), want)


def check_funding(history: History) -> None:
    source = table("funding_rates.csv.gz")
    names = ["timestamp", "exchange", "symbol", "funding_rate"]
    want = [tuple(row[name] for name in names) for row in source]
    equal(history.rows("funding", ["timestamp", "venue", "symbol", "funding_rate"]), want)


def check_candles(history: History) -> None:
    source = table("candles_synthetic.csv")
    columns = list(source[0])
    want = [tuple(row[column] for column in columns) for row in source]
    equal(history.rows("candles", columns), want)


def messages(event: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Receive time and payload of every message of a kind in the recording."""
    for line in lines("binance_usdm_ethusdt.jsonl.gz"):
        at, text = line.split(" ", 1)
        payload = json.loads(text).get("data", {})
        if payload.get("e") == event or (event == "bookTicker" and "B" in payload):
            yield at, payload


def check_trades(history: History) -> None:
    want = [
        (str(payload["t"]), "sell" if payload["m"] else "buy", payload["p"], payload["q"])
        for _, payload in messages("trade")
    ]
    equal(history.rows("trades", ["trade_id", "side", "price", "quantity"]), want)


def check_tickers(history: History) -> None:
    want = [
        (payload["b"], payload["B"], payload["a"], payload["A"])
        for _, payload in messages("bookTicker")
    ]
    equal(history.rows("tickers", ["bid", "bid_quantity", "ask", "ask_quantity"]), want)


def check_export(history: History) -> None:
    """What is exported from the history is the history."""
    folder = next((history.state / "history").glob("source=*/funding.parquet")).parent
    out = history.state / "funding-again.parquet"
    source = folder.name.removeprefix("source=")
    history.run("export", "--state-dir", str(history.state), "--source", source,
                "--what", "funding", "--out", str(out))
    columns = ["timestamp", "venue", "symbol", "funding_rate"]
    equal(history.rows("funding", columns, out), history.rows("funding", columns))


CLAIMS: list[tuple[str, Callable[[History], None]]] = [
    ("pool events read back digit for digit", check_pools),
    ("funding rates read back digit for digit", check_funding),
    ("candles read back digit for digit", check_candles),
    ("recorded trades are all there, with their takers' side", check_trades),
    ("recorded best bids and asks are all there", check_tickers),
    ("an export of the history equals it", check_export),
]


def main() -> int:
    parser = argparse.ArgumentParser(description="Unmodified DuckDB reads the history.")
    parser.add_argument("--binary", required=True, type=Path)
    options = parser.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        history = History(options.binary, Path(folder))
        for name, check in CLAIMS:
            try:
                check(history)
            except (AssertionError, duckdb.Error) as error:
                failed += 1
                print(f"FAILED  {name}: {error}")
            else:
                passed += 1
                print(f"ok      {name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
