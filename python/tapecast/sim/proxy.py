"""A small TCP proxy that makes trouble, in front of the simulated exchange or anything else.

Toxics are added and removed while it runs, by method or on the schedule of a script. What they
leave to chance is a function of the seed, the connection and its direction.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count
from typing import TYPE_CHECKING, Self

from tapecast.sim.cabinet import Cabinet, Dose
from tapecast.sim.pipe import HangUp, Pipe
from tapecast.sim.sockets import not_listening, reset
from tapecast.sim.toxics import Down, ResetPeer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from tapecast.sim.toxics import Stream, Toxic

__all__ = ["ChaosProxy"]


class ChaosProxy:
    """A running proxy; an asynchronous context manager.

    Args:
        target: Host and port that connections are passed on to.
        host: Address to listen on.
        port: TCP port; 0 for any free one, which it keeps.
        seed: Of everything that is left to chance.
        toxics: What to do, and when, from the start.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        toxics: Sequence[Toxic] = (),
    ) -> None:
        self._target = target
        self._host = host
        self._port = port
        self._seed = seed
        self._script = tuple(toxics)
        self._cabinet = Cabinet(seed)
        self._doses: list[Dose[Toxic]] = []
        self._server: asyncio.Server | None = None
        self._numbers = count(1)
        self._links: set[asyncio.Task[None]] = set()
        self._schedule: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen, and begin the schedule.

        Raises:
            OSError: If the address cannot be listened on.
        """
        try:
            await self._listen()
        except OSError as error:
            raise not_listening(error, self._host, self._port) from error
        for toxic in self._script:
            await self.add(toxic)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Reset every connection and give the port back."""
        for task in self._schedule:
            task.cancel()
        await asyncio.gather(*self._schedule, return_exceptions=True)
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._cut_all()
        if server is not None:
            await server.wait_closed()

    @property
    def port(self) -> int:
        """The TCP port that it listens on, also while it is down."""
        return self._port

    @property
    def connections(self) -> int:
        """Number of connections that it passes on."""
        return len(self._links)

    async def wait_connections(self, number: int) -> None:
        """Wait until it passes on exactly so many connections; bound the wait outside."""
        while len(self._links) != number:
            await self._changed.wait()

    async def add(self, toxic: Toxic) -> Dose[Toxic]:
        """Put a toxic to work, `toxic.at_ms` from now and for `toxic.for_ms`."""
        dose = Dose(len(self._doses) + 1, toxic)
        self._doses.append(dose)
        if toxic.at_ms == 0:
            await self._begin(dose)
        if toxic.at_ms or toxic.for_ms is not None:
            task = asyncio.create_task(self._time(dose), name="chaos-schedule")
            self._schedule.add(task)
            task.add_done_callback(self._schedule.discard)
        return dose

    async def remove(self, dose: Dose[Toxic]) -> None:
        """Take a toxic off, or keep it from beginning.

        Raises:
            OSError: If somebody else listens on the port after it was down.
        """
        dose.end()
        if self._cabinet.remove(dose) and not self._is_down() and self._server is None:
            await self._listen()

    async def clear(self) -> None:
        """Take every toxic off, and keep those to come from beginning."""
        for dose in self._doses:
            if not dose.over:
                await self.remove(dose)

    async def _time(self, dose: Dose[Toxic]) -> None:
        toxic = dose.toxic
        if toxic.at_ms:
            await asyncio.sleep(toxic.at_ms / 1000)
            await self._begin(dose)
        if toxic.for_ms is not None:
            await asyncio.sleep(toxic.for_ms / 1000)
            await self.remove(dose)

    async def _begin(self, dose: Dose[Toxic]) -> None:
        if dose.over:
            return
        self._cabinet.add(dose)
        if isinstance(dose.toxic, Down):
            server, self._server = self._server, None
            if server is not None:
                server.close()
            await self._cut_all()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._accept, self._host, self._port)
        self._server = server
        self._port = server.sockets[0].getsockname()[1]

    def _is_down(self) -> bool:
        return any(isinstance(one.toxic, Down) and self._cabinet.holds(one) for one in self._doses)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="chaos-link")
        self._links.add(task)
        task.add_done_callback(self._forget)
        self._tell_changed()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._links.discard(task)
        self._tell_changed()

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _cut_all(self) -> None:
        links = list(self._links)
        for task in links:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on from its beginning to its end."""
        ends = [writer]
        number = next(self._numbers)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            ends.append(far_writer)
            pipes = (
                self._pipe(reader, far_writer, number, "upstream"),
                self._pipe(far_reader, writer, number, "downstream"),
            )
            if await self._run(pipes, number):
                return
            for end in ends:
                end.close()
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(*(end.wait_closed() for end in ends))
        except OSError:
            return
        finally:
            for end in ends:
                if not end.is_closing():
                    reset(end.transport)

    def _pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        stream: Stream,
    ) -> Pipe:
        return Pipe(
            reader,
            writer,
            cabinet=self._cabinet,
            connection=number,
            stream=stream,
            seed=self._seed,
        )

    async def _run(self, pipes: tuple[Pipe, Pipe], number: int) -> bool:
        """Let bytes pass until the end, and return whether that is a reset."""
        ends: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(self._watch(number))]
                others += [group.create_task(pipe.read()) for pipe in pipes]
                await asyncio.wait([group.create_task(pipe.write()) for pipe in pipes])
                for other in others:
                    other.cancel()
        except* HangUp as over:
            ends += over.exceptions
        return any(isinstance(one, HangUp) and one.reset for one in ends)

    async def _watch(self, number: int) -> None:
        """Reset the connection when a toxic says so."""
        while True:
            changed = self._cabinet.changed
            dose = self._cabinet.first(ResetPeer, number)
            if dose is None:
                await changed.wait()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(dose.toxic.timeout_ms / 1000):
                    await dose.removed.wait()
            if not dose.over:
                raise HangUp(reset=True)
