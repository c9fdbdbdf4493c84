"""Whether what is subscribed still comes, by the trades themselves. No I/O and no clock.

A connection may answer pings for hours and bring nothing. How long a topic may be silent depends on
how busy it was.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tapecast.frames import TOPIC_PREFIX, frame_topic

__all__ = ["Stale", "Traffic"]

_BURST_S: Final = 1.0
"""Frames within it are one arrival: one order that trades at many prices makes many frames."""

_LEAST_ARRIVALS: Final = 16
"""Of a topic with fewer it is not known how busy it is."""

_MEMORY_ARRIVALS: Final = 32
"""The interval between arrivals is averaged over about so many."""

_INTERVALS: Final = 30.0
"""How many intervals a topic may be silent.

If arrivals are independent, silence of k intervals has a chance of e^-k. The interval is itself an
average of few: over n of them the chance is (1 + k/n)^-n. With k = 30 that is 5e-8 for each arrival
while a topic is new (n = 16), and, as a smoothed average is worth 63 plain ones, 2e-11 later on.
1,000 topics that trade every other second make 4e7 arrivals a day: a false alarm in three years.
Real arrivals come in swarms and become rarer at night; the average follows within minutes. Topics
whose interval is below 2 s are held to `stale_after_s`, which is many more intervals than that.
"""

_LINE_SHARE: Final = 0.25
"""A line on which nothing at all comes is found out in so much of the time of one topic, as far as
the sum of the rates of its topics allows."""

_UNHEARD_INTERVAL_S: Final = 3600.0
"""Taken for topics of a line on which no topic is known: 200 of them are silent for 9 minutes then,
and one for longer than any connection lives."""

_LOSING_PATIENCE: Final = 4.0
_MOST_IN_VAIN: Final = 5
"""Each new connection that brings nothing either makes a topic wait so much longer for the next, so
many times: what ended trading at all costs a few connections, and no more."""

_NAME_AT: Final = len('{"topic":"' + TOPIC_PREFIX)


class Stale(NamedTuple):
    """Topics that are silent for too long.

    Attributes:
        names: The topics.
        silent_s: For how long they are silent, or have been since they were subscribed.
        limit_s: How long they may be.
        is_line: Whether they are silent together, and so were received until any of them was.
        in_vain: Whether they were subscribed anew already.
    """

    names: tuple[str, ...]
    silent_s: float
    limit_s: float
    is_line: bool
    in_vain: bool


@dataclass(slots=True)
class _Pulse:
    """What is known of one topic, or of all of them together; times are monotonic.

    Attributes:
        name: The topic.
        heard_s: When its last frame came.
        since_s: Since when it is received; infinite if it is not.
        arrival_s: When its last arrival began.
        interval_s: Mean time between arrivals.
        arrivals: How many intervals are in that, at most `_MEMORY_ARRIVALS`.
        doubted_s: When it was last subscribed anew because of its silence.
        failed_s: When a connection was last given up because of its silence.
        failures: How many were in a row.
    """

    name: str
    heard_s: float = -math.inf
    since_s: float = math.inf
    arrival_s: float = -math.inf
    interval_s: float = 0.0
    arrivals: int = 0
    doubted_s: float = -math.inf
    failed_s: float = -math.inf
    failures: int = 0

    @property
    def is_known(self) -> bool:
        return self.arrivals >= _LEAST_ARRIVALS

    @property
    def in_vain(self) -> bool:
        # Nothing came since.
        return self.doubted_s > self.heard_s

    @property
    def patience(self) -> float:
        return 1.0 if self.heard_s > self.failed_s else _LOSING_PATIENCE**self.failures

    @property
    def received_s(self) -> float:
        return max(self.heard_s, self.since_s)

    def silent_s(self, now_s: float) -> float:
        return now_s - self.received_s

    def arrive(self, now_s: float) -> None:
        # Over the silence of a connection that was lost, nothing is learned.
        if self.arrival_s >= self.since_s:
            self.arrivals = min(self.arrivals + 1, _MEMORY_ARRIVALS)
            self.interval_s += (now_s - self.arrival_s - self.interval_s) / self.arrivals
        self.arrival_s = now_s

    def fail(self, now_s: float) -> None:
        self.failures = 1 if self.heard_s > self.failed_s else self.failures + 1
        self.failures = min(self.failures, _MOST_IN_VAIN)
        self.failed_s = now_s


class Traffic:
    """Notes when trades of each topic come, over all connections of a line.

    Args:
        names: The topics of the line.
        stale_after_s: Least time of silence after which a topic is stale.
        patience: Factor of all times; other lines of the same topics have others, so that they are
            not given up together.
    """

    def __init__(
        self, names: Iterable[str], *, stale_after_s: float, patience: float = 1.0
    ) -> None:
        self._pulses = {name: _Pulse(name) for name in names}
        # By how a frame begins in the exchange's usual spelling: a look-up is all that it costs.
        self._by_beginning = {
            f'{{"topic":"{TOPIC_PREFIX}{name}'.encode(): pulse
            for name, pulse in self._pulses.items()
        }
        self._all = _Pulse("")
        self._received: dict[str, _Pulse] = {}
        self._stale_after_s = stale_after_s
        self._patience = patience

    def hear(self, frame: bytes, now_s: float) -> None:
        """Take note of a trade frame; one of another topic is ignored.

        Args:
            frame: The frame.
            now_s: Monotonic seconds.
        """
        pulse = self._by_beginning.get(frame[: frame.find(b'"', _NAME_AT)])
        if pulse is None:
            pulse = self._pulses.get(frame_topic(frame) or "")
            if pulse is None:
                return
        pulse.heard_s = self._all.heard_s = now_s
        if now_s - pulse.arrival_s >= _BURST_S:
            pulse.arrive(now_s)

    def heard_s(self, name: str) -> float | None:
        """Return when the last frame of a topic came; `None` if none did."""
        pulse = self._pulses.get(name)
        return None if pulse is None or math.isinf(pulse.heard_s) else pulse.heard_s

    def begin(self) -> None:
        """Take note of a new connection, on which nothing is received yet."""
        self._leave(list(self._received))

    def receive(self, names: Iterable[str], now_s: float) -> None:
        """Take note that topics are received from now on."""
        for name in names:
            pulse = self._pulses.get(name)
            if pulse is not None:
                pulse.since_s = now_s
                self._received[name] = pulse
        if self._received and math.isinf(self._all.since_s):
            self._all.since_s = now_s

    def is_received(self, name: str) -> bool:
        """Whether a topic is received, as far as is known."""
        return name in self._received

    def received_until(
        self, names: Sequence[str], *, is_line: bool
    ) -> list[tuple[tuple[str, ...], float]]:
        """Return up to when topics were received, monotonic; those with the same time together."""
        if is_line:
            return [(tuple(names), self._all.received_s)]
        return [((name,), self._pulses[name].received_s) for name in names]

    def doubt(self, names: Sequence[str], now_s: float, *, is_line: bool) -> None:
        """Take note that topics are subscribed anew, and not received until that is done."""
        for name in names:
            self._pulses[name].doubted_s = now_s
        if is_line:
            self._all.doubted_s = now_s
        self._leave(names)

    def fail(self, stale: Stale, now_s: float) -> None:
        """Take note that a connection is given up because of these topics."""
        for name in stale.names:
            self._pulses[name].fail(now_s)
        if stale.is_line:
            self._all.fail(now_s)

    def look(self, now_s: float) -> Stale | None:
        """Return what is stale: the whole line, else topics, those in vain first."""
        if not self._received:
            return None
        line = self._look_at_line(now_s)
        if line is not None:
            return line
        stale = [
            pulse
            for pulse in self._received.values()
            if pulse.is_known and pulse.silent_s(now_s) >= self._limit_s(pulse)
        ]
        if not stale:
            return None
        in_vain = [pulse for pulse in stale if pulse.in_vain]
        stale = in_vain or stale
        longest = max(stale, key=lambda pulse: pulse.silent_s(now_s))
        return Stale(
            tuple(pulse.name for pulse in stale),
            longest.silent_s(now_s),
            self._limit_s(longest),
            is_line=False,
            in_vain=bool(in_vain),
        )

    def _look_at_line(self, now_s: float) -> Stale | None:
        silent_s = self._all.silent_s(now_s)
        share = max(_LINE_SHARE, 1 / len(self._received))
        least_s = self._stale_after_s * share * self._patience
        # Most of the time this ends it, before anything is summed up.
        if silent_s < least_s:
            return None
        known = [pulse for pulse in self._received.values() if pulse.is_known]
        if known:
            rate = sum(1 / pulse.interval_s for pulse in known)
            least_s = self._stale_after_s * max(share, 1 / len(known)) * self._patience
        else:
            rate = len(self._received) / _UNHEARD_INTERVAL_S
        limit_s = max(least_s, _INTERVALS / rate * self._patience) * self._all.patience
        if silent_s < limit_s:
            return None
        names = tuple(self._received)
        return Stale(names, silent_s, limit_s, is_line=True, in_vain=self._all.in_vain)

    def _limit_s(self, pulse: _Pulse) -> float:
        least_s = max(self._stale_after_s, _INTERVALS * pulse.interval_s)
        return least_s * self._patience * pulse.patience

    def _leave(self, names: Iterable[str]) -> None:
        for name in names:
            pulse = self._received.pop(name, None)
            if pulse is not None:
                pulse.since_s = math.inf
        if not self._received:
            self._all.since_s = math.inf
