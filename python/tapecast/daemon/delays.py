"""How long things take on their way through the daemon, for the stats."""

from collections.abc import Callable
from typing import Final

from tapecast._core import Latency
from tapecast.daemon.timers import Clock
from tapecast.telemetry import Worker

__all__ = ["Delays"]

_LOOK_S: Final = 0.1


def _tell_nobody() -> None:
    """Do nothing."""


class Delays:
    """Measures what the engine cannot: from receipt to publication, to the last client, the loop.

    Args:
        clock: Time.

    Attributes:
        by_name: The measurements under their names in the stats, which look at them each second.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._published, self._written, self._loop = Latency(), Latency(), Latency()
        self.by_name: Final = {
            "received_to_published": self._published,
            "published_to_written": self._written,
            "loop_lag": self._loop,
        }

    def published(self, received_ns: int) -> None:
        """Take note that all of a frame is published.

        Args:
            received_ns: The wall clock at its receipt.
        """
        self._published.record(self._clock.wall_ns() - received_ns)

    def written(self, published_ns: int, messages: int) -> None:
        """Take note that messages were written to the last of their clients.

        Args:
            published_ns: The monotonic clock when the oldest of them was published.
            messages: How many they are.
        """
        self._written.record(self._clock.monotonic_ns() - published_ns, messages)

    async def watch_loop(
        self, *, worker: Worker, on_turn: Callable[[], None] = _tell_nobody
    ) -> None:
        """Look ten times a second how much too late the event loop wakes; until cancelled.

        Args:
            worker: Where this reports.
            on_turn: Called each time: whoever must know that the loop moves.
        """
        while True:
            due_ns = self._clock.monotonic_ns() + round(_LOOK_S * 1e9)
            await self._clock.sleep(_LOOK_S)
            self._loop.record(self._clock.monotonic_ns() - due_ns)
            worker.beat(1)
            on_turn()
