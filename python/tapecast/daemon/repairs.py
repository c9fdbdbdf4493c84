"""Minutes for which the exchange's own candles are fetched."""

import asyncio
import logging
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final, TypeAlias

from tapecast.aliases import Category
from tapecast.bybit.kline import Kline
from tapecast.daemon.alarm import Alarm
from tapecast.daemon.books import Books, Market
from tapecast.daemon.timers import Clock
from tapecast.errors import FeedError

__all__ = ["MINUTE_MS", "Repairs"]

_LOGGER = logging.getLogger(__name__)

MINUTE_MS: Final = 60_000

_WAITS_S: Final = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
_WITHIN_S: Final = 30.0

_MAX_MINUTES: Final = 1000
"""Most minutes of one gap, the newest of it: as many as one page holds."""

_MAX_ROWS: Final = 200
"""Candles that are handed on at once: the stream goes on between two such pieces."""

_Key: TypeAlias = tuple[Category, str]


class Repairs:
    """Fetches the exchange's candles of minutes, each as soon as it is over, and hands them on.

    Args:
        books: Takes the candles.
        market: Where they come from.
        clock: Time.
        delay_ms: How long after its end a minute is asked for first.
        patience_s: For how long it is asked for again.
    """

    def __init__(
        self, books: Books, market: Market, clock: Clock, *, delay_ms: int, patience_s: float
    ) -> None:
        self._books = books
        self._market = market
        self._clock = clock
        self._delay_ms = delay_ms
        self._patience_s = patience_s
        # Of each symbol, when its minutes are given up, in monotonic seconds; None before they are
        # asked for.
        self._pending: dict[_Key, dict[int, float | None]] = {}
        self._alarms: dict[_Key, Alarm] = {}
        self._added = asyncio.Event()
        self._has_failed = False
        self._dropped = 0

    def add(self, category: Category, symbol: str, from_ms: int, to_ms: int) -> None:
        """Ask for every minute that a stretch touches; options have no such candles."""
        if category == "option":
            return
        last_ms = (to_ms - 1) // MINUTE_MS * MINUTE_MS
        first_ms = max(from_ms // MINUTE_MS, last_ms // MINUTE_MS - _MAX_MINUTES + 1) * MINUTE_MS
        key = (category, symbol)
        pending = self._pending.setdefault(key, {})
        pending |= dict.fromkeys(range(first_ms, last_ms + 1, MINUTE_MS))
        if key in self._alarms:
            self._alarms[key].ring()
        self._added.set()

    async def run(self) -> None:
        """Run until cancelled; nothing that goes wrong with a symbol keeps it from the others."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for key in self._pending.keys() - self._alarms.keys():
                    self._alarms[key] = Alarm(self._clock, len(self._alarms))
                    tasks.create_task(self._guard(key), name=f"klines-{key[0]}:{key[1]}")
                await self._added.wait()
                self._added.clear()

    async def _guard(self, key: _Key) -> None:
        try:
            await self._repair(key)
        except Exception:
            _LOGGER.exception("candles of %s:%s cannot be compared", *key)
        finally:
            del self._pending[key], self._alarms[key]
        if not self._pending:
            self._tell_dropped()

    async def _repair(self, key: _Key) -> None:
        """Ask for the minutes of a symbol until there is none left."""
        pending, alarm = self._pending[key], self._alarms[key]
        waits_s = _waits()
        while pending:
            now_ms = self._clock.wall_ms()
            due_ms = now_ms - self._delay_ms - MINUTE_MS
            ready = sorted(start_ms for start_ms in pending if start_ms <= due_ms)
            if not ready:
                await alarm.wait((min(pending) - due_ms) / 1000)
                continue
            until_s = self._clock.monotonic_s() + self._patience_s
            pending |= {start: until_s for start in ready if pending[start] is None}
            for start_ms in await self._fetch(key, ready):
                pending.pop(start_ms, None)
            self._drop(pending)
            if pending.keys().isdisjoint(ready) or await alarm.wait(next(waits_s)):
                waits_s = _waits()

    async def _fetch(self, key: _Key, ready: list[int]) -> list[int]:
        """Hand on what can be had of these minutes, and return which ones that were."""
        try:
            rows = await self._market.klines(
                *key, ready[0], ready[-1] + MINUTE_MS, within_s=_WITHIN_S
            )
        except FeedError as error:
            if not self._has_failed:
                _LOGGER.warning("the exchange's candles cannot be fetched: %s", error)
            self._has_failed = True
            return []
        # The last row may be of a minute that was not over when the page was made, long ago
        # perhaps. One that is followed by another is final.
        wanted = set(ready)
        final = [row for row in rows[:-1] if row.start_ms in wanted]
        await self._hand_on(key, final)
        return [row.start_ms for row in final]

    async def _hand_on(self, key: _Key, rows: list[Kline]) -> None:
        for first in range(0, len(rows), _MAX_ROWS):
            self._books.klines(*key, rows[first : first + _MAX_ROWS])
            await asyncio.sleep(0)

    def _drop(self, pending: dict[int, float | None]) -> None:
        """Forget minutes that were asked for long enough."""
        now_s = self._clock.monotonic_s()
        over = [
            start for start, until_s in pending.items() if until_s is not None and until_s <= now_s
        ]
        for start_ms in over:
            del pending[start_ms]
        self._dropped += len(over)

    def _tell_dropped(self) -> None:
        if self._dropped:
            _LOGGER.warning("the exchange's candles of %d minutes were not had", self._dropped)
        self._dropped = 0
        self._has_failed = False


def _waits() -> Iterator[float]:
    return chain(_WAITS_S, repeat(_WAITS_S[-1]))
