"""The listening socket: connections in, one handler for each, and an end in bounded time."""

import asyncio
import os
import random
import socket
import ssl
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode
from websockets.protocol import State

from tapecast.messages import Ping, Subscribe
from tapecast.server.access import Access
from tapecast.server.admission import Admission
from tapecast.server.closing import REASON, take_leave
from tapecast.server.connections import tracking
from tapecast.server.descriptors import AcceptFailures, most_connections
from tapecast.server.http import Reports, Routes
from tapecast.server.hub import Hub
from tapecast.server.interfaces import Clock
from tapecast.server.protocol import CommandReader, Outcome, pong, unsubscribed
from tapecast.server.subscriber import Subscriber
from tapecast.server.wire import MAX_WINDOW_BITS, MEMORY_LEVEL

if TYPE_CHECKING:
    from websockets.asyncio.server import Server

    from tapecast.server.descriptors import Handler

__all__ = ["Listener", "listen_error"]

_MOST_HANDSHAKES: Final = 100
"""Connections beyond the most clients that may be in their handshake, or wait for a 503."""

# What is left of the time for shutting down goes to connections that had to be aborted.
_SHARE_OF_SHUTDOWN_FOR_CLOSING: Final = 0.8
_SHARE_OF_SHUTDOWN_FOR_LEAVE: Final = 0.5


def listen_error(host: str, port: int, error: OSError) -> OSError:
    """Return an error that names the address that cannot be listened on, and says why."""
    # Name resolution has numbers of its own, below zero on Linux.
    number = error.errno or 0
    reason = os.strerror(number) if number > 0 else error.strerror or str(error)
    return OSError(error.errno, f"cannot listen on {host}:{port}: {reason.lower()}")


