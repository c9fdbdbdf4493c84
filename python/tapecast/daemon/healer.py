"""Gaps that are filled: by trades that prove it, or by the exchange's own candles."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final, TypeAlias

from tapecast.aliases import Category
from tapecast.bybit.backfill import Verdict
from tapecast.daemon.alarm import Alarm
from tapecast.daemon.books import Books, Gap, Market
from tapecast.daemon.pages import Applied, Pages
from tapecast.daemon.repairs import MINUTE_MS, Repairs
from tapecast.daemon.supervision import Crew
from tapecast.daemon.timers import Clock
from tapecast.errors import FeedError

__all__ = ["SETTLE_MS", "Healer"]

_LOGGER = logging.getLogger(__name__)

SETTLE_MS: Final = 2_000
"""How long after a minute has closed the exchange's own candle of it is asked for."""

_WAITS_S: Final = (1.0, 3.0, 9.0)
"""Between two pages for the same gap: six hundred quiet symbols must not use up the pace."""

_MIN_WITHIN_S: Final = 1.0

_AT_ONCE: Final = 16
"""Topics that are begun with at once: the stream goes on between two such pieces."""

_MAX_RECONCILED: Final = 10_000

_Topic: TypeAlias = tuple[Category, str]
_Ended: TypeAlias = tuple[Category, str, int, int]


