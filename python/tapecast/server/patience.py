"""How long a burst waits for those who read, before they count as slow. No I/O, no clock."""

from collections.abc import Iterable
from typing import Final

from tapecast.server.interfaces import Outbox

__all__ = ["MOMENT_S", "Patience"]

MOMENT_S: Final = 0.001
"""How long clients get to make room until they are looked at again."""

_MOST_MOMENTS: Final = 250


class Patience:
    """Tells whether what is queued shall wait a moment more.

    What waits in the queue waits once for all, and what is written waits once more for each client
    that has not read it yet. Of every burst, clients that have no room for it are waited for, but
    for a quarter of a second in all: one that reads slowly must not hold up the others.
    """

    def __init__(self) -> None:
        self._moments = 0

    def waits_for(self, outboxes: Iterable[Outbox], *, is_behind: bool) -> bool:
        """Return whether to wait for one that is full; to be asked each moment.

        Args:
            outboxes: All subscribers.
            is_behind: Whether so much is queued that it is a burst; patience is whole again once
                that is over.
        """
        if not is_behind:
            self._moments = 0
            return False
        if self._moments >= _MOST_MOMENTS or not any(outbox.is_full for outbox in outboxes):
            return False
        self._moments += 1
        return True
