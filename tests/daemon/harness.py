"""A daemon and a simulated exchange in one loop, over real sockets, with a clock to be set."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from tapecast.bybit import Line
from tapecast.clocks import SystemClock
from tapecast.config import Settings, load
from tapecast.daemon import Daemon, ReplaySettings
from tapecast.messages import ServerMessage, decode_message
from tapecast.sim import SimExchange, SimSettings
from tapecast.telemetry import ThreadRegistry

LIMIT_S: Final = 30.0
MINUTE_MS: Final = 60_000
START_MS: Final = 1_790_000_040_000
"""Start of a minute."""

BEGIN_MS: Final = START_MS + 10_000
SUBSCRIBE: Final = '{"action":"subscribe","topic":"status"}'


class Pulse:
    """Wakes whoever waits, each time that it is given."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def give(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()


class SetClock(SystemClock):
    """A wall clock that stands where a test has set it; setting it wakes whoever sleeps."""

    def __init__(self, wall_ms: int) -> None:
        self._wall_ms = wall_ms
        self._set = Pulse()

    def wall_ns(self) -> int:
        return self._wall_ms * 1_000_000

    def wall_ms(self) -> int:
        return self._wall_ms

    def set(self, wall_ms: int) -> None:
        """Set the wall clock, and let time pass for all who wait."""
        self._wall_ms = wall_ms
        self._set.give()

    async def sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._set.wait()


@dataclass
class Running:
    """A running daemon, its exchange and its clock."""

    daemon: Daemon
    sim: SimExchange
    clock: SetClock
    console: list[str]
    stop: asyncio.Event
    task: asyncio.Task[None]
    port: int
    registry: ThreadRegistry
    carried: set[tuple[str, str]]
    changed: Pulse

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/status"

    async def subscribed(self, *symbols: tuple[str, str]) -> None:
        """Wait until the daemon knows that it receives these (category, symbol or base coin)."""
        while not self.carried.issuperset(symbols):
            await self.changed.wait()


@dataclass
class Client:
    """A subscriber that decodes strictly, and keeps everything that it read.

    Attributes:
        messages: What it read, in order.
    """

    connection: ClientConnection
    messages: list[ServerMessage] = field(default_factory=list)

    async def read(self) -> ServerMessage:
        message = decode_message(await self.connection.recv(decode=False))
        self.messages.append(message)
        return message

    async def until(self, enough: Callable[[list[ServerMessage]], bool]) -> None:
        """Read on until what was read is enough."""
        while not enough(self.messages):
            await self.read()

    async def find(self, kind: type[ServerMessage], **fields: object) -> Any:  # noqa: ANN401 -- of `kind`
        """Read on to the next message of a kind with these fields, and return it."""
        while True:
            message = await self.read()
            if isinstance(message, kind) and all(
                getattr(message, name) == value for name, value in fields.items()
            ):
                return message

    def all(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@asynccontextmanager
async def subscriber(url: str, command: str = SUBSCRIBE) -> AsyncIterator[Client]:
    """Connect and subscribe; the snapshot is the first message to be read."""
    # No limit of unread messages: a client that leaves some unread still closes at once.
    async with connect(
        url, compression=None, proxy=None, max_size=None, max_queue=None
    ) as connection:
        await connection.send(command)
        yield Client(connection)


def settings_of(**flags: str) -> Settings:
    """Return settings; a `__` in a name leads into a table."""
    return load(None, {tuple(name.split("__")): text for name, text in flags.items()})


@asynccontextmanager
async def running(
    *, sim: SimSettings | None = None, replay: ReplaySettings | None = None, **flags: str
) -> AsyncIterator[Running]:
    """Run a daemon against a simulated exchange that moves when the test says so."""
    manual = sim or SimSettings(live=False, start_ms=BEGIN_MS, seed=7, rate=400.0)
    clock = SetClock(BEGIN_MS)
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    console: list[str] = []
    async with asyncio.timeout(LIMIT_S), SimExchange(manual, wall_ms=clock.wall_ms) as exchange:
        urls = {"bybit__ws_url": exchange.ws_url, "bybit__rest_url": exchange.rest_url}
        usual = {"port": "0", "symbols": "BTCUSDT", "bybit__lines": "1"}
        settings = settings_of(**{**usual, **urls, **flags})
        daemon = Daemon(
            settings, registry=registry, console=console.append, replay=replay, clock=clock
        )
        carried, changed = _watch_subscriptions(daemon)
        stop = asyncio.Event()
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(daemon.run(stop, on_ready=ready.set_result))
        waited: list[asyncio.Future[Any]] = [task, ready]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        try:
            port = ready.result()
            yield Running(
                *(daemon, exchange, clock, console, stop, task, port, registry, carried, changed)
            )
        finally:
            stop.set()
            await task


def _watch_subscriptions(daemon: Daemon) -> tuple[set[tuple[str, str]], Pulse]:
    """Return what a daemon's lines carry, kept up to date, and what is given at each change."""
    carried: set[tuple[str, str]] = set()
    changed = Pulse()
    feed = daemon._feed
    subscribed, lost = feed.on_subscribed, feed.on_lost

    def on_subscribed(line: Line, topics: Sequence[str], at_ms: int) -> None:
        subscribed(line, topics, at_ms)
        carried.update((line.config.category, topic) for topic in topics)
        changed.give()

    def on_lost(line: Line, topics: Sequence[str], at_ms: int) -> None:
        lost(line, topics, at_ms)
        carried.difference_update((line.config.category, topic) for topic in topics)
        changed.give()

    feed.on_subscribed, feed.on_lost = on_subscribed, on_lost  # type: ignore[method-assign]
    return carried, changed


def write_frames(path: Path, frames: list[bytes]) -> Path:
    """Write a recording."""
    path.write_bytes(b"".join(frame + b"\n" for frame in frames))
    return path
