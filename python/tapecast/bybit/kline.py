"""A candle of the exchange's own."""

from typing import NamedTuple

__all__ = ["Kline"]


class Kline(NamedTuple):
    """One closed minute as the exchange tells it, its numbers as exact texts.

    It opens at the close before, and high and low include that.
    Source: https://bybit-exchange.github.io/docs/v5/market/kline

    Attributes:
        symbol: The symbol.
        start_ms: Start of the minute, in milliseconds since the epoch.
        open: The close before.
        high: Highest price, the close before included.
        low: Lowest price, the close before included.
        close: Last price.
        volume: Sum of the sizes.
        turnover: Sum of price times size.
    """

    symbol: str
    start_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str
