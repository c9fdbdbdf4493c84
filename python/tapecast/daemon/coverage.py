"""What was received of each topic, over all lines that carry it. No I/O and no clock."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from tapecast.aliases import Category

__all__ = ["CLOCK_MARGIN_MS", "Coverage", "Loss", "TopicKey"]

TopicKey: TypeAlias = tuple[Category, str]

CLOCK_MARGIN_MS: Final = 500
"""How far a stretch of missed trades is widened at both ends.

Trades are matched by the exchange's clock and the stretch is read off ours: a trade on the way when
the line was lost has an earlier time than we saw last, and clocks were seen 150 ms apart.
"""

_HORIZON_MS: Final = 900_000
"""How long after its end a stretch that a line carried is of use: no line is dead for longer
without being found out."""


class Loss(NamedTuple):
    """What turned out to be missed of a topic.

    Attributes:
        holes: Stretches `[from_ms, to_ms)` that are over, oldest first.
        lost_ms: From when on nothing is received at all; None if some line still carries it.
    """

    holes: list[tuple[int, int]]
    lost_ms: int | None


@dataclass(slots=True)
class _Carried:
    """What lines carried of one topic.

    Attributes:
        whole_ms: From when on there is no hole that was not told.
        since_ms: From when on each line carries it, by line.
        ended: Stretches that lines carried before.
    """

    whole_ms: int
    since_ms: dict[str, int] = field(default_factory=dict)
    ended: list[tuple[int, int]] = field(default_factory=list)

    def stretches(self) -> Iterator[tuple[int, float]]:
        """Yield what was carried by any line, by its start."""
        carried: list[tuple[int, float]] = [*self.ended]
        carried += ((since_ms, math.inf) for since_ms in self.since_ms.values())
        yield from sorted(carried)


class Coverage:
    """Joins what several lines carried into what was received at all.

    One line's loss costs nothing while another one carries the topic. But lines are found dead some
    time after they died: what the dead one was thought to carry meanwhile becomes a hole then, if
    the others did not carry it.
    """

    def __init__(self) -> None:
        self._topics: dict[TopicKey, _Carried] = {}

    def carriers(self, key: TopicKey) -> int:
        """Return how many lines carry a topic."""
        carried = self._topics.get(key)
        return 0 if carried is None else len(carried.since_ms)

    def is_carried(self, line: str, key: TopicKey) -> bool:
        """Return whether a line carries a topic."""
        carried = self._topics.get(key)
        return carried is not None and line in carried.since_ms

    def gain(self, line: str, key: TopicKey, at_ms: int) -> int | None:
        """Take note that a line carries a topic from now on.

        Args:
            line: Name of the line.
            key: Category and topic.
            at_ms: Our wall clock, in milliseconds.

        Returns:
            From when on the topic is received, if it was not until now.
        """
        since_ms = at_ms + CLOCK_MARGIN_MS
        carried = self._topics.setdefault(key, _Carried(since_ms))
        is_first = not carried.since_ms
        carried.since_ms.setdefault(line, since_ms)
        if not is_first:
            return None
        carried.whole_ms = since_ms
        carried.ended.clear()
        return since_ms

    def lose(self, line: str, key: TopicKey, at_ms: int) -> Loss | None:
        """Take note that a line carried a topic up to some time, and no longer does.

        Args:
            line: Name of the line.
            key: Category and topic.
            at_ms: Our wall clock when it was last known to carry it, in milliseconds.

        Returns:
            What is missed now; None if nothing is.
        """
        carried = self._topics.get(key)
        since_ms = None if carried is None else carried.since_ms.pop(line, None)
        if carried is None or since_ms is None:
            return None
        end_ms = at_ms - CLOCK_MARGIN_MS
        if end_ms > since_ms:
            carried.ended.append((since_ms, end_ms))
        loss = _settle(carried)
        horizon_ms = max(carried.whole_ms, end_ms - _HORIZON_MS)
        carried.whole_ms = horizon_ms
        carried.ended = [ended for ended in carried.ended if ended[1] >= horizon_ms]
        return loss if loss.holes or loss.lost_ms is not None else None


def _settle(carried: _Carried) -> Loss:
    """Find what no line carried since there was the last hole."""
    holes: list[tuple[int, int]] = []
    reached: float = carried.whole_ms
    for since_ms, until_ms in carried.stretches():
        if since_ms > reached:
            holes.append((int(reached), since_ms))
        reached = max(reached, until_ms)
    if holes:
        carried.whole_ms = holes[-1][1]
    return Loss(holes, None if math.isinf(reached) else int(reached))
