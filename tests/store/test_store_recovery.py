"""Recovery: whatever became of the files, all that can be had, and the truth about the rest."""

import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast.store import Damage, Record, recover
from tapecast.store.life import Life
from tapecast.store.segments import read_log
from tests.store.twin import (
    MARKER,
    TWIN,
    append,
    as_number,
    encode_record,
    new_journal,
    replayed,
    seconds,
    settle,
)

HEAD_BYTES = len(encode_record(255, 0, 0, 0, b'{"previous_bytes":0,"is_break":true}'))


def write(directory: Path, *generations: range, clean: bool = False) -> None:
    """Write a journal whose generations hold such records, and leave it."""
    journal = new_journal(directory)
    for at, numbers in enumerate(generations):
        state = b"state before %d" % numbers.start
        if at == 0:
            journal.begin(state, renumbered=True)
        else:
            journal.rotate(state)
        append(journal, *numbers)
        settle(journal)
    journal.close(clean=clean)


def log(directory: Path, number: int) -> Path:
    return directory / "journal" / f"{number:08}.log"


def checkpoint(directory: Path, number: int) -> Path:
    return directory / "journal" / f"{number:08}.ckpt"


def flip(path: Path, at: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= bits
    path.write_bytes(content)


def restored(directory: Path) -> bytes | None:
    return recover(directory, codec=TWIN).restore(bytes)


def is_same_numbering(directory: Path) -> bool:
    recovered = recover(directory, codec=TWIN)
    recovered.restore(bytes)
    return recovered.is_same_numbering


# The usual way.


def test_the_newest_checkpoint_but_one_is_restored_and_all_after_it_replayed(
    tmp_path: Path,
) -> None:
    write(tmp_path, range(1, 3), range(3, 5), range(5, 7))
    assert restored(tmp_path) == b"state before 3"
    assert replayed(tmp_path) == [3, 4, 5, 6]
    assert is_same_numbering(tmp_path)


def test_an_empty_directory_holds_nothing(tmp_path: Path) -> None:
    recovered = recover(tmp_path, codec=TWIN)
    assert recovered.is_empty
    assert recovered.restore(bytes) is None
    assert list(recovered.records()) == []
    assert not recovered.is_same_numbering


def test_records_that_followed_a_restart_are_replayed_across_it(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3))
    journal = new_journal(tmp_path)
    journal.begin(b"state before 3", renumbered=False)
    append(journal, 3)
    journal.close(clean=False)
    assert restored(tmp_path) == b"state before 1"
    assert replayed(tmp_path) == [1, 2, 3]
    assert is_same_numbering(tmp_path)


def test_older_generations_are_not_replayed_once_messages_were_renumbered(
    tmp_path: Path,
) -> None:
    write(tmp_path, range(1, 3))
    journal = new_journal(tmp_path)
    journal.begin(b"state before 3", renumbered=True)
    append(journal, 3)
    journal.close(clean=False)
    assert restored(tmp_path) == b"state before 3"
    assert replayed(tmp_path) == [3]
    assert is_same_numbering(tmp_path)


def test_a_crash_before_the_first_checkpoint_of_a_process_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, range(1, 3), range(3, 5))

    class Crash(BaseException):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    journal = new_journal(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tapecast.store.journal.replace_file", crash)
        with pytest.raises(Crash):
            journal.begin(b"state before 5", renumbered=False)
    journal.close(clean=False)
    assert replayed(tmp_path) == [1, 2, 3, 4]
    assert is_same_numbering(tmp_path)


def test_a_state_that_cannot_be_restored_makes_room_for_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, range(1, 3), range(3, 5))

    def make(state: bytes) -> bytes:
        if state == b"state before 1":
            raise ValueError("checkpoint has version 2, expected 1")
        return state

    recovered = recover(tmp_path, codec=TWIN)
    assert recovered.restore(make) == b"state before 3"
    assert [as_number(item) for item in recovered.records()] == [3, 4]
    assert recovered.past.checkpoints == (2,)
    moved = tmp_path / "quarantine" / "00000001.ckpt"
    assert moved.is_file()
    assert caplog.messages == [
        (
            f"{checkpoint(tmp_path, 1)}: checkpoint cannot be used (checkpoint has version 2, "
            f"expected 1); moved to {moved}"
        )
    ]


# Whether numbers may go on.


def test_the_epoch_changes_where_the_marker_is_missing(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3), clean=True)
    (tmp_path / "durable").unlink()
    assert not is_same_numbering(tmp_path)
    assert replayed(tmp_path) == [1, 2, seconds(2, None)]


@pytest.mark.parametrize("clean", [True, False])
def test_after_another_boot_only_a_clean_end_is_trusted(
    tmp_path: Path, *, clean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, range(1, 3), clean=clean)
    boot = tmp_path / "boot"
    boot.write_text("another\n")
    monkeypatch.setattr(Life.__init__, "__kwdefaults__", {"boot_id_path": boot})
    assert is_same_numbering(tmp_path) is clean


