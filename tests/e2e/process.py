"""The command `tapecast` as a process, as its users run it."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["LIMIT_S", "Tapecast", "program", "tampered", "tapecast"]

LIMIT_S: Final = 60.0
COMMAND: Final = Path(sys.executable).with_name("tapecast")


@dataclass
class Tapecast:
    """A running command.

    Attributes:
        process: The process.
        stdout: Every line that it has printed so far.
        stderr: Every line that it has logged so far.
    """

    process: Process
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def logged(self, pattern: str) -> re.Match[str]:
        """Wait for a line on stderr that holds a pattern."""
        return await self._wait_for(self.stderr, pattern)

    async def printed(self, pattern: str) -> re.Match[str]:
        """Wait for a line on stdout that holds a pattern."""
        return await self._wait_for(self.stdout, pattern)

    async def url(self) -> str:
        """Wait until it listens, and return where."""
        return (await self.logged(r"listening on (ws://\S+)"))[1]

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return await self.process.wait()

    async def read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        """Keep every line of a stream until its end."""
        while line := await stream.readline():
            lines.append(line.decode().removesuffix("\n"))
            self._changed.set()
            self._changed = asyncio.Event()

    async def _wait_for(self, lines: list[str], pattern: str) -> re.Match[str]:
        seen = 0
        while True:
            for line in lines[seen:]:
                if found := re.search(pattern, line):
                    return found
            seen = len(lines)
            await self._changed.wait()


@asynccontextmanager
async def tapecast(*arguments: str, **variables: str) -> AsyncIterator[Tapecast]:
    """Run the command with arguments and further environment variables; it is killed at the end."""
    async with program(str(COMMAND), *arguments, **variables) as run:
        yield run


@asynccontextmanager
async def tampered(code: str, *arguments: str, **variables: str) -> AsyncIterator[Tapecast]:
    """Run the command as `tapecast` does, in an interpreter that has executed some code before."""
    words = [sys.executable, "-c", f"{code}\nfrom tapecast.cli import main\nmain()"]
    async with program(*words, *arguments, **variables) as run:
        yield run


@asynccontextmanager
async def program(*words: str, **variables: str) -> AsyncIterator[Tapecast]:
    """Run any program that is the command in the end."""
    async with asyncio.timeout(LIMIT_S):
        process = await asyncio.create_subprocess_exec(
            *words, stdout=PIPE, stderr=PIPE, env={**os.environ, **variables}
        )
        assert process.stdout is not None
        assert process.stderr is not None
        run = Tapecast(process)
        async with asyncio.TaskGroup() as readers:
            readers.create_task(run.read(process.stdout, run.stdout))
            readers.create_task(run.read(process.stderr, run.stderr))
            try:
                yield run
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