class Listener:
    """Serves the stream on one port, as an asynchronous context manager.

    Whoever starts it also runs `Hub.run` and `Hub.run_partials`, and stops publishing before it
    ends.

    Args:
        hub: Where subscribers are registered; its limits hold here too.
        clock: Monotonic seconds for the limits, wall milliseconds for pongs.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one, see `port`.
        sock: A bound socket to listen on instead; it is closed with the listener.
        access: Who may connect.
        tls: What to serve TLS with; None for plain connections.
        reports: What `/healthz` and `/readyz` tell beside what the server knows.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        hub: Hub,
        clock: Clock,
        *,
        host: str = "127.0.0.1",
        port: int = 8848,
        sock: socket.socket | None = None,
        access: Access | None = None,
        tls: ssl.SSLContext | None = None,
        reports: Reports | None = None,
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._limits = hub.limits
        self._host = host
        self._asked_port = port
        self._sock = sock
        self._server: Server | None = None
        # They end with the connections that they close.
        self._closing: list[asyncio.Task[None]] = []
        # What handled exceptions of the loop before.
        self._failures_before: Handler | None = None
        # Every connection from its first byte on, also those that never finish the handshake.
        self._connections: set[ServerConnection] = set()
        self._clients: dict[Subscriber, ServerConnection] = {}
        self._tls = tls
        # Of few descriptors, some are for connections that are told 503.
        most = most_connections()
        self._most_connections = min(most, hub.limits.max_clients + _MOST_HANDSHAKES)
        self._admission = Admission(
            hub.limits, most_clients=most - min(_MOST_HANDSHAKES, most // 4), spread=random.random
        )
        self._routes = Routes(
            hub.engine,
            admission=self._admission,
            counts=hub.counts,
            clients=lambda: self.clients,
            clock=clock,
            access=access or Access(),
            reports=reports or Reports(),
        )

    @property
    def clients(self) -> int:
        """Number of open WebSocket connections, subscribed or not."""
        return len(self._clients)

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait in this process for the client that has most waiting for it."""
        return max((client.pending_bytes for client in self._clients), default=0)

    @property
    def port(self) -> int:
        """Port that it listens on; of the first address, if the host has several."""
        if self._server is None:
            raise RuntimeError("listener is not open, expected to be within its context")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            OSError: If the address cannot be listened on; `strerror` names it and says why.
        """
        limits = self._limits
        try:
            self._server = await serve(
                self._handle,
                self._host if self._sock is None else None,
                self._asked_port if self._sock is None else None,
                sock=self._sock,
                process_request=self._routes.process_request,
                process_response=self._routes.process_response,
                server_header=None,
                # The library would compress for each client; see `_deflate`.
                compression=None,
                extensions=[_deflate()] if limits.compression else None,
                open_timeout=limits.handshake_timeout_s,
                ping_interval=limits.ping_interval_s,
                ping_timeout=limits.ping_timeout_s,
                close_timeout=limits.close_timeout_s,
                # Larger than a command may be, so that a client is told `too_large` before it is
                # cut off.
                max_size=limits.max_frame_bytes,
                create_connection=tracking(
                    self._connections,
                    most=self._most_connections,
                    on_lost=self._admission.release,
                    limits=limits,
                    clock=self._clock,
                ),
                start_serving=False,
                ssl=self._tls,
            )
            for listening in self._server.sockets:
                # Accepted sockets inherit it. The kernel would take megabytes for who never reads.
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
            loop = asyncio.get_running_loop()
            self._failures_before = loop.get_exception_handler()
            loop.set_exception_handler(
                AcceptFailures(self._failures_before, monotonic_s=self._clock.monotonic_s)
            )
            await self._server.start_serving()
        except OSError as error:
            raise listen_error(self._host, self._asked_port, error) from error
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say bye, close every connection (1012) and stop to listen, within the time for that."""
        if self._server is None:
            return
        self.refuse()
        shutdown_s = self._limits.shutdown_timeout_s
        try:
            async with asyncio.timeout(shutdown_s * _SHARE_OF_SHUTDOWN_FOR_CLOSING):
                await self._close_all(self._server, shutdown_s * _SHARE_OF_SHUTDOWN_FOR_LEAVE)
        except TimeoutError:
            for connection in list(self._connections):
                connection.transport.abort()
            await self._server.wait_closed()
        await asyncio.gather(*self._closing)
        asyncio.get_running_loop().set_exception_handler(self._failures_before)

    def refuse(self) -> None:
        """Let nobody in any more: handshakes are answered 503, and so is `/readyz`."""
        self._routes.is_closing = True

    async def _close_all(self, server: "Server", most_s: float) -> None:
        """Close every connection, and stop to listen."""
        clients = [(connection, subscriber) for subscriber, connection in self._clients.items()]
        try:
            await take_leave(self._hub, clients, self._closing, most_s=most_s)
        finally:
            server.close(code=CloseCode.SERVICE_RESTART, reason=REASON)
            # Handshakes have nothing to close: the stream has not begun.
            for connection in list(self._connections):
                if connection.state is State.CONNECTING:
                    connection.transport.abort()
        await server.wait_closed()

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve one client from the handshake to the end of the connection."""
        subscriber = Subscriber(connection, limits=self._limits, counts=self._hub.counts)
        self._clients[subscriber] = connection
        idle = asyncio.timeout(self._limits.idle_timeout_s)
        try:
            async with idle:
                await self._converse(connection, subscriber, idle)
        except ConnectionClosed:
            pass
        except TimeoutError:
            reason = f"no subscription within {self._limits.idle_timeout_s:g} s"
            await self._close(connection, CloseCode.POLICY_VIOLATION, reason)
        finally:
            self._hub.leave(subscriber)
            del self._clients[subscriber]
            self._admission.release(connection)

    async def _converse(
        self, connection: ServerConnection, subscriber: Subscriber, idle: asyncio.Timeout
    ) -> None:
        """Carry out commands until the connection is closed, or must be."""
        reader = CommandReader(self._limits, now_s=self._clock.monotonic_s())
        async for frame in connection:
            outcome = reader.receive(frame, now_s=self._clock.monotonic_s())
            if isinstance(outcome.command, Subscribe):
                # From now on, the keepalive and the limit of pending bytes watch over the
                # connection.
                idle.reschedule(None)
            reader.charge(self._carry_out(subscriber, outcome))
            if outcome.close is not None:
                self._hub.leave(subscriber)
                await self._close(connection, outcome.close.code, outcome.close.reason)
                return

    async def _close(self, connection: ServerConnection, code: int, reason: str) -> None:
        """Close a connection in bounded time, whether or not its client reads."""
        try:
            async with asyncio.timeout(self._limits.close_timeout_s), asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.close(code, reason))
                # The client's own close frame stands behind everything else that it has sent.
                with suppress(ConnectionClosed):
                    async for _ in connection:
                        pass
        except TimeoutError:
            connection.transport.abort()

    def _carry_out(self, subscriber: Subscriber, outcome: Outcome) -> int:
        """Do what one command asks, or send the reply that says why not; return what it cost."""
        if outcome.reply is not None:
            self._hub.counts.command_errors += 1
            self._hub.reply(subscriber, outcome.reply)
        if isinstance(outcome.command, Subscribe):
            now_s = self._clock.monotonic_s()
            return self._hub.subscribe(
                subscriber, outcome.command, reply_id=outcome.reply_id, now_s=now_s
            )
        if isinstance(outcome.command, Ping):
            self._hub.reply(
                subscriber, pong(timestamp_ms=self._clock.wall_ms(), reply_id=outcome.reply_id)
            )
        elif outcome.command is not None:
            self._hub.leave(subscriber)
            self._hub.reply(subscriber, unsubscribed(reply_id=outcome.reply_id))
        return 0


def _deflate() -> ServerPerMessageDeflateFactory:
    """Return what negotiates compression such that one compressed message serves all clients."""
    return ServerPerMessageDeflateFactory(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=MAX_WINDOW_BITS,
        client_max_window_bits=MAX_WINDOW_BITS,
        compress_settings={"memLevel": MEMORY_LEVEL},
    )
