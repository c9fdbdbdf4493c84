"""Raw frames to one-minute candles: the engine, and what one would write by hand without it.

A contender folds all frames when it is called and returns a function that reads the candles off, so
that only the folding is timed. Libraries that are not installed have no contender here.
"""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from tapecast._core import Engine
from tapecast.aliases import Rows
from tapecast.batch import aggregate
from tapecast.bench.results import WrongResultError

__all__ = ["Candles", "Contender", "check", "contenders"]

Candles: TypeAlias = dict[tuple[str, int], list[Any]]
"""Open, high, low, close, volume, turnover and number of trades, by symbol and start."""

Contender: TypeAlias = Callable[[Sequence[bytes]], Callable[[], Candles]]

_MINUTE_MS: Final = 60_000
_FLOAT_TOLERANCE: Final = 1e-9
_FIELDS: Final = ("open", "high", "low", "close", "volume", "turnover")


def contenders() -> dict[str, Contender]:
    """Return everybody who can take part here, by name; the engine comes last."""
    found: dict[str, Contender] = {"json + dict, Decimal": _by_json}
    if importlib.util.find_spec("orjson"):
        found["orjson + dict, Decimal"] = _by_orjson
    if importlib.util.find_spec("simdjson"):
        found["pysimdjson + dict, Decimal"] = _by_simdjson
    return found | {
        "msgspec + dict, Decimal": _by_msgspec,
        "msgspec + dict, float": _by_msgspec_floats,
        "tapecast aggregate": _by_aggregate,
        "tapecast Engine.feed": _by_engine,
    }


def check(frames: Sequence[bytes], found: dict[str, Contender]) -> None:
    """Compare the candles of all contenders with the exact ones.

    Args:
        frames: What they all fold.
        found: The contenders; those that sum floats may differ by rounding.

    Raises:
        WrongResultError: If one of them differs, naming it and the first candle.
    """
    exact = _by_json(frames)()
    for name, contender in found.items():
        candles = contender(frames)()
        if candles.keys() != exact.keys():
            raise WrongResultError(f"{name} has {len(candles)} candles, expected {len(exact)}")
        is_same = _is_close if name.endswith("float") else list.__eq__
        for key, candle in exact.items():
            if not is_same(candle, candles[key]):
                text = f"{name} has {candles[key]} for {key}, expected {candle}"
                raise WrongResultError(text)


def _is_close(exact: list[Any], found: list[Any]) -> bool:
    pairs = zip(exact, found, strict=True)
    return all(abs(float(a) - float(b)) <= _FLOAT_TOLERANCE * abs(float(a)) for a, b in pairs)


def _fold(candles: Candles, symbol: str, event_ms: int, price: Any, size: Any) -> None:  # noqa: ANN401 -- Decimal or float
    key = (symbol, event_ms // _MINUTE_MS * _MINUTE_MS)
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


def _fold_objects(frames: Sequence[bytes], loads: Callable[[bytes], Any]) -> Callable[[], Candles]:
    candles: Candles = {}

    # A function of its own, because simdjson's parser takes no frame while objects of the one
    # before are alive.
    def fold(frame: bytes) -> None:
        for trade in loads(frame)["data"]:
            _fold(candles, trade["s"], trade["T"], Decimal(trade["p"]), Decimal(trade["v"]))

    for frame in frames:
        fold(frame)
    return lambda: candles


def _by_json(frames: Sequence[bytes]) -> Callable[[], Candles]:
    return _fold_objects(frames, json.loads)


def _by_orjson(frames: Sequence[bytes]) -> Callable[[], Candles]:
    import orjson  # noqa: PLC0415 -- only where it is installed

    return _fold_objects(frames, orjson.loads)


def _by_simdjson(frames: Sequence[bytes]) -> Callable[[], Candles]:
    import simdjson  # noqa: PLC0415 -- only where it is installed

    return _fold_objects(frames, simdjson.Parser().parse)


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


def _by_msgspec(frames: Sequence[bytes]) -> Callable[[], Candles]:
    return _fold_structs(map(msgspec.json.Decoder(_Frame).decode, frames))


def _by_msgspec_floats(frames: Sequence[bytes]) -> Callable[[], Candles]:
    return _fold_structs(map(msgspec.json.Decoder(_FloatFrame, strict=False).decode, frames))


def _fold_structs(decoded: Iterable[_Frame | _FloatFrame]) -> Callable[[], Candles]:
    candles: Candles = {}
    for frame in decoded:
        for trade in frame.data:
            _fold(candles, trade.s, trade.T, trade.p, trade.v)
    return lambda: candles


def _by_aggregate(frames: Sequence[bytes]) -> Callable[[], Candles]:
    """Duplicates, candles, counters, and the ids of the whole input."""
    rows = aggregate(frames, exact=True)
    return lambda: _of_rows(rows)


def _by_engine(frames: Sequence[bytes]) -> Callable[[], Candles]:
    """`feed` for each frame: duplicates, candles, counters, and every message encoded."""
    engine = Engine(clock="event", history_candles=sys.maxsize)
    for frame in frames:
        engine.feed(frame, received_ns=0)
    return lambda: _of_rows(engine.candles(exact=True))


def _of_rows(rows: Rows) -> Candles:
    return {
        (row["symbol"], int(row["start_ms"])): [
            *(Decimal(row[name]) for name in _FIELDS),
            int(row["trades"]),
        ]
        for row in rows
    }
