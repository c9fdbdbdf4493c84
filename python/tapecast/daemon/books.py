"""What filling gaps asks of others: of who keeps the candles, and of the exchange."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from tapecast.aliases import Category
from tapecast.bybit.backfill import Page
from tapecast.bybit.kline import Kline

__all__ = ["Books", "Gap", "Market"]

Gap: TypeAlias = tuple[Category, str, int, int | None]
"""Category, topic, from and to, in milliseconds; no end while the topic is not received."""


class Books(Protocol):
    """Who keeps trades, gaps and candles."""

    def known(self, category: Category, trades: Sequence[tuple[str, str, int]]) -> list[bool]:
        """Say of (symbol, trade id, event time in milliseconds) whether each is remembered."""

    def backfill(self, category: Category, frame: bytes) -> None:
        """Apply fetched trades; those that are known change nothing.

        Raises:
            DecodeError: If they are refused; nothing is changed then.
        """

    def heal(self, category: Category, topic: str, from_ms: int, to_ms: int) -> None:
        """Take note that nothing is missing in a gap any more."""

    def give_up(self, category: Category, topic: str, from_ms: int, to_ms: int) -> None:
        """Take note that a gap stays one."""

    def klines(self, category: Category, symbol: str, rows: Sequence[Kline]) -> None:
        """Compare closed candles with the exchange's own, or take these."""

    def unsettled(self) -> Sequence[Gap]:
        """Return the gaps that are to be healed or given up."""

    def symbols_of(self, category: Category, topic: str) -> Sequence[str]:
        """Return the symbols known under a topic."""


class Market(Protocol):
    """The exchange's REST interface; `tapecast.bybit.Rest` says what its methods raise."""

    async def recent_trades(
        self, category: Category, topic: str, *, within_s: float | None = None
    ) -> Page:
        """Return the newest trades of a topic."""

    async def klines(
        self,
        category: Category,
        symbol: str,
        start_ms: int,
        end_ms: int,
        *,
        within_s: float | None = None,
    ) -> list[Kline]:
        """Return the exchange's candles of minutes, oldest first; the newest one may be open."""
