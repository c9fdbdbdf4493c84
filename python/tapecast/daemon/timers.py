"""The two clocks of the daemon: the one that closes windows and the one that publishes stats."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from tapecast._core import Latency
from tapecast.aliases import Category
from tapecast.daemon.intake import Intake
from tapecast.telemetry import ThreadRegistry, Worker

__all__ = ["Clock", "Stats", "close_windows", "next_close_ms", "publish_stats"]

STATS_INTERVAL_S: Final = 1.0
_WINDOW_MS: Final = 60_000
_MAX_SLEEP_S: Final = 1.0


class Clock(Protocol):
    """Where the daemon reads time, and how it waits."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds of the same clock."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


def next_close_ms(now_ms: int, grace_ms: int) -> int:
    """Return when windows close next: an end of a minute and the grace, after `now_ms`."""
    return ((now_ms - grace_ms) // _WINDOW_MS + 1) * _WINDOW_MS + grace_ms


async def close_windows(
    tick: Callable[[int], None], clock: Clock, *, grace_ms: int, worker: Worker
) -> None:
    """Tick at the moment at which windows close, and each second; until cancelled.

    Args:
        tick: Told the wall clock, in milliseconds.
        clock: Time. The wall clock is looked at anew each second, since it may be set.
        grace_ms: How long after its end a window still takes trades.
        worker: Where it reports.
    """
    while True:
        now_ms = clock.wall_ms()
        tick(now_ms)
        worker.beat(1)
        wait_s = (next_close_ms(now_ms, grace_ms) - now_ms) / 1000
        await clock.sleep(min(wait_s, _MAX_SLEEP_S))


class Stats:
    """Makes stats messages of the engine's figures and everyone else's.

    Args:
        intake: Publishes them.
        registry: Knows the workers.
        clock: Time; rates are over the time between two calls.
        counts: Returns the totals of everything that is not the engine.
        rejected: The exchange's reason by symbol that it refuses at present.
        latencies: How long things take, by name, beside what the engine measures.
        sections: Returns further members of the message, as finished JSON.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        intake: Intake,
        *,
        registry: ThreadRegistry,
        clock: Clock,
        counts: Callable[[], dict[str, int]],
        rejected: Mapping[tuple[Category, str], str],
        latencies: dict[str, Latency],
        sections: Callable[[], dict[str, bytes]] = dict,
    ) -> None:
        self._intake = intake
        self._registry = registry
        self._clock = clock
        self._counts = counts
        self._rejected = rejected
        self._latencies = latencies
        self._sections = sections
        self._last_ns = clock.monotonic_ns()

    def publish(self) -> None:
        """Publish the stats of this moment."""
        now_ns, wall_ms = self._clock.monotonic_ns(), self._clock.wall_ms()
        interval_ns, self._last_ns = now_ns - self._last_ns, now_ns
        rejected = [
            {"category": category, "symbol": symbol, "reason": reason}
            for (category, symbol), reason in self._rejected.items()
        ]
        self._intake.stats(
            wall_ms,
            interval_ns=interval_ns,
            counts=self._counts(),
            thread_statuses=self._registry.encode(now_ns=now_ns, wall_ms=wall_ms),
            rejected_symbols=msgspec.json.encode(rejected),
            latencies=self._latencies,
            sections=self._sections(),
        )


async def publish_stats(stats: Stats, clock: Clock, *, worker: Worker) -> None:
    """Publish the stats each second, until cancelled."""
    due_s = clock.monotonic_s()
    while True:
        stats.publish()
        worker.beat(1)
        # Counted from when it was due, so that small delays do not add up; seconds that were missed
        # altogether are not made up for.
        now_s = clock.monotonic_s()
        due_s = max(due_s + STATS_INTERVAL_S, now_s)
        await clock.sleep(due_s - now_s)
