"""The journal: on record before it is published, and never a promise that does not hold."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tapecast.errors import StateUnusable
from tapecast.store import Journal, Past
from tapecast.store.journal import RETRY_S
from tests.store.twin import (
    TWIN,
    Clock,
    append,
    encode_record,
    new_journal,
    replayed,
    seconds,
    settle,
)


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "journal").iterdir())


def durability(journal: Journal) -> str:
    return journal.durability


def needs_checkpoint(journal: Journal) -> bool:
    return journal.needs_checkpoint


def no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_record_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    path = tmp_path / "journal" / "00000001.log"
    before = path.read_bytes()
    append(journal, 7)
    assert path.read_bytes() == before + encode_record(1, 2, 3, 7 * 10**9, b"frame 7")
    assert durability(journal) == "process"
    journal.close(clean=True)


def test_a_record_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    writes: list[int] = []

    def write(descriptor: int, data: bytes) -> int:
        writes.append(len(data))
        return real_write(descriptor, data)

    real_write = os.write
    monkeypatch.setattr(os, "write", write)
    append(journal, 1, 2)
    assert writes == [24 + len(b"frame 1")] * 2
    journal.close(clean=True)


def test_the_next_generation_is_in_use_at_once_and_leads_on(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    assert journal.begin(b"first", renumbered=True) == 1
    append(journal, 1)
    assert journal.rotate(b"second") == 2
    append(journal, 2)
    settle(journal)
    assert files(tmp_path) == ["00000001.ckpt", "00000001.log", "00000002.ckpt", "00000002.log"]
    journal.close(clean=True)
    assert replayed(tmp_path) == [1, 2]


def test_a_checkpoint_is_due_after_the_time_of_a_segment(tmp_path: Path) -> None:
    clock = Clock()
    journal = new_journal(tmp_path, clock, segment_s=60)
    assert not needs_checkpoint(journal)
    journal.begin(b"state", renumbered=True)
    assert not needs_checkpoint(journal)
    clock.now_s += 60
    assert needs_checkpoint(journal)
    journal.rotate(b"state")
    settle(journal)
    assert not needs_checkpoint(journal)
    journal.close(clean=True)


def test_generations_are_dropped_once_released_but_the_newest_two_stay(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    for _ in range(3):
        journal.rotate(b"state")
    settle(journal)
    assert len(files(tmp_path)) == 8
    journal.release(2)
    settle(journal)
    assert files(tmp_path)[:2] == ["00000002.ckpt", "00000002.log"]
    journal.release(4)
    settle(journal)
    assert files(tmp_path) == ["00000003.ckpt", "00000003.log", "00000004.ckpt", "00000004.log"]
    journal.close(clean=True)


def test_nothing_is_dropped_while_newer_checkpoints_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    with monkeypatch.context() as patch:
        patch.setattr("tapecast.store.journal.replace_file", no_space)
        for number in (2, 3):
            assert journal.rotate(b"state") == number
            journal.release(number)
    settle(journal)
    assert files(tmp_path) == ["00000001.ckpt", "00000001.log", "00000002.log", "00000003.log"]
    # All that was published is still on record.
    assert durability(journal) == "process"
    journal.close(clean=True)


def test_p5_a_full_disk_degrades_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    clock = Clock()
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path, monotonic_s=clock.monotonic_s, codec=TWIN, on_changed=told.append)
    journal.begin(b"state", renumbered=True)
    append(journal, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        append(journal, 2, 3)
        assert journal.lost_total == 2
        assert not (tmp_path / "durable").exists()
        assert not needs_checkpoint(journal)
        clock.now_s += RETRY_S
        assert needs_checkpoint(journal)
        assert journal.rotate(b"state") is None
        assert not needs_checkpoint(journal)
    clock.now_s += RETRY_S
    assert journal.rotate(b"state") == 2
    append(journal, 4)
    settle(journal)
    assert (tmp_path / "durable").exists()
    assert told == ["process", "degraded", "process"]
    journal.close(clean=True)
    assert replayed(tmp_path) == [4]


def test_p5_the_marker_is_gone_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    assert (tmp_path / "durable").exists()
    monkeypatch.setattr(os, "write", no_space)
    append(journal, 1)
    assert not (tmp_path / "durable").exists()
    journal.close(clean=True)


def test_p5_what_a_short_write_left_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    append(journal, 1)
    path = tmp_path / "journal" / "00000001.log"
    before = path.read_bytes()
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:10]))
    append(journal, 2)
    assert path.read_bytes() == before
    assert durability(journal) == "degraded"
    journal.close(clean=True)


def test_p5_lost_records_are_damage_where_an_older_generation_is_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    journal = new_journal(tmp_path, clock)
    journal.begin(b"state", renumbered=True)
    append(journal, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        append(journal, 2)
    clock.now_s += RETRY_S
    journal.rotate(b"state")
    append(journal, 3)
    journal.close(clean=True)
    (tmp_path / "journal" / "00000002.ckpt").unlink()
    assert replayed(tmp_path) == [1, seconds(1, 3), 3]


def test_p5_records_lost_while_a_checkpoint_is_written_keep_it_degraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    journal = new_journal(tmp_path, clock)
    journal.begin(b"state", renumbered=True)
    journal.rotate(b"state")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        append(journal, 1)
    settle(journal)
    assert durability(journal) == "degraded"
    assert not (tmp_path / "durable").exists()
    clock.now_s += RETRY_S
    assert needs_checkpoint(journal)
    journal.close(clean=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of that kind")
def test_p5_the_limit_of_a_file_is_a_full_disk(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from tests.store.twin import append, new_journal
directory = Path(sys.argv[1])
journal = new_journal(directory)
journal.begin(b"state", renumbered=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
append(journal, *range(1, 1001))
print(journal.durability, 1000 - journal.lost_total)
journal.close(clean=True)
"""
    run = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    durability, written = run.stdout.split()
    assert durability == "degraded"
    assert 50 < int(written) < 200
    assert replayed(tmp_path) == [*range(1, int(written) + 1), seconds(int(written), None)]


