"""The store of candles: exact, once each, and never in the way of the stream."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tapecast.errors import StateTooNew, StateUnusable
from tapecast.store import CandleRow, CandleStore
from tapecast.store.pending import Entry
from tapecast.store.schema import MIGRATIONS

from .candle_rows import MINUTE_MS, gap, ohlcv, row

LIMIT_S = 30.0
DAY_MS = 86_400_000


Open = Callable[..., CandleStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "candles.sqlite"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Return what opens the store; each is closed at the end."""
    stores: list[CandleStore] = []

    def open_store(**options: object) -> CandleStore:
        stores.append(CandleStore(path, wall_ms=lambda: 5000, **options))  # type: ignore[arg-type]
        return stores[-1]

    yield open_store
    for store in stores:
        store.close(LIMIT_S)


def history(store: CandleStore, limit: int = 1000) -> list[CandleRow]:
    return store.history(limit).result(LIMIT_S)


def kept(store: CandleStore, limit: int = 1000) -> list[CandleRow]:
    """Wait until everything is committed and return it."""
    assert store.flush().result(LIMIT_S)
    return history(store, limit)


def is_degraded(store: CandleStore) -> bool:
    return store.is_degraded


def is_new(store: CandleStore) -> bool:
    return store.is_new


def gaps(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT * FROM gaps").fetchall()
    connection.close()
    return rows


def test_candles_come_back_digit_for_digit(opened: Open) -> None:
    store = opened()
    rows = [
        row(0),
        row(1, verified=True, source="backfill"),
        row(2, buy_volume=None, trades=None, complete=False, source="kline", verified=False),
    ]
    store.put(rows)
    assert kept(store) == rows


def test_candles_outlive_the_store(opened: Open) -> None:
    first = opened()
    first.put([row()])
    assert first.close(LIMIT_S)
    assert history(opened()) == [row()]


def test_published_candles_are_kept_digit_for_digit(opened: Open) -> None:
    store = opened()
    store.put_payloads("ohlcv", [ohlcv()])
    assert kept(store) == [
        CandleRow(
            category="linear",
            symbol="BTCUSDT",
            start_ms=1_700_000_040_000,
            open="0.00000001",
            high="12345678901234567890.123456789",
            low="0.00000001",
            close="2",
            volume="0.1",
            turnover="0.2",
            buy_volume="0",
            trades=3,
            complete=True,
            source="trades",
            verified=None,
            revision=1,
        )
    ]


def test_candles_in_progress_are_passed_over(opened: Open) -> None:
    store = opened()
    store.put_payloads("ohlcv", [ohlcv(closed=False)])
    assert kept(store) == []


def test_what_is_no_candle_is_logged_and_the_others_kept(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    store.put_payloads("ohlcv", [ohlcv(0), b"{}", ohlcv(1)])
    assert len(kept(store)) == 2
    assert caplog.messages == [
        "candles: a message cannot be kept (Object missing required field `seq`)"
    ]


def test_a_gap_is_one_row_whose_state_changes(opened: Open, path: Path) -> None:
    store = opened()
    store.put_payloads("gap", [gap("open"), gap("healed", 3000)])
    assert store.flush().result(LIMIT_S)
    assert gaps(path) == [("linear", "BTCUSDT", 1000, 3000, "healed", 5000)]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (row(revision=0), row(revision=1, close="7"), "7"),
        (row(revision=1, close="7"), row(revision=0), "7"),
        (row(revision=1), row(revision=1, close="7"), "7"),
        (row(complete=False), row(close="7"), "7"),
        (row(close="7"), row(complete=False), "7"),
        (row(close="8"), row(revision=1, close="7", complete=False), "7"),
    ],
)
def test_the_newer_revision_wins_and_of_equals_the_later_unless_it_is_less_whole(
    opened: Open, first: CandleRow, second: CandleRow, winner: str
) -> None:
    store = opened()
    store.put([first])
    store.put([second])
    (candle,) = kept(store)
    assert candle.close == winner


