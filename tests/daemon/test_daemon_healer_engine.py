"""The healer on the real engine: candles that say they are whole are the truth (I9, I10)."""

import asyncio
import json
from random import Random
from typing import Any

import pytest

from tapecast import Batch, Engine
from tapecast.bybit.kline import Kline
from tapecast.daemon.healer import Healer
from tapecast.daemon.intake import Intake
from tapecast.errors import FeedError
from tests.daemon.healer_fakes import MINUTE_MS, START_MS, FakeMarket, FastClock, trade_row

STEP_MS = 200
LOST_BEFORE_MS = 90_000
END_MS = 300_000


class TrueMarket(FakeMarket):
    """Tells candles that are made of its trades, as the exchange makes them."""

    def candle(self, symbol: str, start_ms: int) -> Kline:
        """Return the candle of a minute, as of now."""
        rows = self.trades["linear", symbol]
        now_ms = self.clock.wall_ms() - self.stale_ms
        before = [int(row["price"]) for row in rows if int(row["time"]) < start_ms]
        within = [
            int(row["price"])
            for row in rows
            if start_ms <= int(row["time"]) <= min(now_ms, start_ms + MINUTE_MS - 1)
        ]
        # It opens at the close before.
        prices = [*(before or [100])[-1:], *within]
        numbers = (prices[0], max(prices), min(prices), prices[-1], len(within), sum(within))
        return Kline(symbol, start_ms, *map(str, numbers))


def ledger_of(random: Random) -> list[dict[str, Any]]:
    """Return trades of size 1 with orders, ties and pauses, oldest first."""
    spacing_ms = random.choice((300, 1_000, 5_000, 20_000))
    at = 0
    rows: list[dict[str, Any]] = []
    while at < END_MS:
        seq = str(len(rows))
        for _ in range(random.choice((1, 1, 2, 5))):
            price = str(random.randint(95, 105))
            rows.append(trade_row(at, number=len(rows)) | {"seq": seq, "price": price})
        at += random.choice((0, 1, spacing_ms, 3 * spacing_ms))
    return rows


def frame_of(rows: list[dict[str, Any]]) -> bytes:
    data = [
        {
            "T": int(row["time"]),
            "s": row["symbol"],
            "S": row["side"],
            "v": row["size"],
            "p": row["price"],
            "i": row["execId"],
            "BT": False,
            "seq": int(row["seq"]),
        }
        for row in rows
    ]
    return json.dumps({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "data": data}).encode()


class Play:
    """An engine that receives a market but for some outages, and a healer that fills them."""

    def __init__(self, random: Random) -> None:
        ends = sorted(random.sample(range(1_000, LOST_BEFORE_MS), random.choice((2, 4, 6))))
        self.outages = list(zip(ends[::2], ends[1::2], strict=True))
        self.rows = ledger_of(random)
        self.candles: dict[int, dict[str, Any]] = {}
        self.clock = FastClock(START_MS)
        self.market = TrueMarket(self.clock, size=random.choice((5, 60, 200, 1_000)))
        self.market.trades["linear", "BTCUSDT"] = self.rows
        self.intake = Intake(
            Engine(assume_covered=False), self._publish, wall_ns=self.clock.wall_ns
        )
        self.healer = Healer(
            *(self.intake, self.market, self.clock),
            deadline_s=30.0,
            grace_ms=1_000,
            revise_window_ms=600_000,
        )
        self._sent = 0

    def _publish(self, batch: Batch) -> None:
        for message in batch:
            if message.type == "ohlcv":
                candle = json.loads(message.payload)
                self.candles[candle["start"] - START_MS] = candle

    async def run(self, random: Random) -> None:
        healer = asyncio.create_task(self.healer.run())
        self.intake.cover(
            START_MS - MINUTE_MS, category="linear", topics=["BTCUSDT"], settled=False
        )
        for from_at, to_at in self.outages:
            await self._move_to(from_at)
            self.intake.uncover(START_MS + from_at, category="linear", topics=["BTCUSDT"])
            await self._move_to(to_at)
            self.market.stale_ms = random.choice((0, 0, 500, 10_000))
            self.market.faults = [FeedError("HTTP 502")] * random.choice((0, 0, 1, 3))
            self.intake.cover(
                START_MS + to_at, category="linear", topics=["BTCUSDT"], settled=False
            )
            self.healer.wake()
        await self._move_to(END_MS)
        assert self.intake.unsettled() == []
        assert not healer.done()
        healer.cancel()
        await asyncio.wait([healer])

    async def _move_to(self, at: int) -> None:
        """Let time pass, and bring what the line brings meanwhile."""
        while (now := self.clock.wall_ms() - START_MS) < at:
            await self.clock.run_for(min(STEP_MS, at - now) / 1000)
            now_ms = self.clock.wall_ms()
            due = [row for row in self.rows[self._sent :] if int(row["time"]) <= now_ms]
            self._sent += len(due)
            if heard := [row for row in due if not self._is_lost(row)]:
                received_ns = self.clock.wall_ns()
                self.intake.frame(frame_of(heard), received_ns=received_ns, category="linear")
            self.intake.advance(now_ms)

    def _is_lost(self, row: dict[str, Any]) -> bool:
        at = int(row["time"]) - START_MS
        return any(from_at <= at < to_at for from_at, to_at in self.outages)


@pytest.mark.parametrize("seed", range(100))
async def test_no_candle_that_says_it_is_whole_differs_from_the_truth(seed: int) -> None:
    random = Random(seed)
    play = Play(random)
    async with asyncio.timeout(20.0):
        await play.run(random)
    for start in range(0, LOST_BEFORE_MS, MINUTE_MS):
        within = [
            int(row["price"])
            for row in play.rows
            if start <= int(row["time"]) - START_MS < start + MINUTE_MS
        ]
        is_hit = any(
            from_at < start + MINUTE_MS and to_at > start for from_at, to_at in play.outages
        )
        candle = play.candles.get(start)
        if candle is None:
            assert within == []
            continue
        # Whole or not, it is what the exchange has; and only what an outage touched is in doubt.
        assert (candle["volume"], candle["turnover"]) == (len(within), sum(within))
        assert not within or candle["close"] == within[-1]
        assert candle["complete"] or is_hit
        if candle["complete"]:
            extremes = (within[0], max(within), min(within), len(within))
            assert (candle["open"], candle["high"], candle["low"], candle["trades"]) == extremes
