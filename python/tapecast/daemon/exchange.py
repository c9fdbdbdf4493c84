"""The live source: lines to the exchange for every wanted symbol."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from random import Random
from string import ascii_lowercase
from typing import Final

from tapecast.aliases import Category
from tapecast.bybit import ConnectBudget, Line, LineConfig, Rest, Timing, plan, resolve
from tapecast.config import BybitSettings
from tapecast.daemon.feed import Feed
from tapecast.daemon.lines import LineSet
from tapecast.daemon.supervision import Crew
from tapecast.daemon.timers import Clock
from tapecast.errors import FeedError, FeedForbidden
from tapecast.messages import LineStatus
from tapecast.symbols import Pattern
from tapecast.telemetry import Worker

__all__ = ["Exchange"]

_LOGGER = logging.getLogger(__name__)

_RETRY_S: Final = (5.0, 15.0, 60.0)

_LIST_AGAIN_S: Final = 900.0
"""How long a listing of symbols holds: what is new to trading is subscribed so much later."""


class Exchange:
    """Keeps lines alive for the wanted symbols, and follows what globs match.

    Explicit symbols have their lines at once, whatever the exchange lists. Globs are resolved
    beside them, again and again: symbols that are new get lines of their own.

    Args:
        patterns: The wanted symbols.
        settings: The exchange's side of the settings.
        feed: Takes what arrives.
        rest: The exchange's REST interface, open while this runs.
        clock: Time.
        worker: Where the listing of symbols reports.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        patterns: list[Pattern],
        settings: BybitSettings,
        *,
        feed: Feed,
        rest: Rest,
        clock: Clock,
        worker: Worker,
    ) -> None:
        self._explicit = _by_category(pattern for pattern in patterns if pattern.is_explicit)
        self._globs = _by_category(pattern for pattern in patterns if not pattern.is_explicit)
        self._settings = settings
        self._feed = feed
        self._rest = rest
        self._clock = clock
        self._worker = worker
        self._lines: list[Line] = []
        self._budget = ConnectBudget()
        self._chance = Random()  # noqa: S311 -- jitter, no secret
        # What the lines were made for; a symbol that the exchange no longer lists stays.
        self._wanted: dict[Category, set[str]] = {}

    def check(self) -> None:
        """Find nothing wrong: what an exchange has, shows when it is asked."""

    def counts(self) -> dict[str, int]:
        """Return the totals of all lines."""
        return {
            "reconnects": sum(line.reconnects_total for line in self._lines),
            "unknown_frames": sum(line.unknown_frames_total for line in self._lines),
        }

    def statuses(self) -> list[LineStatus]:
        """Return the figures of every line."""
        return [self._status(line) for line in self._lines]

    def _status(self, line: Line) -> LineStatus:
        name = line.config.name
        figures = self._feed.figures(name)
        figures.lag_ms = line.lag_ms
        return LineStatus(
            name=name,
            category=line.config.category,
            state=self._feed.state_of(name),
            symbols=len(line.config.topics),
            lag_ms=figures.lag_ms,
            wins=figures.wins,
            duplicates=figures.duplicates,
            reconnects=line.reconnects_total,
        )

    async def run(self) -> None:
        """Run until cancelled: lines never give up, and neither does the listing of symbols."""
        ws_base, rest_base = self._settings.ws_base, self._settings.rest_base
        _LOGGER.info("the exchange is WebSocket %s, REST %s", ws_base, rest_base)
        async with Crew() as tasks:
            for category, patterns in self._explicit.items():
                self._want(category, [pattern.glob for pattern in patterns], tasks)
            with self._worker.watch():
                if self._globs:
                    await self._follow(tasks)

    def _want(self, category: Category, symbols: Sequence[str], tasks: Crew) -> None:
        """Start lines for those of the symbols that have none."""
        wanted = self._wanted.setdefault(category, set())
        new = [symbol for symbol in symbols if symbol not in wanted]
        if not new:
            return
        wanted.update(new)
        _LOGGER.info("%d %s symbols are wanted", len(wanted), category)
        settings = self._settings
        shares = plan(new, most=settings.max_symbols_per_line, audit=settings.audit)
        for number, topics in enumerate(shares, start=self._first_number(category)):
            lines = [
                Line(
                    config, self._feed, clock=self._clock, budget=self._budget, chance=self._chance
                )
                for config in self._line_configs(category, f"{category}-{number}", topics)
            ]
            self._lines += lines
            redundant = LineSet(
                lines, topics, clock=self._clock, max_age_s=self._settings.max_line_age_s
            )
            tasks.create_task(redundant.run(), name=f"{category}-{number}")

    def _first_number(self, category: Category) -> int:
        """Return the number of the next set of lines of a category."""
        lines = sum(line.config.category == category for line in self._lines)
        return 1 + lines // self._settings.lines

    async def _follow(self, tasks: Crew) -> None:
        """List symbols for ever: from time to time, and sooner while that fails or finds none."""
        waits_s = chain(_RETRY_S, repeat(_RETRY_S[-1]))
        while True:
            errors, has_matched = await self._list(tasks)
            if has_matched and not errors:
                waits_s = chain(_RETRY_S, repeat(_RETRY_S[-1]))
                wait_s = _LIST_AGAIN_S
            else:
                wait_s = next(waits_s)
                if any(isinstance(error, FeedForbidden) for error in errors):
                    wait_s = max(wait_s, self._settings.forbidden_wait_s)
                _LOGGER.info("symbols are listed again in %g s", wait_s)
            if errors:
                self._worker.failed(errors[0])
            else:
                self._worker.idle()
            await self._clock.sleep(wait_s)
            if errors:
                self._worker.restarted()
            else:
                self._worker.running()

    async def _list(self, tasks: Crew) -> tuple[list[FeedError], bool]:
        """Start lines for what globs match and has none.

        Returns:
            What failed, a category each, and whether any glob has matched. A category that fails
            does not keep the others from being listed, unless the exchange bars us.
        """
        errors: list[FeedError] = []
        has_matched = False
        for category, globs in self._globs.items():
            try:
                names, unmatched = await resolve(globs, self._rest.instruments)
            except FeedError as error:
                _LOGGER.warning("%s symbols cannot be listed: %s", category, error)
                errors.append(error)
                if isinstance(error, FeedForbidden):
                    break
                continue
            self._tell(globs, unmatched)
            self._want(category, names[category], tasks)
            has_matched = has_matched or bool(names[category])
        return errors, has_matched

    def _tell(self, globs: Sequence[Pattern], unmatched: Sequence[Pattern]) -> None:
        """Keep globs in sight that match nothing, and only as long as they do not."""
        for pattern in globs:
            if pattern in unmatched:
                self._feed.reject(pattern.category, pattern.glob, "matches no symbol that trades")
            elif self._feed.rejected.pop((pattern.category, pattern.glob), None) is not None:
                _LOGGER.info("symbol %s is matched now", pattern)

    def _line_configs(
        self, category: Category, name: str, topics: tuple[str, ...]
    ) -> Iterator[LineConfig]:
        """Yield what each line of a set is to do: the same, by other addresses."""
        settings = self._settings
        # Siblings are told apart by a letter.
        names = [name] if settings.lines == 1 else [name + letter for letter in ascii_lowercase]
        for place, line in enumerate(names[: settings.lines]):
            yield LineConfig(
                name=line,
                category=category,
                topics=topics,
                url=f"{settings.ws_base}/{category}",
                place=place,
                audit=settings.audit,
                proxy=settings.proxy,
                timing=self._timing(),
                open_timeout_s=settings.open_timeout_s,
                backoff_base_s=settings.backoff_base_s,
                backoff_cap_s=settings.backoff_cap_s,
                forbidden_wait_s=settings.forbidden_wait_s,
            )

    def _timing(self) -> Timing:
        settings = self._settings
        return Timing(
            ping_interval_s=settings.ping_interval_s,
            retry_rejected_s=settings.retry_rejected_s,
            silence_ping_s=settings.silence_ping_s,
            silence_abort_s=settings.silence_abort_s,
            stale_after_s=settings.stale_after_s,
        )


def _by_category(patterns: Iterable[Pattern]) -> dict[Category, list[Pattern]]:
    grouped: dict[Category, list[Pattern]] = {}
    for pattern in patterns:
        grouped.setdefault(pattern.category, []).append(pattern)
    return grouped
