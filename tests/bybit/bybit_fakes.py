"""What a line talks to in tests: a sink that records, clocks that do not wait, peers that fail."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tapecast.aliases import Category
from tapecast.bybit import ConnectBudget, Kline, Line, LineConfig, Opener
from tapecast.clocks import SystemClock

LIMIT_S = 20.0


class Most(Random):
    """Chance at its worst: the longest wait that may be drawn."""

    def random(self) -> float:
        return 1.0

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


@dataclass
class Recorder:
    """A sink that keeps everything and can be waited on."""

    frames: list[bytes] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)
    subscribed: list[tuple[list[str], int]] = field(default_factory=list)
    lost: list[tuple[list[str], int]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    klines: list[Kline] = field(default_factory=list)
    fail_on_frame: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_frame(self, _line: Line, frame: bytes, received_ns: int) -> None:
        self.frames.append(frame)
        self.received_ns.append(received_ns)
        self._changed.set()
        if self.fail_on_frame:
            raise ZeroDivisionError("in the sink")

    def on_state(self, _line: Line, state: str, reason: str) -> None:
        self.states.append((state, reason))
        self._changed.set()

    def on_subscribed(self, _line: Line, topics: Sequence[str], at_ms: int) -> None:
        self.subscribed.append((list(topics), at_ms))
        self._changed.set()

    def on_lost(self, _line: Line, topics: Sequence[str], at_ms: int) -> None:
        self.lost.append((list(topics), at_ms))
        self._changed.set()

    def on_rejected(self, _line: Line, topic: str, reason: str) -> None:
        self.rejected.append((topic, reason))
        self._changed.set()

    def on_klines(self, _line: Line, klines: Sequence[Kline]) -> None:
        self.klines += klines
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds; bound the wait outside."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_subscribed(self, times: int = 1) -> None:
        """Wait until acknowledgements came so many times; bound the wait outside."""
        await self.until(lambda: len(self.subscribed) >= times)

    async def until_frames(self, count: int) -> None:
        """Wait until so many frames came; bound the wait outside."""
        await self.until(lambda: len(self.frames) >= count)

    async def until_reconnecting(self, times: int = 1) -> None:
        """Wait until the line was lost or could not be had so many times."""
        await self.until(lambda: len(self.reasons) >= times)

    @property
    def reasons(self) -> list[str]:
        """Why the line was connected again, each time."""
        return [reason for state, reason in self.states if state == "reconnecting"]


class RetryClock(SystemClock):
    """The machine's clock, but a line's own waits pass at once, so many of them; the next never.

    What looks after a connection waits as it does in life.
    """

    def __init__(self, retries: int = 1) -> None:
        self.waits: list[float] = []
        self.ahead_s = 0.0
        self._retries = retries

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name().endswith("-keeper"):
            await asyncio.sleep(seconds)
            return
        self.waits.append(seconds)
        if len(self.waits) > self._retries:
            await asyncio.Event().wait()


class ManualClock:
    """Stands still until a test advances it."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    def wall_ns(self) -> int:
        return int(self.now_s * 1_000_000_000)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds, woken))
        self._changed.set()
        await woken

    async def advance(self, seconds: float) -> None:
        """Wait until somebody sleeps, then let this much time pass at once."""
        while not any(not woken.done() for _, woken in self._sleepers):
            self._changed.clear()
            await self._changed.wait()
        self.now_s += seconds
        for due_s, woken in self._sleepers:
            if due_s <= self.now_s and not woken.done():
                woken.set_result(None)
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].done()]


def line_config(
    url: str, *topics: str, category: Category = "linear", **more: object
) -> LineConfig:
    return LineConfig(
        name=f"{category}-1",
        category=category,
        topics=topics or ("BTCUSDT",),
        url=url,
        **more,  # type: ignore[arg-type]  # of several types
    )


@asynccontextmanager
async def running(
    config: LineConfig,
    clock: SystemClock | ManualClock | None = None,
    *,
    sink: Recorder | None = None,
    budget: ConnectBudget | None = None,
    opener: Opener | None = None,
) -> AsyncIterator[tuple[Line, Recorder]]:
    """Run a line, all of it within a bounded time, and end it by cancelling."""
    sink = sink or Recorder()
    line = Line(
        config,
        sink,
        clock=clock or RetryClock(),
        budget=budget or ConnectBudget(spacing_s=0.0),
        chance=Most(),
        opener=opener,
    )
    async with asyncio.timeout(LIMIT_S):
        task = asyncio.create_task(line.run(), name=config.name)
        try:
            yield line, sink
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError), ended


@asynccontextmanager
async def peer(
    talk: Callable[[ServerConnection], Awaitable[None]], **options: object
) -> AsyncIterator[str]:
    """Serve WebSockets with a behaviour of the test's own, and yield the URL."""

    async def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await talk(connection)

    server = serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None, **options)  # type: ignore[arg-type]  # of several types
    async with server as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


@asynccontextmanager
async def tcp_peer(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve TCP with a behaviour of the test's own, and yield the port."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await answer(reader, writer)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.transport.abort()


async def acknowledge(connection: ServerConnection) -> None:
    """Take the next request and accept it."""
    request = json.loads(await connection.recv())
    assert request["op"] == "subscribe"
    reply = {"success": True, "ret_msg": "", "conn_id": "c", "req_id": request["req_id"]}
    await connection.send(json.dumps(reply | {"op": "subscribe"}))
