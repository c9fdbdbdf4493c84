"""`tapecast candles` as a process: pipes that are closed, full disks and terminals."""

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .commands import BAD, BAD_TEXT, COMMAND, LIMIT_S, frame, run

STYLES = ["table", "csv", "jsonl"]
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording with more candles than a pipe holds, and less than a bar is shown for."""
    path = tmp_path_factory.mktemp("recordings") / "many.jsonl"
    path.write_bytes(b"".join(frame(number * MINUTE_MS, "100") for number in range(3_000)))
    assert path.stat().st_size < 4 << 20
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of more than 4 MiB with one candle."""
    path = tmp_path_factory.mktemp("recordings") / "long.jsonl"
    path.write_bytes((frame(0, "100")[:-1] + b" " * 2_000 + b"\n") * 2_200 + BAD + b"\n")
    assert path.stat().st_size > 4 << 20
    return path


@pytest.mark.parametrize("style", STYLES)
def test_a_reader_that_leaves_after_one_line_ends_it_without_a_word(many: Path, style: str) -> None:
    words = [str(COMMAND), "candles", str(many), "--format", style]
    with subprocess.Popen(  # noqa: S603 -- the command under test
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(LIMIT_S) == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_reader_that_was_never_there_is_no_traceback(tmp_path: Path, style: str) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(frame(0, "100"))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = run("candles", path, "--format", style, stdout=writing)
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("style", STYLES)
def test_a_full_disk_is_one_line(many: Path, style: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        result = run("candles", many, "--format", style, stdout=full)
    finally:
        os.close(full)
    assert (result.returncode, result.stderr) == (1, "tapecast: no space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudoterminals")
def test_no_digit_is_cut_off_on_a_narrow_terminal(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(frame(0, "123456.123456789", "987654.987654321"))
    out, _ = on_terminal(path, stdout=True)
    assert b"123456.123456789" in out
    assert b"987654.987654321" in out
    assert "…".encode() not in out


def on_terminal(path: Path, *, stdout: bool = False) -> tuple[bytes, bytes]:
    """Return what a terminal of 80 columns shows, and what stdout gets if that is a pipe."""
    screen, terminal = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(screen, 4096):
                shown.append(data)
        except OSError:  # Linux's way to tell the end of a terminal
            pass

    reader = threading.Thread(target=read)
    words = [str(COMMAND), "candles", str(path)]
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(  # noqa: S603 -- the command under test
        words,
        stdout=terminal if stdout else subprocess.PIPE,
        stderr=terminal,
        env={**variables, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(terminal)
    reader.start()
    try:
        printed, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
        reader.join(LIMIT_S)
        os.close(screen)
    return b"".join(shown), printed or b""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudoterminals")
def test_a_long_recording_shows_a_bar_on_a_terminal_and_removes_it(long: Path) -> None:
    screen, printed = on_terminal(long)
    assert b"long.jsonl" in screen
    assert b"100%" in screen
    assert f"tapecast: {long}:2201: {BAD_TEXT}".encode() in b"".join(screen.split(b"\r\n"))
    assert screen.rstrip().endswith(b"\x1b[2K")  # the bar's line is erased
    assert len(printed.splitlines()) == 2


def test_there_is_no_bar_without_a_terminal(long: Path) -> None:
    assert run("candles", long).stderr == f"tapecast: {long}:2201: {BAD_TEXT}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudoterminals")
def test_there_is_no_bar_for_a_short_recording(many: Path) -> None:
    assert on_terminal(many)[0] == b""
