"""The exchange's own candles as a line brings them. No I/O and no clock."""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from tapecast.bybit.kline import Kline
from tapecast.bybit.rows import Amount, Price
from tapecast.bybit.topics import name_of

__all__ = ["read_kline_frame"]

_MAX_ROWS: Final = 1000
_Minute: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62, multiple_of=60_000)]


class _Row(msgspec.Struct):
    """A candle; what else it has is ignored."""

    start: _Minute
    interval: Literal["1"]
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Amount
    turnover: Amount
    confirm: bool


class _Frame(msgspec.Struct):
    """A message of candles."""

    topic: str
    data: Annotated[list[_Row], msgspec.Meta(max_length=_MAX_ROWS)]


_DECODER: Final = msgspec.json.Decoder(_Frame)


def read_kline_frame(frame: bytes) -> tuple[Kline, ...] | None:
    """Return the closed candles of a frame; `None` if a row of it is not as it should be.

    Source: https://bybit-exchange.github.io/docs/v5/websocket/public/kline

    Args:
        frame: A message of a topic of candles.
    """
    try:
        read = _DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    symbol = name_of(read.topic)
    return tuple(
        Kline(symbol, row.start, row.open, row.high, row.low, row.close, row.volume, row.turnover)
        for row in read.data
        if row.confirm
    )
