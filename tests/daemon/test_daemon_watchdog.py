"""The thread that sees the event loop stand still."""

import asyncio
import logging
import threading
import time

import pytest

from tapecast.clocks import SystemClock
from tapecast.daemon.watchdog import Watchdog
from tapecast.telemetry import ThreadRegistry

LIMIT_S = 10.0


class Watched:
    """A watchdog whose time a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        registry = ThreadRegistry(monotonic_ns=SystemClock().monotonic_ns)
        self.worker = registry.register("watchdog", kind="thread", stall_after_s=5)
        self.watchdog = Watchdog(self.worker, monotonic_s=lambda: self.now_s)

    def look_after(self, seconds: float) -> None:
        self.now_s += seconds
        self.watchdog.look()

    def beat_after(self, seconds: float) -> None:
        self.now_s += seconds
        self.watchdog.beat()


def test_a_loop_that_moves_is_left_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    for _ in range(50):
        watched.beat_after(0.5)
        watched.look_after(0.4)
    assert (watched.watchdog.stalls_total, caplog.messages) == (0, [])


def test_a_stall_is_told_once_with_the_stack_and_again_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()
    watched.beat_after(0.1)
    watched.look_after(0.9)
    assert watched.watchdog.stalls_total == 0
    for _ in range(20):
        watched.look_after(0.1)
    watched.beat_after(0.4)
    assert watched.watchdog.stalls_total == 1
    assert caplog.messages == [
        "the event loop stands still for 1.0 s",
        "the event loop moves again after 3.3 s",
    ]
    (record, _) = caplog.records
    assert record.levelno == logging.ERROR
    assert "look_after" in str(record.stack_info)


def test_each_stall_is_one(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    for _ in range(3):
        watched.look_after(2.0)
        watched.beat_after(0.1)
        watched.look_after(0.1)
    assert watched.watchdog.stalls_total == 3
    assert len(caplog.messages) == 6


def test_a_stall_that_the_thread_could_not_see_is_counted_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()
    watched.beat_after(7.0)
    watched.look_after(0.1)
    assert watched.watchdog.stalls_total == 1
    assert caplog.messages == ["the event loop moves again after 7.0 s"]


def test_a_watchdog_that_never_ran_is_closed_at_once() -> None:
    Watched().watchdog.close()


def sleep_within_the_loop(seen: threading.Event) -> None:
    # A sleep of the thread, not of the loop.
    assert seen.wait(LIMIT_S)


class Seen(logging.Handler):
    """Tells a test that a stall was logged."""

    def __init__(self, seen: threading.Event) -> None:
        super().__init__()
        self.seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        if record.stack_info is not None:
            self.seen.set()


async def test_a_real_stall_is_logged_while_it_lasts_with_what_the_loop_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry, seen = ThreadRegistry(monotonic_ns=time.monotonic_ns), threading.Event()
    worker = registry.register("watchdog", kind="thread", stall_after_s=5)
    watchdog = Watchdog(worker, monotonic_s=time.monotonic, limit_s=0.2)
    handler = Seen(seen)
    logging.getLogger("tapecast.daemon.watchdog").addHandler(handler)
    try:
        watchdog.start()
        asyncio.get_running_loop().call_soon(sleep_within_the_loop, seen)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        watchdog.beat()
    finally:
        logging.getLogger("tapecast.daemon.watchdog").removeHandler(handler)
        watchdog.close()
    assert watchdog.stalls_total == 1
    (record, _) = caplog.records
    stack = str(record.stack_info)
    assert "in sleep_within_the_loop" in stack
    assert "assert seen.wait(LIMIT_S)" in stack
    assert worker.state(time.monotonic_ns()) == "stopped"
