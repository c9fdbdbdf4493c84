"""What a process does for its event loop, and how signals end it."""

import gc
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tapecast.daemon.lifecycle import calm_collector, check_address

LIMIT_S = 60.0

WAITING = """
import asyncio, sys, threading, time
from tapecast.cli.exits import leave
from tapecast.daemon.lifecycle import run_until_signal

async def main(stop):
    print("up", flush=True)
    {work}
    print("done", flush=True)

run_until_signal(main)
leave(0)
"""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_the_collector_leaves_alone_what_is_there_and_looks_less_often_at_the_rest() -> None:
    gc.unfreeze()
    before = gc.get_threshold()
    calm_collector()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() > before


def test_an_address_in_use_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: address already"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1"])  # noqa: S104
def test_any_free_port_can_be_had(host: str) -> None:
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    check_address(host, 0)


def test_a_name_that_nobody_has_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"cannot listen on no\.such\.host\.invalid:1: ") as caught:
        check_address("no.such.host.invalid", 1)
    assert caught.value.errno is not None
    assert caught.value.errno < 0


def ended(work: str, *signals: signal.Signals) -> tuple[int, str, float]:
    """Run a program until it is up, send signals, each a little later, and see how it ends.

    Returns:
        The exit code, what it has printed, and how long it took for its end in seconds.
    """
    words = [sys.executable, "-c", WAITING.format(work=work)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            printed = process.stdout.readline()
            begun_s = time.monotonic()
            for place, number in enumerate(signals):
                if place:
                    printed += process.stdout.readline()
                process.send_signal(number)
            printed += process.stdout.read()
            return process.wait(LIMIT_S), printed, time.monotonic() - begun_s
        finally:
            process.kill()


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_the_coroutine(number: signal.Signals) -> None:
    code, printed, _ = ended("await stop.wait()", number)
    assert (code, printed) == (0, "up\ndone\n")


HANGING = """await stop.wait()
    print("ending", flush=True)
    {how}"""


@pytest.mark.parametrize("how", ["await asyncio.sleep(20)", "time.sleep(20)"])
@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (signal.SIGINT, signal.SIGINT, 130),
        (signal.SIGTERM, signal.SIGTERM, 143),
        (signal.SIGINT, signal.SIGTERM, 143),
        (signal.SIGTERM, signal.SIGINT, 130),
    ],
)
def test_a_second_signal_ends_the_process_at_once_whatever_it_does(
    first: signal.Signals, second: signal.Signals, code: int, how: str
) -> None:
    found, printed, took_s = ended(HANGING.format(how=how), first, second)
    assert (found, printed) == (code, "up\nending\n")
    assert took_s < 5


def test_a_thread_that_waits_for_long_does_not_hold_up_the_end() -> None:
    work = """waits = asyncio.create_task(asyncio.to_thread(time.sleep, 50))
    await stop.wait()"""
    code, printed, took_s = ended(work, signal.SIGTERM)
    assert (code, printed) == (0, "up\ndone\n")
    assert took_s < 3
