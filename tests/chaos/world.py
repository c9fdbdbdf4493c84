"""A daemon's engine, lines and healer against an exchange in memory, in simulated time."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from random import Random
from typing import Any, Final, TypeAlias

import msgspec

from tapecast import Batch, Engine
from tapecast.aliases import Category
from tapecast.bybit import ConnectBudget, Line, LineConfig, Timing
from tapecast.daemon.healer import SETTLE_MS, Healer
from tapecast.daemon.intake import Intake
from tapecast.daemon.lines import LineSet
from tapecast.daemon.timers import close_windows
from tapecast.errors import FeedError
from tapecast.sim.desk import Desk
from tapecast.sim.faults import Script
from tapecast.sim.instruments import select_instruments
from tapecast.telemetry import ThreadRegistry
from tests.chaos.lines import DeskOpener, WitnessedFeed
from tests.chaos.loops import LoopClock
from tests.chaos.market import rest_over
from tests.reference import MINUTE_MS

__all__ = ["GRACE_MS", "START_MS", "Recorder", "World"]

START_MS: Final = 1_790_000_040_000
"""A full minute."""

GRACE_MS: Final = 1_000
_REVISE_MS: Final = 1_800_000
_DEADLINE_S: Final = 30.0
_MAX_AGE_S: Final = 21_600.0
_STEP_S: Final = 0.1
_AUDITED_MINUTES: Final = 3

Symbols: TypeAlias = Mapping[Category, tuple[str, ...]]
Minute: TypeAlias = tuple[Category, str, int]


class _TradeId(msgspec.Struct):
    """What identifies a published trade."""

    category: str
    symbol: str
    trade_id: str


_TRADE: Final = msgspec.json.Decoder(_TradeId)


class Recorder:
    """Keeps what was published.

    Attributes:
        trades: Category, symbol and id of every trade, in order.
        candles: The newest revision of every candle.
        gaps: Every gap message.
        last_seq: Number of the last message; they must have no holes.
    """

    def __init__(self) -> None:
        self.trades: list[tuple[str, str, str]] = []
        self.candles: dict[Minute, dict[str, Any]] = {}
        self.gaps: list[dict[str, Any]] = []
        self.last_seq = 0

    def publish(self, batch: Batch) -> None:
        for message in batch:
            assert message.seq == self.last_seq + 1
            self.last_seq = message.seq
            if message.type == "trade":
                trade = _TRADE.decode(message.payload)
                self.trades.append((trade.category, trade.symbol, trade.trade_id))
            elif message.type == "ohlcv":
                candle = json.loads(message.payload, parse_float=Decimal)
                key = (candle["category"], candle["symbol"], candle["start"])
                known = self.candles.get(key)
                assert candle["revision"] == (known["revision"] + 1 if known else 0)
                self.candles[key] = candle
            elif message.type == "gap":
                self.gaps.append(json.loads(message.payload))


class World:
    """Everything of one run.

    Args:
        seed: Of the market, the jitter and the script's chances.
        symbols: Symbols by category; each category has lines of its own.
        rate: Mean trades per second over all symbols.
        script: What goes wrong.
        lines: Lines of each category.
        backoff_cap_s: Most that a line waits before it connects again.

    Attributes:
        ended_ms: The wall clock when it was over.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        *,
        seed: int,
        symbols: Symbols,
        rate: float,
        script: Script | None = None,
        lines: int = 2,
        backoff_cap_s: float = 5.0,
    ) -> None:
        patterns = tuple(f"{category}:{name}" for category in symbols for name in symbols[category])
        self.symbols = symbols
        self.clock = LoopClock(START_MS)
        self.desk = Desk(
            select_instruments(patterns),
            start_ms=START_MS,
            seed=seed,
            rate=rate,
            script=script,
            clock=self.clock.wall_ms,
        )
        self.recorder = Recorder()
        self.ended_ms = START_MS
        self.engine = Engine(grace_ms=GRACE_MS, revise_window_ms=_REVISE_MS, assume_covered=False)
        self.intake = Intake(
            self.engine,
            self.recorder.publish,
            wall_ns=self.clock.wall_ns,
            on_mismatch=lambda *minute: self.healer.reconcile(*minute),  # noqa: PLW0108 -- it is made below
        )
        self._chance = Random(seed)
        self._backoff_cap_s = backoff_cap_s
        self.rest = rest_over(self.desk, self.clock, self._chance)
        self.healer = Healer(
            self.intake,
            self.rest,
            self.clock,
            deadline_s=_DEADLINE_S,
            grace_ms=GRACE_MS,
            revise_window_ms=_REVISE_MS,
        )
        self._registry = ThreadRegistry(monotonic_ns=self.clock.monotonic_ns)
        self.opener = DeskOpener(self.desk)
        self.feed = WitnessedFeed(
            self.intake,
            self.opener,
            registry=self._registry,
            wall_ms=self.clock.wall_ms,
            heals=True,
            on_gap=self.healer.wake,
        )
        self._budget = ConnectBudget()
        self._sets = [self._set(category, lines) for category in symbols]

    def _set(self, category: Category, lines: int) -> LineSet:
        topics = self.symbols[category]
        members = [
            self._line(category, f"{category}-1{'ab'[place]}", place) for place in range(lines)
        ]
        return LineSet(members, topics, clock=self.clock, max_age_s=_MAX_AGE_S)

    def _line(self, category: Category, name: str, place: int) -> Line:
        config = LineConfig(
            name=name,
            category=category,
            topics=self.symbols[category],
            url=f"{category}/{name}",
            place=place,
            timing=Timing(retry_rejected_s=10.0),
            backoff_cap_s=self._backoff_cap_s,
        )
        return Line(
            config,
            self.feed,
            clock=self.clock,
            budget=self._budget,
            chance=self._chance,
            opener=self.opener,
        )

    async def run(
        self,
        until_ms: int,
        *,
        on_step: Callable[[int], None] | None = None,
        compare_ms: int | None = None,
    ) -> None:
        """Let so much time pass from the beginning on.

        Args:
            until_ms: When it ends, in milliseconds from the start.
            on_step: Called at every step with that time.
            compare_ms: When all candles are compared with the exchange's.
        """
        worker = self._registry.register("engine-timer")
        timer = close_windows(self._tick, self.clock, grace_ms=GRACE_MS, worker=worker)
        tasks = [asyncio.create_task(timer), asyncio.create_task(self.healer.run())]
        tasks += [asyncio.create_task(lines.run()) for lines in self._sets]
        if compare_ms is not None:
            tasks.append(asyncio.create_task(self._audit(compare_ms)))
        while (now_ms := self.clock.wall_ms() - START_MS) < until_ms:
            self.desk.advance_to(self.clock.wall_ms())
            self.opener.pump()
            if on_step is not None:
                on_step(now_ms)
            for task in tasks:
                assert not task.done(), task
            await asyncio.sleep(_STEP_S)
        self.ended_ms = self.clock.wall_ms()
        self.feed.is_over = True
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _tick(self, now_ms: int) -> None:
        self.feed.tick(now_ms)
        self.intake.advance(now_ms)

    async def _audit(self, compare_ms: int) -> None:
        """Compare the last minutes soon after each has closed, and all of them in the end."""
        while True:
            now_ms = self.clock.wall_ms()
            minute_ms = now_ms // MINUTE_MS * MINUTE_MS
            due_ms = minute_ms + MINUTE_MS + GRACE_MS + SETTLE_MS
            await asyncio.sleep((due_ms - now_ms) / 1000)
            first_ms = max(minute_ms - (_AUDITED_MINUTES - 1) * MINUTE_MS, START_MS)
            if due_ms >= START_MS + compare_ms:
                first_ms = START_MS
            await self._compare(first_ms, within_s=20.0)

    async def _compare(self, first_ms: int, *, within_s: float) -> None:
        """Hand on the exchange's candles from a minute on, those that can be had."""
        for category, names in self.symbols.items():
            for name in names:
                with suppress(FeedError):
                    last_ms = self.clock.wall_ms() // MINUTE_MS * MINUTE_MS
                    rows = await self.rest.klines(
                        category, name, first_ms, last_ms, within_s=within_s
                    )
                    # The last one may be open.
                    self.intake.klines(category, name, rows[:-1])
