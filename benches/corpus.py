"""The corpus of the benches: seeded frames in the shapes of real ones, as a recording.

`python benches/corpus.py --frames 500000 target/corpus/linear.jsonl` makes the one that figures are
published for: one frame a line, 70 % of one trade and the rest geometric up to 30, 50 symbols by
Zipf's law (exponent 1.1), 120 minutes, UUIDs as ids (numbers on spot), prices a random walk on each
symbol's tick, sizes log-normal.
"""

import argparse
import math
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, Literal, TypeAlias

__all__ = ["Shape", "frames", "write_corpus"]

Shape: TypeAlias = Literal["linear", "spot", "mixed"]

START_MS: Final = 1_790_000_040_000
MINUTES: Final = 120
SYMBOLS: Final = 50
ZIPF: Final = 1.1
SINGLE: Final = 0.70
MAX_TRADES: Final = 30
GO_ON: Final = 0.75
"""Chance that a frame of several trades has one more; gives about 2.2 trades a frame over all."""


@dataclass
class Symbol:
    """One symbol's walk: its price in ticks, and how both numbers are printed."""

    name: str
    price_ticks: int
    price_decimals: int
    size_decimals: int

    def price(self, rng: random.Random) -> str:
        """Move by a few ticks and return the price with all its decimals."""
        self.price_ticks = max(1, self.price_ticks + rng.randint(-3, 3))
        return _fixed(self.price_ticks, self.price_decimals)

    def size(self, rng: random.Random) -> str:
        """Return a log-normal size, at least one step."""
        steps = max(1, round(rng.lognormvariate(math.log(40), 1.6)))
        return _fixed(steps, self.size_decimals)


def _fixed(units: int, decimals: int) -> str:
    if decimals == 0:
        return str(units)
    text = str(units).zfill(decimals + 1)
    return f"{text[:-decimals]}.{text[-decimals:]}"


def _symbols(rng: random.Random) -> list[Symbol]:
    made = [Symbol("BTCUSDT", 806_819_0, 2, 3), Symbol("ETHUSDT", 310_547, 2, 2)]
    for number in range(SYMBOLS - len(made)):
        name = f"{''.join(rng.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZ', k=rng.randint(2, 6)))}USDT"
        decimals = rng.randint(2, 6)
        made.append(
            Symbol(f"{number % 10}{name}", rng.randint(1_000, 900_000), decimals, number % 3)
        )
    return made


def frames(count: int, *, shape: Shape = "linear", seed: int = 1) -> Iterator[tuple[bytes, int]]:
    """Yield frames with their number of trades; the same seed gives the same bytes.

    Args:
        count: How many frames.
        shape: Whose key order and ids; `mixed` alternates between linear and spot.
        seed: Where the draws begin.
    """
    rng = random.Random(seed)  # noqa: S311 -- data, not keys
    symbols = _symbols(rng)
    cumulative = list(accumulate(1 / rank**ZIPF for rank in range(1, SYMBOLS + 1)))
    step_ms = MINUTES * 60_000 / max(1, count)
    seq, spot_id = 804_921_550_000, 2_290_000_001_203_630_000
    for number in range(count):
        (symbol,) = rng.choices(symbols, cum_weights=cumulative)
        trades = 1
        if rng.random() >= SINGLE:
            trades = 2
            while trades < MAX_TRADES and rng.random() < GO_ON:
                trades += 1
        event_ms = START_MS + int(number * step_ms)
        seq += rng.randint(1, 40)
        spot = shape == "spot" or (shape == "mixed" and number % 2 == 1)
        rows = []
        for _ in range(trades):
            spot_id += rng.choice((1, 1, 2))
            row = _spot_row if spot else _linear_row
            rows.append(row(rng, symbol, event_ms, seq, spot_id))
        data = ",".join(rows)
        topic = f'"topic":"publicTrade.{symbol.name}"'
        ts = f'"ts":{event_ms + rng.randint(0, 2)}'
        kind = '"type":"snapshot"'
        head = f"{topic},{ts},{kind}" if spot else f"{topic},{kind},{ts}"
        yield f'{{{head},"data":[{data}]}}'.encode(), trades


def _linear_row(rng: random.Random, symbol: Symbol, event_ms: int, seq: int, _spot_id: int) -> str:
    side = "Buy" if rng.getrandbits(1) else "Sell"
    tick = rng.choice(("PlusTick", "ZeroPlusTick", "MinusTick", "ZeroMinusTick"))
    identity = uuid.UUID(int=rng.getrandbits(128), version=5)
    return (
        f'{{"T":{event_ms},"s":"{symbol.name}","S":"{side}","v":"{symbol.size(rng)}",'
        f'"p":"{symbol.price(rng)}","L":"{tick}","i":"{identity}","BT":false,"RPI":false,'
        f'"seq":{seq}}}'
    )


def _spot_row(rng: random.Random, symbol: Symbol, event_ms: int, seq: int, spot_id: int) -> str:
    side = "Buy" if rng.getrandbits(1) else "Sell"
    price = symbol.price(rng).rstrip("0").rstrip(".")
    return (
        f'{{"i":"{spot_id}","T":{event_ms},"p":"{price}","v":"{symbol.size(rng)}","S":"{side}",'
        f'"seq":{seq},"s":"{symbol.name}","BT":false,"RPI":false}}'
    )


def write_corpus(path: Path, count: int, *, shape: Shape = "linear", seed: int = 1) -> int:
    """Write a recording and return its number of trades."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trades = 0
    with path.open("wb") as file:
        for frame, held in frames(count, shape=shape, seed=seed):
            file.write(frame + b"\n")
            trades += held
    return trades


def main() -> None:
    """Write the corpus that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--frames", type=int, default=500_000)
    parser.add_argument("--shape", choices=("linear", "spot", "mixed"), default="linear")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    trades = write_corpus(chosen.path, chosen.frames, shape=chosen.shape, seed=chosen.seed)
    size = chosen.path.stat().st_size
    print(f"{chosen.path}: {chosen.frames} frames, {trades} trades, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
