"""Lines against the simulated exchange in memory, in time that passes by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from tapecast.bybit import ConnectBudget, Line, LineConfig, Target
from tapecast.sim.connection import ABNORMAL
from tapecast.sim.connection import Connection as DeskConnection
from tapecast.sim.desk import Desk
from tapecast.sim.faults import Fault, Script
from tapecast.sim.instruments import select_instruments
from tests.chaos.loops import LoopClock, run

from .bybit_fakes import Most, Recorder

if TYPE_CHECKING:
    from tapecast.aliases import Category

__all__ = ["START_MS", "Memory", "MemoryConnection", "lived"]

START_MS = 1_790_000_040_000
"""Start of a minute."""

_STEP_S = 0.05
_T = TypeVar("_T")


class MemoryConnection:
    """A connection to a desk, as a line needs it.

    Attributes:
        sent: What the line sent.
        ends: `aborted` or `closed`, in their order.
        on_bytes: Told whenever something comes.
    """

    def __init__(self, desk: DeskConnection, on_bytes: Callable[[], None]) -> None:
        self.sent: list[bytes] = []
        self.ends: list[str] = []
        self.pings = 0
        self._desk = desk
        self.on_bytes = on_bytes
        self._output = asyncio.Event()
        desk.on_output = self._output.set

    async def recv(self, decode: Literal[False]) -> bytes:
        assert decode is False
        while (frame := self._desk.pop()) is None:
            if not self._desk.open:
                raise self._closed()
            self._output.clear()
            await self._output.wait()
        self.on_bytes()
        return frame

    async def send(self, message: bytes, *, text: Literal[True]) -> None:
        assert text
        if not self._desk.open:
            raise self._closed()
        self.sent.append(message)
        self._desk.receive(message)

    async def ping(self) -> None:
        self.pings += 1
        if self._desk.ping():
            self.on_bytes()

    async def close(self) -> None:
        self.ends.append("closed")
        self._desk.disconnect()

    def abort(self) -> None:
        self.ends.append("aborted")
        self._desk.disconnect()

    def _closed(self) -> ConnectionClosedError:
        ending = self._desk.ending
        if ending is None or ending.code is None or ending.code == ABNORMAL:
            return ConnectionClosedError(None, None)
        return ConnectionClosedError(Close(ending.code, ending.reason), None)


@dataclass
class Memory:
    """An exchange in memory, and what was made of it.

    Attributes:
        desk: The exchange.
        clock: Time for all.
        connections: Every connection that there was.
        connects: When a connection was asked for, and which.
    """

    desk: Desk
    clock: LoopClock
    connections: list[MemoryConnection] = field(default_factory=list)
    connects: list[tuple[float, Target]] = field(default_factory=list)

    async def open(self, target: Target, on_bytes: Callable[[], None]) -> MemoryConnection:
        self.connects.append((self.clock.monotonic_s(), target))
        category = cast("Category", target.url.rpartition("/")[2])
        connection = MemoryConnection(self.desk.connect(category), on_bytes)
        self.connections.append(connection)
        return connection

    async def until(self, at_s: float) -> None:
        """Let time pass, and the exchange trade."""
        while (now_s := self.clock.monotonic_s()) < at_s:
            await asyncio.sleep(min(_STEP_S, at_s - now_s))
            self.desk.advance_to(self.clock.wall_ms())

    @asynccontextmanager
    async def line(
        self, config: LineConfig, budget: ConnectBudget | None = None
    ) -> AsyncIterator[tuple[Line, Recorder]]:
        """Run a line, and end it by cancelling."""
        sink = Recorder()
        line = Line(
            config,
            sink,
            clock=self.clock,
            budget=budget,
            chance=Most(),
            opener=self.open,
        )
        task = asyncio.create_task(line.run(), name=config.name)
        try:
            yield line, sink
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended


def lived(
    live: Callable[[Memory], Coroutine[Any, Any, _T]],
    *faults: Fault,
    symbols: tuple[str, ...] = ("linear:BTCUSDT",),
    rate: float = 20.0,
) -> _T:
    """Run a test in its own loop, against an exchange with these faults."""

    async def living() -> _T:
        clock = LoopClock(START_MS)
        desk = Desk(
            select_instruments(symbols),
            start_ms=START_MS,
            seed=5,
            rate=rate,
            script=Script(seed=5, faults=faults),
        )
        return await live(Memory(desk, clock))

    return run(living())
