"""A process that things happen to: signals, full pipes, clocks, stalls, faults of its own."""

import asyncio
import os
import re
import shutil
import signal
import socket
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tapecast.messages import Ohlcv, Stats, Trade
from tests.daemon.harness import MINUTE_MS, subscriber

from .process import COMMAND, Tapecast, program, tampered, tapecast

NOWHERE = (
    *("--bybit-ws-url", "ws://127.0.0.1:9"),
    *("--bybit-rest-url", "http://127.0.0.1:9"),
    *("--port", "0", "--symbols", "BTCUSDT"),
)
ENDED_S = 3.5
"""Three seconds are promised; the rest is for a busy machine."""


def authority(url: str) -> tuple[str, int]:
    found = re.search(r"//(.+):(\d+)/", url)
    assert found is not None
    return found[1], int(found[2])


@asynccontextmanager
async def mute_client(url: str) -> AsyncIterator[None]:
    """Connect a client that never reads, nor answers a close."""
    with socket.create_connection(authority(url)) as client:
        client.sendall(
            b"GET /ws/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            b"\x81\xa7\0\0\0\0" + b'{"action":"subscribe","topic":"status"}'
        )
        # The answer to the handshake: from now on it is a client.
        assert await asyncio.to_thread(client.recv, 12) == b"HTTP/1.1 101"
        yield


