"""Connections of real lines to an exchange in memory, and who takes down what they say."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from tapecast.aliases import Category
from tapecast.bybit import Line
from tapecast.bybit.connection import Connection, Target
from tapecast.daemon.feed import Feed
from tapecast.daemon.intake import Intake
from tapecast.sim.connection import ABNORMAL
from tapecast.sim.connection import Connection as DeskEnd
from tapecast.sim.desk import Desk, HandshakeFailed
from tapecast.sim.faults import StallHandshake

__all__ = ["DeskOpener", "Span", "WitnessedFeed"]

_MAX_FRAME_BYTES: Final = 2 << 20
_FOR_EVER_S: Final = 1e6


@dataclass
class Span:
    """What a line said that it carried: `[since_ms, until_ms)`, no end while it does."""

    category: Category
    topic: str
    connection: int
    since_ms: int
    until_ms: int | None = None


class _DeskConnection:
    """A connection to a desk, as a line sees one; what was sent comes when it is pumped."""

    def __init__(self, end: DeskEnd, on_bytes: Callable[[], None]) -> None:
        self.end = end
        self._on_bytes = on_bytes
        self._frames: deque[bytes] = deque()
        self._has_pong = False
        self._has_closed = False
        self._came = asyncio.Event()

    def pump(self) -> bool:
        """Bring what has come until now; return whether there may be more."""
        frames = self.end.pending()
        if frames or self._has_pong:
            self._has_pong = False
            self._on_bytes()
        self._frames += frames
        if frames or not self.end.open:
            self._came.set()
        return self.end.open

    async def recv(self, decode: Literal[False]) -> bytes:
        assert not decode
        while not self._frames:
            if not self.end.open:
                raise self._closed()
            self._came.clear()
            await self._came.wait()
        frame = self._frames.popleft()
        if len(frame) > _MAX_FRAME_BYTES:
            self.abort()
            raise ConnectionClosedError(None, Close(1009, "too long"))
        return frame

    def _closed(self) -> ConnectionClosedError:
        ending = self.end.ending
        if ending is None or ending.code in {None, ABNORMAL}:
            return ConnectionClosedError(None, None)
        assert ending.code is not None
        theirs = Close(ending.code, ending.reason)
        return ConnectionClosedError(theirs, theirs, rcvd_then_sent=True)

    async def send(self, message: bytes, *, text: Literal[True]) -> None:
        assert text
        if not self.end.open:
            raise self._closed()
        self.end.receive(message)

    async def ping(self) -> object:
        self._has_pong = self.end.ping()
        return None

    async def close(self) -> None:
        self.end.disconnect()

    def abort(self) -> None:
        self.end.disconnect()


class DeskOpener:
    """Opens connections to a desk; their urls are category and name of a line.

    Args:
        desk: The exchange.

    Attributes:
        numbers: Of each line, the number of its newest connection.
    """

    def __init__(self, desk: Desk) -> None:
        self.numbers: dict[str, int] = {}
        self._desk = desk
        self._open: dict[str, _DeskConnection] = {}

    async def __call__(self, target: Target, on_bytes: Callable[[], None]) -> Connection:
        category, _, name = target.url.partition("/")
        try:
            end = self._desk.connect(cast("Category", category))
        except HandshakeFailed as failed:
            if isinstance(failed.injection.fault, StallHandshake):
                await asyncio.sleep(_FOR_EVER_S)
            raise
        self.numbers[name] = end.number
        connection = self._open[name] = _DeskConnection(end, on_bytes)
        return connection

    def pump(self) -> None:
        """Bring all lines what was sent to them."""
        for name, connection in list(self._open.items()):
            if not connection.pump():
                del self._open[name]

    def kill(self, name: str) -> None:
        """Reset the connection of a line, if it has one."""
        if name in self._open:
            self._open[name].end.disconnect()


class WitnessedFeed(Feed):
    """A feed beside which the test keeps its own account of what lines say that they carry.

    Attributes:
        opener: Knows the lines' connections.
        spans: What they said.
        is_over: Whether the run is over: lines that are ended with it lose nothing.
    """

    def __init__(self, intake: Intake, opener: DeskOpener, **others: Any) -> None:  # noqa: ANN401
        super().__init__(intake, **others)
        self.opener = opener
        self.spans: list[Span] = []
        self.is_over = False
        self._present: dict[tuple[str, str], Span] = {}

    def on_subscribed(self, line: Line, topics: Sequence[str], at_ms: int) -> None:
        name, category = line.config.name, line.config.category
        for topic in topics:
            if (name, topic) not in self._present:
                span = Span(category, topic, self.opener.numbers[name], at_ms)
                self._present[name, topic] = span
                self.spans.append(span)
        super().on_subscribed(line, topics, at_ms)

    def on_lost(self, line: Line, topics: Sequence[str], at_ms: int) -> None:
        if self.is_over:
            return
        for topic in topics:
            span = self._present.pop((line.config.name, topic))
            span.until_ms = max(at_ms, span.since_ms)
        super().on_lost(line, topics, at_ms)
