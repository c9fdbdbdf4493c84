"""What the benches of Python peers share. It needs nothing but the standard library.

Each peer runs in an environment of its own: `python -P PEER.py CORPUS EXACT RUNS` reads frames, one
a line, and the exact candles, and prints one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["Candles", "differences", "run", "whole"]

Candles: TypeAlias = Mapping[tuple[str, int], Sequence[Any]]
"""Open, high, low, close and volume, by symbol and start in milliseconds."""


def whole(exact: Candles) -> Candles:
    """Return one candle of each symbol, over all of its windows, at a start of 0."""
    merged: dict[tuple[str, int], list[float]] = {}
    for (symbol, _), texts in sorted(exact.items()):
        opened, high, low, close, volume = map(float, texts)
        one = merged.setdefault((symbol, 0), [opened, high, low, close, 0.0])
        one[1], one[2], one[3] = max(one[1], high), min(one[2], low), close
        one[4] += volume
    return {key: tuple(values) for key, values in merged.items()}


def differences(exact: Candles, found: Candles, *, without_last: bool = False) -> list[str]:
    """Return what is wrong with candles; sums of floats may differ by rounding.

    Args:
        exact: What they must be.
        found: What they are.
        without_last: Whether the last window of each symbol is missing, as nothing has closed it.
    """
    expected = dict(exact)
    if without_last:
        last = dict(sorted(exact))
        expected = {key: value for key, value in exact.items() if key[1] != last[key[0]]}
    wrong = [f"{key} is missing" for key in expected.keys() - found.keys()]
    wrong += [f"{key} is too much" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        pairs = zip(map(float, expected[key]), map(float, found[key]), strict=True)
        if any(abs(a - b) > 1e-9 * abs(a) for a, b in pairs):
            wrong.append(f"{key} is {found[key]}, expected {expected[key]}")
    return wrong


def run(
    package: str,
    fold: Callable[[list[bytes]], Callable[[], Candles]],
    *,
    one_window: bool = False,
    without_last: bool = False,
) -> None:
    """Check a peer's candles, time it and print what was found.

    Args:
        package: The peer's distribution.
        fold: Folds frames, and returns what reads the candles off.
        one_window: Whether all of the input is one window to it.
        without_last: As for `differences`.
    """
    corpus, exact_path, runs = sys.argv[1:]
    frames = Path(corpus).read_bytes().splitlines()
    rows = json.loads(Path(exact_path).read_text())
    exact: Candles = {(symbol, start): values for symbol, start, *values in rows["candles"]}
    wrong = differences(
        whole(exact) if one_window else exact, fold(frames)(), without_last=without_last
    )
    if wrong:
        sys.exit(f"{package}: {len(wrong)} candles are wrong, such as: {min(wrong)}")
    rates = []
    for _ in range(int(runs)):
        begin_s = time.perf_counter()
        fold(frames)
        rates.append(rows["trades"] / (time.perf_counter() - begin_s))
    print(json.dumps({"version": version(package), "trades_per_s": rates}))
