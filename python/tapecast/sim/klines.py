"""Klines as the exchange forms them, folded from executed trades in exact decimal arithmetic.

A kline opens at the close of the one before it, and its high and low include that price; a minute
without trades exists and is flat. Longer intervals are folds of minutes. Source:
https://bybit-exchange.github.io/docs/v5/market/kline and measurements of the real exchange.
"""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tapecast.sim.book import SimTrade
    from tapecast.sim.instruments import Category

__all__ = ["MINUTE_MS", "Kline", "KlineBook", "refolded"]

MINUTE_MS: Final = 60_000

_EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
_ROUNDING: Final = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Overflow])
_QUOTIENT: Final = Decimal("1e-16")
_PRINTED: Final = Decimal("1e-8")


class Kline(msgspec.Struct):
    """One kline, `[start_ms, start_ms + interval)`.

    `volume` is in base units, or in contracts of one dollar for inverse; `turnover` in quote
    units, or in base units for inverse.
    """

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal

    @classmethod
    def flat(cls, start_ms: int, price: Decimal) -> Kline:
        """Return a kline without trades at a price."""
        return cls(start_ms, price, price, price, price, Decimal(0), Decimal(0))

    def copy(self) -> Kline:
        """Return a kline of its own with the same figures."""
        return msgspec.structs.replace(self)

    def take(self, price: Decimal, size: Decimal, value: Decimal) -> None:
        """Add a trade."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume = _EXACT.add(self.volume, size)
        self.turnover = _EXACT.add(self.turnover, value)

    def merge(self, later: Kline) -> None:
        """Add a kline that begins where this one ends."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume = _EXACT.add(self.volume, later.volume)
        self.turnover = _EXACT.add(self.turnover, later.turnover)

    def row(self) -> list[str]:
        """Return the seven texts of the exchange's REST row, trailing zeros stripped."""
        figures = (self.open, self.high, self.low, self.close, self.volume, self.turnover)
        return [str(self.start_ms), *(_plain(figure) for figure in figures)]


def _printed(turnover: Decimal) -> Decimal:
    """Return a turnover in a base coin with the eight decimals that the exchange prints."""
    return turnover.quantize(_PRINTED, context=_ROUNDING)


def _plain(figure: Decimal) -> str:
    text = f"{figure:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def refolded(kline: Kline, trades: Iterable[SimTrade]) -> Kline:
    """Return a kline as it would be of these trades alone, its open kept."""
    young, inverse = Kline.flat(kline.start_ms, kline.open), False
    for trade in trades:
        young.take(Decimal(trade.price), Decimal(trade.size), trade_value(trade))
        inverse = trade.category == "inverse"
    if inverse:
        young.turnover = _printed(young.turnover)
    return young


def trade_value(trade: SimTrade) -> Decimal:
    """Return what a trade adds to the turnover.

    Price times size; for inverse, contracts over price, rounded to 16 decimals.
    """
    price, size = Decimal(trade.price), Decimal(trade.size)
    if trade.category != "inverse":
        return _EXACT.multiply(price, size)
    with localcontext(_ROUNDING):
        return (size / price).quantize(_QUOTIENT)


class KlineBook:
    """Minutes of every symbol, kept up to a limit and folded on demand.

    Args:
        limit: How many minutes with trades are kept of each symbol.
    """

    def __init__(self, limit: int = 1500) -> None:
        self._limit = limit
        self._minutes: dict[tuple[Category, str], dict[int, Kline]] = {}

    def add(self, trade: SimTrade) -> None:
        """Add a trade; trades come in the order of their time."""
        minutes = self._minutes.setdefault((trade.category, trade.symbol), {})
        start_ms = trade.event_ms // MINUTE_MS * MINUTE_MS
        price = Decimal(trade.price)
        minute = minutes.get(start_ms)
        if minute is None:
            before = minutes[next(reversed(minutes))].close if minutes else price
            minute = minutes[start_ms] = Kline.flat(start_ms, before)
            if len(minutes) > self._limit:
                del minutes[next(iter(minutes))]
        minute.take(price, Decimal(trade.size), trade_value(trade))

    def klines(
        self, category: Category, symbol: str, *, interval_ms: int, first_ms: int, last_ms: int
    ) -> Iterator[Kline]:
        """Yield the klines of one symbol, oldest first, from its first trade on.

        Args:
            category: Market of the symbol.
            symbol: The symbol; one that never traded has no klines.
            interval_ms: A multiple of a minute.
            first_ms: Only klines that start at or after it.
            last_ms: Only klines that start at or before it.
        """
        minutes = self._minutes.get((category, symbol))
        if not minutes:
            return
        listed_ms = next(iter(minutes)) // interval_ms * interval_ms
        start_ms = max(listed_ms, -(-first_ms // interval_ms) * interval_ms)
        close = self._close_before(minutes, start_ms)
        while start_ms <= last_ms:
            kline = self._fold(minutes, start_ms, interval_ms, close)
            close = kline.close
            if category == "inverse":
                kline.turnover = _printed(kline.turnover)
            yield kline
            start_ms += interval_ms

    @staticmethod
    def _close_before(minutes: dict[int, Kline], start_ms: int) -> Decimal | None:
        for minute in reversed(minutes.values()):
            if minute.start_ms < start_ms:
                return minute.close
        return None

    @staticmethod
    def _fold(
        minutes: dict[int, Kline], start_ms: int, interval_ms: int, close: Decimal | None
    ) -> Kline:
        within = [
            minutes[minute_ms]
            for minute_ms in range(start_ms, start_ms + interval_ms, MINUTE_MS)
            if minute_ms in minutes
        ]
        folded = within[0].copy() if close is None else Kline.flat(start_ms, close)
        folded.start_ms = start_ms
        for minute in within[1:] if close is None else within:
            folded.merge(minute)
        return folded
