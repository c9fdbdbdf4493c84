"""Recordings: the same frames whatever the compression, and damage that is never silent."""

import gzip
import tracemalloc
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from random import Random

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapecast.errors import FeedError
from tapecast.recording import MAX_LINE_BYTES, Recording

LINES = [b'{"a":1}', b'{"b":[2,3]}', b'{"c":"\xc3\xa9"}']
TEXT = b"\n".join(LINES) + b"\n"


def plain(data: bytes) -> bytes:
    return data


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


COMPRESSIONS = {"plain": plain, "gzip": gzipped, "zstd": zstd}
compressions = pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
packed = pytest.mark.parametrize(
    ("name", "compress"), [("gzip", gzipped), ("Zstandard", zstd)], ids=["gzip", "zstd"]
)


def recorded(folder: Path, data: bytes) -> Recording:
    path = folder / "frames"
    path.write_bytes(data)
    return Recording(path)


def noise(count: int) -> list[bytes]:
    """Return lines that hardly become smaller."""
    random = Random(1)
    return [random.randbytes(40).hex().encode() for _ in range(count)]


def refusal(recording: Recording) -> str:
    with pytest.raises(FeedError) as caught:
        list(recording)
    return str(caught.value)


@compressions
def test_a_file_gives_its_lines_whatever_its_name_says(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "frames.txt"
    path.write_bytes(compress(TEXT))
    assert list(Recording(path)) == LINES


@packed
def test_members_written_one_after_the_other_are_one_recording(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    # The border between two members falls within a line; one member is empty.
    data = compress(TEXT[:5]) + compress(b"") + compress(TEXT[5:]) + compress(TEXT)
    assert list(recorded(tmp_path, data)) == LINES * 2, name


def test_a_seek_table_behind_zstandard_frames_is_passed_over(tmp_path: Path) -> None:
    skippable = b"\x5e\x2a\x4d\x18" + (8).to_bytes(4, "little") + bytes(8)
    assert list(recorded(tmp_path, zstd(TEXT) + skippable)) == LINES
    assert list(recorded(tmp_path, zstd(TEXT) + skippable + zstd(TEXT))) == LINES * 2


@compressions
def test_line_ends_of_any_system_blank_lines_and_a_missing_last_end_change_nothing(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    data = b"\r\n\n" + b"\r\n  \r\n\t\n".join(LINES)
    recording = recorded(tmp_path, compress(data))
    frames = [(recording.line, frame) for frame in recording]
    assert frames == [(3, LINES[0]), (6, LINES[1]), (9, LINES[2])]


@compressions
def test_the_number_of_each_line_is_known_while_it_is_out(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    recording = recorded(tmp_path, compress(TEXT + b"\n" + TEXT))
    assert recording.line == 0
    assert [recording.line for _ in recording] == [1, 2, 3, 5, 6, 7]


@compressions
def test_each_iteration_begins_anew(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    recording = recorded(tmp_path, compress(TEXT))
    assert list(islice(recording, 2)) == LINES[:2]
    assert [(recording.line, frame) for frame in recording] == list(enumerate(LINES, start=1))
    assert list(recording) == LINES
    assert recording.read_bytes == recording.size_bytes


@compressions
def test_read_bytes_grow_with_the_file_as_it_is(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    lines = noise(20_000)
    recording = recorded(tmp_path, compress(b"\n".join(lines)))
    assert recording.size_bytes == recording.path.stat().st_size
    seen = [recording.read_bytes for _ in recording]
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] == recording.size_bytes


def test_an_empty_file_holds_no_frames(tmp_path: Path) -> None:
    recording = recorded(tmp_path, b"")
    assert (list(recording), recording.line, recording.read_bytes) == ([], 0, 0)


@packed
def test_a_file_cut_short_at_any_byte_says_so_after_the_frames_that_it_has(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    data = compress(TEXT)
    for cut in range(1, len(data)):
        recording = recorded(tmp_path, data[:cut])
        frames = []
        with pytest.raises(FeedError) as caught:
            frames += list(recording)
        assert str(caught.value) == (
            f"{recording.path}: {name} data is cut short at byte {cut}, expected a whole recording"
        )


@packed
def test_a_file_cut_short_in_a_later_member_says_so(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    first = compress(TEXT)
    data = first + compress(TEXT)
    for cut in range(len(first) + 1, len(data)):
        recording = recorded(tmp_path, data[:cut])
        assert refusal(recording) == (
            f"{recording.path}: {name} data is cut short at byte {cut}, expected a whole recording"
        )
    assert list(recorded(tmp_path, first)) == LINES


def test_the_frames_before_a_cut_come_first(tmp_path: Path) -> None:
    lines = noise(2_000)
    data = gzipped(b"\n".join(lines))
    frames: list[bytes] = []
    with pytest.raises(FeedError):
        frames.extend(recorded(tmp_path, data[:-100]))
    assert len(frames) > 1_500
    assert frames == lines[: len(frames)]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        (
            "gzip",
            gzipped(TEXT)[:-8] + bytes(8),
            "Error -3 while decompressing data: incorrect data check",
        ),
        (
            "gzip",
            gzipped(TEXT) + b"plain text",
            "Error -3 while decompressing data: incorrect header check",
        ),
        (
            "Zstandard",
            zstd(TEXT)[:-4] + bytes(4),
            "zstd decompressor error: Restored data doesn't match checksum",
        ),
        (
            "Zstandard",
            zstd(TEXT) + b"plain text",
            "zstd decompressor error: Unknown frame descriptor",
        ),
    ],
    ids=["gzip sum", "gzip then text", "zstd sum", "zstd then text"],
)
def test_damaged_data_says_where_and_how(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    recording = recorded(tmp_path, data)
    assert refusal(recording) == (
        f"{recording.path}: {name} data is damaged near byte {len(data)} ({reason}), "
        "expected a whole recording"
    )


@packed
def test_no_flipped_byte_in_the_middle_goes_unnoticed(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    data = compress(TEXT)
    for at in range(10, len(data)):
        recording = recorded(tmp_path, data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        assert refusal(recording).startswith(f"{recording.path}: {name} data is ")


@compressions
def test_a_line_without_end_is_refused(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    recording = recorded(tmp_path, compress(b"{}\n" + b"x" * (MAX_LINE_BYTES + (1 << 20))))
    assert refusal(recording) == (
        f"{recording.path}: line 2 is longer than 16777216 bytes, expected one frame a line"
    )


def test_a_long_line_that_ends_is_a_frame(tmp_path: Path) -> None:
    assert list(recorded(tmp_path, b"x" * 3_000_000 + b"\ny")) == [b"x" * 3_000_000, b"y"]


def test_data_that_unpacks_to_far_more_than_it_is_takes_little_memory(tmp_path: Path) -> None:
    recording = recorded(tmp_path, zstd(bytes(400 << 20)))
    assert recording.size_bytes < 16 << 10
    tracemalloc.start()
    try:
        assert "line 1 is longer" in refusal(recording)
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_file_is_told_when_it_is_read(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "none")
    with pytest.raises(FileNotFoundError) as caught:
        list(recording)
    assert caught.value.filename == str(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        _ = recording.size_bytes


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=30),
    compress=st.sampled_from(list(COMPRESSIONS.values())),
    cuts=st.lists(st.integers(min_value=0, max_value=1300), max_size=4),
    chunk_bytes=st.integers(min_value=1, max_value=200),
    slice_bytes=st.integers(min_value=1, max_value=50),
)
def test_any_lines_come_back_through_any_compression_and_any_chunking(  # noqa: PLR0913
    tmp_path: Path,
    *,
    lines: list[bytes],
    compress: Callable[[bytes], bytes],
    cuts: list[int],
    chunk_bytes: int,
    slice_bytes: int,
) -> None:
    text = b"\n".join(lines)
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    members = [text[begin:end] for begin, end in pairwise(borders)]
    data = b"".join(compress(member) for member in members)
    # What begins with a magic number is no plain text.
    if compress is plain and data[:1] in {b"\x1f", b"\x28"}:
        data = b"{" + data[1:]
        lines = [b"{" + lines[0][1:], *lines[1:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._CHUNK_BYTES", chunk_bytes)
        patch.setattr("tapecast.recording._SLICE_BYTES", slice_bytes)
        recording = recorded(tmp_path, data)
        found = [(recording.line, frame) for frame in recording]
    expected = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    assert found == [(number, frame) for number, frame in expected if frame]
    assert recording.read_bytes == len(data)
