"""When windows close and stats are published, on a clock of the test's own."""

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast import Batch, Engine
from tapecast._core import Latency
from tapecast.daemon.intake import Intake
from tapecast.daemon.timers import Stats, close_windows, next_close_ms, publish_stats
from tapecast.telemetry import ThreadRegistry, Worker

MINUTE_MS = 60_000
START_MS = 1_790_000_040_000


class Enough(Exception):  # noqa: N818 -- the end of a test, not an error
    """Ends a loop that would run for ever."""


class PlayedClock:
    """A clock that moves by what is slept, and ends the test after so many sleeps."""

    def __init__(self, *, wall_ms: int = START_MS, sleeps: int) -> None:
        self.now_ns = 0
        self.wall_start_ms = wall_ms
        self.slept_s: list[float] = []
        self.sleeps = sleeps
        self.late_s = 0.0

    def wall_ns(self) -> int:
        return self.wall_start_ms * 1_000_000 + self.now_ns

    def wall_ms(self) -> int:
        return self.wall_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return self.now_ns / 1e9

    def monotonic_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(round(seconds, 6))
        self.now_ns += round((seconds + self.late_s) * 1e9)
        if len(self.slept_s) == self.sleeps:
            raise Enough


def worker(clock: PlayedClock) -> Worker:
    return ThreadRegistry(monotonic_ns=clock.monotonic_ns).register("timer", stall_after_s=5.0)


@given(now_ms=st.integers(0, 4_000_000_000_000), grace_ms=st.integers(0, 60_000))
def test_the_next_close_is_an_end_of_a_minute_and_the_grace(now_ms: int, grace_ms: int) -> None:
    close_ms = next_close_ms(now_ms, grace_ms)
    assert (close_ms - grace_ms) % MINUTE_MS == 0
    assert now_ms < close_ms <= now_ms + MINUTE_MS


async def test_windows_are_closed_at_the_very_moment_and_looked_at_each_second() -> None:
    clock = PlayedClock(wall_ms=START_MS + 58_700, sleeps=5)
    ticks: list[int] = []
    with pytest.raises(Enough):
        await close_windows(ticks.append, clock, grace_ms=1_000, worker=worker(clock))
    assert [tick - START_MS for tick in ticks] == [58_700, 59_700, 60_700, 61_000, 62_000]


async def test_a_wall_clock_that_is_set_is_followed_within_a_second() -> None:
    clock = PlayedClock(wall_ms=START_MS + 30_000, sleeps=2)
    ticks: list[int] = []

    def tick(now_ms: int) -> None:
        ticks.append(now_ms)
        if len(ticks) == 1:
            clock.wall_start_ms += 3_600_000

    with pytest.raises(Enough):
        await close_windows(tick, clock, grace_ms=1_000, worker=worker(clock))
    assert ticks == [START_MS + 30_000, START_MS + 3_631_000]


def make_stats(
    clock: PlayedClock, registry: ThreadRegistry, publish: Callable[[Batch], None]
) -> Stats:
    rejected = {("spot", "NOPEUSDT"): "no such symbol"}
    return Stats(
        Intake(Engine(), publish, wall_ns=clock.wall_ns),
        registry=registry,
        clock=clock,
        counts=lambda: {"reconnects": clock.now_ns // 10**8},
        latencies={"loop_lag": Latency()},
        rejected=rejected,  # type: ignore[arg-type]  # a literal's key is only a text
    )


async def test_stats_are_published_each_second_without_drift() -> None:
    clock = PlayedClock(sleeps=4)
    clock.late_s = 0.003
    published: list[Batch] = []
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    with pytest.raises(Enough):
        await publish_stats(
            make_stats(clock, registry, published.append), clock, worker=worker(clock)
        )
    assert len(published) == 4
    assert clock.slept_s == [1.0, 0.997, 0.997, 0.997]


async def test_seconds_that_were_missed_are_not_made_up_for() -> None:
    clock = PlayedClock(sleeps=3)
    published: list[Batch] = []

    def publish(batch: Batch) -> None:
        published.append(batch)
        if len(published) == 1:
            clock.now_ns += 10 * 10**9

    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    with pytest.raises(Enough):
        await publish_stats(make_stats(clock, registry, publish), clock, worker=worker(clock))
    assert clock.slept_s == [0.0, 1.0, 1.0]


async def test_stats_hold_the_figures_of_everyone_and_rates_over_the_real_interval() -> None:
    clock = PlayedClock(sleeps=0)
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    registry.register("linear-1").running()
    published: list[Batch] = []
    stats = make_stats(clock, registry, published.append)
    clock.now_ns = 2 * 10**9
    stats.publish()
    message = json.loads(published[0][0].payload)
    assert message["timestamp"] == "2026-09-21T14:14:02.000Z"
    assert (message["message_counts"]["reconnects"], message["message_rates"]["reconnects"]) == (
        *(20, 10),
    )
    assert [status["name"] for status in message["thread_statuses"]] == ["linear-1"]
    assert list(message["latency_ms"]) == ["exchange_to_received", "loop_lag"]
    assert message["rejected_symbols"] == [
        {"category": "spot", "symbol": "NOPEUSDT", "reason": "no such symbol"}
    ]


async def test_both_loops_end_when_they_are_cancelled() -> None:
    clock = PlayedClock(sleeps=10**9)

    async def sleep(_seconds: float) -> None:
        await asyncio.Event().wait()

    clock.sleep = sleep  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(
        close_windows(lambda _: None, clock, grace_ms=0, worker=worker(clock))
    )
    done, _ = await asyncio.wait([task], timeout=0)
    assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
