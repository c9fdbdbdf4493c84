"""Whatever arrives, the engine publishes what the slow Decimal reference says, and nothing else."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from hypothesis import HealthCheck, given, settings

from tapecast import Batch, Engine
from tapecast.messages import GapUpstream, Ohlcv, Snapshot, Stats, decode_message
from tests.core.frames import (
    LATER_NS,
    START_MS,
    by_topic,
    candle_row,
    exact_rows,
    expected_ohlcv,
    expected_trade,
    frame_of,
)
from tests.core.strategies import Arrival, Step, scenarios
from tests.reference import MINUTE_MS, Key, RefCandle, RefEngine, RefSettings, RefTrade

if TYPE_CHECKING:
    from tapecast.messages import Trade

News = Iterable[RefTrade | tuple[Key, RefCandle]]
ENGINE_COUNTS = {"sent_messages": 5, "dropped_messages": 0, "reconnects": 0}


class Comparison:
    """An engine and the reference side by side, checked after every step."""

    def __init__(self, chosen: RefSettings) -> None:
        self.engine = Engine(**chosen.as_arguments(), epoch="e")
        self.reference = RefEngine(chosen)
        self.seq = 0
        self.trades: list[Trade] = []
        self.newest: dict[Key, Ohlcv] = {}
        self.gaps = 0

    def step(self, step: Step, pool: list[Arrival]) -> None:
        if step.kind == "feed":
            for category, topic, items in by_topic([pool[at] for at in step.arrivals]):
                frame = frame_of(items, topic)
                batch = self.engine.feed(frame, received_ns=LATER_NS, category=category)
                self.check(batch, self.reference.feed(frame, category))
        elif step.kind == "advance":
            self.check(self.engine.advance(step.at_ms), self.reference.advance(step.at_ms))
        else:
            self.change_coverage(step, pool[step.arrivals[0]])

    def change_coverage(self, step: Step, arrival: Arrival) -> None:
        category, topic, _ = arrival
        change = self.engine.cover if step.kind == "cover" else self.engine.uncover
        batch = change(step.at_ms, category=category, topics=[topic])
        if step.kind == "cover":
            news = self.reference.cover(category, topic, step.at_ms)
        else:
            news = self.reference.uncover(category, topic, step.at_ms)
            self.gaps += sum(message.type == "gap" for message in batch)
        self.check(batch, news)

    def check(self, batch: Batch, news: News) -> None:
        expected: list[Trade | Ohlcv] = []
        messages = [decode_message(message.payload) for message in batch]
        gaps = [message for message in messages if isinstance(message, GapUpstream)]
        self.seq += len(gaps)
        for item in news:
            self.seq += 1
            if isinstance(item, RefTrade):
                trade = expected_trade(item, self.seq, len(self.trades) + 1)
                expected.append(trade)
                self.trades.append(trade)
            else:
                (category, symbol, start_ms), candle = item
                ohlcv = expected_ohlcv(category, symbol, candle, self.seq)
                expected.append(ohlcv)
                self.newest[category, symbol, start_ms] = ohlcv
        # Gaps come before the candles that they touch.
        assert messages == gaps + expected
        for message, decoded in zip(batch, messages, strict=True):
            assert message.seq == getattr(decoded, "seq", None)
            assert message.symbol == getattr(decoded, "symbol", None)
            assert message.category == getattr(decoded, "category", None)
            assert message.text == getattr(decoded, "text", None)
        seqs = [message.seq for message in batch]
        assert seqs == list(range(self.seq - len(seqs) + 1, self.seq + 1))

    def check_state(self) -> None:
        assert exact_rows(self.engine) == [
            candle_row(category, symbol, candle)
            for category, symbol in self.reference.symbols
            for candle in self.candles(category, symbol)
        ]
        assert self.engine.seq == self.seq
        assert self.engine.symbols() == self.reference.symbols
        assert self.engine.counts == self.counts()
        snapshot = decode_message(self.engine.snapshot(history=100))
        assert snapshot == Snapshot(
            epoch="e",
            seq=self.seq,
            trades=tuple(self.trades) or msgspec.UNSET,
            ohlcv=tuple(self.closed_messages()) or msgspec.UNSET,
        )

    def candles(self, category: str, symbol: str) -> list[RefCandle]:
        closed = [
            candle
            for (its_category, its_symbol, _), candle in sorted(self.reference.published.items())
            if (its_category, its_symbol) == (category, symbol)
        ]
        return closed + self.reference.in_progress(category, symbol)

    def closed_messages(self) -> list[Ohlcv]:
        return [
            self.newest[category, symbol, candle.start_ms]
            for category, symbol in self.reference.symbols
            for candle in self.candles(category, symbol)
            if candle.closed
        ]

    def counts(self) -> dict[str, int]:
        return {
            "frames": self.reference.frames,
            "trade_messages": len(self.trades),
            "ohlcv_messages": self.reference.candles_published,
            "bad_frames": 0,
            "duplicate_trades": self.reference.duplicates,
            "late_trades": self.reference.late,
            "block_trades": sum(trade.is_block for trade in self.reference.trades),
            "gaps": self.gaps,
            **dict.fromkeys(("backfilled_trades", "verified_candles"), 0),
            **dict.fromkeys(("mismatched_candles", "kline_candles"), 0),
        }

    def check_partials(self) -> None:
        _, batch = self.engine.partials()
        assert [decode_message(message.payload) for message in batch] == [
            expected_ohlcv(category, symbol, candle, self.seq)
            for category, symbol in self.reference.symbols
            for candle in self.reference.in_progress(category, symbol)[-1:]
        ]

    def check_stats(self) -> None:
        batch = self.engine.stats(START_MS, interval_ns=0, counts=ENGINE_COUNTS)
        stats = decode_message(batch[0].payload)
        assert isinstance(stats, Stats)
        primary = self.reference.symbols[0][0] if self.reference.symbols else None
        assert stats.last_prices == {
            symbol if category == primary else f"{category}:{symbol}": price
            for (category, symbol), price in self.reference.last_prices().items()
        }
        assert stats.message_counts == self.counts() | ENGINE_COUNTS


@given(scenario=scenarios)
@settings(max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_and_every_candle_is_the_references(
    scenario: tuple[RefSettings, list[Arrival], list[Step]],
) -> None:
    chosen, pool, steps = scenario
    comparison = Comparison(chosen)
    for step in steps:
        comparison.step(step, pool)
    comparison.check_state()
    comparison.check_partials()
    everything = Step("feed", 0, tuple(range(len(pool))))
    comparison.step(everything, pool)
    comparison.step(Step("advance", START_MS + 9 * MINUTE_MS, ()), pool)
    comparison.check_state()
    comparison.check_stats()
