"""What waits to be committed to the store of candles."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Final, NamedTuple

from tapecast.store.rows import CandleRow, GapRow

__all__ = ["Entry", "Pending"]

_BATCH_ROWS: Final = 20_000


class Entry(NamedTuple):
    """What was put at once.

    Attributes:
        number: Its number, in the order in which it was put.
        size: Rows in it.
        read: Yields the rows; callable again.
    """

    number: int
    size: int
    read: Callable[[], Iterator[CandleRow | GapRow]]


class Pending:
    """Entries in order, bounded; for all threads.

    Args:
        max_rows: Rows that may wait; the oldest entries make room for newer ones.

    Attributes:
        dropped_total: Rows that had to make room.
    """

    def __init__(self, max_rows: int) -> None:
        self.dropped_total = 0
        self._max_rows = max_rows
        self._entries: deque[Entry] = deque()
        self._waiting: list[tuple[int, Future[bool]]] = []
        self._rows = 0
        self._number = 0
        self._lock = threading.Lock()

    def put(self, size: int, read: Callable[[], Iterator[CandleRow | GapRow]]) -> None:
        """Queue rows."""
        with self._lock:
            self._number += 1
            self._entries.append(Entry(self._number, size, read))
            self._rows += size
            while self._rows > self._max_rows and len(self._entries) > 1:
                self.dropped_total += self._entries[0].size
                # Whoever waits for this entry waits for newer ones, too.
                self._settle(self._number, result=False)
                self._pop()

    def flushed(self) -> Future[bool]:
        """Return what is settled once all that waits now is committed, or given up."""
        future: Future[bool] = Future()
        with self._lock:
            if self._entries:
                self._waiting.append((self._number, future))
            else:
                future.set_result(True)
        return future

    def head(self) -> list[Entry]:
        """Return the oldest entries, which stay; none if nothing waits."""
        rows = 0
        entries: list[Entry] = []
        with self._lock:
            for entry in self._entries:
                rows += entry.size
                if entries and rows > _BATCH_ROWS:
                    break
                entries.append(entry)
        return entries

    def committed(self, number: int) -> None:
        """Remove the entries up to a number."""
        with self._lock:
            while self._entries and self._entries[0].number <= number:
                self._pop()
            self._settle(number, result=True)

    def give_up(self) -> None:
        """Tell those who wait that nothing is committed any more."""
        with self._lock:
            self._settle(self._number, result=False)

    def _pop(self) -> None:
        self._rows -= self._entries.popleft().size

    def _settle(self, number: int, *, result: bool) -> None:
        """Tell those who wait for entries up to a number."""
        while self._waiting and self._waiting[0][0] <= number:
            _, future = self._waiting.pop(0)
            # Whoever awaited it may have given up.
            if future.set_running_or_notify_cancel():
                future.set_result(result)
