"""When the in-progress candles of each subscription are due. No I/O and no clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tapecast.server.interfaces import Outbox

__all__ = ["PartialGroup", "PartialSchedule"]


@dataclass(slots=True, eq=False)
class PartialGroup:
    """The subscribers of one interval; they share the work of finding and encoding what changed.

    Attributes:
        interval_ms: Least time between two in-progress candles of one symbol.
        due_s: Monotonic seconds at which the next ones are due.
        version: The engine's version up to which the members have received them.
        members: Subscribers that have received everything up to the version; in order of joining.
        newcomers: Subscribers that have received nothing yet.
    """

    interval_ms: int
    due_s: float
    version: int = 0
    members: dict[Outbox, None] = field(default_factory=dict)
    newcomers: dict[Outbox, None] = field(default_factory=dict)

    def promote(self) -> None:
        """Make the newcomers members: they have received everything up to the version."""
        self.members |= self.newcomers
        self.newcomers.clear()


class PartialSchedule:
    """All groups, by interval."""

    def __init__(self) -> None:
        self._groups: dict[int, PartialGroup] = {}
        self._intervals: dict[Outbox, int] = {}

    def add(self, outbox: Outbox, interval_ms: int, *, now_s: float) -> None:
        """Let a subscriber take part, from the next time that its interval is due."""
        group = self._groups.get(interval_ms)
        if group is None:
            group = self._groups[interval_ms] = PartialGroup(
                interval_ms, due_s=now_s + interval_ms / 1000
            )
        group.newcomers[outbox] = None
        self._intervals[outbox] = interval_ms

    def remove(self, outbox: Outbox) -> bool:
        """Let a subscriber take part no longer; return whether it did."""
        interval_ms = self._intervals.pop(outbox, None)
        if interval_ms is None:
            return False
        group = self._groups[interval_ms]
        group.members.pop(outbox, None)
        group.newcomers.pop(outbox, None)
        if not group.members and not group.newcomers:
            del self._groups[interval_ms]
        return True

    def due(self, now_s: float) -> Iterator[PartialGroup]:
        """Yield the groups that are due; each is due again a whole interval from now."""
        for group in list(self._groups.values()):
            if now_s >= group.due_s:
                # Counted from now and not from when it was due, so that a late tick is not followed
                # by an early one.
                group.due_s = now_s + group.interval_ms / 1000
                yield group

    @property
    def next_due_s(self) -> float | None:
        """Monotonic seconds at which the next group is due; None without groups."""
        return min((group.due_s for group in self._groups.values()), default=None)