def test_where_boots_have_no_names_only_a_clean_end_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Life.__init__, "__kwdefaults__", {"boot_id_path": tmp_path / "missing"})
    write(tmp_path, range(1, 3))
    assert not is_same_numbering(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"is_clean":1}'])
def test_a_damaged_note_of_the_last_life_is_not_trusted(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, range(1, 3), clean=True)
    (tmp_path / "life").write_bytes(content)
    assert not is_same_numbering(tmp_path)


def test_the_first_life_that_follows_a_clean_end_is_noted_as_unclean(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3), clean=True)
    assert b'"is_clean":true' in (tmp_path / "life").read_bytes()
    write(tmp_path, range(3, 5))
    assert b'"is_clean":false' in (tmp_path / "life").read_bytes()


# P7: damage.


def test_p7_a_torn_tail_is_cut_and_forgotten(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    path = log(tmp_path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert replayed(tmp_path) == [1, 2]
    assert path.stat().st_size == len(whole) - 24 - len(b"frame 3")
    assert is_same_numbering(tmp_path)
    assert not (tmp_path / "quarantine").exists()


def test_p7_a_flipped_bit_costs_one_record_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, range(1, 4))
    flip(log(tmp_path, 1), HEAD_BYTES + 31 + 30)
    assert replayed(tmp_path) == [1, seconds(1, 3), 3]
    copy = tmp_path / "quarantine" / "00000001.log"
    assert caplog.messages == [f"{log(tmp_path, 1)}: log has 1 damaged stretches; copied to {copy}"]
    assert copy.read_bytes() == log(tmp_path, 1).read_bytes()
    assert not is_same_numbering(tmp_path)


def test_p7_the_same_damage_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, range(1, 4))
    flip(log(tmp_path, 1), HEAD_BYTES + 31 + 30)
    for _ in range(3):
        replayed(tmp_path)
    assert len(caplog.messages) == 1


def test_p7_damage_before_the_newest_checkpoint_costs_the_older_generation_only(
    tmp_path: Path,
) -> None:
    write(tmp_path, range(1, 4), range(4, 6))
    flip(log(tmp_path, 1), HEAD_BYTES + 31 + 30)
    assert restored(tmp_path) == b"state before 4"
    assert replayed(tmp_path) == [4, 5]
    assert is_same_numbering(tmp_path)


def test_p7_a_damaged_checkpoint_is_set_aside_for_another_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, range(1, 3), range(3, 5), range(5, 7))
    flip(checkpoint(tmp_path, 2), 40)
    assert restored(tmp_path) == b"state before 1"
    moved = tmp_path / "quarantine" / "00000002.ckpt"
    size = moved.stat().st_size
    assert caplog.messages == [
        (
            f"{checkpoint(tmp_path, 2)}: checkpoint cannot be used ({size} bytes are damaged, "
            f"expected a checkpoint); moved to {moved}"
        )
    ]
    assert replayed(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_p7_without_any_checkpoint_all_records_are_given_and_the_loss_told(
    tmp_path: Path,
) -> None:
    write(tmp_path, range(1, 3), range(3, 5))
    for number in (1, 2):
        checkpoint(tmp_path, number).write_bytes(b"")
    assert restored(tmp_path) is None
    assert replayed(tmp_path) == [seconds(None, 1), 1, 2, 3, 4]
    assert not is_same_numbering(tmp_path)


def test_p7_a_missing_log_is_damage(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3), range(3, 5), range(5, 7))
    log(tmp_path, 2).unlink()
    for number in (2, 3):
        checkpoint(tmp_path, number).unlink()
    assert replayed(tmp_path) == [1, 2, seconds(2, 5), 5, 6]
    assert not is_same_numbering(tmp_path)


def test_p7_a_log_that_lost_its_end_is_damage(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4), range(4, 6))
    checkpoint(tmp_path, 2).unlink()
    path = log(tmp_path, 1)
    path.write_bytes(path.read_bytes()[: -(24 + len(b"frame 3"))])
    assert replayed(tmp_path) == [1, 2, seconds(2, 4), 4, 5]


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(5000), MARKER * 100])
def test_p7_a_log_of_garbage_is_damage_and_no_obstacle(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, range(1, 3), range(3, 5), range(5, 7))
    for number in (2, 3):
        checkpoint(tmp_path, number).unlink()
    log(tmp_path, 2).write_bytes(content)
    assert replayed(tmp_path) == [1, 2, seconds(2, 5), 5, 6]
    write(tmp_path, range(7, 9))
    assert replayed(tmp_path) == [7, 8]


@pytest.mark.parametrize("content", [b"garbage", bytes(5000)])
def test_p7_garbage_in_place_of_the_last_log_is_damage(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, range(1, 3), range(3, 5))
    log(tmp_path, 2).write_bytes(content)
    # The checkpoint before it is good, and nearer than the one before that.
    assert restored(tmp_path) == b"state before 3"
    assert replayed(tmp_path) == [seconds(2, None)]
    assert not is_same_numbering(tmp_path)


