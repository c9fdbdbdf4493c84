"""The tables of the store of candles, and how older ones become today's."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tapecast.errors import StateTooNew

__all__ = [
    "DELETE_CANDLES",
    "DELETE_GAPS",
    "MIGRATIONS",
    "NEWEST_CANDLES",
    "NEXT_SYMBOL",
    "PUT_CANDLE",
    "PUT_GAP",
    "migrate",
]

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE candles (
            category TEXT NOT NULL,
            symbol TEXT NOT NULL,
            timeframe TEXT NOT NULL,
            start_ms INTEGER NOT NULL,
            open TEXT NOT NULL,
            high TEXT NOT NULL,
            low TEXT NOT NULL,
            close TEXT NOT NULL,
            volume TEXT NOT NULL,
            turnover TEXT NOT NULL,
            buy_volume TEXT,
            trades INTEGER,
            complete INTEGER NOT NULL,
            source TEXT NOT NULL,
            verified INTEGER,
            revision INTEGER NOT NULL,
            PRIMARY KEY (category, symbol, timeframe, start_ms)
        ) WITHOUT ROWID""",
        """CREATE TABLE gaps (
            category TEXT NOT NULL,
            topic TEXT NOT NULL,
            from_ms INTEGER NOT NULL,
            to_ms INTEGER NOT NULL,
            state TEXT NOT NULL,
            changed_ms INTEGER NOT NULL,
            PRIMARY KEY (category, topic, from_ms)
        ) WITHOUT ROWID""",
    ),
)
"""What is run to get from each version to the next; only ever added to."""

_COLUMNS: Final = (
    "category, symbol, start_ms, open, high, low, close, volume, turnover, buy_volume, trades, "
    "complete, source, verified, revision"
)

# A restart that has lost the state may publish a minute again that it has seen in part only.
PUT_CANDLE: Final = f"""
    INSERT INTO candles (timeframe, {_COLUMNS})
    VALUES ('1m', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (category, symbol, timeframe, start_ms) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, turnover = excluded.turnover, buy_volume = excluded.buy_volume,
        trades = excluded.trades, complete = excluded.complete, source = excluded.source,
        verified = excluded.verified, revision = excluded.revision
    WHERE excluded.revision > revision
        OR (excluded.revision = revision AND excluded.complete >= complete)
"""  # noqa: S608 -- names of columns

PUT_GAP: Final = """
    INSERT INTO gaps (category, topic, from_ms, to_ms, state, changed_ms) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (category, topic, from_ms) DO UPDATE SET
        to_ms = excluded.to_ms, state = excluded.state, changed_ms = excluded.changed_ms
"""

# Each of these is a few steps in the primary key, however many candles there are.
NEXT_SYMBOL: Final = """
    SELECT category, symbol FROM candles WHERE (category, symbol) > (?, ?)
    ORDER BY category, symbol LIMIT 1
"""

NEWEST_CANDLES: Final = f"""
    SELECT {_COLUMNS} FROM candles WHERE category = ? AND symbol = ? AND timeframe = '1m'
    ORDER BY start_ms DESC LIMIT ?
"""  # noqa: S608 -- names of columns

DELETE_CANDLES: Final = """
    DELETE FROM candles WHERE (category, symbol, timeframe, start_ms) IN (
        SELECT category, symbol, timeframe, start_ms FROM candles
        WHERE category = ? AND symbol = ? AND timeframe = '1m' AND start_ms < ? LIMIT ?
    )
"""

DELETE_GAPS: Final = "DELETE FROM gaps WHERE to_ms < ?"


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
) -> None:
    """Bring a database to the newest version, one version a transaction.

    Args:
        connection: The database, in autocommit mode.
        path: Its file, for the error.
        migrations: The statements of each version.

    Raises:
        StateTooNew: If it has a newer version than that.
        sqlite3.Error: If a statement fails; its version is not changed then.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise StateTooNew(str(path), version, len(migrations))
    for number, statements in enumerate(migrations[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
