"""Fakes for the server's tests: an engine told what to publish, a clock, an outbox, a wire."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.streams import StreamReader

from tapecast import Engine
from tapecast._core import Batch
from tapecast.aliases import Category, MessageType
from tapecast.errors import SlowConsumerError
from tapecast.messages.fields import SlowPolicy
from tapecast.server import Access, Hub, Listener, Reports
from tapecast.server.share import Share

if TYPE_CHECKING:
    from collections.abc import Generator

START_MS: Final = 1_790_000_040_000
"""Start of a minute."""

DAEMON_COUNTS: Final = {"sent_messages": 0, "dropped_messages": 0, "reconnects": 0}


@dataclass
class FakeEngine:
    """A real engine that is told what to publish, and snapshots that hold only numbers."""

    epoch: str = "e-1"
    asked: list[dict[str, Any]] = field(default_factory=list)
    engine: Engine = field(default_factory=Engine)
    minute: int = 0
    fed: int = 0

    @property
    def seq(self) -> int:
        return self.engine.seq

    def trades(
        self, count: int = 1, symbol: str = "BTCUSDT", category: Category = "linear"
    ) -> Batch:
        """Publish trades of one symbol."""
        return self._feed(count, symbol, category, minute=self.minute)

    def candle(self, symbol: str = "BTCUSDT", category: Category = "linear") -> Batch:
        """Publish a trade, and the candle of its minute as that closes."""
        trade = self.trades(1, symbol, category)
        self.minute += 1
        closed = self.engine.advance(START_MS + self.minute * 60_000 + 1_000)
        return Batch.joined([trade, closed])

    def revision(self, symbol: str = "BTCUSDT", category: Category = "linear") -> Batch:
        """Publish a trade of the last closed minute, and the candle that it revises."""
        return self._feed(1, symbol, category, minute=max(0, self.minute - 1))

    def gap(self, symbol: str = "BTCUSDT", category: Category = "linear") -> Batch:
        """Publish that trades were missed long ago."""
        return self.engine.miss(1, 2, category=category, topics=[symbol])

    def stats(self) -> Batch:
        return self.engine.stats(START_MS, interval_ns=10**9, counts=DAEMON_COUNTS)

    def line(self, padding: int = 0) -> Batch:
        """Publish the change of a line, of any size."""
        return self.engine.upstream(START_MS, line="l", state="closed", reason="x" * padding)

    def partials(self, since: int = 0) -> tuple[int, Batch]:
        return self.engine.partials(since)

    def symbols(self) -> list[tuple[Category, str]]:
        return self.engine.symbols()

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

    def _feed(self, count: int, symbol: str, category: Category, *, minute: int) -> Batch:
        start_ms = START_MS + minute * 60_000
        self.fed += count
        trades = [
            {
                "T": start_ms,
                "s": symbol,
                "S": "Buy",
                "v": "0.5",
                "p": "100.5",
                "i": str(self.fed - number),
                "BT": False,
            }
            for number in range(count)
        ]
        frame = {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": start_ms}
        return self.engine.feed(
            json.dumps({**frame, "data": trades}).encode(),
            received_ns=(start_ms + 1_000) * 1_000_000,
            category=category,
        )


class FrameReader:
    """Reads the messages of frames, plain or deflated, as an independent implementation does."""

    def __init__(self) -> None:
        self._reader = StreamReader()
        self._parsing: Generator[None, None, Frame] | None = None
        self._extensions = [
            PerMessageDeflate(
                remote_no_context_takeover=True,
                local_no_context_takeover=True,
                remote_max_window_bits=15,
                local_max_window_bits=15,
            )
        ]

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the messages whose frames are complete."""
        self._reader.feed_data(data)
        while True:
            self._parsing = self._parsing or Frame.parse(
                self._reader.read_exact, mask=False, extensions=self._extensions
            )
            try:
                next(self._parsing)
            except StopIteration as done:
                frame: Frame = done.value
            else:
                return
            self._parsing = None
            assert frame.opcode is Opcode.TEXT
            assert frame.fin
            yield json.loads(bytes(frame.data))

    @property
    def rest(self) -> bytes:
        """What has been read of a frame that is not complete."""
        return bytes(self._reader.buffer)


