"""The store of candles and gaps: SQLite, in a thread of its own."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from tapecast.store.database import Database, is_corruption
from tapecast.store.disk import reason_of
from tapecast.store.jobs import JobThread, Reporter
from tapecast.store.pending import Entry, Pending
from tapecast.store.rows import CandleRow, GapRow, candle_rows, gap_rows
from tapecast.store.schema import (
    DELETE_CANDLES,
    DELETE_GAPS,
    MIGRATIONS,
    NEWEST_CANDLES,
    NEXT_SYMBOL,
    PUT_CANDLE,
    PUT_GAP,
)

__all__ = ["CandleStore"]

_LOGGER = logging.getLogger(__name__)
_Symbol: TypeAlias = tuple[str, str]

_RETRY_S: Final = 5.0
_MAX_ROWS: Final = 200_000
_MS_PER_DAY: Final = 86_400_000
_BEFORE_ALL: Final[_Symbol] = ("", "")
_SWEPT_SYMBOLS: Final = 64
_SWEPT_ROWS: Final = 2_000


class CandleStore:
    """Closed candles, unique by category, symbol, timeframe and start, and the log of gaps.

    A newer revision takes the place of an older one. What cannot be written is kept for a while and
    tried again; nothing is raised into the stream.

    Args:
        path: The database; what is corrupt goes to `quarantine` beside it.
        wall_ms: The wall clock, in milliseconds since the epoch.
        power: Whether what is committed outlives a loss of power.
        retention_days: How long candles are kept, counted from the newest one.
        retry_s: How long after a failure it is tried again.
        max_rows: Rows that may wait meanwhile.
        migrations: The statements of each version of the schema.
        reporter: Where the thread reports.

    Attributes:
        is_new: Whether it was begun anew because the file was corrupt.
        is_degraded: Whether what is put cannot be written at present.

    Raises:
        StateTooNew: If its schema is a newer one.
        StateUnusable: If it cannot be opened.
    """

    def __init__(  # noqa: PLR0913 -- settings and clocks, by name
        self,
        path: Path,
        *,
        wall_ms: Callable[[], int],
        power: bool = False,
        retention_days: int = 30,
        retry_s: float = _RETRY_S,
        max_rows: int = _MAX_ROWS,
        migrations: Sequence[Sequence[str]] = MIGRATIONS,
        reporter: Reporter | None = None,
    ) -> None:
        self._database = Database(path, power=power, migrations=migrations)
        self.is_degraded = False
        self._wall_ms = wall_ms
        self._retention_ms = retention_days * _MS_PER_DAY
        self._retry_s = retry_s
        self._pending = Pending(max_rows)
        self._lock = threading.Lock()
        self._is_due = False
        self._is_closing = False
        self._retry: threading.Timer | None = None
        self._newest_ms = 0
        self._swept = _BEFORE_ALL
        self._thread = JobThread("candle-store", reporter)

    @property
    def is_new(self) -> bool:
        """Whether it was begun anew because the file was corrupt."""
        return self._database.is_new

    @property
    def dropped_total(self) -> int:
        """Rows that were given up, because too many waited."""
        return self._pending.dropped_total

    def put(self, rows: Sequence[CandleRow]) -> None:
        """Queue closed candles."""
        self._put(len(rows), partial(iter, rows))

    def put_payloads(self, kind: Literal["ohlcv", "gap"], payloads: Sequence[bytes]) -> None:
        """Queue published messages, candles or gaps; candles in progress are passed over."""
        if kind == "gap":
            self._put(len(payloads), partial(gap_rows, payloads, self._wall_ms()))
        else:
            self._put(len(payloads), partial(candle_rows, payloads))

    def flush(self) -> Future[bool]:
        """Return what is settled once all that was put is committed.

        It is False if some of it was given up; it waits for as long as the disk is tried again.
        """
        return self._pending.flushed()

    def history(self, limit: int) -> Future[list[CandleRow]]:
        """Return the newest candles of each symbol that are committed, oldest first.

        Args:
            limit: How many of each symbol at most.
        """
        return self._thread.submit(partial(self._history, limit))

    def close(self, timeout_s: float = 2.0) -> bool:
        """Try once more to commit what waits, and end; return whether all was committed in time."""
        with self._lock:
            self._is_closing = True
            if self._retry is not None:
                self._retry.cancel()
        flushed = self._pending.flushed()
        self._thread.submit(self._commit)
        self._thread.submit(self._end)
        has_ended = self._thread.close(timeout_s)
        self._pending.give_up()
        return has_ended and flushed.result()

    def _put(self, count: int, read: Callable[[], Iterator[CandleRow | GapRow]]) -> None:
        if count:
            self._pending.put(count, read)
            self._schedule()

    def _schedule(self) -> None:
        with self._lock:
            if self._is_due or self._is_closing:
                return
            self._is_due = True
        self._thread.submit(self._commit)

    # In the thread.

    def _commit(self) -> None:
        with self._lock:
            # While this waits for its next try, what is put need not schedule another one.
            self._is_due = False
        try:
            while entries := self._pending.head():
                self._write(entries)
                self._pending.committed(entries[-1].number)
            self._sweep()
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return
        if self.is_degraded:
            self.is_degraded = False
            _LOGGER.info("candles: written to the disk again")

    def _write(self, entries: Sequence[Entry]) -> None:
        rows = [row for entry in entries for row in entry.read()]
        candles = [row for row in rows if isinstance(row, CandleRow)]
        with self._database.transaction() as connection:
            connection.executemany(PUT_CANDLE, candles)
            connection.executemany(PUT_GAP, [row for row in rows if isinstance(row, GapRow)])
        self._newest_ms = max((self._newest_ms, *(row.start_ms for row in candles)))

    def _fail(self, error: sqlite3.Error | OSError) -> None:
        if not self.is_degraded:
            self.is_degraded = True
            _LOGGER.warning("candles: not written to the disk (%s)", reason_of(error))
        if isinstance(error, sqlite3.Error) and is_corruption(error):
            try:
                self._database.reopen()
            except (sqlite3.Error, OSError) as again:
                _LOGGER.warning("candles: not begun anew (%s)", reason_of(again))
        with self._lock:
            if self._is_closing:
                return
            self._is_due = True
            self._retry = threading.Timer(self._retry_s, lambda: self._thread.submit(self._commit))
            self._retry.daemon = True
            self._retry.start()

    def _sweep(self) -> None:
        """Remove some of what is too old; the next commit goes on with the next symbols."""
        end_ms = self._newest_ms - self._retention_ms
        connection = self._database.connection
        if end_ms <= 0:
            return
        rows = 0
        for _ in range(_SWEPT_SYMBOLS):
            symbol = connection.execute(NEXT_SYMBOL, self._swept).fetchone()
            if symbol is None:
                self._swept = _BEFORE_ALL
                connection.execute(DELETE_GAPS, (end_ms,))
                return
            limit = _SWEPT_ROWS - rows
            rows += connection.execute(DELETE_CANDLES, (*symbol, end_ms, limit)).rowcount
            if rows >= _SWEPT_ROWS:
                return
            self._swept = symbol

    def _history(self, limit: int) -> list[CandleRow]:
        rows: list[CandleRow] = []
        try:
            for symbol in self._symbols():
                newest = self._database.connection.execute(NEWEST_CANDLES, (*symbol, limit))
                rows += reversed([_row_of(*fields) for fields in newest])
        except sqlite3.Error as error:
            self._fail(error)
        return rows

    def _symbols(self) -> Iterator[_Symbol]:
        symbol = _BEFORE_ALL
        connection = self._database.connection
        while found := connection.execute(NEXT_SYMBOL, symbol).fetchone():
            yield (symbol := found)

    def _end(self) -> None:
        self._pending.give_up()
        self._database.connection.close()


def _row_of(*fields: Any) -> CandleRow:  # noqa: ANN401 -- as they were put
    """Return a row with the truth values that SQLite keeps as integers."""
    row = CandleRow(*fields)
    verified = None if row.verified is None else bool(row.verified)
    return row._replace(complete=bool(row.complete), verified=verified)
