"""Opening the database of candles: sound, of today's schema, or begun anew."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tapecast.errors import StateUnusable
from tapecast.store.disk import reason_of
from tapecast.store.quarantine import Quarantine
from tapecast.store.schema import MIGRATIONS, migrate

__all__ = ["Database", "is_corruption"]

_LOGGER = logging.getLogger(__name__)
_CHECKED_BYTES: Final = 256 << 20
"""A larger file would hold up every start; what is wrong in it is found when it is read."""

_BUSY_TIMEOUT_MS: Final = 5000
_CORRUPT_CODES: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_HEADER_CODES: Final = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY}
"""What a header leads to that asks for another SQLite, or for none to write; the file itself was
opened for writing before."""

_PRIMARY_CODE: Final = 0xFF


class Database:
    """The connection, which belongs to one thread at a time.

    Args:
        path: The file.
        power: Whether what is committed outlives a loss of power.
        migrations: The statements of each version of the schema.

    Attributes:
        connection: The connection, in autocommit mode; another one after `reopen`.
        is_new: Whether it was begun anew because the file was corrupt.

    Raises:
        StateTooNew: If its schema is a newer one.
        StateUnusable: If it cannot be opened.
    """

    def __init__(
        self, path: Path, *, power: bool, migrations: Sequence[Sequence[str]] = MIGRATIONS
    ) -> None:
        self.is_new = False
        self._path = path
        self._power = power
        self._migrations = migrations
        try:
            # SQLite would make it for everybody to read.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self.connection = self._opened_or_anew()
        except (OSError, sqlite3.Error) as error:
            raise StateUnusable(
                str(path.parent), f"{path.name}: {reason_of(error)}", "a database of candles"
            ) from error

    def reopen(self) -> None:
        """Open it again after it was found to be corrupt.

        Raises:
            OSError: If that is not possible now.
            sqlite3.Error: The same.
        """
        self.connection.close()
        self.connection = self._opened_or_anew(is_corrupt=True)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or nothing of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # Some failures have rolled it back already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def _opened_or_anew(self, *, is_corrupt: bool = False) -> sqlite3.Connection:
        if not is_corrupt:
            try:
                return self._opened()
            except sqlite3.DatabaseError as error:
                if not is_corruption(error):
                    raise
        # Each is of no use, and of harm, without the others.
        quarantine = Quarantine(self._path.parent)
        for suffix in ("-wal", "-shm"):
            beside = self._path.with_name(self._path.name + suffix)
            if beside.exists():
                quarantine.move(beside, "belongs to a corrupt database")
        quarantine.move(self._path, "database is corrupt; candles are begun anew")
        self.is_new = True
        return self._opened()

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._check(connection)
            migrate(connection, self._path, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Set the connection up, and raise if the file is no sound database."""
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._power else 'NORMAL'}")
            if self._path.stat().st_size <= _CHECKED_BYTES:
                _check_pages(connection)
            _check_header(connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE in _HEADER_CODES:
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise


def is_corruption(error: sqlite3.Error) -> bool:
    """Say whether an error means that the file is no sound database."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE in _CORRUPT_CODES


def _check_pages(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _check_header(connection: sqlite3.Connection) -> None:
    """Write something, and take it back."""
    try:
        # Who else may be writing is no obstacle to a start.
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("BEGIN IMMEDIATE")
        # To begin does not tell: of a database that cannot be written it begins reading.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY:
            raise
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
