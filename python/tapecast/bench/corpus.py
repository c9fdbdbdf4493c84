"""The corpus of every bench: seeded frames in the shapes of real ones.

70 % of the frames carry one trade and the rest geometrically more, up to 30; 50 symbols by Zipf's
law (exponent 1.1), 14.4 ms between frames, UUIDs as ids (numbers on spot), prices a random walk on
each symbol's tick, sizes log-normal.
"""

import math
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, TypeAlias

__all__ = ["START_MS", "STEP_MS", "Shape", "frames"]

Shape: TypeAlias = Literal["linear", "spot", "mixed"]

START_MS: Final = 1_790_000_099_000
"""A second before the end of a minute, so that even few frames make two candles."""

STEP_MS: Final = 14.4
"""500,000 frames take 120 minutes."""

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
    seq, spot_id = 804_921_550_000, 2_290_000_001_203_630_000
    for number in range(count):
        (symbol,) = rng.choices(symbols, cum_weights=cumulative)
        trades = 1
        if rng.random() >= SINGLE:
            trades = 2
            while trades < MAX_TRADES and rng.random() < GO_ON:
                trades += 1
        event_ms = START_MS + int(number * STEP_MS)
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
