"""Books that a healer fills, an exchange that it asks, and a clock that runs as fast as it can."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

from tapecast.aliases import Category
from tapecast.bybit.backfill import Page, read_page
from tapecast.bybit.kline import Kline
from tapecast.clocks import SystemClock
from tapecast.daemon.books import Gap
from tapecast.daemon.healer import Healer
from tapecast.errors import DecodeError

MINUTE_MS: Final = 60_000
START_MS: Final = 1_790_000_040_000
"""Start of a minute."""

LIMIT_S: Final = 20.0


class FastClock(SystemClock):
    """Time that jumps to when the next sleeper is due, once nothing else can go on."""

    def __init__(self, wall_ms: int = START_MS) -> None:
        self._start_ms = wall_ms
        self._now_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    def wall_ms(self) -> int:
        return self._start_ms + round(self._now_s * 1000)

    def wall_ns(self) -> int:
        return self.wall_ms() * 1_000_000

    def monotonic_s(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._slept += 1
        heappush(self._sleepers, (self._now_s + seconds, self._slept, woken))
        await woken

    async def settle(self) -> None:
        """Let everything go on that can without time passing."""
        ready: Sequence[object] = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110 -- no event tells that nothing else can go on
            await asyncio.sleep(0)

    async def run_until(self, is_done: Callable[[], bool]) -> None:
        """Let time pass until something is so."""
        await self.settle()
        while not is_done():
            await self._jump()

    async def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        end_s = self._now_s + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            await self._jump()
        self._now_s = end_s

    async def _jump(self) -> None:
        due_s, _, woken = heappop(self._sleepers)
        if not woken.done():
            self._now_s = max(self._now_s, due_s)
            woken.set_result(None)
        await self.settle()


def trade_row(at: int, symbol: str = "BTCUSDT", number: int | None = None) -> dict[str, Any]:
    """Return a trade as REST tells it, `at` milliseconds after `START_MS`, named by its time."""
    name = f"{symbol}@{at}" if number is None else f"{symbol}#{number}"
    row = {"execId": name, "symbol": symbol, "price": "100", "size": "1", "side": "Buy"}
    row |= {"time": str(START_MS + at), "seq": str(at if number is None else number)}
    return {**row, "isBlockTrade": False, "isRPITrade": False}


@dataclass
class ModelBooks:
    """Knows trades by their names, and keeps what it is told.

    Attributes:
        gaps: Those that are not settled.
        told: What was healed and given up, in order.
        frames: The ids of what was applied, a frame each.
        rows: Candles by category and symbol.
        oldest_ms: Trades from before are not taken.
        faults: What asking about a topic, or giving it up, raises.
    """

    gaps: list[Gap] = field(default_factory=list)
    told: list[tuple[str, Category, str, int, int]] = field(default_factory=list)
    frames: list[list[str]] = field(default_factory=list)
    rows: dict[tuple[Category, str], list[Kline]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[Category, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    oldest_ms: int = 0
    faults: dict[str, Exception] = field(default_factory=dict)
    refuses: bool = False

    def receive(self, category: Category, *rows: dict[str, Any]) -> None:
        self.ids[category].update((row["symbol"], row["execId"]) for row in rows)

    def known(self, category: Category, trades: Sequence[tuple[str, str, int]]) -> list[bool]:
        for symbol, _, _ in trades:
            if symbol in self.faults:
                raise self.faults[symbol]
        return [(symbol, trade_id) in self.ids[category] for symbol, trade_id, _ in trades]

    def backfill(self, category: Category, frame: bytes) -> None:
        if self.refuses:
            raise DecodeError("bad", 0, "", 'trade price is "x", expected a decimal (byte 0)')
        items = json.loads(frame)["data"]
        self.frames.append([item["i"] for item in items])
        self.ids[category].update(
            (item["s"], item["i"]) for item in items if item["T"] >= self.oldest_ms
        )

    def heal(self, category: Category, topic: str, from_ms: int, to_ms: int) -> None:
        self.gaps.remove((category, topic, from_ms, to_ms))
        self.told.append(("healed", category, topic, from_ms - START_MS, to_ms - START_MS))

    def give_up(self, category: Category, topic: str, from_ms: int, to_ms: int) -> None:
        if f"give_up {topic}" in self.faults:
            raise self.faults[f"give_up {topic}"]
        self.gaps.remove((category, topic, from_ms, to_ms))
        self.told.append(("given up", category, topic, from_ms - START_MS, to_ms - START_MS))

    def klines(self, category: Category, symbol: str, rows: Sequence[Kline]) -> None:
        if f"klines {symbol}" in self.faults:
            raise self.faults[f"klines {symbol}"]
        self.rows[category, symbol] += rows

    def unsettled(self) -> list[Gap]:
        return list(self.gaps)

    def symbols_of(self, category: Category, topic: str) -> list[str]:
        return [f"{topic}-1-C", f"{topic}-2-P"] if category == "option" else [topic]

    def minutes(self, symbol: str = "BTCUSDT", category: Category = "linear") -> list[int]:
        """Return the minutes of which there are candles, counted from the start."""
        return [(row.start_ms - START_MS) // MINUTE_MS for row in self.rows[category, symbol]]


@dataclass
class FakeMarket:
    """Executes trades at their times, and tells them and the candles as it is told to.

    Attributes:
        clock: Time.
        trades: By category and topic, oldest first.
        size: Most trades of a page.
        stale_ms: How old answers are.
        faults: What the next answers are instead, or what all are where it is one.
        asked: What was asked for, and when, in seconds after the start.
    """

    clock: FastClock
    trades: dict[tuple[Category, str], list[dict[str, Any]]] = field(default_factory=dict)
    size: int = 1000
    stale_ms: int = 0
    shuffle: Callable[[list[dict[str, Any]]], object] = lambda _rows: None
    faults: list[Exception] | Exception = field(default_factory=list)
    asked: list[tuple[str, float]] = field(default_factory=list)
    within_s: list[float | None] = field(default_factory=list)

    def _ask(self, topic: str, within_s: float | None) -> None:
        self.asked.append((topic, self.clock.monotonic_s()))
        self.within_s.append(within_s)
        if isinstance(self.faults, Exception):
            raise self.faults
        if self.faults:
            raise self.faults.pop(0)

    async def recent_trades(
        self, category: Category, topic: str, *, within_s: float | None = None
    ) -> Page:
        self._ask(topic, within_s)
        await asyncio.sleep(0)
        now_ms = self.clock.wall_ms() - self.stale_ms
        trades = self.trades.get((category, topic), [])
        rows = [row for row in trades if int(row["time"]) <= now_ms][-self.size :][::-1]
        self.shuffle(rows)
        body = json.dumps(rows).encode()
        return read_page(body, category=category, topic=topic, most=1000)

    async def klines(
        self,
        category: Category,  # noqa: ARG002 -- of the interface
        symbol: str,
        start_ms: int,
        end_ms: int,
        *,
        within_s: float | None = None,
    ) -> list[Kline]:
        first, last = ((ms - START_MS) // MINUTE_MS for ms in (start_ms, end_ms))
        self._ask(f"{symbol} {first}..{last}", within_s)
        await asyncio.sleep(0)
        end_ms = min(end_ms, self.clock.wall_ms() - self.stale_ms)
        return [self.candle(symbol, at_ms) for at_ms in range(start_ms, end_ms + 1, MINUTE_MS)]

    def candle(self, symbol: str, start_ms: int) -> Kline:
        """Return the candle of a minute; which numbers it has is all the same here."""
        return Kline(symbol, start_ms, "100", "100", "100", "100", "1", "100")


@dataclass
class Healing:
    """A running healer and everything around it."""

    books: ModelBooks
    market: FakeMarket
    clock: FastClock
    healer: Healer

    def lose(self, from_at: int, to_at: int | None, *, topic: str = "BTCUSDT") -> None:
        """Open a linear gap, in milliseconds after the start."""
        to_ms = None if to_at is None else START_MS + to_at
        self.books.gaps.append(("linear", topic, START_MS + from_at, to_ms))
        self.healer.wake()

    def trade(self, *ats: int, symbol: str = "BTCUSDT") -> None:
        """Let linear trades be executed, and received unless they are in a gap."""
        rows = [trade_row(at, symbol) for at in ats]
        self.market.trades.setdefault(("linear", symbol), []).extend(rows)
        gaps = [gap for gap in self.books.gaps if gap[1] == symbol]
        for row in rows:
            at_ms = int(row["time"])
            if not any(gap[2] <= at_ms < (gap[3] or at_ms + 1) for gap in gaps):
                self.books.receive("linear", row)

    @property
    def is_settled(self) -> bool:
        return not self.books.gaps


@asynccontextmanager
async def healing(
    *, wall_at: int = 0, deadline_s: float = 30.0, size: int = 1000
) -> AsyncIterator[Healing]:
    """Run a healer, whose clock begins so many milliseconds after the start."""
    clock = FastClock(START_MS + wall_at)
    books, market = ModelBooks(), FakeMarket(clock, size=size)
    healer = Healer(
        books,
        market,
        clock,
        deadline_s=deadline_s,
        grace_ms=1_000,
        revise_window_ms=600_000,
    )
    async with asyncio.timeout(LIMIT_S):
        run = asyncio.create_task(healer.run())
        try:
            yield Healing(books, market, clock, healer)
            assert not run.done()
        finally:
            run.cancel()
            await asyncio.wait([run])
