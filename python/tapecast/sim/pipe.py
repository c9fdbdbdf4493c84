"""Bytes on their way through the proxy: one direction of one connection."""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import TYPE_CHECKING, Final

from tapecast.sim.toxics import (
    Bandwidth,
    Corrupt,
    Hole,
    Latency,
    LimitData,
    Slicer,
    SlowClose,
    Timeout,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tapecast.sim.cabinet import Cabinet
    from tapecast.sim.toxics import Stream

__all__ = ["HangUp", "Pipe"]

_CHUNK_BYTES: Final = 32 << 10
_MAX_CHUNKS: Final = 64


class HangUp(Exception):  # noqa: N818 -- what is to be done
    """The connection is over on both sides.

    Attributes:
        reset: Whether by a reset, or in order.
    """

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class Pipe:
    """One direction of one connection; `read` and `write` run side by side.

    Args:
        reader: Where bytes come from.
        writer: Where they go.
        cabinet: The toxics.
        connection: Number of the connection.
        stream: The direction.
        seed: Of what is left to chance.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        cabinet: Cabinet,
        connection: int,
        stream: Stream,
        seed: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._cabinet = cabinet
        self._connection = connection
        self._stream: Stream = stream
        self._rng = Random(f"{seed}:{connection}:{stream}")  # noqa: S311 -- reproducible trouble
        self._chunks: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_MAX_CHUNKS)
        # What has passed under each limit, by the number of its dose.
        self._passed: dict[int, int] = {}

    async def read(self) -> None:
        """Take bytes in until their end, which is an empty chunk, or `None` for a reset."""
        now_s = asyncio.get_running_loop().time
        while True:
            chunk: bytes | None
            try:
                chunk = await self._reader.read(_CHUNK_BYTES)
            except OSError:
                chunk = None
            await self._chunks.put((now_s(), chunk))
            if not chunk:
                return

    async def write(self) -> None:
        """Pass bytes on, as the toxics let them, until their end.

        Raises:
            HangUp: If the connection is over on both sides.
        """
        while True:
            arrived_s, chunk = await self._chunks.get()
            await self._hold()
            await self._delay(arrived_s)
            # What began meanwhile holds these bytes too.
            await self._hold()
            if chunk is None:
                raise HangUp(reset=True)
            try:
                if not chunk:
                    await self._end()
                    return
                for piece in self._pieces(self._corrupted(chunk)):
                    await self._pass(piece)
            except OSError as error:
                # An end that is gone already has no one name for that.
                raise HangUp(reset=True) from error

    async def _hold(self) -> None:
        """Wait while nothing passes."""
        begun_s = asyncio.get_running_loop().time()
        while True:
            changed = self._cabinet.changed
            timeout = self._cabinet.first(Timeout, self._connection, self._stream)
            if timeout is not None and timeout.toxic.timeout_ms:
                due_s = begun_s + timeout.toxic.timeout_ms / 1000
                try:
                    async with asyncio.timeout_at(due_s):
                        await changed.wait()
                except TimeoutError as error:
                    raise HangUp(reset=False) from error
                continue
            hole = self._cabinet.first(Hole, self._connection, self._stream)
            if hole is None and timeout is None:
                return
            await changed.wait()

    async def _delay(self, arrived_s: float) -> None:
        latency = self._cabinet.first(Latency, self._connection, self._stream)
        if latency is not None:
            jitter_ms = latency.toxic.jitter_ms * self._rng.uniform(-1, 1)
            due_s = arrived_s + (latency.toxic.latency_ms + jitter_ms) / 1000
            await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))

    async def _pass(self, piece: bytes) -> None:
        limit = self._cabinet.first(LimitData, self._connection, self._stream)
        if limit is not None:
            left = limit.toxic.limit_bytes - self._passed.get(limit.number, 0)
            self._passed[limit.number] = self._passed.get(limit.number, 0) + len(piece)
            if left <= len(piece):
                self._writer.write(piece[: max(0, left)])
                await self._writer.drain()
                raise HangUp(reset=False)
        self._writer.write(piece)
        await self._writer.drain()
        bandwidth = self._cabinet.first(Bandwidth, self._connection, self._stream)
        if bandwidth is not None:
            await asyncio.sleep(len(piece) / bandwidth.toxic.rate_bytes_s)
        slicer = self._cabinet.first(Slicer, self._connection, self._stream)
        if slicer is not None:
            await asyncio.sleep(slicer.toxic.delay_ms / 1000)

    async def _end(self) -> None:
        slow = self._cabinet.first(SlowClose, self._connection, self._stream)
        if slow is not None:
            await asyncio.sleep(slow.toxic.delay_ms / 1000)
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        place = 0
        while place < len(chunk):
            size = len(chunk)
            slicer = self._cabinet.first(Slicer, self._connection, self._stream)
            if slicer is not None:
                variation = slicer.toxic.variation_bytes
                size = slicer.toxic.average_bytes + self._rng.randint(-variation, variation)
            bandwidth = self._cabinet.first(Bandwidth, self._connection, self._stream)
            if bandwidth is not None:
                # In tenths of a second: what is slow shall not come in bursts.
                size = min(size, bandwidth.toxic.rate_bytes_s // 10)
            yield chunk[place : place + max(1, size)]
            place += max(1, size)

    def _corrupted(self, chunk: bytes) -> bytes:
        corrupt = self._cabinet.first(Corrupt, self._connection, self._stream)
        if corrupt is None or corrupt.toxic.rate <= 0:
            return chunk
        damaged = bytearray(chunk)
        place = self._spared(corrupt.toxic.rate)
        while place < len(damaged):
            damaged[place] ^= 1 << self._rng.randrange(8)
            place += 1 + self._spared(corrupt.toxic.rate)
        return bytes(damaged)

    def _spared(self, rate: float) -> int:
        """Draw how many bytes are spared before the next one that is not."""
        if rate >= 1:
            return 0
        return int(math.log(1 - self._rng.random()) / math.log1p(-rate))