# Signals.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_within_three_seconds_with_0(number: signal.Signals) -> None:
    async with tapecast("demo", "--port", "0") as run, mute_client(await run.url()):
        begun_s = time.monotonic()
        assert await run.end(number) == 0
        assert time.monotonic() - begun_s < ENDED_S
    assert f"{number.name}: ending; a second one ends at once" in "\n".join(run.stderr)


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_it_at_once(second: signal.Signals, code: int) -> None:
    async with tapecast("demo", "--port", "0") as run, mute_client(await run.url()):
        run.process.send_signal(signal.SIGTERM)
        await run.logged("SIGTERM: ending")
        assert await run.end(second) == code


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="a resolver of its own takes root and unshare (util-linux)",
)
async def test_a_resolver_that_does_not_answer_does_not_hold_up_the_end(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.77\noptions timeout:15 attempts:3\n")
    script = f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec "$@"'
    urls = ("--bybit-ws-url", "ws://slow.example", "--bybit-rest-url", "http://slow.example")
    options = ("--port", "0", "--symbols", "linear:*,spot:BTCUSDT", *urls)
    words = ("unshare", "-m", "sh", "-c", script, "sh", str(COMMAND), "serve", *options)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind(("127.0.0.77", 53))
        resolver.settimeout(0)
        async with program(*words) as run:
            assert await asyncio.get_running_loop().sock_recv(resolver, 512)
            begun_s = time.monotonic()
            assert await run.end() == 0
            assert time.monotonic() - begun_s < ENDED_S


# What cannot begin.


async def test_an_address_in_use_is_98_and_the_state_is_not_touched(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ("--state-dir", str(state), "--port", port)
        async with tapecast("serve", *NOWHERE, *options) as run:
            assert await run.process.wait() == 98
    assert run.stderr[-1] == (
        f"tapecast: cannot listen on 127.0.0.1:{port}: address already in use; "
        "end what uses it, or listen elsewhere (--host, --port)"
    )
    assert not state.exists()
    assert not any("Traceback" in line for line in run.stderr)


async def test_a_state_directory_in_use_is_73(tmp_path: Path) -> None:
    options = (*NOWHERE, "--state-dir", str(tmp_path))
    async with tapecast("serve", *options) as first:
        await first.url()
        async with tapecast("serve", *options) as second:
            assert await second.process.wait() == 73
        assert second.stderr[-1] == (
            f"tapecast: state directory {tmp_path} is in use by process {first.process.pid}, "
            "expected one not in use; end that process, or set another state_dir"
        )
        assert await first.end() == 0


async def test_a_state_directory_of_a_newer_version_is_65(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("99\n")
    async with tapecast("serve", *NOWHERE, "--state-dir", str(tmp_path)) as run:
        assert await run.process.wait() == 65
    assert re.fullmatch(
        rf"tapecast: {tmp_path}/format has version 99, expected at most \d+; "
        "run that tapecast, or set another state_dir",
        run.stderr[-1],
    )


async def test_a_state_directory_that_cannot_be_made_is_74(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "state"
    async with tapecast("serve", *NOWHERE, "--state-dir", str(path)) as run:
        assert await run.process.wait() == 74
    assert run.stderr[-1].startswith(f"tapecast: state directory {path} cannot be used: ")
    assert run.stderr[-1].endswith('; mend it, set another state_dir, or "none" to keep nothing')


# Pipes.


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_it_lives_on_when_whoever_reads_a_stream_has_gone(stream: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reading, writing = os.pipe()
    streams = {"stdout": PIPE, "stderr": PIPE} | {stream: writing}
    words = (str(COMMAND), "demo", "--port", str(port))
    process = await asyncio.create_subprocess_exec(*words, **streams)  # type: ignore[arg-type]
    os.close(writing)
    try:
        async with asyncio.timeout(60):
            await asyncio.to_thread(os.read, reading, 1)  # as `| head -1`
            os.close(reading)
            await lives(f"ws://127.0.0.1:{port}/ws/status", writer=f"{WRITERS[stream]}-writer")
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


WRITERS = {"stdout": "console", "stderr": "log"}


async def lives(url: str, *, writer: str) -> None:
    """Wait until lines of a writer are lost, while trades come."""
    while True:
        try:
            async with subscriber(url) as client:
                stats = await client.find(Stats)
                # A log says nothing as long as nothing changes: one client after the other does.
                states = {one.name: one.state for one in stats.thread_statuses}
                if writer != "console-writer" or states[writer] == "failed":
                    await client.find(Trade)
                    return
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
async def test_a_stream_that_is_closed_from_the_beginning_is_no_harm(
    closed: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = f"exec {COMMAND} demo --port {port} --state-dir {tmp_path}/state {closed}"
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", words, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(60):
            await lives(f"ws://127.0.0.1:{port}/ws/status", writer="log-writer")
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # Lines for a stream that is none did not go into whatever file got its number.
    written = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*.*"))
    assert written
    assert b"listening on" not in written


# Stalls and faults of its own.


def once_ready(code: str) -> str:
    """Return code that has other code run in the loop once the daemon listens."""
    return (
        "import asyncio, time\nimport tapecast.daemon.app as app\n"
        f"app.calm_collector = lambda: asyncio.get_running_loop().call_later(0.2, {code})"
    )


async def test_a_loop_that_stands_still_is_logged_with_its_stack_and_counted() -> None:
    async with tampered(once_ready("time.sleep, 1.5"), "serve", *NOWHERE) as run:
        await run.logged(r"error .*\.watchdog: the event loop stands still for 1\.\d s")
        await run.logged(r"^  +File .*, in run_until_signal$")
        await run.logged(r"warning .*\.watchdog: the event loop moves again after 1\.\d s")
        async with subscriber(await run.url()) as client:
            stats = await client.find(Stats)
            while not stats.message_counts["loop_stalls"]:
                stats = await client.find(Stats)
            assert stats.message_counts["loop_stalls"] == 1
        assert await run.end() == 0


PANIC = """
class PanicException(BaseException):
    pass

def panic():
    raise PanicException("index out of bounds")
"""


async def test_a_panic_is_70_with_its_traceback_in_the_log(tmp_path: Path) -> None:
    code = f"{PANIC}\n{once_ready('panic')}"
    options = ("--state-dir", str(tmp_path), "--log-format", "json")
    async with tampered(code, "serve", *NOWHERE, *options) as run:
        assert await run.process.wait() == 70
    fault = "a callback failed: PanicException: index out of bounds"
    (line,) = [line for line in run.stderr if '"level":"critical"' in line]
    assert f'"message":"{fault}"' in line
    assert "Traceback (most recent call last)" in line
    assert run.stderr[-1] == (
        f"tapecast: {fault}, expected to run until the daemon stops; "
        "a fault of tapecast, please report it"
    )


async def test_a_task_that_dies_is_70_and_the_log_names_it() -> None:
    code = once_ready(
        "lambda: [one.cancel() for one in asyncio.all_tasks() if one.get_name() == 'broadcaster']"
    )
    async with tampered(code, "serve", *NOWHERE) as run:
        assert await run.process.wait() == 70
    assert any(
        re.search(r"critical .*: task broadcaster was cancelled$", line) for line in run.stderr
    )


# systemd.


async def test_systemd_is_told_that_it_is_ready_alive_and_ending(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0)
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        async with tampered(once_ready("time.sleep, 1.5"), "serve", *NOWHERE, **variables) as run:
            await run.logged("the event loop stands still")
            loop = asyncio.get_running_loop()
            messages = [await loop.sock_recv(manager, 100) for _ in range(1)]
            while len(messages) < 5:
                messages.append(await loop.sock_recv(manager, 100))
            assert await run.end() == 0
            while messages[-1] != b"STOPPING=1":
                messages.append(await loop.sock_recv(manager, 100))
    assert messages[0] == b"READY=1"
    assert set(messages[1:-1]) == {b"WATCHDOG=1"}


# Clocks.

STEP = """
import os, pathlib, time
machine_ns = time.time_ns
path = pathlib.Path(os.environ["STEP_FILE"])

def stepped_ns():
    return machine_ns() + (3_600_000_000_000 * int(path.read_text() or 0))

time.time_ns = stepped_ns
"""


@asynccontextmanager
async def against_the_simulated_exchange(code: str, **variables: str) -> AsyncIterator[Tapecast]:
    async with tapecast("sim", "--port", "0", "--rate", "50") as exchange:
        port = (await exchange.logged(r"REST +http://127.0.0.1:(\d+)"))[1]
        urls = (
            *("--bybit-ws-url", f"ws://127.0.0.1:{port}/v5/public"),
            *("--bybit-rest-url", f"http://127.0.0.1:{port}"),
        )
        options = (*urls, "--port", "0", "--symbols", "BTCUSDT")
        async with tampered(code, "serve", *options, **variables) as run:
            yield run


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_wall_clock_that_is_set_by_an_hour_changes_no_candle_and_no_line(
    hours: int, tmp_path: Path
) -> None:
    step = tmp_path / "step"
    step.write_text("0")
    async with against_the_simulated_exchange(STEP, STEP_FILE=str(step)) as run:
        async with subscriber(await run.url()) as client:
            await client.find(Trade)
            step.write_text(str(hours))
            await run.logged(r"the wall clock was set by [+-]3[56]\d\d\.\d+ s, which is not")
            seen = len(client.messages)
            stats = await client.find(Stats)
            while not stats.message_counts["clock_steps"]:
                stats = await client.find(Stats)
            for _ in range(3):
                stats = await client.find(Stats)
            assert stats.message_counts["clock_steps"] == 1
            assert stats.message_counts["reconnects"] == 0
            assert stats.message_counts["late_trades"] == 0
            since = client.messages[seen:]
            now_ms = time.time_ns() // 1_000_000
            closed = [one for one in since if isinstance(one, Ohlcv)]
            assert all(one.start + MINUTE_MS <= now_ms for one in closed)
            assert any(isinstance(one, Trade) for one in since)
        assert await run.end() == 0


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.mark.skipif(FAKETIME is None, reason="no faketime (Debian's faketime)")
async def test_a_step_of_the_whole_process_by_faketime_is_seen_and_not_followed(
    tmp_path: Path,
) -> None:
    stamp = tmp_path / "stamp"
    stamp.write_text("+0")
    variables = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    async with against_the_simulated_exchange("", **variables) as run:
        async with subscriber(await run.url()) as client:
            await client.find(Trade)
            stamp.write_text("+3600")
            await run.logged("the wall clock was set by")
            stats = await client.find(Stats)
            while not stats.message_counts["clock_steps"]:
                stats = await client.find(Stats)
            assert stats.message_counts["reconnects"] == 0
        assert await run.end() == 0
