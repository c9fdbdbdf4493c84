"""Gaps of the engine: what waits to be decided, what is fetched, what is whole again."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import pytest

from tapecast import Batch, DecodeError, Engine
from tapecast._core import Selection
from tapecast.messages import GapUpstream, Ohlcv, decode_message
from tests.core.frames import LATER_NS, START_MS, Category, feed, frame_of, trade_item

Said: TypeAlias = tuple[str, int, int]
"""State of a gap and its stretch after `START_MS`."""

BTC: dict[str, Any] = {"category": "linear", "topics": ["BTCUSDT"]}
ONE: dict[str, Any] = {"category": "linear", "topic": "BTCUSDT"}


def minute(number: int, **fields: object) -> dict[str, Any]:
    """Return a trade of the `number`-th minute."""
    return trade_item(number * 60_000, i=str(number), **fields)


def gaps(batch: Batch) -> list[Said]:
    """Return what a batch says of gaps."""
    known = [decode_message(message.payload) for message in batch if message.type == "gap"]
    return [
        (gap.state, gap.from_ms - START_MS, gap.to_ms - START_MS)
        for gap in known
        if isinstance(gap, GapUpstream)
    ]


def candles(batch: Batch) -> list[tuple[int, int, bool, str]]:
    """Return minute, revision, completeness and source of the candles that a batch publishes."""
    known = [decode_message(message.payload) for message in batch if message.type == "ohlcv"]
    return [
        ((candle.start - START_MS) // 60_000, candle.revision, candle.complete, candle.source)
        for candle in known
        if isinstance(candle, Ohlcv)
    ]


def backfill(
    engine: Engine, items: Iterable[dict[str, Any]], category: Category = "linear"
) -> Batch:
    """Give the engine trades that were fetched."""
    return engine.backfill(frame_of(items), received_ns=LATER_NS, category=category)


@pytest.fixture
def engine() -> Engine:
    """An engine that lost what came from 1:50 to 2:10 and has closed four minutes."""
    engine = Engine(assume_covered=False)
    engine.cover(START_MS, **BTC)
    for number in (0, 1, 3):
        feed(engine, minute(number))
    engine.uncover(START_MS + 110_000, **BTC)
    assert not engine.cover(START_MS + 130_000, settled=False, **BTC)
    engine.advance(START_MS + 241_000)
    return engine


def test_a_gap_that_is_not_settled_waits_until_it_is_decided(engine: Engine) -> None:
    assert engine.unsettled() == [("linear", "BTCUSDT", START_MS + 110_000, START_MS + 130_000)]
    assert engine.candles()["complete"].tolist() == [True, False, True]


def test_a_topic_that_is_not_received_has_a_gap_without_an_end(engine: Engine) -> None:
    engine.uncover(START_MS + 200_000, **BTC)
    assert engine.unsettled() == [
        ("linear", "BTCUSDT", START_MS + 110_000, START_MS + 130_000),
        ("linear", "BTCUSDT", START_MS + 200_000, None),
    ]


def test_what_was_never_received_is_no_gap_and_never_heals() -> None:
    engine = Engine(assume_covered=False)
    assert not engine.uncover(START_MS, **BTC)
    assert not engine.cover(START_MS + 30_000, settled=False, **BTC)
    assert engine.unsettled() == []
    feed(engine, minute(0))
    engine.advance(START_MS + 61_000)
    assert not engine.heal(START_MS, START_MS + 60_000, **ONE)
    assert engine.candles()["complete"].tolist() == [False]


def test_a_heal_makes_the_touched_minutes_complete_as_a_revision(engine: Engine) -> None:
    healed = engine.heal(START_MS + 110_000, START_MS + 130_000, **ONE)
    assert gaps(healed) == [("healed", 110_000, 130_000)]
    assert candles(healed) == [(1, 1, True, "trades")]
    assert engine.unsettled() == []
    assert engine.candles()["complete"].tolist() == [True, True, True]


def test_a_second_heal_says_nothing(engine: Engine) -> None:
    engine.heal(START_MS + 110_000, START_MS + 130_000, **ONE)
    seq = engine.seq
    assert not engine.heal(START_MS + 110_000, START_MS + 130_000, **ONE)
    assert engine.seq == seq


def test_a_heal_of_a_part_leaves_the_rest_undecided(engine: Engine) -> None:
    healed = engine.heal(START_MS + 100_000, START_MS + 120_000, **ONE)
    assert gaps(healed) == [("healed", 100_000, 120_000)]
    assert candles(healed) == [(1, 1, True, "trades")]
    assert engine.unsettled() == [("linear", "BTCUSDT", START_MS + 120_000, START_MS + 130_000)]


def test_a_gap_that_is_given_up_is_unhealed_and_stays_missed(engine: Engine) -> None:
    given_up = engine.give_up(START_MS + 110_000, START_MS + 130_000, **ONE)
    assert gaps(given_up) == [("unhealed", 110_000, 130_000)]
    assert [message.type for message in given_up] == ["gap"]
    assert engine.unsettled() == []
    assert engine.candles()["complete"].tolist() == [True, False, True]
    assert not engine.give_up(START_MS + 110_000, START_MS + 130_000, **ONE)


def test_what_was_given_up_heals_all_the_same_once_it_is_proven(engine: Engine) -> None:
    engine.give_up(START_MS + 110_000, START_MS + 130_000, **ONE)
    healed = engine.heal(START_MS + 110_000, START_MS + 130_000, **ONE)
    assert gaps(healed) == [("healed", 110_000, 130_000)]
    assert engine.candles()["complete"].tolist() == [True, True, True]


def test_the_part_of_a_gap_that_can_no_longer_be_revised_is_unhealed() -> None:
    engine = Engine(assume_covered=False, revise_window_ms=60_000)
    engine.cover(START_MS, **BTC)
    engine.uncover(START_MS + 30_000, **BTC)
    engine.cover(START_MS + 150_000, settled=False, **BTC)
    for number in range(3):
        feed(engine, minute(number))
    engine.advance(START_MS + 181_000)
    healed = engine.heal(START_MS + 30_000, START_MS + 150_000, **ONE)
    assert gaps(healed) == [("unhealed", 30_000, 120_000), ("healed", 120_000, 150_000)]
    assert candles(healed) == [(2, 1, True, "trades")]
    assert engine.candles()["complete"].tolist() == [False, False, True]
    assert engine.unsettled() == []


def test_a_gap_all_of_which_is_too_old_is_unhealed() -> None:
    engine = Engine(assume_covered=False, revise_window_ms=60_000)
    engine.cover(START_MS, **BTC)
    engine.miss(START_MS + 10_000, START_MS + 20_000, settled=False, **BTC)
    engine.advance(START_MS + 241_000)
    healed = engine.heal(START_MS + 10_000, START_MS + 20_000, **ONE)
    assert gaps(healed) == [("unhealed", 10_000, 20_000)]


def test_a_missed_stretch_is_open_until_it_is_decided() -> None:
    engine = Engine()
    feed(engine, minute(0))
    missed = engine.miss(START_MS + 10_000, START_MS + 20_000, settled=False, **BTC)
    assert gaps(missed) == [("open", 10_000, 20_000)]
    assert engine.unsettled() == [("linear", "BTCUSDT", START_MS + 10_000, START_MS + 20_000)]
    assert engine.counts["gaps"] == 1
    healed = engine.heal(START_MS + 10_000, START_MS + 20_000, **ONE)
    assert gaps(healed) == [("healed", 10_000, 20_000)]
    assert candles(engine.advance(START_MS + 61_000)) == [(0, 0, True, "trades")]


def test_a_gap_of_no_length_marks_its_instant_until_it_is_healed() -> None:
    engine = Engine()
    feed(engine, minute(0))
    engine.uncover(START_MS + 10_000, **BTC)
    engine.cover(START_MS + 10_000, settled=False, **BTC)
    [(category, topic, from_ms, to_ms)] = engine.unsettled()
    assert (category, topic, from_ms, to_ms) == (*("linear", "BTCUSDT"), *(from_ms, from_ms + 1))
    assert to_ms is not None
    assert candles(engine.advance(START_MS + 61_000)) == [(0, 0, False, "trades")]
    assert candles(engine.heal(from_ms, to_ms, **ONE)) == [(0, 1, True, "trades")]


def test_options_heal_by_their_base_coin() -> None:
    engine = Engine(assume_covered=False)
    engine.cover(START_MS, category="option", topics=["BTC"])
    contract = trade_item(s="BTC-25JUN27-106000-C-USDT")
    feed(engine, contract, category="option")
    engine.miss(START_MS, START_MS + 9, category="option", topics=["BTC"], settled=False)
    assert candles(engine.advance(START_MS + 61_000)) == [(0, 0, False, "trades")]
    healed = engine.heal(START_MS, START_MS + 9, category="option", topic="BTC")
    assert candles(healed) == [(0, 1, True, "trades")]


def test_a_fetched_trade_revises_its_candle_which_says_so(engine: Engine) -> None:
    found = backfill(engine, [minute(1), minute(2)])
    assert [message.type for message in found] == ["trade", "ohlcv"]
    assert candles(found) == [(2, 0, False, "backfill")]
    assert found[1].text is not None
    assert found[1].text.endswith(" trades 1 incomplete source backfill")
    healed = engine.heal(START_MS + 110_000, START_MS + 130_000, **ONE)
    assert candles(healed) == [(1, 1, True, "trades"), (2, 1, True, "backfill")]


def test_fetched_trades_count_neither_as_a_frame_nor_in_latencies(engine: Engine) -> None:
    before = engine.counts
    found = backfill(engine, [minute(1), minute(2)])
    assert (found.fresh_trades, found.repeated_trades) == (1, 1)
    changed = {name: total for name, total in engine.counts.items() if total != before[name]}
    assert changed == {
        "trade_messages": before["trade_messages"] + 1,
        "backfilled_trades": 1,
        "duplicate_trades": 1,
        "ohlcv_messages": before["ohlcv_messages"] + 1,
    }
    stats = engine.stats(START_MS, interval_ns=1, counts={})[0].payload
    assert b'"exchange_to_received":{"count":3,' in stats


def test_fetched_trades_that_are_malformed_are_refused_whole_and_count_as_nothing() -> None:
    engine = Engine()
    with pytest.raises(DecodeError):
        backfill(engine, [minute(0), minute(1, p="-1")])
    with pytest.raises(ValueError, match=r'^category is "x", expected linear, inverse'):
        backfill(engine, [minute(0)], "x")  # type: ignore[arg-type] # what is tested
    assert set(engine.counts.values()) == {0}
    feed(engine, minute(0))
    assert candles(engine.advance(START_MS + 61_000))[0][3] == "trades"


def test_a_trade_is_known_by_symbol_id_and_time_as_long_as_it_is_remembered() -> None:
    engine = Engine(revise_window_ms=60_000)
    feed(engine, minute(0), trade_item(i="x"))
    feed(engine, minute(0), category="spot")
    asked = [("BTCUSDT", "0", START_MS), ("BTCUSDT", "x", START_MS), ("BTCUSDT", "y", START_MS)]
    asked += [("ETHUSDT", "0", START_MS)]
    assert engine.known(asked, category="linear") == [True, True, False, False]
    assert engine.known(asked, category="spot") == [True, False, False, False]
    engine.advance(START_MS + 121_000)
    assert engine.known(asked, category="linear") == [False] * 4
    assert engine.known([], category="linear") == []


def test_a_batch_says_how_many_trades_were_new_and_how_many_known() -> None:
    engine = Engine(revise_window_ms=0)
    first = engine.feed(frame_of([minute(0), minute(0), minute(1)]), received_ns=LATER_NS)
    assert (first.fresh_trades, first.repeated_trades) == (2, 1)
    engine.advance(START_MS + 61_000)
    late = engine.feed(frame_of([minute(0), minute(1)]), received_ns=LATER_NS)
    assert (late.fresh_trades, late.repeated_trades) == (0, 1)
    both = Batch.joined([first, late])
    assert (both.fresh_trades, both.repeated_trades) == (2, 2)
    many, _ = engine.feed_many([frame_of([minute(1), minute(2)])] * 2, received_ns=LATER_NS)
    assert (many.fresh_trades, many.repeated_trades) == (1, 3)
    chosen = first.select(Selection())
    assert (len(chosen), chosen.fresh_trades, chosen.repeated_trades) == (2, 0, 0)


def test_many_stretches_of_one_topic_cost_no_more_than_they_are() -> None:
    engine = Engine(revise_window_ms=366 * 86_400_000)
    for number in range(20_000):
        engine.miss(START_MS + number, START_MS + number + 5, settled=False, **BTC)
    assert engine.unsettled() == [("linear", "BTCUSDT", START_MS, START_MS + 20_004)]
    engine.heal(START_MS, START_MS + 20_004, **ONE)
    for number in range(0, 40_000, 2):
        engine.miss(START_MS + number, START_MS + number + 1, settled=False, **BTC)
    assert len(engine.unsettled()) == 20_000
    engine.heal(START_MS, START_MS + 40_000, **ONE)
    assert engine.unsettled() == []