def test_p7_a_log_without_a_head_yet_is_removed(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3))
    log(tmp_path, 2).write_bytes(MARKER)
    assert replayed(tmp_path) == [1, 2]
    assert not log(tmp_path, 2).exists()
    assert is_same_numbering(tmp_path)


def test_p7_a_folder_in_place_of_a_log_is_moved_away(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3))
    log(tmp_path, 2).mkdir()
    assert replayed(tmp_path) == [1, 2]
    assert (tmp_path / "quarantine" / "00000002.log").is_dir()


def test_p7_half_written_checkpoints_are_removed_and_other_files_left_alone(
    tmp_path: Path,
) -> None:
    write(tmp_path, range(1, 3))
    half = tmp_path / "journal" / "00000002.ckpt.tmp"
    half.write_bytes(b"half")
    note = tmp_path / "journal" / "note.log"
    note.write_bytes(b"mine")
    assert replayed(tmp_path) == [1, 2]
    assert not half.exists()
    assert note.read_bytes() == b"mine"


def test_the_quarantine_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for number in range(1, 50):
        (tmp_path / "journal").mkdir(exist_ok=True)
        checkpoint(tmp_path, number).write_bytes(b"garbage")
        recover(tmp_path, codec=TWIN)
    assert len(list((tmp_path / "quarantine").iterdir())) == 32
    assert (tmp_path / "quarantine" / "00000049.ckpt").exists()


# I7: every cut and every flip.


@pytest.fixture(scope="module")
def journal_bytes() -> tuple[bytes, list[int]]:
    """Return a log and where each of its records ends, the head first."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), range(1, 5))
        content = log(Path(name), 1).read_bytes()
    ends = [HEAD_BYTES + 31 * number for number in range(5)]
    assert ends[-1] == len(content)
    return content, ends


def test_i7_every_prefix_holds_exactly_the_whole_records_before_the_cut(
    tmp_path: Path, journal_bytes: tuple[bytes, list[int]]
) -> None:
    content, ends = journal_bytes
    write(tmp_path, range(1, 5))
    for cut in range(HEAD_BYTES, len(content) + 1):
        log(tmp_path, 1).write_bytes(content[:cut])
        recovered = recover(tmp_path, codec=TWIN)
        recovered.restore(bytes)
        whole = sum(end <= cut for end in ends[1:])
        assert [as_number(item) for item in recovered.records()] == list(range(1, whole + 1))
        assert recovered.is_same_numbering
        assert log(tmp_path, 1).stat().st_size == ends[whole]


def test_i7_every_flipped_byte_costs_its_record_alone_and_is_told(
    tmp_path: Path, journal_bytes: tuple[bytes, list[int]]
) -> None:
    content, ends = journal_bytes
    write(tmp_path, range(1, 5))
    for at in range(len(content)):
        for bits in (0x01, 0x80, 0xFF):
            flipped = bytearray(content)
            flipped[at] ^= bits
            log(tmp_path, 1).write_bytes(flipped)
            hit = sum(end <= at for end in ends)
            items = replayed(tmp_path)
            assert [item for item in items if not isinstance(item, Damage)] == [
                number for number in range(1, 5) if number != hit
            ]
            damage = seconds(hit - 1 or None, hit + 1 if hit < 4 else None)
            assert [item for item in items if isinstance(item, Damage)] == [
                damage if hit else seconds(None, 1)
            ]


def test_i7_every_flipped_byte_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3), range(3, 5))
    content = checkpoint(tmp_path, 1).read_bytes()
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 0x10
        checkpoint(tmp_path, 1).write_bytes(flipped)
        assert restored(tmp_path) == b"state before 3"


payloads = st.lists(st.binary(max_size=60).filter(lambda data: MARKER not in data), max_size=12)


@settings(deadline=None, max_examples=60)
@given(payloads=payloads, slice_bytes=st.integers(1, 200), data=st.data())
def test_slices_of_any_size_yield_the_same(
    payloads: list[bytes], slice_bytes: int, data: st.DataObject
) -> None:
    content = bytearray(
        b"".join(encode_record(1, 0, 0, at, payload) for at, payload in enumerate(payloads))
    )
    if content and data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "log"
        path.write_bytes(content)
        assert list(read_log(path, TWIN, slice_bytes=slice_bytes)) == list(read_log(path, TWIN))


def test_damage_longer_than_any_record_is_read_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.store.segments.MAX_PAYLOAD_BYTES", 100)
    good = encode_record(1, 0, 0, 5, b"good")
    path = tmp_path / "log"
    path.write_bytes(good + bytes(1000) + good + bytes(1000))
    longest = 0

    def read(
        data: bytes, offset: int
    ) -> tuple[list[tuple[int, int, int, int, bytes]], list[tuple[int, int]], int]:
        nonlocal longest
        longest = max(longest, len(data))
        return TWIN.read(data, offset)

    codec = type(TWIN)(TWIN.encode, read)
    record = Record(1, 0, 0, 5, b"good")
    assert list(read_log(path, codec, slice_bytes=16)) == [
        record,
        (28, 1028),
        record,
        (1056, False),
    ]
    assert longest <= 100 + 24 + 16