def test_p6_a_write_that_fails_at_the_disk_degrades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path, fsync_interval_s=1)
    journal.begin(b"state", renumbered=True)
    assert durability(journal) == "power"

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    clock = Clock(2000)
    monkeypatch.setattr(journal, "_monotonic_s", clock.monotonic_s)
    monkeypatch.setattr("tapecast.store.journal.sync_data", fail)
    append(journal, 1)
    clock.now_s += 1
    journal.tick()
    settle(journal)
    assert durability(journal) == "degraded"
    assert journal.lost_total == 0
    journal.close(clean=True)


def test_p6_a_directory_that_cannot_be_written_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, whom permissions do not stop.
    journal = new_journal(tmp_path)

    def read_only(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tapecast.store.journal.create_log", read_only)
    with pytest.raises(StateUnusable) as caught:
        journal.begin(b"state", renumbered=True)
    assert str(caught.value) == (
        f"state directory {tmp_path} cannot be used: read-only file system, "
        "expected a directory that can be written to"
    )
    journal.close(clean=False)


def test_fsyncs_follow_their_interval_and_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("tapecast.store.journal.sync_data", synced.append)
    clock = Clock()
    journal = new_journal(tmp_path, clock, fsync_interval_s=2)
    journal.begin(b"state", renumbered=True)
    append(journal, 1)
    settle(journal)
    assert not synced
    clock.now_s += 2
    journal.tick()
    settle(journal)
    assert len(synced) == 1
    clock.now_s += 2
    journal.tick()
    settle(journal)
    assert len(synced) == 1
    journal.close(clean=True)


def test_a_payload_that_fits_no_record_degrades(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    journal.append(1, bytes((16 << 20) + 1))
    assert durability(journal) == "degraded"
    assert journal.lost_total == 1
    journal.close(clean=True)


def test_records_after_the_end_take_the_marker_away(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    journal.begin(b"state", renumbered=True)
    journal.close(clean=True)
    append(journal, 1)
    assert journal.lost_total == 1
    assert not (tmp_path / "durable").exists()


def test_the_number_of_a_new_journal_follows_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path, monotonic_s=Clock().monotonic_s, past=Past(number=41), codec=TWIN)
    assert journal.begin(b"state", renumbered=True) == 42
    assert files(tmp_path) == ["00000042.ckpt", "00000042.log"]
    journal.close(clean=True)
