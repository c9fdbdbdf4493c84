"""Published candles and gaps as rows of the store."""

import logging
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final, NamedTuple, TypeVar

import msgspec

from tapecast.aliases import Category
from tapecast.messages import GapUpstream, Ohlcv

__all__ = ["CandleRow", "GapRow", "candle_rows", "gap_rows"]

_T = TypeVar("_T")
_LOGGER = logging.getLogger(__name__)
_OHLCV_DECODER: Final = msgspec.json.Decoder(Ohlcv)
_GAP_DECODER: Final = msgspec.json.Decoder(GapUpstream)


class CandleRow(NamedTuple):
    """One closed candle, as `Engine.recall` takes it; decimals are exact texts."""

    category: Category
    symbol: str
    start_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str
    buy_volume: str | None
    trades: int | None
    complete: bool
    source: str
    verified: bool | None
    revision: int


class GapRow(NamedTuple):
    """One stretch in which trades of a topic were or may have been missed."""

    category: Category
    topic: str
    from_ms: int
    to_ms: int
    state: str
    changed_ms: int


def candle_rows(payloads: Sequence[bytes]) -> Iterator[CandleRow]:
    """Yield the closed candles of published messages; what is no candle is logged."""
    for candle in _decoded(payloads, _OHLCV_DECODER):
        if candle.closed:
            yield CandleRow(
                candle.category,
                candle.symbol,
                candle.start,
                _text(candle.open),
                _text(candle.high),
                _text(candle.low),
                _text(candle.close),
                _text(candle.volume),
                _text(candle.turnover),
                _text_or_none(candle.buy_volume),
                candle.trades,
                candle.complete,
                candle.source,
                candle.verified,
                candle.revision,
            )


def gap_rows(payloads: Sequence[bytes], changed_ms: int) -> Iterator[GapRow]:
    """Yield the gaps of published messages; what is none on the exchange's side is logged."""
    for gap in _decoded(payloads, _GAP_DECODER):
        yield GapRow(gap.category, gap.symbol, gap.from_ms, gap.to_ms, gap.state, changed_ms)


def _decoded(payloads: Sequence[bytes], decoder: msgspec.json.Decoder[_T]) -> Iterator[_T]:
    for payload in payloads:
        try:
            yield decoder.decode(payload)
        except msgspec.DecodeError as error:
            # Nothing is to be had by trying again, and the others are good.
            _LOGGER.warning("candles: a message cannot be kept (%s)", error)


def _text(number: Decimal) -> str:
    """Return a number digit for digit, without an exponent."""
    return format(number, "f")


def _text_or_none(number: Decimal | None) -> str | None:
    return None if number is None else _text(number)