class Healer:
    """Fills gaps that are over, until each is healed or given up.

    A gap is healed if a page of recent trades, or several that overlap, reach from what is known
    from before it to what is known from after it. If that does not come about in time, or cannot
    any more, it is given up: the exchange's own candles then say what its minutes were.

    Args:
        books: Keeps trades, gaps and candles.
        market: The exchange's REST interface.
        clock: Time.
        deadline_s: How long after it ended a gap is given up.
        grace_ms: How long after its end a minute still takes trades.
        settle_ms: How long after that its candle is asked for.
        revise_window_ms: How long after its end a minute is still revised.

    Attributes:
        healed_total: Gaps that were filled.
        unhealed_total: Gaps that were given up.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        books: Books,
        market: Market,
        clock: Clock,
        *,
        deadline_s: float,
        grace_ms: int,
        revise_window_ms: int,
        settle_ms: int = SETTLE_MS,
    ) -> None:
        self.healed_total = 0
        self.unhealed_total = 0
        self._books = books
        self._clock = clock
        self._deadline_s = deadline_s
        self._revise_window_ms = revise_window_ms
        self._pages = Pages(books, market)
        self._repairs = Repairs(
            books,
            market,
            clock,
            delay_ms=grace_ms + settle_ms,
            patience_s=revise_window_ms / 1000,
        )
        self._woken = asyncio.Event()
        # Of each topic that is worked on, what ends its waits.
        self._alarms: dict[_Topic, Alarm] = {}
        # Of each gap, when it is given up, in monotonic seconds, and up to when it is filled.
        self._due_s: dict[_Ended, float] = {}
        self._whole_ms: dict[_Ended, int] = {}
        # Gaps that are over, by topic, and whether the books may have others by now.
        self._gaps: dict[_Topic, list[_Ended]] = {}
        self._is_stale = True
        # Gaps that can neither be healed nor given up: something is wrong with us.
        self._abandoned: set[_Ended] = set()
        self._mismatched: deque[tuple[Category, str, int]] = deque()
        self._reconciled: deque[tuple[Category, str, int]] = deque(maxlen=_MAX_RECONCILED)
        self._has_failed = False
        self._told = (0, 0)

    def counts(self) -> dict[str, int]:
        """Return the totals of gaps."""
        return {"healed_gaps": self.healed_total, "unhealed_gaps": self.unhealed_total}

    def wake(self) -> None:
        """Look for gaps: there may be new ones, or other ones; called at every such change."""
        self._is_stale = True
        self._woken.set()

    def reconcile(self, category: Category, symbol: str, start_ms: int) -> None:
        """Look into a closed minute of which the exchange's candle is another, once.

        Recent trades are fetched and applied, and then the exchange's candle again.
        """
        minute = (category, symbol, start_ms)
        if minute not in self._reconciled:
            self._reconciled.append(minute)
            self._mismatched.append(minute)
            self._woken.set()

    async def run(self) -> None:
        """Run until cancelled; nothing that goes wrong with a topic keeps it from the others."""
        async with Crew() as tasks:
            tasks.create_task(self._repairs.run(), name="repairs")
            while True:
                self._woken.clear()
                await self._begin(tasks)
                while self._mismatched:
                    tasks.create_task(self._reconcile(*self._mismatched.popleft()), may_end=True)
                await self._woken.wait()

    async def _begin(self, tasks: Crew) -> None:
        """Begin with gaps that are new, the oldest first."""
        self._refresh()
        new = [gap for gaps in self._gaps.values() for gap in gaps if gap not in self._due_s]
        if new and not self._alarms:
            _LOGGER.info("gaps are to be filled: %d", len(new))
        for number, gap in enumerate(sorted(new, key=lambda gap: gap[2])):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            self._due(gap)
            key = (gap[0], gap[1])
            if key in self._alarms:
                self._alarms[key].ring()
            else:
                self._alarms[key] = Alarm(self._clock, len(self._alarms))
                name = f"gaps-{key[0]}:{key[1]}"
                tasks.create_task(self._guard(key), name=name, may_end=True)

    def _refresh(self) -> None:
        """Read the books again if they may have changed, and keep nothing of gaps that are gone."""
        if not self._is_stale:
            return
        self._is_stale = False
        self._gaps = {}
        known: set[_Ended] = set()
        for category, topic, from_ms, to_ms in sorted(self._books.unsettled(), key=_begin_of):
            if to_ms is not None:
                gap = (category, topic, from_ms, to_ms)
                known.add(gap)
                if gap not in self._abandoned:
                    self._gaps.setdefault((category, topic), []).append(gap)
        self._abandoned &= known
        for kept in (self._due_s, self._whole_ms):
            for gap in kept.keys() - known:
                del kept[gap]

    def _ended(self, key: _Topic) -> list[_Ended]:
        """Return the gaps of a topic that are over and not settled, the oldest first."""
        self._refresh()
        return list(self._gaps.get(key, ()))

    def _due(self, gap: _Ended) -> float:
        """Return when a gap is given up, counted from when it was seen first."""
        return self._due_s.setdefault(gap, self._clock.monotonic_s() + self._deadline_s)

    async def _guard(self, key: _Topic) -> None:
        try:
            await self._fill(key)
        except Exception:
            _LOGGER.exception("gaps of %s:%s cannot be filled", *key)
            self._abandon(key)
        finally:
            del self._alarms[key]
        if not self._alarms:
            self._tell()

    async def _fill(self, key: _Topic) -> None:
        """Fetch pages of a topic until all of its gaps are settled."""
        waits_s = _waits()
        while gaps := self._ended(key):
            left_s = min(map(self._due, gaps)) - self._clock.monotonic_s()
            applied = await self._apply(key, gaps[0][2], within_s=max(left_s, _MIN_WITHIN_S))
            # They may be other ones by now.
            for gap in self._ended(key):
                self._settle(gap, applied)
            if gaps := self._ended(key):
                left_s = min(map(self._due, gaps)) - self._clock.monotonic_s()
                if await self._alarms[key].wait(max(0.0, min(next(waits_s), left_s))):
                    waits_s = _waits()

    async def _apply(self, key: _Topic, from_ms: int, *, within_s: float) -> Applied | None:
        """Fetch a page and apply what it has from a time on; return nothing if that fails."""
        oldest_ms = self._clock.wall_ms() - self._revise_window_ms
        # What is too old to count is not offered again and again.
        since_ms = max(from_ms // MINUTE_MS, oldest_ms // MINUTE_MS) * MINUTE_MS
        try:
            return await self._pages.apply(*key, since_ms=since_ms, within_s=within_s)
        except FeedError as error:
            if not self._has_failed:
                _LOGGER.warning("recent trades cannot be had: %s", error)
            self._has_failed = True
            return None

    def _settle(self, gap: _Ended, applied: Applied | None) -> None:
        """Heal a gap if it is filled, and give it up if it cannot be or if its time is over."""
        category, topic, from_ms, to_ms = gap
        verdict = None
        if applied is not None:
            whole_ms = self._whole_ms.get(gap, from_ms)
            verdict, self._whole_ms[gap] = applied.judge(whole_ms, to_ms)
        if verdict is Verdict.PROVEN:
            self._books.heal(category, topic, from_ms, to_ms)
            self._strike(gap)
            self.healed_total += 1
        elif verdict is Verdict.NO_BEFORE or self._due(gap) <= self._clock.monotonic_s():
            self._give_up(gap)

    def _give_up(self, gap: _Ended) -> None:
        category, topic, from_ms, to_ms = gap
        self._books.give_up(category, topic, from_ms, to_ms)
        self._strike(gap)
        self.unhealed_total += 1
        for symbol in self._books.symbols_of(category, topic):
            self._repairs.add(category, symbol, from_ms, to_ms)

    def _strike(self, gap: _Ended) -> None:
        """Keep nothing of a gap."""
        self._gaps[gap[0], gap[1]].remove(gap)
        self._due_s.pop(gap, None)
        self._whole_ms.pop(gap, None)

    def _abandon(self, key: _Topic) -> None:
        """Give up all gaps of a topic with which something is wrong that nobody expected."""
        for gap in self._ended(key):
            try:
                self._give_up(gap)
            except Exception:
                _LOGGER.exception("a gap of %s:%s cannot be given up", *key)
                self._abandoned.add(gap)
                self._strike(gap)

    def _tell(self) -> None:
        """Say what came of gaps, once there is none left."""
        healed, unhealed = self._told
        self._told = (self.healed_total, self.unhealed_total)
        self._has_failed = False
        _LOGGER.info(
            "gaps are settled: %d healed, %d unhealed",
            self.healed_total - healed,
            self.unhealed_total - unhealed,
        )

    async def _reconcile(self, category: Category, symbol: str, start_ms: int) -> None:
        topic = symbol.partition("-")[0] if category == "option" else symbol
        try:
            await self._apply((category, topic), start_ms, within_s=self._deadline_s)
        except Exception:
            _LOGGER.exception("a candle of %s:%s cannot be looked into", category, symbol)
        self._repairs.add(category, symbol, start_ms, start_ms + MINUTE_MS)


def _begin_of(gap: Gap) -> int:
    return gap[2]


def _waits() -> Iterator[float]:
    return chain(_WAITS_S, repeat(_WAITS_S[-1]))
