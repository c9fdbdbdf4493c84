"""A wait that can be cut short."""

import asyncio
from typing import Final

from tapecast.daemon.timers import Clock

__all__ = ["Alarm"]

_PLACES: Final = 100
_SPREAD_S: Final = 1.0


class Alarm:
    """Lets one task wait for a time, or until it is rung.

    Args:
        clock: Time.
        place: A number of its own among many that may be set to the same time. They go off within
            a second after it: hundreds of tasks that go on at once would hold up the stream.
    """

    def __init__(self, clock: Clock, place: int = 0) -> None:
        self._clock = clock
        self._late_s = place % _PLACES * _SPREAD_S / _PLACES
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """End the wait, or the next one if there is none."""
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Wait, and return whether it was rung."""
        waits: list[asyncio.Future[object]] = [
            asyncio.ensure_future(self._clock.sleep(seconds + self._late_s)),
            asyncio.ensure_future(self._rung.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        was_rung = self._rung.is_set()
        self._rung.clear()
        return was_rung
