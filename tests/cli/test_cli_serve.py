"""`tapecast serve` as a process: its beginning, its end, and what it says on its way."""

import asyncio
import json
import os
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.e2e.process import tapecast

from .commands import COMMAND, DEAD, LIMIT_S, frame, invoke, run

GRACE = "expected an integer from 0 to 60000"


async def test_a_port_in_use_is_one_line_and_the_first_lives_on() -> None:
    async with tapecast("serve", "--port", "0", *DEAD) as first:
        port = (await first.url()).split(":")[-1].split("/")[0]
        second = await asyncio.to_thread(run, "serve", "--port", port, *DEAD)
        assert (second.returncode, second.stdout, second.stderr) == (
            98,
            "",
            (
                f"tapecast: cannot listen on 127.0.0.1:{port}: address already in use; "
                "end what uses it, or listen elsewhere (--host, --port)\n"
            ),
        )
        await first.printed("Z stats ")
        assert await first.end() == 0


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_bad_settings_are_all_told_and_nothing_starts(command: str) -> None:
    result = run(command, "--port", "-1", "--log-format", "xml", "--candles-grace-ms", "1s")
    assert (result.returncode, result.stdout) == (2, "")
    assert sorted(result.stderr.splitlines()) == [
        f'tapecast: candles.grace_ms: "1s", {GRACE} (--candles-grace-ms)',
        'tapecast: log.format: "xml", expected "text" or "json" (--log-format)',
        'tapecast: port: "-1", expected an integer from 0 to 65535 (--port)',
    ]


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_speed_that_is_none_is_a_misuse(speed: str) -> None:
    result = invoke("serve", "--replay", "x", "--speed", speed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == (
        f"Error: Invalid value for '--speed': speed is \"{speed}\", "
        'expected a number above 0 or "max"'
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--speed", "1"], "--speed is"),
        (["--category", "linear"], "--category is"),
        (["--wait-clients", "0"], "--wait-clients is"),
        (["--wait-clients", "2", "--speed", "max"], "--speed, --wait-clients are"),
    ],
)
def test_an_option_of_replays_without_one_is_a_misuse(words: list[str], found: str) -> None:
    result = invoke("serve", "--port", "-1", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"Error: {found} given without --replay"


def test_a_missing_recording_ends_it_with_one_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    result = run("serve", "--port", "0", "--replay", path)
    assert (result.returncode, result.stderr) == (
        *(1, f"tapecast: {path}: no such file or directory\n"),
    )


def test_a_replay_prints_its_candles_on_stdout_and_its_logs_on_stderr(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b"".join(frame(number * 60_000, "100.5") for number in range(3)))
    result = run("serve", "--port", "0", "--replay", path, "--speed", "max", "--log-format", "json")
    assert result.returncode == 0
    candles = [line for line in result.stdout.splitlines() if " ohlcv " in line]
    assert [line.partition(" ohlcv ")[2] for line in candles] == [
        "linear:BTCUSDT 1m open 100.5 high 100.5 low 100.5 close 100.5 volume 1 vwap 100.5 trades 1"
    ] * len(candles)
    assert candles
    others = [line for line in result.stdout.splitlines() if " ohlcv " not in line]
    assert all(re.match(r"\S+Z stats frames \d+ ", line) for line in others)
    logs = [json.loads(line) for line in result.stderr.splitlines()]
    assert {log["level"] for log in logs} == {"info"}
    assert [log["message"] for log in logs][-2:] == [
        *("replay is done: 3 frames, of which 0 are unknown", "stopped"),
    ]


def test_several_recordings_are_played_one_after_the_other(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(frame(number * 60_000, "100.5"))
    result = run("serve", "--port", "0", "--speed", "max", "--replay", *paths)
    assert result.returncode == 0
    assert "replay is done: 3 frames, of which 0 are unknown" in result.stderr


async def test_a_reader_that_leaves_does_not_end_the_daemon() -> None:
    async with serving() as (process, reading, url):
        await asyncio.to_thread(os.read, reading, 1)  # as `| head -1`
        os.close(reading)
        async for counts, states in stats_of(url):
            if states["console-writer"] == ("failed", "Broken pipe") and counts["dropped_lines"]:
                break
        process.terminate()
        assert await process.wait() == 0


async def test_a_reader_that_does_not_read_holds_up_nothing() -> None:
    async with serving(is_full=True) as (process, reading, url):
        looks = 0
        async for counts, states in stats_of(url):
            assert states["console-writer"] in {("running", None), ("stalled", None)}
            assert counts["dropped_lines"] == 0
            looks += 1
            if looks == 3:
                break
        process.terminate()
        assert await process.wait() == 0
        os.close(reading)


@asynccontextmanager
async def serving(*, is_full: bool = False) -> AsyncIterator[tuple[Process, int, str]]:
    """Run the daemon with a pipe as its stdout, which may be full before it begins.

    Yields the process, the reading end of the pipe, which the caller closes, and the stream's URL.
    """
    reading, writing = os.pipe()
    if is_full:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
    words = (str(COMMAND), "serve", "--port", "0", *DEAD)
    process = await asyncio.create_subprocess_exec(*words, stdout=writing, stderr=PIPE)
    os.close(writing)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            found = None
            while not found:
                found = re.search(rb"listening on (ws://\S+)", await process.stderr.readline())
            yield process, reading, found[1].decode()
            assert b"Traceback" not in await process.stderr.read()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def stats_of(
    url: str,
) -> AsyncIterator[tuple[dict[str, int], dict[str, tuple[str, str | None]]]]:
    """Yield the counts and the states (and errors) of the workers of every stats message."""
    async with connect(url, proxy=None) as client:
        await client.send('{"action":"subscribe","topic":"status","types":["stats"]}')
        async for text in client:
            message = json.loads(text)
            if message["type"] == "stats":
                statuses = message["thread_statuses"]
                states = {each["name"]: (each["state"], each["error"]) for each in statuses}
                yield message["message_counts"], states