def test_history_is_the_newest_of_each_symbol_oldest_first(opened: Open) -> None:
    store = opened()
    rows = [row(at, symbol=symbol) for symbol in ("B", "A") for at in (3, 1, 2)]
    rows.append(row(1, symbol="A", category="spot"))
    store.put(rows)
    assert kept(store, 2) == [
        row(2, symbol="A"),
        row(3, symbol="A"),
        row(2, symbol="B"),
        row(3, symbol="B"),
        row(1, symbol="A", category="spot"),
    ]


def test_what_is_queued_meanwhile_is_one_transaction(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    begun, go = threading.Event(), threading.Event()
    sizes: list[int] = []
    real_write = store._write

    def write(entries: Sequence[Entry]) -> None:
        begun.set()
        assert go.wait(LIMIT_S)
        sizes.append(len(entries))
        real_write(entries)

    monkeypatch.setattr(store, "_write", write)
    store.put([row(0)])
    assert begun.wait(LIMIT_S)
    for at in range(1, 6):
        store.put([row(at)])
    go.set()
    assert len(kept(store)) == 6
    assert sizes == [1, 5]


def test_flush_of_nothing_is_settled(opened: Open) -> None:
    assert opened().flush().result(0) is True


def test_old_candles_and_gaps_are_removed_in_steps(
    opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.store.candles._SWEPT_ROWS", 3)
    store = opened(retention_days=1)
    store.put_payloads("gap", [gap("unhealed")])
    old = [row(at, symbol=symbol) for symbol in "ABC" for at in range(4)]
    new = [row(2000 + at, symbol="A") for at in range(12)]
    store.put(old)
    counts = []
    for candle in new:
        store.put([candle])
        counts.append(len(kept(store)))
    assert counts[0] == 10
    assert history(store) == new
    assert gaps(path) == []


def test_the_age_of_candles_is_counted_from_the_newest_not_by_the_clock(opened: Open) -> None:
    store = opened(retention_days=1)
    rows = [row(0), row(DAY_MS // MINUTE_MS)]
    store.put(rows)
    assert kept(store) == rows
    store.put([row(1)])
    assert len(kept(store)) == 3


# The schema.


def test_a_store_of_today_has_the_version_of_today(opened: Open, path: Path) -> None:
    opened().close(LIMIT_S)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_an_older_schema_is_migrated_and_its_candles_kept(opened: Open) -> None:
    first = opened()
    first.put([row()])
    first.close(LIMIT_S)
    newer = (*MIGRATIONS, ("CREATE TABLE notes (text TEXT)", "INSERT INTO notes VALUES ('moved')"))
    second = opened(migrations=newer)
    assert history(second) == [row()]
    connection = second._database.connection
    assert connection.execute("SELECT text FROM notes").fetchall() == [("moved",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_migration_that_fails_changes_nothing(opened: Open, path: Path) -> None:
    opened().close(LIMIT_S)
    newer = (*MIGRATIONS, ("CREATE TABLE notes (text TEXT)", "NONSENSE"))
    with pytest.raises(StateUnusable) as caught:
        opened(migrations=newer)
    assert str(caught.value) == (
        f"state directory {path.parent} cannot be used: candles.sqlite: "
        'near "NONSENSE": syntax error, expected a database of candles'
    )
    assert history(opened()) == []


def test_p17_a_newer_schema_is_refused_and_left_as_it_is(opened: Open, path: Path) -> None:
    opened().close(LIMIT_S)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StateTooNew) as caught:
        opened()
    assert str(caught.value) == f"{path} has version 2, expected at most 1"
    assert path.exists()


# P5 and P6: the disk.


class Disk:
    """Fails the transactions of a store for as long as it is told to."""

    def __init__(self, store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        self.tries = 0
        self.failed = threading.Event()
        real_write = store._write

        def write(entries: Sequence[Entry]) -> None:
            self.tries += 1
            if self.is_full:
                self.failed.set()
                raise sqlite3.OperationalError("database or disk is full")
            real_write(entries)

        monkeypatch.setattr(store, "_write", write)


def test_p5_a_full_disk_degrades_and_nothing_is_lost(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = opened(retry_s=0.01)
    disk = Disk(store, monkeypatch)
    store.put([row(0)])
    flushed = store.flush()
    assert disk.failed.wait(LIMIT_S)
    store.put([row(1)])
    assert store.history(1).result(LIMIT_S) == []
    assert is_degraded(store)
    assert not flushed.done()
    disk.is_full = False
    assert flushed.result(LIMIT_S)
    assert kept(store) == [row(0), row(1)]
    assert not is_degraded(store)
    assert caplog.messages == [
        "candles: not written to the disk (database or disk is full)",
        "candles: written to the disk again",
    ]


def test_p5_a_long_time_without_a_disk_costs_the_oldest_rows_and_bounds_memory(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(retry_s=0.01, max_rows=3)
    disk = Disk(store, monkeypatch)
    store.put([row(0)])
    flushed = store.flush()
    assert disk.failed.wait(LIMIT_S)
    for at in range(1, 5):
        store.put([row(at)])
    assert flushed.result(LIMIT_S) is False
    assert store.dropped_total == 2
    disk.is_full = False
    assert kept(store) == [row(2), row(3), row(4)]


def test_p5_a_store_that_ends_with_a_full_disk_says_so(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    disk = Disk(store, monkeypatch)
    store.put([row(0)])
    assert disk.failed.wait(LIMIT_S)
    flushed = store.flush()
    assert not store.close(LIMIT_S)
    assert flushed.result(0) is False


def test_p6_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateUnusable) as caught:
        CandleStore(tmp_path / "missing" / "candles.sqlite", wall_ms=lambda: 0)
    assert str(caught.value) == (
        f"state directory {tmp_path / 'missing'} cannot be used: candles.sqlite: "
        "no such file or directory, expected a database of candles"
    )


# P8: the database.


def filled(opened: Open) -> None:
    store = opened()
    store.put([row(at) for at in range(1000)])
    assert store.close(LIMIT_S)


def test_p8_a_second_writer_is_waited_for(opened: Open, path: Path) -> None:
    store = opened()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.put([row()])
    flushed = store.flush()
    assert history_is_blocked(store)
    other.execute("COMMIT")
    other.close()
    assert flushed.result(LIMIT_S)
    assert history(store) == [row()]
    assert not is_degraded(store)


def history_is_blocked(store: CandleStore) -> bool:
    """Say whether the thread is at something else."""
    return not store.history(1).done()


@pytest.mark.parametrize("damage", ["garbage", "header", "middle", "cut"])
def test_p8_a_corrupt_database_is_moved_aside_and_begun_anew(
    opened: Open, path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled(opened)
    content = bytearray(path.read_bytes())
    match damage:
        case "garbage":
            content = bytearray(b"garbage" * 1000)
        case "header":
            content[0] ^= 1
        case "middle":
            for at in range(4096, len(content), 4096):
                content[at] ^= 0xFF
        case _:
            del content[len(content) // 2 :]
    path.write_bytes(content)
    store = opened()
    assert is_new(store)
    moved = path.parent / "quarantine" / path.name
    assert moved.read_bytes() == content
    assert caplog.messages == [
        f"{path}: database is corrupt; candles are begun anew; moved to {moved}"
    ]
    store.put([row()])
    assert kept(store) == [row()]


def test_p8_flipped_bytes_never_stop_the_start(opened: Open, path: Path) -> None:
    filled(opened)
    content = path.read_bytes()
    for at in (*range(100), *range(100, len(content), 997)):
        flipped = bytearray(content)
        flipped[at] ^= 0x55
        path.write_bytes(flipped)
        try:
            store = opened()
        except StateTooNew:
            assert 60 <= at < 64  # where the version of the schema stands
            continue
        store.put([row(5000)])
        assert row(5000) in kept(store)
        store.close(LIMIT_S)


def test_p8_an_empty_file_is_a_new_store(opened: Open, path: Path) -> None:
    path.touch()
    store = opened()
    assert not is_new(store)
    assert kept(store) == []


def test_p8_corruption_found_while_it_runs_begins_the_store_anew(
    opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.store.database._CHECKED_BYTES", 0)
    filled(opened)
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at] ^= 0xFF
    path.write_bytes(content)
    store = opened(retry_s=0.01)
    assert not is_new(store)
    store.put([row(5000)])
    assert store.flush().result(LIMIT_S)
    assert is_new(store)
    assert history(store) == [row(5000)]
    assert not is_degraded(store)
