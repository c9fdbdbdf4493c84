"""Fakes for the server's tests: an engine that numbers what it publishes, a clock, an outbox."""

import asyncio
import json
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect

from tapecast.aliases import MessageType
from tapecast.errors import SlowConsumerError
from tapecast.server import Hub, Listener


@dataclass(frozen=True)
class FakeMessage:
    """A message as the engine publishes it."""

    type: str
    category: str | None
    symbol: str | None
    seq: int
    payload: bytes


@dataclass
class FakeEngine:
    """Numbers messages, and snapshots the numbers that it has published."""

    epoch: str = "e-1"
    seq: int = 0
    known: list[tuple[str, str]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    padding: int = 0
    version: int = 0
    changed: dict[tuple[str, str], int] = field(default_factory=dict)

    def publish(
        self, kind: str = "trade", symbol: str | None = "BTCUSDT", category: str | None = "linear"
    ) -> FakeMessage:
        """Return the next message."""
        self.seq += 1
        if symbol is not None and category is not None and (category, symbol) not in self.known:
            self.known.append((category, symbol))
        return self._message(kind, symbol, category)

    def stats(self) -> FakeMessage:
        return self.publish("stats", None, None)

    def _message(self, kind: str, symbol: str | None, category: str | None) -> FakeMessage:
        body = {"topic": "status", "type": kind, "seq": self.seq, "symbol": symbol}
        body["padding"] = "x" * self.padding
        return FakeMessage(kind, category, symbol, self.seq, json.dumps(body).encode())

    def touch(self, symbol: str, category: str = "linear") -> None:
        """Change the candle in progress of a symbol."""
        self.version += 1
        self.changed[category, symbol] = self.version

    def partials(self, since: int = 0) -> tuple[int, list[FakeMessage]]:
        """Return the candles in progress that changed."""
        changed = [key for key, version in self.changed.items() if version > since]
        return self.version, [
            self._message("ohlcv", symbol, category) for category, symbol in changed
        ]

    def symbols(self) -> list[tuple[str, str]]:
        return self.known

    def snapshot(
        self,
        *,
        history: int = 0,
        types: Sequence[MessageType] | None = None,
        symbols: set[str] | None = None,
    ) -> bytes:
        """Return what was asked for and the number of the last message."""
        self.asked.append({"history": history, "types": types, "symbols": symbols})
        body = {"topic": "status", "type": "snapshot", "epoch": self.epoch, "seq": self.seq}
        return json.dumps(body).encode()


@dataclass
class FakeClock:
    """Stands still unless told otherwise."""

    now_s: float = 1000.0
    now_ms: int = 1_700_000_000_123

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return self.now_ms


@dataclass(eq=False)
class FakeOutbox:
    """Keeps what it is given, or fails on request."""

    received: list[dict[str, Any]] = field(default_factory=list)
    failure: Exception | None = None
    counted: list[bool] = field(default_factory=list)

    def deliver(self, payloads: Sequence[bytes], *, counted: bool = True) -> None:
        if self.failure is not None:
            raise self.failure
        self.received += [json.loads(payload) for payload in payloads]
        self.counted.append(counted)

    @property
    def seqs(self) -> list[int]:
        """Numbers of everything received."""
        return [message["seq"] for message in self.received]

    @property
    def kinds(self) -> list[str]:
        """Types of everything received."""
        return [message["type"] for message in self.received]


def too_slow() -> SlowConsumerError:
    """Return the failure of a subscriber that was cut off."""
    return SlowConsumerError(2_000_000, 1_048_576)


@dataclass(frozen=True)
class Served:
    """A running listener and what it serves."""

    engine: FakeEngine
    clock: FakeClock
    hub: Hub
    listener: Listener

    def connect(self) -> connect:
        """Return a well-behaved client's connection to the stream."""
        return connect(
            f"ws://127.0.0.1:{self.listener.port}/ws/status",
            proxy=None,
            max_size=None,
            max_queue=None,
        )

    async def subscribed(self, client: ClientConnection, **fields: object) -> dict[str, Any]:
        """Subscribe a client and return the snapshot."""
        await client.send(json.dumps({"action": "subscribe", "topic": "status", **fields}))
        return await receive(client)

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a TCP connection that nothing has been written to."""
        return await asyncio.open_connection("127.0.0.1", self.listener.port)

    async def unread(self) -> socket.socket:
        """Return the socket of a subscribed client that never reads."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)  # noqa: FBT003 -- it takes no keyword
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.listener.port))
        upgrade = (
            "GET /ws/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(sock, upgrade.encode())
        while not (await loop.sock_recv(sock, 4096)).endswith(b"\r\n\r\n"):
            pass
        command = b'{"action":"subscribe","topic":"status"}'
        # A masked text frame; a mask of zeros leaves the payload as it is.
        await loop.sock_sendall(sock, bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command)
        await loop.sock_recv(sock, 1)
        return sock


class Serve(Protocol):
    """Starts a listener."""

    def __call__(self, **limits: float) -> AbstractAsyncContextManager[Served]:
        """Return the listener's context."""


async def receive(client: ClientConnection) -> dict[str, Any]:
    """Return the next message of a client."""
    message: dict[str, Any] = json.loads(await client.recv())
    return message
