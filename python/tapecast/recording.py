"""Recorded exchange frames from files: one raw frame a line; plain, gzip or Zstandard."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import zstandard

from tapecast.errors import RecordingDamaged

__all__ = ["MAX_LINE_BYTES", "Piece", "Recording"]

MAX_LINE_BYTES: Final = 16 << 20
"""The longest line that is read: far beyond any frame, and far below what hurts a machine."""

_CHUNK_BYTES: Final = 256 << 10
_PIECE_BYTES: Final = 1 << 20
"""Large enough that no call is felt, and small enough for a cache."""

_SLICE_BYTES: Final = 4 << 10
"""Compressed bytes that are unpacked at a time: Zstandard can make 128 KiB of any four of them."""

_MAGIC_BYTES: Final = 4
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS


class _Decompressor(Protocol):
    """One compressed member of a file, as both libraries have it."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the member."""

    def decompress(self, data: bytes, /) -> bytes:
        """Return what the next bytes hold."""


def _gzip() -> _Decompressor:
    return zlib.decompressobj(_GZIP_WBITS)


def _zstandard() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


_KINDS: Final[tuple[tuple[bytes, str, Callable[[], _Decompressor]], ...]] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\x28\xb5\x2f\xfd", "Zstandard", _zstandard),
)


class Piece(NamedTuple):
    """Whole lines of a file."""

    head: bytes
    """The beginning of the first one."""
    body: bytes
    """What follows it."""
    end: int
    """Where the last line ends in it."""


class Recording:
    """One file of recorded frames; each iteration reads it from the beginning, in flat memory.

    The kind of compression is told by the file's first bytes, not by its name.

    Args:
        path: The file.

    Attributes:
        path: The same.
        read_bytes: Bytes of the file read so far, compressed as it is; for progress.
        line: Number of the line that was yielded last, from 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_bytes = 0
        self.line = 0

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the frames in their order, without line ends; empty lines are passed over.

        Raises:
            OSError: If the file cannot be read.
            RecordingDamaged: If compressed data is damaged or cut short, or a line is too long.
        """
        self.read_bytes = self.line = 0
        rest = b""
        for chunk in self._chunks(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.line += 1
                if frame := line.strip():
                    yield frame
            if len(rest) > MAX_LINE_BYTES:
                raise RecordingDamaged(
                    f"{self.path}: line {self.line + 1} is longer than {MAX_LINE_BYTES} bytes, "
                    "expected one frame a line"
                )
        if frame := rest.strip():
            self.line += 1
            yield frame

    def pieces(self) -> Iterator[Piece]:
        """Yield the lines in their order, many at a time and not copied.

        Raises:
            OSError: If the file cannot be read.
            RecordingDamaged: If compressed data is damaged or cut short, or a line is too long;
                whole lines before it come first.
        """
        self.read_bytes = self.line = 0
        rest = b""
        for chunk in self._large_chunks():
            if end := chunk.rfind(b"\n") + 1:
                yield Piece(rest, chunk, end)
                rest = chunk[end:]
            else:
                rest += chunk
            if len(rest) > MAX_LINE_BYTES:
                raise RecordingDamaged(
                    f"{self.path}: a line near byte {self.read_bytes} is longer than "
                    f"{MAX_LINE_BYTES} bytes, expected one frame a line"
                )
        if rest:
            yield Piece(rest, b"", 0)

    def _large_chunks(self) -> Iterator[bytes]:
        """Yield what the file holds, the last chunk apart no less than a piece at a time."""
        parts: list[bytes] = []
        size_bytes = 0
        try:
            for chunk in self._chunks(_PIECE_BYTES):
                parts.append(chunk)
                size_bytes += len(chunk)
                if size_bytes >= _PIECE_BYTES:
                    yield b"".join(parts)
                    parts, size_bytes = [], 0
        except RecordingDamaged:
            yield b"".join(parts)
            raise
        yield b"".join(parts)

    def _chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            first = file.read(_MAGIC_BYTES)
            raw = self._raw_chunks(first, lambda: file.read(chunk_bytes))
            for magic, name, decompressor in _KINDS:
                # A file that ends within the magic number is cut short, too.
                if first and (first.startswith(magic) or magic.startswith(first)):
                    yield from self._decompressed(name, decompressor, raw)
                    return
            yield from raw

    def _raw_chunks(self, first: bytes, read: Callable[[], bytes]) -> Iterator[bytes]:
        chunk = first
        while chunk:
            self.read_bytes += len(chunk)
            yield chunk
            chunk = read()

    def _decompressed(
        self, name: str, new: Callable[[], _Decompressor], raw: Iterator[bytes]
    ) -> Iterator[bytes]:
        """Yield the content of all members, one after the other."""
        member, begun = new(), False
        try:
            for chunk in raw:
                for start in range(0, len(chunk), _SLICE_BYTES):
                    data = chunk[start : start + _SLICE_BYTES]
                    while data:
                        begun = True
                        yield member.decompress(data)
                        data = b""
                        if member.eof:
                            data, member, begun = member.unused_data, new(), False
        except (zlib.error, zstandard.ZstdError) as error:
            raise RecordingDamaged(
                f"{self.path}: {name} data is damaged near byte {self.read_bytes} ({error}), "
                "expected a whole recording"
            ) from error
        if begun:
            raise RecordingDamaged(
                f"{self.path}: {name} data is cut short at byte {self.read_bytes}, "
                "expected a whole recording"
            )
