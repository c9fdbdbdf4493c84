"""Raw frames to one-minute candles: the engine beside what one would write by hand, in one run.

`python benches/engine.py --frames 500000` prints a table in Markdown. Every contender's candles are
compared with the exact ones before anything is timed; those that sum floats may differ by rounding.
"""

import argparse
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

# The benches are no package: their folder is where they find each other.
sys.path.insert(0, str(Path(__file__).parent))
from corpus import frames as corpus_frames

from tapecast import Engine, __version__, aggregate

__all__ = ["CONTENDERS", "check", "main"]

Candles: TypeAlias = dict[tuple[str, int], list[Any]]
"""Open, high, low, close, volume, turnover and number of trades, by symbol and start."""

MINUTE_MS: Final = 60_000


def _fold(candles: Candles, symbol: str, event_ms: int, price: Any, size: Any) -> None:  # noqa: ANN401 -- Decimal or float
    key = (symbol, event_ms // MINUTE_MS * MINUTE_MS)
    candle = candles.get(key)
    if candle is None:
        candles[key] = [price, price, price, price, size, price * size, 1]
        return
    candle[1] = max(candle[1], price)
    candle[2] = min(candle[2], price)
    candle[3] = price
    candle[4] += size
    candle[5] += price * size
    candle[6] += 1


def by_json(frames: Sequence[bytes]) -> Candles:
    """The standard library's JSON, Decimal and a dict."""
    candles: Candles = {}
    for frame in frames:
        for trade in json.loads(frame)["data"]:
            _fold(candles, trade["s"], trade["T"], Decimal(trade["p"]), Decimal(trade["v"]))
    return candles


class _Trade(msgspec.Struct):
    T: int
    s: str
    S: str
    v: Decimal
    p: Decimal
    i: str


class _FloatTrade(msgspec.Struct):
    T: int
    s: str
    S: str
    v: float
    p: float
    i: str


class _Frame(msgspec.Struct):
    data: list[_Trade]


class _FloatFrame(msgspec.Struct):
    data: list[_FloatTrade]


def by_msgspec(frames: Sequence[bytes]) -> Candles:
    """Msgspec's typed decoder, Decimal and a dict."""
    decoder = msgspec.json.Decoder(_Frame)
    candles: Candles = {}
    for frame in frames:
        for trade in decoder.decode(frame).data:
            _fold(candles, trade.s, trade.T, trade.p, trade.v)
    return candles


def by_msgspec_floats(frames: Sequence[bytes]) -> Candles:
    """The same with floats, read from the text without strictness."""
    decoder = msgspec.json.Decoder(_FloatFrame, strict=False)
    candles: Candles = {}
    for frame in frames:
        for trade in decoder.decode(frame).data:
            _fold(candles, trade.s, trade.T, trade.p, trade.v)
    return candles


def _of_array(rows: Any) -> Candles:  # noqa: ANN401 -- a structured array
    names = ["open", "high", "low", "close", "volume", "turnover"]
    return {
        (row["symbol"], int(row["start_ms"])): [
            *(Decimal(row[name]) for name in names),
            int(row["trades"]),
        ]
        for row in rows
    }


def by_engine(frames: Sequence[bytes]) -> Candles:
    """`Engine.feed` for each frame: duplicates, candles, counters, and every message encoded."""
    engine = Engine(clock="event", history_candles=sys.maxsize)
    for frame in frames:
        engine.feed(frame, received_ns=0)
    return _of_array(engine.candles(exact=True))


def by_aggregate(frames: Sequence[bytes]) -> Candles:
    """`tapecast.aggregate`, which checks and encodes as much."""
    return _of_array(aggregate(frames, exact=True))


CONTENDERS: Final[dict[str, Callable[[Sequence[bytes]], Candles]]] = {
    "json + dict, Decimal": by_json,
    "msgspec + dict, Decimal": by_msgspec,
    "msgspec + dict, float": by_msgspec_floats,
    "tapecast aggregate": by_aggregate,
    "tapecast Engine.feed, every message encoded": by_engine,
}


def check(frames: Sequence[bytes]) -> None:
    """Raise AssertionError unless all contenders have the same candles."""
    exact = by_json(frames)
    for name, contender in CONTENDERS.items():
        found = contender(frames)
        assert found.keys() == exact.keys(), name
        for key, candle in exact.items():
            if name.endswith("float"):
                close = [
                    abs(float(a) - float(b)) <= 1e-9 * abs(float(a))
                    for a, b in zip(candle, found[key], strict=True)
                ]
                assert all(close), (name, key)
            else:
                assert found[key] == candle, (name, key)


def measure(frames: Sequence[bytes], trades: int, runs: int) -> dict[str, list[float]]:
    """Return thousands of trades a second of every run, contenders taking turns."""
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(runs):
        for name, contender in CONTENDERS.items():
            gc.collect()
            begin_ns = time.perf_counter_ns()
            contender(frames)
            rates[name].append(trades / ((time.perf_counter_ns() - begin_ns) / 1e9) / 1e3)
    return rates


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--shape", choices=("linear", "spot", "mixed"), default="linear")
    chosen = parser.parse_args(arguments)
    made = list(corpus_frames(chosen.frames, shape=chosen.shape))
    frames, trades = [frame for frame, _ in made], sum(held for _, held in made)
    check(frames[: min(len(frames), 20_000)])
    print(f"{len(frames)} frames ({chosen.shape}), {trades} trades, {chosen.runs} runs;")
    python = platform.python_version()
    print(f"tapecast {__version__}, CPython {python}, msgspec {msgspec.__version__}\n")
    rates = measure(frames, trades, chosen.runs)
    best = statistics.median(rates["msgspec + dict, Decimal"])
    print("| contender | k trades/s, median [min..max] | to msgspec + dict, Decimal |")
    print("|---|--:|--:|")
    for name, values in rates.items():
        median = statistics.median(values)
        spread = f"[{min(values):,.0f}..{max(values):,.0f}]"
        print(f"| {name} | {median:,.0f} {spread} | {median / best:.2f} |")


if __name__ == "__main__":
    main()
