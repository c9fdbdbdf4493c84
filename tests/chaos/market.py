"""The REST client over a desk in memory: all of it is the real one but the sockets."""

import asyncio
from random import Random
from typing import Final

import aiohttp
from yarl import URL

from tapecast.bybit import Rest
from tapecast.bybit.transport import Transport
from tapecast.errors import FeedError, FeedForbidden
from tapecast.sim.desk import Desk
from tests.chaos.loops import LoopClock

__all__ = ["rest_over"]

_TIMEOUT_S: Final = 10.0
_FORBIDDEN_WAIT_S: Final = 20.0


class _DeskTransport(Transport):
    """Asks a desk in place of a host."""

    def __init__(self, desk: Desk, clock: LoopClock, chance: Random) -> None:
        super().__init__(
            "http://desk",
            forbidden_wait_s=_FORBIDDEN_WAIT_S,
            sleep=clock.sleep,
            monotonic_s=clock.monotonic_s,
        )
        self._desk = desk
        self._clock = clock
        self._chance = chance

    async def _fetch(self, url: URL, max_bytes: int) -> bytes:
        await asyncio.sleep(self._chance.uniform(0.01, 0.15))
        self._desk.advance_to(self._clock.wall_ms())
        try:
            status, body = self._desk.rest(url.path, dict(url.query))
        except TimeoutError as error:
            await asyncio.sleep(_TIMEOUT_S)
            raise aiohttp.ServerTimeoutError("no answer within 10 s") from error
        except ConnectionError as error:
            raise aiohttp.ClientConnectionError(str(error)) from error
        await asyncio.sleep(self._chance.uniform(0.01, 0.15))
        assert len(body) <= max_bytes
        if status in {403, 429}:
            self._bar(status)
            raise FeedForbidden(f"GET {url.path}", status)
        if status >= 500:
            raise aiohttp.ClientConnectionError(f"HTTP {status}")
        if status != 200:
            raise FeedError(f"GET {url.path} was answered HTTP {status}, expected 200")
        return body


def rest_over(desk: Desk, clock: LoopClock, chance: Random) -> Rest:
    """Return the REST client of a desk."""
    rest = Rest("http://desk", sleep=clock.sleep, monotonic_s=clock.monotonic_s)
    rest._transport = _DeskTransport(desk, clock, chance)
    return rest
