"""What the faults did, in order: when each began and ended, and what was withheld from whom."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Deed", "FaultEvent", "FaultLog"]

Deed: TypeAlias = Literal[
    "began",
    "ended",
    "withheld",
    "delayed",
    "repeated",
    "corrupted",
    "cut",
    "closed",
    "sent",
    "refused",
    "unanswered",
    "altered",
]


class FaultEvent(msgspec.Struct, frozen=True, gc=False):
    """One deed of a fault.

    Attributes:
        at_ms: When, by the exchange's clock.
        fault: Number of the injection, from 1.
        kind: The fault's name in scripts.
        deed: What it did. `withheld`: these trades were not sent to this connection; `delayed`: not
            yet, and `sent` or `withheld` follows.
        connection: Number of the connection; `None` if it is about none.
        category: Market; empty if it is about all.
        topic: Topic of a frame, or path of a query.
        trade_ids: Trades of the frame.
    """

    at_ms: int
    fault: int
    kind: str
    deed: Deed
    connection: int | None = None
    category: str = ""
    topic: str = ""
    trade_ids: tuple[str, ...] = ()


class FaultLog:
    """Deeds, numbered from 1.

    Args:
        limit: How many are kept; `None` keeps all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._events: deque[FaultEvent] = deque(maxlen=limit)
        self._total = 0

    @property
    def dropped(self) -> int:
        """Number of deeds that are no longer kept; always the oldest ones."""
        return self._total - len(self._events)

    def __len__(self) -> int:
        """Return the number of deeds that are kept."""
        return len(self._events)

    def __iter__(self) -> Iterator[FaultEvent]:
        """Yield the kept deeds, oldest first."""
        return iter(self._events)

    def append(self, event: FaultEvent) -> None:
        """Record a deed."""
        self._events.append(event)
        self._total += 1

    def entries(self, *, after: int = 0) -> Iterator[tuple[int, FaultEvent]]:
        """Yield the kept deeds numbered above `after` with their numbers, oldest first."""
        first = max(after, self.dropped)
        skipped = islice(self._events, first - self.dropped, None)
        yield from enumerate(skipped, start=first + 1)

    def trade_ids(self, deed: Deed, *, connection: int | None = None) -> list[str]:
        """Return the trades of all deeds of one sort, of one connection if given, in order."""
        return [
            trade_id
            for event in self._events
            if event.deed == deed and connection in {None, event.connection}
            for trade_id in event.trade_ids
        ]
