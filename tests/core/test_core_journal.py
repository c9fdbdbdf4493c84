"""Records of a journal as Python sees them; what damage costs is proved in the core's own tests."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast._core import encode_record, read_records

MARKER = b"\xf5\xc0\xc1\xff"

records = st.lists(
    st.tuples(
        st.integers(0, 2**8 - 1),
        st.integers(0, 2**8 - 1),
        st.integers(0, 2**16 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.binary(max_size=40),
    ),
    max_size=8,
)


def test_a_record_is_laid_out_as_documented() -> None:
    record = encode_record(1, 2, 772, -2, b"payload")
    marker, length, _, *fields = struct.unpack("<4sIIBBHq", record[:24])
    assert (marker, length, fields) == (MARKER, 7, [1, 2, 772, -2])
    assert record[24:] == b"payload"


@given(records)
def test_what_was_written_is_read_back(written: list[tuple[int, int, int, int, bytes]]) -> None:
    data = b"".join(encode_record(*record) for record in written)
    assert read_records(data) == (written, [], len(data))


@given(records, st.data())
def test_reading_goes_on_where_it_ended(
    written: list[tuple[int, int, int, int, bytes]], data: st.DataObject
) -> None:
    journal = b"".join(encode_record(*record) for record in written)
    torn = journal[: data.draw(st.integers(0, len(journal)))]
    first, damaged, end = read_records(torn)
    rest, more_damaged, last = read_records(journal, end)
    assert (first + rest, damaged + more_damaged, last) == (written, [], len(journal))


def test_a_damaged_stretch_is_told_and_what_follows_is_read() -> None:
    whole = [encode_record(0, 0, 0, at, b"x" * 10) for at in range(3)]
    broken = bytearray(whole[1])
    broken[30] ^= 1
    found, damaged, end = read_records(whole[0] + bytes(broken) + whole[2])
    assert [received_ns for _, _, _, received_ns, _ in found] == [0, 2]
    assert (damaged, end) == ([(34, 68)], 102)


def test_what_stands_behind_the_last_whole_record_is_left_to_the_caller() -> None:
    whole = encode_record(0, 0, 0, 0, b"x")
    assert read_records(whole + whole[:-1]) == ([(0, 0, 0, 0, b"x")], [], len(whole))


def test_an_offset_beyond_the_end_finds_nothing() -> None:
    assert read_records(b"abc", 7) == ([], [], 3)


def test_a_payload_beyond_16_mib_is_refused() -> None:
    longest = bytes(16 * 2**20)
    assert len(encode_record(0, 0, 0, 0, longest)) == 24 + len(longest)
    with pytest.raises(
        ValueError, match=r"^payload has 16777217 bytes, expected at most 16777216$"
    ):
        encode_record(0, 0, 0, 0, longest + b"x")


@pytest.mark.parametrize("fields", [(256, 0, 0), (0, -1, 0), (0, 0, 65_536)])
def test_a_number_that_does_not_fit_is_refused(fields: tuple[int, int, int]) -> None:
    with pytest.raises(OverflowError):
        encode_record(*fields, 0, b"")
