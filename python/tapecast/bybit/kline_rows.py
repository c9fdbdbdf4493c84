"""The exchange's own candles as REST tells them. No I/O and no clock."""

from typing import Annotated, Final, TypeAlias

import msgspec

from tapecast.bybit.kline import Kline
from tapecast.bybit.rows import Amount, Column, Price, read_rows
from tapecast.errors import FeedError

__all__ = ["MINUTE_MS", "read_kline_rows"]

MINUTE_MS: Final = 60_000

_Start: TypeAlias = Annotated[int, msgspec.Meta(ge=0, multiple_of=MINUTE_MS)]


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """A candle, in the order of its values on the wire; what is added behind them is ignored."""

    start_ms: _Start
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Amount
    turnover: Amount


_DECODER: Final = msgspec.json.Decoder(list[_Row], strict=False)

_COLUMNS: Final = (
    Column(0, "start", _Start, "the first millisecond of a minute"),
    Column(1, "open", Price, "a positive decimal"),
    Column(2, "high", Price, "a positive decimal"),
    Column(3, "low", Price, "a positive decimal"),
    Column(4, "close", Price, "a positive decimal"),
    Column(5, "volume", Amount, "a decimal"),
    Column(6, "turnover", Amount, "a decimal"),
)


def read_kline_rows(
    rows: bytes, *, symbol: str, first_ms: int, last_ms: int, most: int
) -> list[Kline]:
    """Return the candles of a page, oldest first.

    Args:
        rows: The page's rows as JSON, in whatever order.
        symbol: The symbol that was asked for.
        first_ms: Start of the first minute that was asked for.
        last_ms: Start of the last one.
        most: How many rows there may be.

    Raises:
        FeedError: If a row is no candle of these minutes, or a minute comes twice.
    """
    read = read_rows(_DECODER, rows, _COLUMNS, subject="kline", most=most)
    read.sort(key=lambda row: row.start_ms)
    known_ms = None
    for row in read:
        if not first_ms <= row.start_ms <= last_ms:
            raise FeedError(f"kline starts at {row.start_ms}, expected {first_ms} to {last_ms}")
        if row.start_ms == known_ms:
            raise FeedError(f"kline of {known_ms} comes twice, expected one of each minute")
        known_ms = row.start_ms
    return [Kline(symbol, *msgspec.structs.astuple(row)) for row in read]
