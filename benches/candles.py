"""A recording on disk to one-minute candles: on one core, on all, and beside others.

`python benches/candles.py --frames 600000` writes a recording of about 275 MB, compares its candles
on one core and on all with those of `aggregate`, and prints a table in Markdown. Polars and DuckDB
take part where they are installed: they fold floats, and know no trade twice.
"""

import argparse
import gc
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

# The benches are no package: their folder is where they find each other.
sys.path.insert(0, str(Path(__file__).parent))
from corpus import write_corpus

from tapecast import aggregate, aggregate_files
from tapecast.files import all_cores
from tapecast.recording import Recording

__all__ = ["check", "contenders", "main", "peak_mib"]

Contender: TypeAlias = Callable[[Path], int]
"""Makes the candles of a recording and returns how many trades are in them."""

MINUTE_MS: Final = 60_000


def by_files(jobs: int) -> Contender:
    """`tapecast.aggregate_files` on so many threads."""
    return lambda path: int(aggregate_files(path, jobs=jobs)["trades"].sum())


def by_polars(path: Path) -> int:
    """Polars: the frames' trades in columns, prices and sizes as floats."""
    pl: Any = importlib.import_module("polars")
    trades = pl.scan_ndjson(path).select("data").explode("data").unnest("data")
    price, size = pl.col("p").cast(pl.Float64), pl.col("v").cast(pl.Float64)
    candles = trades.group_by("s", pl.col("T") // MINUTE_MS).agg(
        *(price.first().alias("open"), price.max().alias("high"), price.min().alias("low")),
        *(price.last().alias("close"), size.sum().alias("volume")),
        *((price * size).sum().alias("turnover"), pl.len().alias("trades")),
    )
    return int(candles.collect()["trades"].sum())


def by_duckdb(path: Path) -> int:
    """DuckDB: the same in SQL."""
    duckdb: Any = importlib.import_module("duckdb")
    # Its structs do not tell "s" from "S": the trades stay JSON.
    candles = duckdb.sql(
        f"""
        with trades as (
            select unnest(data) as trade
            from read_json('{path}', format = 'newline_delimited', columns = {{data: 'JSON[]'}})
        ), numbers as (
            select trade->>'$.s' as symbol, (trade->>'$.T')::bigint as t,
                (trade->>'$.p')::double as p, (trade->>'$.v')::double as v
            from trades
        )
        select symbol, t // {MINUTE_MS} as minute, arg_min(p, t), max(p), min(p), arg_max(p, t),
            sum(v), sum(p * v), count(*) as trades
        from numbers group by all
        """  # noqa: S608 -- the bench's own path
    )
    return int(candles.aggregate("sum(trades)").fetchall()[0][0])


def contenders() -> dict[str, Contender]:
    """Return who takes part on this machine."""
    cores = all_cores()
    found: dict[str, Contender] = {"tapecast, 1 job": by_files(1)}
    if cores > 1:
        found[f"tapecast, {cores} jobs"] = by_files(cores)
    if find_spec("polars"):
        found["polars, float"] = by_polars
    if find_spec("duckdb"):
        found["duckdb, float"] = by_duckdb
    return found


def check(path: Path, trades: int) -> None:
    """Raise AssertionError unless the candles are those of `aggregate`, to the last digit."""
    exact = aggregate(Recording(path), exact=True)
    assert int(exact["trades"].sum()) == trades
    for jobs in (1, max(2, all_cores())):
        np.testing.assert_array_equal(aggregate_files(path, exact=True, jobs=jobs), exact)


def measure(path: Path, trades: int, runs: int) -> dict[str, list[float]]:
    """Return thousands of trades a second of every run, contenders taking turns."""
    rates: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, contender in contenders().items():
            gc.collect()
            begin_ns = time.perf_counter_ns()
            found = contender(path)
            rate = trades / ((time.perf_counter_ns() - begin_ns) / 1e9) / 1e3
            assert found == trades, name
            rates.setdefault(name, []).append(rate)
    return rates


_PEAK: Final = """
import sys
from pathlib import Path
from tapecast import aggregate_files
aggregate_files(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


def peak_mib(*paths: Path) -> int:
    """Return the most memory that a process of its own holds to make the candles on all cores.

    By Linux's own account: what a process is told of itself elsewhere counts its parent's memory.
    """
    words = [sys.executable, "-c", _PEAK, *map(str, paths)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- the bench itself
    return int(done.stdout)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a recording, check, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=600_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the recording is written for a while")
    parser.add_argument("--markdown", action="store_true", help="a table; the default")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "linear.jsonl"
        trades = write_corpus(path, chosen.frames)
        check(path, trades)
        megabytes = path.stat().st_size / 1e6
        print(f"{megabytes:.0f} MB, {trades} trades, {chosen.runs} runs:\n")
        rates = measure(path, trades, chosen.runs)
        peaks = (peak_mib(path), peak_mib()) if Path("/proc/self/status").exists() else None
    one = statistics.median(rates["tapecast, 1 job"])
    print("| contender | k trades/s, median [min..max] | to 1 job |")
    print("|---|--:|--:|")
    for name, values in rates.items():
        median = statistics.median(values)
        spread = f"[{min(values):,.0f}..{max(values):,.0f}]"
        print(f"| {name} | {median:,.0f} {spread} | {median / one:.2f} |")
    if peaks is not None:
        print("\nPeak memory on all cores: {} MiB, of which {} MiB without a file.".format(*peaks))


if __name__ == "__main__":
    main()
