"""Every error has its exit code and one line that says what to do; nothing hangs at the end."""

import errno
import os
import subprocess
import sys

import click
import pytest

from tapecast.cli.exits import Exit, exit_of
from tapecast.cli.main import cli
from tapecast.errors import (
    ConfigError,
    FeedError,
    InternalFault,
    StateForeign,
    StateLocked,
    StateTooNew,
    StateUnusable,
)

from .commands import COMMAND, LIMIT_S, invoke


class PanicException(BaseException):
    """What PyO3 makes of a panic."""


LISTEN = "cannot listen on 127.0.0.1:80: "
ELSEWHERE = "; end what uses it, or listen elsewhere (--host, --port)"
REPORT = "; a fault of tapecast, please report it"


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError("a: 1, expected 2", "b"), 2, ["a: 1, expected 2", "b"]),
        (
            StateForeign("/s", "linear", "spot"),
            2,
            [
                (
                    "state directory /s is of linear, expected spot; "
                    "set another state_dir, or those settings again"
                )
            ],
        ),
        (
            StateTooNew("/s/format", 9, 1),
            65,
            [
                (
                    "/s/format has version 9, expected at most 1; "
                    "run that tapecast, or set another state_dir"
                )
            ],
        ),
        (
            InternalFault("task broadcaster", "was cancelled"),
            70,
            [f"task broadcaster was cancelled, expected to run until the daemon stops{REPORT}"],
        ),
        (ZeroDivisionError("no"), 70, [f"ZeroDivisionError: no{REPORT}"]),
        (PanicException("index"), 70, [f"PanicException: index{REPORT}"]),
        (
            StateLocked("/s", 12),
            73,
            [
                (
                    "state directory /s is in use by process 12, expected one not in use; "
                    "end that process, or set another state_dir"
                )
            ],
        ),
        (
            StateUnusable("/s", "disk is full", "a disk"),
            74,
            [
                (
                    "state directory /s cannot be used: disk is full, expected a disk; "
                    'mend it, set another state_dir, or "none" to keep nothing'
                )
            ],
        ),
        (
            OSError(errno.EADDRINUSE, LISTEN + "address already in use"),
            98,
            [f"{LISTEN}address already in use{ELSEWHERE}"],
        ),
        (OSError(errno.EACCES, LISTEN + "denied"), 98, [f"{LISTEN}denied{ELSEWHERE}"]),
        (OSError(-2, LISTEN + "unknown"), 98, [f"{LISTEN}unknown{ELSEWHERE}"]),
        (
            PermissionError(errno.EACCES, "Permission denied", "x.gz"),
            1,
            ["x.gz: permission denied"],
        ),
        (OSError(errno.EIO, "Input/output error"), 1, ["input/output error"]),
        (OSError("no number"), 1, ["no number"]),
        (FeedError("damaged"), 1, ["damaged"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_every_error_has_its_exit_code_and_says_what_to_do(
    error: BaseException, code: int, lines: list[str]
) -> None:
    is_unknown = isinstance(error, ZeroDivisionError | PanicException)
    assert exit_of(error) == Exit(code, tuple(lines), is_unknown)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Return a list whose first error the command `fail` raises."""
    errors: list[BaseException] = []

    @click.command
    def fail() -> None:
        raise errors[0]

    monkeypatch.setattr(type(cli), "get_command", lambda *_: fail)
    return errors


def test_a_panic_is_told_with_its_traceback_and_exit_code_70(failing: list[BaseException]) -> None:
    failing.append(PanicException("index out of bounds"))
    result = invoke("fail")
    assert (result.exit_code, result.stdout) == (70, "")
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith(f"\ntapecast: PanicException: index out of bounds{REPORT}\n")


def test_a_fault_that_the_log_has_is_one_line(failing: list[BaseException]) -> None:
    failing.append(InternalFault("thread log-writer", "failed: ValueError"))
    result = invoke("fail")
    assert (result.exit_code, len(result.stderr.splitlines())) == (70, 1)


@pytest.mark.parametrize("error", [click.exceptions.Exit(5), SystemExit(5)])
def test_an_exit_code_that_a_command_chose_stays(
    failing: list[BaseException], error: BaseException
) -> None:
    failing.append(error)
    result = invoke("fail")
    assert (result.exit_code, result.output) == (5, "")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- this interpreter
        [sys.executable, "-c", code],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
    )


def test_a_thread_that_is_stuck_does_not_keep_the_process_from_ending() -> None:
    code = (
        "import threading\nfrom tapecast.cli.exits import leave\n"
        "threading.Thread(target=threading.Event().wait).start()\nprint('said')\nleave(73)"
    )
    result = python(code)
    assert (result.returncode, result.stdout) == (73, "said\n")


def test_no_file_gets_the_number_of_a_stream_that_is_closed() -> None:
    code = (
        "import os\nfrom tapecast.cli.exits import secure_streams\nsecure_streams()\n"
        "found = os.open('/', os.O_RDONLY)\nos.write(1, b'to nobody')\nos._exit(found)"
    )
    closed = f'exec {sys.executable} -c "{code}" <&- >&- 2>&-'
    result = subprocess.run(  # noqa: S603 -- a shell, for what Python cannot do
        ["/bin/sh", "-c", closed], check=False, timeout=LIMIT_S
    )
    assert result.returncode == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no /bin/sh on Windows")
def test_an_exit_code_is_told_even_where_nobody_reads_stderr() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(  # noqa: S603 -- the command under test
        [COMMAND, "check-config", "--port", "-1"], check=False, stderr=writing, timeout=LIMIT_S
    )
    os.close(writing)
    assert result.returncode == 2
