"""A wall clock that nobody can set: steps of the machine's are followed once they are proven.

Windows close by the wall clock. If somebody set it forward by an hour, every window of that hour
would close before its trades came; if back by an hour, none would close for that long.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tapecast.daemon.timers import Clock

__all__ = ["SteadyClock", "SteadyTime", "Step", "running_ns"]

_LOGGER = logging.getLogger(__name__)

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000

STEP_NS: Final = 2 * _NS_PER_S
"""A larger difference is a step; smaller ones are corrections, and followed at once."""

AGREE_NS: Final = 5 * _NS_PER_S
"""How far the exchange's time may be from a wall clock that is right: frames take their time."""

SETTLE_NS: Final = 2 * _NS_PER_S
"""How long frames are looked at before they prove anything: one may have been long on its way."""

BLIND_NS: Final = 60 * _NS_PER_S
"""How long after the last frames that bore out the time before, the new one is followed anyway."""

_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)

_Outcome: TypeAlias = Literal["seen", "agreed", "blind", "undone"]

_TEXTS: Final[dict[_Outcome, str]] = {
    "seen": "the wall clock was set by %+.3f s, which is not followed yet",
    "agreed": "the wall clock is followed by %+.3f s: the exchange agrees with it",
    "blind": "the wall clock is followed by %+.3f s: nothing from the exchange speaks against it",
    "undone": "the wall clock is back where it was, to %+.3f s",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What is new about a step of the wall clock.

    Attributes:
        by_ns: How far the wall clock is from the time that goes on; below zero if it was set back.
        outcome: It has just been seen; it is followed, since the exchange agrees or since nothing
            tells; or the wall clock was set back to where it was.
    """

    by_ns: int
    outcome: _Outcome


class SteadyTime:
    """Time that goes on evenly whatever is done to the wall clock. It reads no clock itself.

    As long as both go equally far, it is the wall clock. After a step it goes on as before until
    the times of the exchange's frames are nearer to the new wall clock; where no frames bear out
    the time before for a minute, the new one is followed, too.

    Args:
        wall_ns: The wall clock now.
        running_ns: A clock that nobody can set, now.

    Attributes:
        steps_total: Steps that were seen.
        is_torn: Whether there is a step that is not followed: frames are to be observed then.
    """

    def __init__(self, wall_ns: int, running_ns: int) -> None:
        self.steps_total = 0
        self.is_torn = False
        self._offset_ns = wall_ns - running_ns
        # Of the step that is not followed: how far, when frames were judged last, and when they, or
        # the clock itself, bore out the time before.
        self._by_ns = 0
        self._judged_ns = 0
        self._borne_out_ns = 0
        # The newest time of the exchange since then, as a distance to the running clock.
        self._exchange_ns: int | None = None

    def now_ns(self, running_ns: int) -> int:
        """Return the time, as of the last look."""
        return running_ns + self._offset_ns

    def look(self, wall_ns: int, running_ns: int) -> Step | None:
        """Compare both clocks, and follow the wall clock if it may be trusted.

        Returns:
            What is new about a step.
        """
        by_ns = wall_ns - running_ns - self._offset_ns
        if abs(by_ns) <= STEP_NS:
            self._offset_ns += by_ns
            was_torn, self.is_torn = self.is_torn, False
            return Step(by_ns, "undone") if was_torn else None
        if not self.is_torn or abs(by_ns - self._by_ns) > STEP_NS:
            self._begin(by_ns, running_ns)
            return Step(by_ns, "seen")
        if running_ns - self._judged_ns < SETTLE_NS:
            return None
        self._judged_ns = running_ns
        outcome = self._judge(by_ns, running_ns)
        if outcome is None:
            return None
        self._offset_ns += by_ns
        self.is_torn = False
        return Step(by_ns, outcome)

    def observe(self, exchange_ns: int, running_ns: int) -> None:
        """Take note of the time at which the exchange made a frame that has just come."""
        distance_ns = exchange_ns - running_ns
        # Frames are late and never early: the newest one tells most.
        if self._exchange_ns is None or distance_ns > self._exchange_ns:
            self._exchange_ns = distance_ns

    def _begin(self, by_ns: int, running_ns: int) -> None:
        self.steps_total += 1
        self.is_torn = True
        self._by_ns = by_ns
        self._judged_ns = self._borne_out_ns = running_ns
        self._exchange_ns = None

    def _judge(self, by_ns: int, running_ns: int) -> _Outcome | None:
        """Return why the wall clock is to be followed; None if it is not."""
        if self._exchange_ns is not None:
            from_before_ns = abs(self._exchange_ns - self._offset_ns)
            from_wall_ns = abs(self._exchange_ns - self._offset_ns - by_ns)
            self._exchange_ns = None
            if from_before_ns <= from_wall_ns:
                self._borne_out_ns = running_ns
            elif from_wall_ns <= AGREE_NS:
                return "agreed"
        return "blind" if running_ns - self._borne_out_ns >= BLIND_NS else None


class SteadyClock:
    """A clock for the daemon whose wall clock is a `SteadyTime`; steps are logged.

    Args:
        clock: The machine's.
        running: A clock that nobody can set, in nanoseconds.
    """

    def __init__(self, clock: Clock, *, running: Callable[[], int] | None = None) -> None:
        self._clock = clock
        self._running_ns = running or running_ns
        self._time = SteadyTime(clock.wall_ns(), self._running_ns())
        # Threads of the store read it, too.
        self._lock = threading.Lock()

    @property
    def steps_total(self) -> int:
        """Steps of the machine's wall clock that were seen."""
        return self._time.steps_total

    @property
    def is_torn(self) -> bool:
        """Whether frames are to be observed, since the wall clock was set."""
        return self._time.is_torn

    def observe(self, exchange_ms: int) -> None:
        """Take note of the time at which the exchange made a frame that has just come."""
        with self._lock:
            self._time.observe(exchange_ms * _NS_PER_MS, self._running_ns())

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        with self._lock:
            now_ns = self._running_ns()
            step = self._time.look(self._clock.wall_ns(), now_ns)
            steady_ns = self._time.now_ns(now_ns)
        if step is not None:
            _LOGGER.warning(_TEXTS[step.outcome], step.by_ns / _NS_PER_S)
        return steady_ns

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self.wall_ns() // _NS_PER_MS

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""
        return self._clock.monotonic_s()

    def monotonic_ns(self) -> int:
        """Return nanoseconds of the same clock."""
        return self._clock.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._clock.sleep(seconds)


def running_ns() -> int:
    """Return nanoseconds of a clock that nobody can set.

    Where there is such a clock it goes on while the machine sleeps, so that a wall clock which has
    gone on, too, was not set.
    """
    return time.clock_gettime_ns(_CLOCK) if _CLOCK is not None else time.monotonic_ns()
