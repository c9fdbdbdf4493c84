"""How long things take: receipt to publication, publication to the last write, the loop."""

import pytest

from tapecast.clocks import SystemClock
from tapecast.daemon.delays import Delays
from tapecast.telemetry import ThreadRegistry

MS: int = 1_000_000


class Enough(Exception):  # noqa: N818 -- no error: it ends a loop
    """As many sleeps as the test wants."""


class PlayedClock(SystemClock):
    """Sleeps take as long as they should, and then as much longer as the test has it."""

    def __init__(self, late_ms: list[int]) -> None:
        self.now_ns = 5_000 * MS
        self._late_ms = late_ms

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        if not self._late_ms:
            raise Enough
        self.now_ns += round(seconds * 1000) * MS + self._late_ms.pop(0) * MS


def test_a_frame_is_measured_from_its_receipt_until_all_of_it_is_published() -> None:
    clock = PlayedClock([])
    delays = Delays(clock)
    received_ns = clock.now_ns
    clock.now_ns += 3 * MS
    delays.published(received_ns)
    count, p50, _, _ = delays.by_name["received_to_published"].take()
    assert count == 1
    assert p50 == pytest.approx(3 * MS, rel=0.01)


def test_every_message_of_a_portion_is_measured_until_the_last_write() -> None:
    clock = PlayedClock([])
    delays = Delays(clock)
    delays.written(clock.now_ns - 7 * MS, 12)
    count, _, p99, _ = delays.by_name["published_to_written"].take()
    assert count == 12
    assert p99 == pytest.approx(7 * MS, rel=0.01)


async def test_the_loops_lag_is_how_much_too_late_it_wakes() -> None:
    clock = PlayedClock([0, 0, 40])
    delays = Delays(clock)
    registry, turns = ThreadRegistry(monotonic_ns=clock.monotonic_ns), []
    worker = registry.register("loop-watch")
    with pytest.raises(Enough):
        await delays.watch_loop(worker=worker, on_turn=lambda: turns.append(clock.now_ns // MS))
    assert turns == [5_100, 5_200, 5_340]
    count, p50, _, longest = delays.by_name["loop_lag"].take()
    assert count == 3
    assert p50 < MS
    assert longest == pytest.approx(40 * MS, rel=0.02)
