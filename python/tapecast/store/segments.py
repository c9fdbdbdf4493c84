"""The files of a journal: their names, and what stands in them.

A generation is a checkpoint, `NNNNNNNN.ckpt`, and the records after it, `NNNNNNNN.log`. The first
record of a log is its head, which says how the log before it ended. A checkpoint is cut into pieces
that are records, too, behind a head of its own.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tapecast import _core

__all__ = [
    "HEAD_KIND",
    "Checkpoint",
    "Codec",
    "LogHead",
    "Record",
    "Stretch",
    "Tail",
    "checkpoint_path",
    "checkpoint_pieces",
    "core_codec",
    "log_path",
    "numbers_in",
    "read_checkpoint",
    "read_log",
]

HEAD_KIND: Final = 255
"""The kind of a head; no other record has it."""

MAX_PAYLOAD_BYTES: Final = 16 << 20
_HEAD_BYTES: Final = 24
_MARKER_BYTES: Final = 4
_LENGTH: Final = struct.Struct("<4xI")
_FIELDS: Final = struct.Struct("<12xBBHq")
_CHECKSUM_AT: Final = 8
_PIECE_BYTES: Final = 1 << 20
_PIECE_KIND: Final = 1
_SLICE_BYTES: Final = 1 << 20

_Found: TypeAlias = tuple[
    list[tuple[int, int, int, int, bytes]],
    list[tuple[int, int]],
    int,
]


@dataclass(frozen=True, slots=True)
class Codec:
    """How records are put into bytes and found again.

    Attributes:
        encode: Makes a record of kind, category, line, received_ns and payload.
        read: Returns the records in bytes from an offset on, the damaged stretches between them,
            and where the last whole record ends.
    """

    encode: Callable[[int, int, int, int, bytes], bytes]
    read: Callable[[bytes, int], _Found]


def core_codec() -> Codec:
    """Return the codec of the extension."""
    return Codec(_core.encode_record, _core.read_records)


class Record(NamedTuple):
    """One input of the engine."""

    kind: int
    category: int
    line: int
    received_ns: int
    payload: bytes

    @property
    def size_bytes(self) -> int:
        """Size of the whole record in its file."""
        return _HEAD_BYTES + len(self.payload)


class Stretch(NamedTuple):
    """Damaged bytes between records."""

    from_byte: int
    to_byte: int


class Tail(NamedTuple):
    """Bytes behind the last whole record.

    A torn record was never written to its end, so that nothing that came of it was published; all
    else is damage.
    """

    from_byte: int
    is_torn: bool


class LogHead(msgspec.Struct, frozen=True):
    """The payload of a log's first record.

    Attributes:
        previous_bytes: Where the log before it ended.
        is_break: Whether inputs between the two are not on record, or messages were numbered anew.
    """

    previous_bytes: int
    is_break: bool


class _CheckpointHead(msgspec.Struct, frozen=True):
    size_bytes: int
    is_first: bool


class Checkpoint(NamedTuple):
    """The state of the engine at the beginning of a generation.

    Attributes:
        data: The state.
        is_first: Whether older generations cannot be replayed up to it.
        last_ns: Receipt of the last record before it, in nanoseconds since the epoch; 0 if none.
    """

    data: bytes
    is_first: bool
    last_ns: int


def log_path(directory: Path, number: int) -> Path:
    """Return the path of a generation's log."""
    return directory / f"{number:08}.log"


def checkpoint_path(directory: Path, number: int) -> Path:
    """Return the path of a generation's checkpoint."""
    return directory / f"{number:08}.ckpt"


def numbers_in(directory: Path, suffix: str) -> list[int]:
    """Return the numbers of the files of a kind, `log` or `ckpt`, in order."""
    stems = (path.stem for path in directory.glob(f"*.{suffix}"))
    return sorted(int(stem) for stem in stems if stem.isdecimal() and stem == f"{int(stem):08}")


