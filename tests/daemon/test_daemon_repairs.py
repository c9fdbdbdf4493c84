"""Minutes that take the exchange's candles: when they are asked for, and which rows count."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tapecast.daemon.repairs import Repairs
from tapecast.errors import FeedError
from tests.daemon.healer_fakes import (
    LIMIT_S,
    MINUTE_MS,
    START_MS,
    FakeMarket,
    FastClock,
    ModelBooks,
)


@dataclass
class Repairing:
    books: ModelBooks
    market: FakeMarket
    clock: FastClock
    repairs: Repairs

    def add(self, from_at: int, to_at: int, symbol: str = "BTCUSDT") -> None:
        self.repairs.add("linear", symbol, START_MS + from_at, START_MS + to_at)


@asynccontextmanager
async def repairing(wall_at: int = 0) -> AsyncIterator[Repairing]:
    clock = FastClock(START_MS + wall_at)
    books, market = ModelBooks(), FakeMarket(clock)
    repairs = Repairs(books, market, clock, delay_ms=3_000, patience_s=600.0)
    async with asyncio.timeout(LIMIT_S):
        run = asyncio.create_task(repairs.run())
        try:
            yield Repairing(books, market, clock, repairs)
            assert not run.done()
        finally:
            run.cancel()
            await asyncio.wait([run])


@pytest.mark.parametrize(
    ("from_at", "to_at", "minutes"),
    [
        (59_999, 60_000, [0]),
        (59_999, 60_001, [0, 1]),
        (60_000, 120_000, [1]),
        (0, 180_000, [0, 1, 2]),
    ],
)
async def test_every_minute_that_a_stretch_touches_is_asked_for(
    from_at: int, to_at: int, minutes: list[int]
) -> None:
    async with repairing(wall_at=5 * MINUTE_MS) as run:
        run.add(from_at, to_at)
        await run.clock.settle()
        assert run.books.minutes() == minutes


async def test_a_minute_is_asked_for_when_it_is_over_and_the_exchange_had_its_time() -> None:
    async with repairing(wall_at=20_000) as run:
        run.add(10_000, 11_000)
        await run.clock.run_until(lambda: bool(run.market.asked))
        assert run.clock.wall_ms() == START_MS + 63_000
        assert run.books.minutes() == [0]


async def test_the_last_row_of_a_page_is_not_taken_for_final() -> None:
    """A stale page ends with a minute that was not over when it was made."""
    async with repairing(wall_at=63_000) as run:
        run.market.stale_ms = 5_000
        run.add(10_000, 11_000)
        await run.clock.settle()
        assert run.books.minutes() == []
        await run.clock.run_until(lambda: bool(run.books.minutes()))
        assert run.market.asked == [("BTCUSDT 0..1", 0.0), ("BTCUSDT 0..1", 2.0)]


async def test_a_failure_is_tried_again_more_and_more_slowly_and_then_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with repairing(wall_at=5 * MINUTE_MS) as run:
        run.market.faults = FeedError("GET /v5/market/kline failed")
        run.add(0, 2 * MINUTE_MS)
        await run.clock.run_for(3_600.0)
        asked_s = [at_s for _, at_s in run.market.asked]
        assert asked_s[:8] == [0.0, 2.0, 6.0, 14.0, 30.0, 62.0, 122.0, 182.0]
        assert asked_s[-1] == 602.0
        assert run.books.minutes() == []
    assert caplog.messages == [
        "the exchange's candles cannot be fetched: GET /v5/market/kline failed",
        "the exchange's candles of 2 minutes were not had",
    ]


async def test_a_minute_that_is_added_meanwhile_does_not_wait_for_the_others() -> None:
    async with repairing(wall_at=5 * MINUTE_MS) as run:
        run.add(5 * MINUTE_MS, 5 * MINUTE_MS + 1)
        await run.clock.settle()
        run.add(MINUTE_MS, MINUTE_MS + 1)
        await run.clock.settle()
        assert run.books.minutes() == [1]
        await run.clock.run_until(lambda: len(run.books.minutes()) == 2)
        assert run.books.minutes() == [1, 5]


async def test_only_as_many_minutes_are_asked_for_as_a_page_holds() -> None:
    async with repairing(wall_at=3000 * MINUTE_MS) as run:
        run.add(0, 2000 * MINUTE_MS)
        await run.clock.settle()
        assert run.books.minutes() == list(range(1000, 2000))
        assert run.market.asked == [("BTCUSDT 1000..2000", 0.0)]


async def test_rows_that_were_not_asked_for_are_left_out() -> None:
    async with repairing(wall_at=9 * MINUTE_MS) as run:
        run.add(0, 1)
        run.add(3 * MINUTE_MS, 3 * MINUTE_MS + 1)
        await run.clock.settle()
        assert run.books.minutes() == [0, 3]


async def test_options_are_not_asked_for() -> None:
    async with repairing(wall_at=9 * MINUTE_MS) as run:
        run.repairs.add("option", "BTC-1-C", START_MS, START_MS + 1)
        await run.clock.run_for(600.0)
        assert run.market.asked == []


async def test_what_nobody_expected_keeps_no_other_symbol_from_its_candles(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with repairing(wall_at=9 * MINUTE_MS) as run:
        run.books.faults["klines AUSDT"] = RuntimeError("broken")
        run.add(0, 1, symbol="AUSDT")
        run.add(0, 1)
        await run.clock.run_for(600.0)
        assert run.books.minutes() == [0]
        assert len(run.market.asked) == 2
        # The symbol starts anew with what is asked for next.
        run.books.faults.clear()
        run.add(0, 1, symbol="AUSDT")
        await run.clock.settle()
        assert run.books.minutes("AUSDT") == [0]
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["candles of linear:AUSDT cannot be compared"]
