"""The truth: every trade that the simulated exchange executed, in order."""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tapecast.sim.book import SimTrade
    from tapecast.sim.instruments import Category

__all__ = ["RECENT_TRADES", "Ledger"]

RECENT_TRADES: Final = 1000
"""How many trades of each symbol `recent` looks back on, as many as a REST page holds."""


class Ledger:
    """Executed trades, numbered from 1 in the order of execution.

    Args:
        limit: How many trades are kept; older ones are dropped, their numbers stay used. `None`
            keeps all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._trades: deque[SimTrade] = deque(maxlen=limit)
        self._recent: defaultdict[tuple[Category, str], deque[SimTrade]] = defaultdict(
            lambda: deque(maxlen=RECENT_TRADES)
        )
        self._total = 0

    @property
    def total(self) -> int:
        """Number of trades ever executed, the number of the last one."""
        return self._total

    @property
    def dropped(self) -> int:
        """Number of trades that are no longer kept; always the oldest ones."""
        return self._total - len(self._trades)

    def __len__(self) -> int:
        """Return the number of trades that are kept."""
        return len(self._trades)

    def __iter__(self) -> Iterator[SimTrade]:
        """Yield the kept trades, oldest first."""
        return iter(self._trades)

    def append(self, trades: Iterable[SimTrade]) -> None:
        """Record executed trades."""
        for trade in trades:
            self._trades.append(trade)
            self._recent[trade.category, trade.symbol].append(trade)
            self._total += 1

    def entries(
        self, *, after: int = 0, category: str | None = None, symbol: str | None = None
    ) -> Iterator[tuple[int, SimTrade]]:
        """Yield the kept trades numbered above `after` with their numbers, oldest first.

        Args:
            after: Number of the last trade that the caller has; 0 for all.
            category: Only this category.
            symbol: Only this symbol; the same name may exist in several categories.
        """
        first = max(after, self.dropped)
        for number, trade in enumerate(
            islice(self._trades, first - self.dropped, None), start=first + 1
        ):
            if category in {None, trade.category} and symbol in {None, trade.symbol}:
                yield number, trade

    def trades(self, category: str | None = None, symbol: str | None = None) -> list[SimTrade]:
        """Return the kept trades of a category, of a symbol or of both, oldest first."""
        return [trade for _, trade in self.entries(category=category, symbol=symbol)]

    def between(
        self, category: Category, symbol: str, *, from_ms: int, until_ms: int
    ) -> list[SimTrade]:
        """Return the kept trades of one symbol from one time to another, both included."""
        found: list[SimTrade] = []
        for trade in reversed(self._trades):
            # They come in the order of their time.
            if trade.event_ms < from_ms:
                break
            if trade.event_ms <= until_ms and (trade.category, trade.symbol) == (category, symbol):
                found.append(trade)
        return found[::-1]

    def recent(self, category: Category, symbol: str) -> list[SimTrade]:
        """Return up to the last 1,000 trades of one symbol, newest first, whatever the limit."""
        trades = self._recent.get((category, symbol))
        return list(reversed(trades)) if trades else []
