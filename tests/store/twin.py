"""The codec of records again, slow and plain, and what the tests of the store share."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tapecast.store import Codec, Damage, Journal, Record, recover

MARKER = b"\xf5\xc0\xc1\xff"
_BODY = struct.Struct("<BBHq")
_POLYNOMIAL = 0x82F63B78


def _table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)  # noqa: PLW2901
        yield value


_TABLE = tuple(_table())


def crc32c(data: bytes) -> int:
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = checksum >> 8 ^ _TABLE[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF


def encode_record(kind: int, category: int, line: int, received_ns: int, payload: bytes) -> bytes:
    if len(payload) > 16 << 20:
        raise ValueError(f"payload has {len(payload)} bytes, expected at most {16 << 20}")
    body = _BODY.pack(kind, category, line, received_ns) + payload
    return MARKER + struct.pack("<II", len(payload), crc32c(body)) + body


def read_records(
    data: bytes, offset: int = 0
) -> tuple[list[tuple[int, int, int, int, bytes]], list[tuple[int, int]], int]:
    records: list[tuple[int, int, int, int, bytes]] = []
    damaged: list[tuple[int, int]] = []
    end = at = offset
    while (at := data.find(MARKER, at)) >= 0:
        record = _whole(data, at)
        if record is None:
            at += 1
            continue
        if at > end:
            damaged.append((end, at))
        records.append(record)
        end = at = at + 24 + len(record[4])
    return records, damaged, end


def _whole(data: bytes, at: int) -> tuple[int, int, int, int, bytes] | None:
    if len(data) < at + 24:
        return None
    length, checksum = struct.unpack_from("<II", data, at + 4)
    end = at + 24 + length
    if len(data) < end or crc32c(data[at + 12 : end]) != checksum:
        return None
    kind, category, line, received_ns = _BODY.unpack_from(data, at + 12)
    return kind, category, line, received_ns, data[at + 24 : end]


TWIN = Codec(encode_record, read_records)


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


def new_journal(directory: Path, clock: Clock | None = None, **options: float) -> Journal:
    """Return the journal of a directory as it is after recovery."""
    (directory / "journal").mkdir(exist_ok=True)
    clock = Clock() if clock is None else clock
    past = recover(directory, codec=TWIN).past
    return Journal(directory, monotonic_s=clock.monotonic_s, past=past, codec=TWIN, **options)  # type: ignore[arg-type]


def append(journal: Journal, *numbers: int) -> None:
    """Append one record a second, told apart by its time and text."""
    for number in numbers:
        journal.append(1, b"frame %d" % number, category=2, line=3, received_ns=number * 10**9)


def settle(journal: Journal) -> None:
    """Wait until the journal's thread has nothing to do, and have the journal look at that."""
    while journal._jobs:
        journal._jobs[0][0].exception(timeout=30)
        journal.tick()


def replayed(directory: Path) -> list[int | Damage]:
    """Recover and return the seconds of the records, and damage in its place."""
    recovered = recover(directory, codec=TWIN)
    recovered.restore(bytes)
    return [as_number(item) for item in recovered.records()]


def as_number(item: Record | Damage) -> int | Damage:
    """Check that a record is as `append` made it, and return its second."""
    if isinstance(item, Damage):
        return item
    number = item.received_ns // 10**9
    assert item == (1, 2, 3, number * 10**9, b"frame %d" % number)
    return number


def seconds(from_s: int | None, to_s: int | None) -> Damage:
    """Return the damage between two seconds."""
    from_ns = None if from_s is None else from_s * 10**9
    return Damage(from_ns, None if to_s is None else to_s * 10**9)
