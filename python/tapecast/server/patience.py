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
    that has not read it yet. A client that reads, but not as fast as a burst is written, gets a
    quarter of a second to make room; who has made none by then is not waited for again until it
    has.
    """

    def __init__(self) -> None:
        # For how many moments each subscriber was waited for; as long as it is full.
        self._moments: dict[Outbox, int] = {}

    def waits_for(self, outboxes: Iterable[Outbox]) -> bool:
        """Return whether one of them is full that may yet make room; to be asked each moment.

        Args:
            outboxes: All subscribers.
        """
        known = self._moments
        self._moments = {outbox: known.get(outbox, 0) + 1 for outbox in outboxes if outbox.is_full}
        return any(moments <= _MOST_MOMENTS for moments in self._moments.values())
