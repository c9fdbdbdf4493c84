"""File descriptors: the limit of connections, and what happens when there are none left."""

import asyncio
import errno
import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from tapecast.server.descriptors import AcceptFailures, most_connections

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")

PROGRAM = """
import asyncio, json, logging, os, resource, socket, sys
import uvloop
from tapecast._core import Engine
from tapecast.clocks import SystemClock
from tapecast.server import Hub, Listener, ServerLimits, raise_descriptor_limit
from websockets.asyncio.client import connect

loop_name, soft, exhausted = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "exhausted"
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger().addHandler(handler)
async def main():
    loop = asyncio.get_running_loop()
    hub, clock = Hub(Engine()), SystemClock()
    broadcaster = asyncio.create_task(hub.run(clock))
    async with Listener(hub, clock, port=0) as listener:
        url = f"ws://127.0.0.1:{listener.port}/ws/status"
        first = await connect(url, proxy=None)
        await first.send('{"action":"subscribe","topic":"status"}')
        await first.recv()
        socks = []
        if exhausted:
            for _ in range(12):
                sock = socket.socket()
                sock.setblocking(False)
                socks.append(sock)
            taken = []
            while True:
                try:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    break
            for sock in socks:
                try:
                    sock.connect(("127.0.0.1", listener.port))
                except BlockingIOError:
                    pass
            used = os.times()
            await asyncio.sleep(1.5)
            now = os.times()
            cpu = now.user - used.user + now.system - used.system
            for descriptor in taken:
                os.close(descriptor)
        else:
            for _ in range(60):
                sock = socket.socket()
                sock.setblocking(False)
                socks.append(sock)
                try:
                    sock.connect(("127.0.0.1", listener.port))
                except BlockingIOError:
                    pass
            await asyncio.sleep(0.2)
            cpu = 0.0
        known = len(listener._connections)
        await first.send('{"action":"ping"}')
        pong = json.loads(await first.recv())["type"]
        for sock in socks:
            sock.close()
        before = loop.time()
        while True:
            try:
                async with connect(url, proxy=None, open_timeout=1):
                    break
            except Exception:
                await asyncio.sleep(0.05)
        took = loop.time() - before
        await first.close()
    broadcaster.cancel()
    print(json.dumps({"lines": lines, "cpu": cpu, "known": known, "pong": pong, "took": took}))

factory = uvloop.new_event_loop if loop_name == "uvloop" else asyncio.new_event_loop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(asyncio.wait_for(main(), 30))
"""


def outcome(loop: str, limit: int, how: str) -> dict[str, Any]:
    """Return what a server in a process of its own makes of few descriptors."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-c", PROGRAM, loop, str(limit), how],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_without_descriptors_clients_are_kept_the_log_is_quiet_and_it_recovers(loop: str) -> None:
    result = outcome(loop, 120, "exhausted")
    said = [line for line in result["lines"] if "no further client can be let in" in line]
    assert len(said) <= 2
    assert [line for line in result["lines"] if line not in said] == []
    assert result["pong"] == "pong"
    assert result["cpu"] < 0.3
    assert result["took"] < 3.0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_some_descriptors_are_kept_from_clients(loop: str) -> None:
    # The clients of the test need theirs in the same process.
    result = outcome(loop, 164, "many")
    assert result["known"] <= 100
    assert result["lines"] == []
    assert result["pong"] == "pong"


def test_the_limit_of_this_process_leaves_some(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource  # noqa: PLC0415 -- there is none on Windows

    for soft, most in ((1_024, 960), (64, 1), (65, 1), (resource.RLIM_INFINITY, sys.maxsize)):
        monkeypatch.setattr(resource, "getrlimit", lambda _which, soft=soft: (soft, soft))
        assert most_connections() == most


def accept_failed() -> dict[str, Any]:
    return {
        "message": "socket.accept() out of system resource",
        "exception": OSError(errno.EMFILE, "Too many open files"),
    }


def test_that_nobody_can_be_let_in_is_said_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 5.0
    loop = asyncio.new_event_loop()
    failures = AcceptFailures(None, monotonic_s=lambda: now_s)
    with caplog.at_level(logging.ERROR):
        for _ in range(100):
            failures(loop, accept_failed())
        now_s = 5.99
        failures(loop, accept_failed())
        now_s = 6.0
        failures(loop, accept_failed())
    loop.close()
    text = "no further client can be let in: too many open files; failed {} times since this was"
    assert [record.getMessage() for record in caplog.records] == [
        f"{text.format(1)} said last",
        f"{text.format(101)} said last",
    ]


def test_all_else_is_handled_as_before(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    other = {"message": "something else"}
    AcceptFailures(lambda _loop, context: seen.append(context), monotonic_s=lambda: 0.0)(
        loop, other
    )
    assert seen == [other]
    AcceptFailures(None, monotonic_s=lambda: 0.0)(loop, other)
    loop.close()
    assert [record.getMessage() for record in caplog.records] == ["something else"]
