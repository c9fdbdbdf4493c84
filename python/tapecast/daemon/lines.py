"""Redundant lines for one set of symbols: the first copy of a trade wins."""

from collections.abc import Sequence
from typing import Final, Protocol

from tapecast.bybit import LineConfig
from tapecast.daemon.supervision import Crew
from tapecast.daemon.timers import Clock

__all__ = ["LineSet", "Renewable"]

_LOOK_S: Final = 1.0
"""How often lines are compared with each other."""

_STAGGER_S: Final = 1.0
"""Between the beginnings of two lines, so that they do not share the fate of one handshake."""

_MAX_LAG_MS: Final = 2_000
"""How much later than its sibling a line may bring frames."""

_LAGGING_LOOKS: Final = 5
"""For so many looks in a row, before it is replaced."""

_SUSPECT_AFTER_S: Final = 5.0
"""How long a line may owe what its sibling has brought of a topic."""

_COPY_S: Final = 1.0
"""How much earlier than its sibling a line may have brought the same frame."""


class Renewable(Protocol):
    """What a set asks of its lines."""

    @property
    def config(self) -> LineConfig:
        """What it is to do."""

    @property
    def age_s(self) -> float | None:
        """How long its connection has lived; None if there is none."""

    @property
    def lag_ms(self) -> int | None:
        """How long after it was made its last frame was read; None before the first."""

    def heard_s(self, topic: str) -> float | None:
        """Return when its last trade frame of a topic came, monotonic; None if none did."""

    def is_covering(self, topics: Sequence[str]) -> bool:
        """Return whether all of these topics are received."""

    def suspect(self, topic: str) -> None:
        """Subscribe a topic anew, of which it does not bring what others do."""

    def renew(self, reason: str) -> None:
        """Connect anew, at once."""

    async def run(self) -> None:
        """Receive, until cancelled."""


class LineSet:
    """Runs lines for the same symbols, and replaces one while another covers for it.

    Args:
        lines: The lines; each carries all of the topics.
        topics: Symbols, or base coins for options.
        clock: Time.
        max_age_s: Age at which a line is replaced.
    """

    def __init__(
        self, lines: Sequence[Renewable], topics: Sequence[str], *, clock: Clock, max_age_s: float
    ) -> None:
        self._lines = list(lines)
        self._topics = list(topics)
        self._clock = clock
        self._max_age_s = max_age_s
        # Looks in a row at which each line lagged behind.
        self._lagging = [0] * len(self._lines)
        # What each line owes of a topic: when another one brought it, and since when it is looked
        # for, in monotonic seconds.
        self._owed: dict[tuple[int, str], tuple[float, float]] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        async with Crew() as tasks:
            for number, line in enumerate(self._lines):
                work = self._run_line(line, number * _STAGGER_S)
                tasks.create_task(work, name=line.config.name)
            if len(self._lines) > 1:
                await self._watch()

    async def _run_line(self, line: Renewable, after_s: float) -> None:
        if after_s:
            await self._clock.sleep(after_s)
        await line.run()

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            self.look(self._clock.monotonic_s())

    def look(self, now_s: float) -> None:
        """Compare the lines, and replace at most one of them.

        Args:
            now_s: Monotonic seconds.
        """
        self._suspect(now_s)
        for number, line in enumerate(self._lines):
            lag_ms = self._lag_behind(number)
            self._lagging[number] = self._lagging[number] + 1 if lag_ms > _MAX_LAG_MS else 0
            reason = ""
            if self._lagging[number] >= _LAGGING_LOOKS:
                reason = f"replaced: {lag_ms} ms behind its sibling"
            elif (age_s := line.age_s) is not None and age_s > self._max_age_s:
                reason = f"replaced: {age_s:.0f} s old"
            if reason and self._is_covered_for(number):
                self._lagging[number] = 0
                line.renew(reason)
                return

    def _is_covered_for(self, number: int) -> bool:
        """Return whether the others carry everything that a line does."""
        line = self._lines[number]
        carried = [topic for topic in self._topics if line.is_covering([topic])]
        others = (other for other in self._lines if other is not line)
        return any(other.is_covering(carried) for other in others)

    def _lag_behind(self, number: int) -> int:
        """Return how much more a line lags than the best of the others, in milliseconds."""
        lag_ms = self._lines[number].lag_ms
        others = (line.lag_ms for place, line in enumerate(self._lines) if place != number)
        known = [other_ms for other_ms in others if other_ms is not None]
        return 0 if lag_ms is None or not known else lag_ms - min(known)

    def _suspect(self, now_s: float) -> None:
        """Point out topics to lines that have owed for some time what another line has brought."""
        for topic in self._topics:
            heard = [line.heard_s(topic) for line in self._lines]
            newest_s = max((heard_s for heard_s in heard if heard_s is not None), default=None)
            if newest_s is None:
                continue
            for number, heard_s in enumerate(heard):
                line, key = self._lines[number], (number, topic)
                owed_s, since_s = self._owed.get(key, (newest_s, now_s))
                if not line.is_covering([topic]):
                    self._owed.pop(key, None)
                elif heard_s is not None and heard_s > owed_s - _COPY_S:
                    # It has caught up with what was looked at; there may be something newer.
                    self._owed.pop(key, None)
                elif now_s - since_s >= _SUSPECT_AFTER_S:
                    self._owed.pop(key, None)
                    line.suspect(topic)
                else:
                    self._owed[key] = (owed_s, since_s)
