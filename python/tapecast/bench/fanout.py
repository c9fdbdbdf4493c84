"""Messages to many clients over real sockets: the stream's own server beside `broadcast`.

The server runs in this process, its clients in another one (`counting`), and every message must
arrive at every client exactly once.
"""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias

from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import ServerConnection, serve

from tapecast._core import Batch, Engine
from tapecast.bench.corpus import START_MS, STEP_MS
from tapecast.bench.results import Rate, Table, WrongResultError
from tapecast.clocks import SystemClock
from tapecast.server import Hub, Listener, ServerLimits

__all__ = ["measure_fanout"]

_ROUNDS: Final = 3
_TURN_MESSAGES: Final = 10
"""Messages that are published before the event loop gets its turn, as under load."""

_PENDING_BYTES: Final = 65_536
"""Bytes that may wait for the slowest client before publishing pauses."""

_LIMIT_S: Final = 60.0
_NEVER_S: Final = 86_400.0


class Server(Protocol):
    """A server of the bench."""

    @property
    def port(self) -> int:
        """Where it listens."""

    def publish(self, batch: Batch) -> None:
        """Send all messages of a batch to all clients."""

    def is_busy(self) -> bool:
        """Return whether so much waits to be sent that publishing must pause."""


_Start: TypeAlias = Callable[[Engine], Any]
"""Makes the context of a server."""


class _Stream:
    def __init__(self, hub: Hub, listener: Listener) -> None:
        self._hub, self._listener = hub, listener
        self.port, self.publish = listener.port, hub.publish

    def is_busy(self) -> bool:
        pending_bytes = self._hub.queued_bytes + self._listener.pending_bytes
        return pending_bytes > _PENDING_BYTES


@asynccontextmanager
async def _stream(engine: Engine) -> AsyncIterator[_Stream]:
    """Serve by the hub and the listener of the daemon."""
    hub = Hub(engine, limits=ServerLimits(ping_interval_s=_NEVER_S, max_clients=10_000))
    async with Listener(hub, SystemClock(), port=0) as listener:
        broadcaster = asyncio.create_task(hub.run(SystemClock()))
        try:
            yield _Stream(hub, listener)
        finally:
            broadcaster.cancel()
            with suppress(asyncio.CancelledError):
                await broadcaster


class _Broadcast:
    def __init__(self) -> None:
        self.port = 0
        self._connections: set[ServerConnection] = set()

    async def handle(self, connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"type":"hello"}')
        self._connections.add(connection)
        await connection.wait_closed()
        self._connections.discard(connection)

    def publish(self, batch: Batch) -> None:
        for message in batch:
            broadcast(self._connections, message.payload, text=True)

    def is_busy(self) -> bool:
        waiting = (one.transport.get_write_buffer_size() for one in self._connections)
        return max(waiting, default=0) > _PENDING_BYTES


@asynccontextmanager
async def _broadcast(_engine: Engine) -> AsyncIterator[_Broadcast]:
    """Serve by `websockets.broadcast`, message by message."""
    made = _Broadcast()
    async with serve(made.handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


_SERVERS: Final[dict[str, _Start]] = {
    "websockets broadcast": _broadcast,
    "tapecast server": _stream,
}


def measure_fanout(
    frames: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Table:
    """Publish the trades of frames to clients as fast as they are taken, by turns.

    Args:
        frames: What is published; a round ends with them.
        clients: How many receive everything.
        seconds: How long all rounds take together.
        on_progress: Told the share that is done, from 0 to 1.

    Raises:
        WrongResultError: If a client received more or less than was published.
        OSError: If there is no port, or no client process.
    """
    rates: dict[str, list[float]] = {name: [] for name in _SERVERS}
    cpu_us: dict[str, list[float]] = {name: [] for name in _SERVERS}
    rounds = [name for _ in range(_ROUNDS) for name in _SERVERS]
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        for number, name in enumerate(rounds, start=1):
            one = _round(name, frames, clients=clients, seconds=seconds / len(rounds))
            rate, cpu = runner.run(one)
            rates[name].append(rate)
            cpu_us[name].append(cpu)
            on_progress(number / len(rounds))
    return Table(
        task=f"trade messages of {_message_bytes(frames)} bytes to {clients:,} clients, loopback, "
        f"{_TURN_MESSAGES} published in a turn of the event loop",
        unit="messages/s",
        rates=tuple(Rate.of(name, rates[name], cpu_us[name]) for name in _SERVERS),
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 -- not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _feed(engine: Engine, frames: Iterable[bytes]) -> Iterable[Batch]:
    for number, frame in enumerate(frames):
        received_ms = START_MS + int(number * STEP_MS) + 1
        yield engine.feed(frame, received_ns=received_ms * 1_000_000)


def _message_bytes(frames: Sequence[bytes]) -> int:
    batch = Batch.joined(list(_feed(Engine(), frames[:1_000])))
    return batch.frames_bytes // len(batch)


async def _round(
    name: str, frames: Sequence[bytes], *, clients: int, seconds: float
) -> tuple[float, float]:
    """Return messages per second that one server delivers, and CPU microseconds for each."""
    engine = Engine()
    async with _SERVERS[name](engine) as server, _client_process(server.port, clients) as process:
        await _expect(process, "ready")
        begin_s, begin_cpu_ns = time.perf_counter(), time.process_time_ns()
        published = await _publish(server, engine, frames, seconds)
        await _expect(process, "reached", said=f"{published}\n")
        cpu_ns = time.process_time_ns() - begin_cpu_ns
        spent_s = time.perf_counter() - begin_s
        counts = json.loads(await _line(process))
    if counts != [published] * clients:
        found = f"from {min(counts)} to {max(counts)} messages"
        raise WrongResultError(f"clients of {name} received {found}, expected {published} each")
    delivered = published * clients
    return delivered / spent_s, cpu_ns / 1e3 / delivered


async def _publish(server: Server, engine: Engine, frames: Sequence[bytes], seconds: float) -> int:
    """Publish until the time is over or the frames are; return the number of messages."""
    end_s = time.perf_counter() + seconds
    published = turn = 0
    for batch in _feed(engine, frames):
        server.publish(batch)
        published += len(batch)
        if published - turn < _TURN_MESSAGES:
            continue
        turn = published
        await asyncio.sleep(0)
        while server.is_busy():  # noqa: ASYNC110 -- transports tell nobody that they have room
            await asyncio.sleep(0.000_2)
        if time.perf_counter() >= end_s:
            break
    return published


@asynccontextmanager
async def _client_process(port: int, clients: int) -> AsyncIterator[Process]:
    words = (sys.executable, "-m", "tapecast.bench.counting", str(port), str(clients))
    process = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _expect(process: Process, word: str, *, said: str = "") -> None:
    if said and process.stdin is not None:
        process.stdin.write(said.encode())
    line = await _line(process)
    if line != word:
        raise OSError(f"the client process said {line!r}, expected {word!r}")


async def _line(process: Process) -> str:
    if process.stdout is None:
        return ""
    async with asyncio.timeout(_LIMIT_S):
        return (await process.stdout.readline()).decode().strip()
