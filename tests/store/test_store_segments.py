"""The files of a journal, and the codec that they are written with."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.store.segments import (
    Checkpoint,
    checkpoint_pieces,
    core_codec,
    numbers_in,
    read_checkpoint,
)
from tests.store.twin import MARKER, TWIN, encode_record

fields = st.tuples(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 65_535),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.binary(max_size=40) | st.just(MARKER * 3),
)


@given(records=st.lists(fields, max_size=6), data=st.data())
def test_the_codec_of_the_extension_is_that_of_its_twin(
    records: list[tuple[int, int, int, int, bytes]], data: st.DataObject
) -> None:
    codec = core_codec()
    content = bytearray()
    for record in records:
        assert codec.encode(*record) == encode_record(*record)
        content += encode_record(*record)
    if content:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(0, 255))
    offset = data.draw(st.integers(0, len(content)))
    assert codec.read(bytes(content), offset) == TWIN.read(bytes(content), offset)


@pytest.mark.parametrize("size_bytes", [0, 1, 9, 10, 11, 35])
def test_a_checkpoint_of_any_size_comes_back(
    tmp_path: Path, size_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.store.segments._PIECE_BYTES", 10)
    checkpoint = Checkpoint(bytes(range(size_bytes)), is_first=True, last_ns=7)
    path = tmp_path / "checkpoint"
    path.write_bytes(b"".join(checkpoint_pieces(checkpoint, TWIN)))
    assert read_checkpoint(path, TWIN) == checkpoint


def test_a_checkpoint_that_lost_a_whole_piece_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.store.segments._PIECE_BYTES", 10)
    path = tmp_path / "checkpoint"
    pieces = list(checkpoint_pieces(Checkpoint(bytes(25), is_first=True, last_ns=7), TWIN))
    path.write_bytes(b"".join(pieces[:-1]))
    with pytest.raises(ValueError, match=r"^the state has 20 bytes, expected 25$"):
        read_checkpoint(path, TWIN)


def test_only_names_of_eight_digits_are_files_of_a_journal(tmp_path: Path) -> None:
    for name in ("00000002.log", "00000010.log", "123456789.log", "1.log", "note.log", "3.ckpt"):
        (tmp_path / name).touch()
    assert numbers_in(tmp_path, "log") == [2, 10, 123456789]