def parsed(frames: bytes) -> Iterator[dict[str, Any]]:
    """Yield the messages of whole frames."""
    reader = FrameReader()
    yield from reader.feed(frames)
    assert reader.rest == b""


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
    current: list[bool] = field(default_factory=list)
    policies: list[SlowPolicy | None] = field(default_factory=list)
    relieved_s: list[float] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    ended: int = 0
    window_bits: int = 0
    is_slow: bool = False
    is_full: bool = False
    has_room: bool = True

    def begin(self, policy: SlowPolicy | None) -> None:
        self.policies.append(policy)

    def end(self) -> None:
        self.ended += 1
        self.is_slow = False

    def send(self, payload: bytes, *, counted: bool = True) -> None:
        self._fail()
        self.received.append(json.loads(payload))
        self.counted.append(counted)

    def give_back(self, share: Share) -> None:
        self._fail()
        self.received += parsed(share.frames)
        self.shares.append(share)

    def deliver(self, share: Share, *, is_current: bool = False) -> None:
        self._fail()
        self.received += parsed(share.frames)
        self.current.append(is_current)
        self.shares.append(share)

    def relieve(self, now_s: float) -> None:
        self._fail()
        self.relieved_s.append(now_s)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    @property
    def seqs(self) -> list[int]:
        """Numbers of everything received."""
        return [message["seq"] for message in self.received]

    @property
    def seqs_after_reply(self) -> list[int]:
        """Numbers of everything received after the reply to a resume, which has none."""
        return [message["seq"] for message in self.received[1:]]

    @property
    def kinds(self) -> list[str]:
        """Types of everything received."""
        return [message["type"] for message in self.received]


@dataclass
class Wire:
    """A connection whose bytes wait until the test sends them."""

    state: State = State.OPEN
    remote_address: str = "there"
    id: str = "1"
    extensions: list[object] = field(default_factory=list)
    written: bytearray = field(default_factory=bytearray)
    pending_bytes: int = 0
    aborted: bool = False
    lingers: bool = True
    failed: list[tuple[CloseCode, str]] = field(default_factory=list)
    broken: Exception | None = None

    def connection(self) -> ServerConnection:
        """Return it as what a subscriber takes it for."""
        return cast("ServerConnection", self)

    @property
    def protocol(self) -> "Wire":
        return self

    @property
    def transport(self) -> "Wire":
        return self

    def write(self, data: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        self.written += data
        self.pending_bytes += len(data)

    def drain(self, size: int | None = None) -> None:
        """Let bytes leave; all of them if not told how many."""
        self.pending_bytes -= self.pending_bytes if size is None else min(size, self.pending_bytes)

    def get_write_buffer_size(self) -> int:
        return 0 if self.aborted else self.pending_bytes

    def get_extra_info(self, name: str) -> "Wire | None":
        return self if name == "socket" else None

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER)
        self.lingers = value != struct.pack("ii", 1, 0)

    def abort(self) -> None:
        # What waits in the kernel must go with the connection.
        assert not self.lingers or self.failed
        self.aborted = True

    def fail(self, code: CloseCode, reason: str) -> None:
        self.failed.append((code, reason))
        self.state = State.CLOSING

    def send_data(self) -> None:
        if self.broken is not None:
            raise self.broken

    def messages(self) -> list[dict[str, Any]]:
        """Return everything that was written."""
        return list(parsed(bytes(self.written)))


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

    async def unread(self, offers: str = "", **fields: object) -> socket.socket:
        """Return the socket of a subscribed client that reads nothing by itself."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)  # noqa: FBT003 -- it takes no keyword
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.listener.port))
        upgrade = (
            "GET /ws/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"{offers}\r\n"
        )
        await loop.sock_sendall(sock, upgrade.encode())
        while not (await loop.sock_recv(sock, 4096)).endswith(b"\r\n\r\n"):
            pass
        before = self.hub.subscribers
        fields = {"action": "subscribe", "topic": "status", **fields}
        command = json.dumps(fields).encode()
        # A masked text frame; a mask of zeros leaves the payload as it is.
        await loop.sock_sendall(sock, bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command)
        while self.hub.subscribers == before:  # noqa: ASYNC110 -- turns of the loop, no time
            await asyncio.sleep(0)
        return sock


class Serve(Protocol):
    """Starts a listener."""

    def __call__(
        self,
        *,
        kind: type[Listener] = Listener,
        host: str = "127.0.0.1",
        access: Access | None = None,
        tls: ssl.SSLContext | None = None,
        reports: Reports | None = None,
        **limits: float | str,
    ) -> AbstractAsyncContextManager[Served]:
        """Return the listener's context."""


async def receive(client: ClientConnection) -> dict[str, Any]:
    """Return the next message of a client."""
    message: dict[str, Any] = json.loads(await client.recv())
    return message
