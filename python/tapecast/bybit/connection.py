"""A WebSocket connection as a line needs it, and how one is opened."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

from tapecast.bybit.addresses import Addresses

__all__ = ["Connection", "Opener", "Target", "WebSockets", "hang_up"]

_MAX_FRAME_BYTES: Final = 2 << 20
"""Far above the largest message: 1024 trades of about 180 bytes."""

_CLOSE_TIMEOUT_S: Final = 1.0

_PORTS: Final = {"ws": 80, "wss": 443}

_ADDRESSES_A_TRY: Final = 2
"""So many addresses are tried at once if they refuse; each connect is one of the budget's."""


class Connection(Protocol):
    """An open connection."""

    async def recv(self, decode: Literal[False]) -> bytes:
        """Return the next message; raise `websockets.ConnectionClosed` if there is none."""

    async def send(self, message: bytes, *, text: Literal[True]) -> None:
        """Send a text frame."""

    async def ping(self) -> object:
        """Send a ping of the WebSocket protocol, without waiting for its pong."""

    async def close(self) -> None:
        """Shake hands and close."""

    def abort(self) -> None:
        """Cut the connection without a word."""


class Target(NamedTuple):
    """Where to connect.

    Attributes:
        url: Where.
        proxy: Proxy to connect through.
        turn: Which of the host's addresses comes first, counted from 0, round and round.
    """

    url: str
    proxy: str | None = None
    turn: int = 0


Opener: TypeAlias = Callable[[Target, Callable[[], None]], Awaitable[Connection]]
"""Opens a connection, and calls the second argument whenever bytes come on it: pongs, parts of
messages. It is cancelled if it takes too long."""


class _WebSocket(ClientConnection):
    """A connection that tells of all that comes."""

    on_bytes: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if self.on_bytes is not None:
            self.on_bytes()
        super().data_received(data)

    def abort(self) -> None:
        """Cut the connection without a word."""
        self.transport.abort()


class _Connect(connect):
    """A connect that stays with the host it was given."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Refuse redirects: the exchange has none, so it is somebody else who redirects."""
        return exc


class WebSockets:
    """Opens connections over the network; lines may share one.

    Args:
        addresses: Knows the hosts.
        tls: Who is trusted; by default, whom the system trusts, by TLS 1.2 or newer.
    """

    def __init__(
        self, addresses: Addresses | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._addresses = addresses or Addresses()
        self._given_tls = tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        if self._given_tls is not None:
            return self._given_tls
        # Once: reading the certificates of the system takes tens of milliseconds.
        tls = ssl.create_default_context()
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return tls

    async def __call__(self, target: Target, on_bytes: Callable[[], None]) -> Connection:
        """Connect and shake hands."""
        connection = await self._open(target)
        connection.on_bytes = on_bytes
        return connection

    async def _open(self, target: Target) -> _WebSocket:
        if target.proxy is not None:
            # It is the proxy that knows the host.
            return await self._connect(target)
        url = urlsplit(target.url)
        found = await self._addresses.find(url.hostname or "", url.port or _PORTS[url.scheme])
        turns = range(target.turn, target.turn + min(_ADDRESSES_A_TRY, len(found)))
        *others, last = [found[turn % len(found)] for turn in turns]
        for address in others:
            # Refused at once; whoever does not answer at all takes the time of all of them.
            with suppress(ConnectionRefusedError):
                return await self._connect(target, host=address)
        return await self._connect(target, host=last)

    async def _connect(self, target: Target, host: str | None = None) -> _WebSocket:
        options: dict[str, Any] = {
            # Never seen on the exchange's side, and a bomb could be packed into it.
            "compression": None,
            # None is no proxy at all: by default the system's variables would be followed.
            "proxy": target.proxy,
            # Who opens has a time for all of it.
            "open_timeout": None,
            # The exchange has a ping of its own.
            "ping_interval": None,
            "close_timeout": _CLOSE_TIMEOUT_S,
            "max_size": _MAX_FRAME_BYTES,
            "create_connection": _WebSocket,
        }
        if target.url.startswith("wss:"):
            options["ssl"] = self._tls
        if host is not None:
            # It changes where to connect; the certificate that is expected is the URL's host's.
            options["host"] = host
        return cast("_WebSocket", await _Connect(target.url, **options))


async def hang_up(connection: Connection) -> None:
    """Close politely, in bounded time, whether or not the other side answers."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection.close()
    except TimeoutError:
        pass
    finally:
        connection.abort()