def checkpoint_pieces(checkpoint: Checkpoint, codec: Codec) -> Iterator[bytes]:
    """Yield the content of a checkpoint's file."""
    data, is_first, last_ns = checkpoint
    head = msgspec.json.encode(_CheckpointHead(size_bytes=len(data), is_first=is_first))
    yield codec.encode(HEAD_KIND, 0, 0, last_ns, head)
    for at in range(0, len(data), _PIECE_BYTES):
        yield codec.encode(_PIECE_KIND, 0, 0, last_ns, data[at : at + _PIECE_BYTES])


def read_checkpoint(path: Path, codec: Codec) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged.
    """
    content = path.read_bytes()
    records, damaged, end = codec.read(content, 0)
    if damaged or end != len(content) or not records or records[0][0] != HEAD_KIND:
        raise ValueError(f"{len(content)} bytes are damaged, expected a checkpoint")
    _, _, _, last_ns, payload = records[0]
    head = msgspec.json.decode(payload, type=_CheckpointHead)
    data = b"".join(record[4] for record in records[1:])
    if len(data) != head.size_bytes:
        raise ValueError(f"the state has {len(data)} bytes, expected {head.size_bytes}")
    return Checkpoint(data, head.is_first, last_ns)


def read_log(
    path: Path, codec: Codec, *, slice_bytes: int = _SLICE_BYTES
) -> Iterator[Record | Stretch | Tail]:
    """Yield what stands in a log, in its order, head included; memory is bounded.

    What cannot be read is as if it were damaged.

    Args:
        path: The log.
        codec: How records are found.
        slice_bytes: How much is read at a time.
    """
    base, rest = 0, b""
    damaged_from: int | None = None
    try:
        with path.open("rb") as file:
            while chunk := file.read(slice_bytes):
                rest += chunk
                records, damaged, end = codec.read(rest, 0)
                if records:
                    yield from _in_order(records, dict(damaged), base, damaged_from)
                    damaged_from = None
                base, rest = base + end, rest[end:]
                if (excess := len(rest) - MAX_PAYLOAD_BYTES - _HEAD_BYTES) > 0:
                    # No record that begins there can be whole: it would have been found.
                    damaged_from = base if damaged_from is None else damaged_from
                    base, rest = base + excess, rest[excess:]
    except OSError:
        yield Tail(base, is_torn=False)
        return
    if damaged_from is not None:
        yield Tail(damaged_from, is_torn=False)
    elif rest:
        yield Tail(base, is_torn=_is_torn(rest, codec))


def _in_order(
    records: list[tuple[int, int, int, int, bytes]],
    damage_ends: dict[int, int],
    base: int,
    damaged_from: int | None,
) -> Iterator[Record | Stretch]:
    """Yield records and the stretches between them.

    Args:
        records: The records of a slice.
        damage_ends: Where the stretches end, by where they begin, both in the slice.
        base: Where the slice begins in the file.
        damaged_from: Where damage began that reaches into the slice; None if there is none.
    """
    at = 0
    for fields in records:
        end = damage_ends.get(at, at)
        if damaged_from is not None or end > at:
            yield Stretch(base + at if damaged_from is None else damaged_from, base + end)
            damaged_from = None
        record = Record(*fields)
        yield record
        at = end + record.size_bytes


def _is_torn(rest: bytes, codec: Codec) -> bool:
    """Say whether bytes are the beginning of one record that was not written to its end."""
    marker = codec.encode(0, 0, 0, 0, b"")[:_MARKER_BYTES]
    if not rest.startswith(marker[: len(rest)]):
        return False
    if len(rest) < _HEAD_BYTES:
        return True
    (length,) = _LENGTH.unpack_from(rest)
    if length > MAX_PAYLOAD_BYTES or _HEAD_BYTES + length <= len(rest):
        return False
    # If its checksum is right for what is there, it is its length that is wrong.
    kind, category, line, received_ns = _FIELDS.unpack_from(rest)
    as_is = codec.encode(kind, category, line, received_ns, rest[_HEAD_BYTES:])
    return as_is[_CHECKSUM_AT:] != rest[_CHECKSUM_AT:]
