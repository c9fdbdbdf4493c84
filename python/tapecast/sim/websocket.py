"""The sockets of the simulated exchange: who is connected, who gets what, who is too slow."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from aiohttp import ClientConnectionResetError, WSMsgType, web

from tapecast.sim.protocol import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from tapecast.sim.instruments import Category

__all__ = ["SimConnection", "SimHub"]

_MAX_COMMAND_BYTES: Final = 1 << 20
_CLOSE_TIMEOUT_S: Final = 1.0


class SimConnection:
    """One client of the simulated exchange.

    Frames are queued and written by a task of its own, so that a slow client stalls nobody.

    Args:
        session: Its subscriptions.
        request: The upgrade request; its transport is what `abort` cuts.
        socket: Its WebSocket.
        max_pending_bytes: How much may wait for it; beyond, it is cut.
    """

    def __init__(
        self,
        session: Session,
        *,
        request: web.BaseRequest,
        socket: web.WebSocketResponse,
        max_pending_bytes: int,
    ) -> None:
        self.session = session
        self._request = request
        self._socket = socket
        self._max_pending_bytes = max_pending_bytes
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._filled = asyncio.Event()
        self._cut = False

    def send(self, frame: bytes) -> None:
        """Queue a text frame; a client that lets too much of it wait is cut."""
        if self._cut:
            return
        self._pending.append(frame)
        self._pending_bytes += len(frame)
        self._filled.set()
        if self._pending_bytes > self._max_pending_bytes:
            self.abort()

    def abort(self) -> None:
        """Cut the connection as a dying server does: no close frame, nothing more is sent."""
        self._cut = True
        self._pending.clear()
        self._pending_bytes = 0
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self, code: int) -> None:
        """Close the connection with a WebSocket code, or cut it if the client does not answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close(code=code)
        self.abort()

    async def write_frames(self) -> None:
        """Write queued frames until the connection is gone."""
        with contextlib.suppress(ClientConnectionResetError):
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._pending:
                    frame = self._pending.popleft()
                    await self._socket.send_frame(frame, WSMsgType.TEXT)
                    self._pending_bytes = max(0, self._pending_bytes - len(frame))


class SimHub:
    """Every connection of the simulated exchange, by what it subscribed to.

    Args:
        topics: The topics that each category serves.
        now_ms: The exchange's clock.
        connection_id: Gives a new connection its name.
        max_pending_bytes: How much may wait for one client.
    """

    def __init__(
        self,
        topics: dict[Category, frozenset[str]],
        *,
        now_ms: Callable[[], int],
        connection_id: Callable[[], str],
        max_pending_bytes: int,
    ) -> None:
        self._topics = topics
        self._now_ms = now_ms
        self._connection_id = connection_id
        self._max_pending_bytes = max_pending_bytes
        self._connections: dict[SimConnection, Category] = {}
        self._subscribers: defaultdict[tuple[Category, str], dict[SimConnection, None]]
        self._subscribers = defaultdict(dict)
        self._closing: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._connections)

    def publish(self, category: Category, topic: str, frames: Sequence[bytes]) -> None:
        """Queue frames for every subscriber of a topic."""
        for connection in list(self._subscribers.get((category, topic), ())):
            for frame in frames:
                connection.send(frame)

    def subscribers(self, category: Category, topic: str) -> int:
        """Return how many connections are subscribed to a topic."""
        return len(self._subscribers.get((category, topic), ()))

    async def wait_changed(self) -> None:
        """Wait until a connection comes, goes or changes its subscriptions."""
        await self._changed.wait()

    def drop_all(self, code: int | None) -> int:
        """Cut every connection, or close it with a code, and return how many there were."""
        dropped = list(self._connections)
        for connection in dropped:
            if code is None:
                connection.abort()
            else:
                task = asyncio.get_running_loop().create_task(connection.close(code))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return len(dropped)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client from its upgrade to its end."""
        category = next(one for one in self._topics if one == request.match_info["category"])
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MAX_COMMAND_BYTES)
        await socket.prepare(request)
        session = Session(
            category, connection_id=self._connection_id(), known_topics=self._topics[category]
        )
        connection = SimConnection(
            session, request=request, socket=socket, max_pending_bytes=self._max_pending_bytes
        )
        self._connections[connection] = category
        self._tell_changed()
        writer = asyncio.create_task(connection.write_frames())
        try:
            await self._converse(connection, socket)
        finally:
            del self._connections[connection]
            self._index(connection, category, session.topics, frozenset())
            self._tell_changed()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _converse(self, connection: SimConnection, socket: web.WebSocketResponse) -> None:
        category = self._connections[connection]
        async for message in socket:
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            before = frozenset(connection.session.topics)
            reply = connection.session.receive(message.data, now_ms=self._now_ms())
            connection.send(reply)
            self._index(connection, category, before, connection.session.topics)
            self._tell_changed()

    def _index(
        self,
        connection: SimConnection,
        category: Category,
        before: AbstractSet[str],
        after: AbstractSet[str],
    ) -> None:
        for topic in before - after:
            del self._subscribers[category, topic][connection]
        for topic in after - before:
            self._subscribers[category, topic][connection] = None

    def _tell_changed(self) -> None:
        # Whoever waits now is woken; whoever comes later waits for the next change.
        self._changed.set()
        self._changed = asyncio.Event()
