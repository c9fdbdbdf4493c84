"""The live source: lines to the exchange for every wanted symbol."""

import asyncio
import logging
from itertools import chain, repeat
from random import Random
from typing import Final

from tapecast.aliases import Category
from tapecast.bybit import ConnectBudget, Line, LineConfig, Rest, Timing, plan, resolve
from tapecast.config import BybitSettings
from tapecast.daemon.feed import Feed
from tapecast.daemon.timers import Clock
from tapecast.errors import FeedError, FeedForbidden
from tapecast.symbols import Pattern
from tapecast.telemetry import Worker

__all__ = ["Exchange"]

_LOGGER = logging.getLogger(__name__)

_RETRY_S: Final = (5.0, 15.0, 60.0)


class Exchange:
    """Resolves the wanted symbols and keeps a line for each share of them alive.

    Args:
        patterns: The wanted symbols.
        settings: The exchange's side of the settings.
        feed: Takes what arrives.
        clock: Time.
        worker: Where the resolving of symbols reports.
    """

    def __init__(
        self,
        patterns: list[Pattern],
        settings: BybitSettings,
        *,
        feed: Feed,
        clock: Clock,
        worker: Worker,
    ) -> None:
        self._patterns = patterns
        self._settings = settings
        self._feed = feed
        self._clock = clock
        self._worker = worker
        self._lines: list[Line] = []
        self._barred_s = 0.0

    def check(self) -> None:
        """Find nothing wrong: what an exchange has, shows when it is asked."""

    def counts(self) -> dict[str, int]:
        """Return the totals of all lines."""
        return {
            "reconnects": sum(line.reconnects_total for line in self._lines),
            "unknown_frames": sum(line.unknown_frames_total for line in self._lines),
        }

    async def run(self) -> None:
        """Run until cancelled: lines never give up, and neither does the listing of symbols."""
        ws_base, rest_base = self._settings.ws_base, self._settings.rest_base
        _LOGGER.info("the exchange is WebSocket %s, REST %s", ws_base, rest_base)
        names = await self._resolve()
        budget, chance = ConnectBudget(), Random()  # noqa: S311 -- jitter, no secret
        for category, symbols in names.items():
            shares = plan(symbols, most=self._settings.max_symbols_per_line)
            for number, topics in enumerate(shares, start=1):
                config = self._line_config(category, f"{category}-{number}", topics)
                self._lines.append(
                    Line(config, self._feed, clock=self._clock, budget=budget, chance=chance)
                )
        async with asyncio.TaskGroup() as tasks:
            for line in self._lines:
                tasks.create_task(line.run(), name=line.config.name)

    async def _resolve(self) -> dict[Category, list[str]]:
        """Return the wanted symbols; while there are none to be had, ask again."""
        self._worker.running()
        waits_s = chain(_RETRY_S, repeat(_RETRY_S[-1]))
        while not (names := await self._try_resolve()):
            wait_s = max(next(waits_s), self._barred_s)
            _LOGGER.info("symbols are listed again in %g s", wait_s)
            await self._clock.sleep(wait_s)
            self._worker.restarted()
        self._worker.stopped()
        return names

    async def _try_resolve(self) -> dict[Category, list[str]]:
        """Return the wanted symbols by category; nothing if the exchange cannot list any."""
        self._barred_s = 0.0
        try:
            async with Rest(self._settings.rest_base, proxy=self._settings.proxy) as rest:
                names, unmatched = await resolve(self._patterns, rest.instruments)
        except FeedError as error:
            self._worker.failed(error)
            if isinstance(error, FeedForbidden):
                self._barred_s = self._settings.forbidden_wait_s
            _LOGGER.warning("symbols cannot be listed: %s", error)
            return {}
        for pattern in unmatched:
            self._feed.reject(pattern.category, pattern.glob, "matches no symbol that trades")
        names = {category: symbols for category, symbols in names.items() if symbols}
        for category, symbols in names.items():
            _LOGGER.info("%d %s symbols are wanted", len(symbols), category)
        return names

    def _line_config(self, category: Category, name: str, topics: tuple[str, ...]) -> LineConfig:
        settings = self._settings
        return LineConfig(
            name=name,
            category=category,
            topics=topics,
            url=f"{settings.ws_base}/{category}",
            proxy=settings.proxy,
            timing=Timing(
                ping_interval_s=settings.ping_interval_s,
                pong_timeout_s=settings.pong_timeout_s,
                retry_rejected_s=settings.retry_rejected_s,
            ),
            open_timeout_s=settings.open_timeout_s,
            backoff_base_s=settings.backoff_base_s,
            backoff_cap_s=settings.backoff_cap_s,
            forbidden_wait_s=settings.forbidden_wait_s,
        )
