"""Gaps are healed by proof, or given up and told by the exchange's candles (U14, U29)."""

import logging
from random import Random

import pytest

from tapecast.errors import FeedError, FeedForbidden
from tests.daemon.healer_fakes import MINUTE_MS, START_MS, healing, trade_row


async def test_a_gap_is_healed_by_a_page_that_overlaps_both_of_its_sides() -> None:
    async with healing(wall_at=6_000) as run:
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 3_000, 5_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "linear", "BTCUSDT", 2_000, 5_000)]
        assert run.books.frames == [["BTCUSDT@2500", "BTCUSDT@3000"]]
        assert run.healer.counts() == {"healed_gaps": 1, "unhealed_gaps": 0}
        assert run.market.asked == [("BTCUSDT", 0.0)]


async def test_a_gap_that_goes_on_is_left_alone_until_it_ends() -> None:
    async with healing(wall_at=6_000) as run:
        run.lose(2_000, None)
        run.trade(1_000, 2_500, 5_500)
        await run.clock.run_for(60.0)
        assert run.market.asked == []
        run.books.gaps.clear()
        run.books.receive("linear", trade_row(5_500))
        run.lose(2_000, 5_000)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "linear", "BTCUSDT", 2_000, 5_000)]


async def test_a_gap_waits_for_the_first_trade_after_it() -> None:
    async with healing(wall_at=5_000) as run:
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 12_000)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "linear", "BTCUSDT", 2_000, 5_000)]
        assert run.market.asked == [("BTCUSDT", at_s) for at_s in (0.0, 1.0, 4.0, 13.0)]
        # It was applied at once, whatever it proved.
        assert run.books.frames == [["BTCUSDT@2500"]]


async def test_pages_that_overlap_each_other_prove_what_none_of_them_does() -> None:
    """Sixty spot trades may be a second: no page reaches from before the gap to behind it."""
    async with healing(wall_at=5_000, size=5) as run:
        run.lose(2_000, 5_500)
        run.trade(1_000, 2_500, 3_000, 4_000, 5_200, 5_600, 5_900)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "linear", "BTCUSDT", 2_000, 5_500)]
        assert len(run.market.asked) == 2


async def test_pages_that_do_not_overlap_each_other_prove_nothing() -> None:
    async with healing(wall_at=5_000, size=4) as run:
        run.lose(2_000, 5_500)
        run.trade(1_000, 2_500, 3_000, 4_000, 5_100, 5_200, 5_600, 5_700, 5_900)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("given up", "linear", "BTCUSDT", 2_000, 5_500)]


async def test_a_quiet_symbol_is_given_up_in_time_and_its_candle_decides() -> None:
    async with healing(wall_at=5_000) as run:
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("given up", "linear", "BTCUSDT", 2_000, 5_000)]
        assert run.clock.monotonic_s() == 30.0
        assert run.healer.counts() == {"healed_gaps": 0, "unhealed_gaps": 1}
        await run.clock.run_until(lambda: bool(run.books.minutes()))
        # The minute is over at 60 s, closed at 61 s, and the exchange has two more.
        assert run.clock.wall_ms() == START_MS + 63_000
        assert run.books.minutes() == [0]


async def test_a_gap_beyond_the_page_is_given_up_at_once_and_every_minute_told() -> None:
    async with healing(wall_at=3 * MINUTE_MS + 2_000, size=3) as run:
        run.lose(50_000, 3 * MINUTE_MS + 1_000)
        run.trade(1_000, 2_500, 100_000, 170_000, 181_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("given up", "linear", "BTCUSDT", 50_000, 181_000)]
        assert run.clock.monotonic_s() == 0.0
        # What the page has is applied all the same, and the minute still open is told later.
        assert run.books.frames == [["BTCUSDT@100000", "BTCUSDT@170000"]]
        await run.clock.run_until(lambda: len(run.books.minutes()) == 4)
        assert run.books.minutes() == [0, 1, 2, 3]
        asked = [("BTCUSDT 0..2", 0.0), ("BTCUSDT 2..3", 1.0), ("BTCUSDT 3..4", 61.0)]
        assert run.market.asked[1:] == asked


async def test_a_gap_of_options_is_given_up_without_candles() -> None:
    async with healing(wall_at=5_000) as run:
        run.books.gaps.append(("option", "BTC", START_MS + 2_000, START_MS + 4_000))
        run.healer.wake()
        await run.clock.run_until(lambda: run.is_settled)
        await run.clock.run_for(300.0)
        assert run.books.told == [("given up", "option", "BTC", 2_000, 4_000)]
        assert {topic for topic, _ in run.market.asked} == {"BTC"}


async def test_a_gap_of_options_is_healed_by_a_page_of_its_coin() -> None:
    async with healing(wall_at=5_000) as run:
        rows = [trade_row(at, f"BTC-{at}-C") for at in (1_000, 2_500, 4_500)]
        run.market.trades["option", "BTC"] = rows
        run.books.receive("option", rows[0], rows[2])
        run.books.gaps.append(("option", "BTC", START_MS + 2_000, START_MS + 4_000))
        run.healer.wake()
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "option", "BTC", 2_000, 4_000)]
        assert run.books.frames == [["BTC-2500-C@2500"]]


@pytest.mark.parametrize(
    "fault",
    [
        FeedError("GET /v5/market/recent-trade failed 4 times, last: HTTP 503"),
        FeedForbidden("GET /v5/market/recent-trade", 403),
    ],
)
async def test_a_gap_is_given_up_in_time_while_rest_refuses_and_told_by_candles_later(
    fault: FeedError, caplog: pytest.LogCaptureFixture
) -> None:
    async with healing(wall_at=5_000) as run:
        run.market.faults = fault
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 6_000)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("given up", "linear", "BTCUSDT", 2_000, 5_000)]
        assert run.clock.monotonic_s() == 30.0
        assert run.market.within_s == [30.0, 29.0, 26.0, 17.0, 8.0, 1.0]
        await run.clock.run_for(300.0)
        run.market.faults = []
        await run.clock.run_until(lambda: bool(run.books.minutes()))
        assert run.books.minutes() == [0]
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"recent trades cannot be had: {fault}",
        f"the exchange's candles cannot be fetched: {fault}",
    ]


async def test_a_failure_that_passes_costs_nothing_but_time() -> None:
    async with healing(wall_at=6_000) as run:
        run.market.faults = [FeedError("page is {}, expected a list of rows")] * 2
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 5_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "linear", "BTCUSDT", 2_000, 5_000)]
        assert run.clock.monotonic_s() == 4.0


async def test_a_page_out_of_order_is_not_applied_and_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Which of the trades of one order was the last, such a page does not tell."""
    async with healing(wall_at=6_000) as run:
        run.market.shuffle = Random(1).shuffle
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 3_000, 5_500)
        await run.clock.settle()
        assert run.books.frames == []
        run.market.shuffle = lambda _rows: None
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "linear", "BTCUSDT", 2_000, 5_000)]
    (warning,) = caplog.messages
    assert warning == (
        "recent trades cannot be had: "
        "trades of linear:BTCUSDT are in no order, expected the newest first"
    )


async def test_an_old_page_is_asked_for_again() -> None:
    async with healing(wall_at=6_000) as run:
        run.market.stale_ms = 5_000
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 5_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("healed", "linear", "BTCUSDT", 2_000, 5_000)]
        assert [at_s for _, at_s in run.market.asked] == [0.0, 1.0, 4.0, 13.0]


async def test_gaps_of_a_topic_share_their_pages() -> None:
    async with healing(wall_at=9_000) as run:
        run.lose(2_000, 5_000)
        run.lose(4_000, 6_000)
        run.lose(7_000, 8_000)
        run.trade(1_000, 2_500, 6_500, 7_500, 8_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert [told[0] for told in run.books.told] == ["healed"] * 3
        assert len(run.market.asked) == 1


async def test_a_new_gap_does_not_wait_for_an_older_one_of_its_topic() -> None:
    async with healing(wall_at=5_000) as run:
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500)
        await run.clock.run_for(6.0)
        asked = len(run.market.asked)
        run.lose(9_000, 10_000)
        run.trade(9_500)
        run.trade(10_900)
        await run.clock.settle()
        assert len(run.market.asked) == asked + 1
        assert [told[0] for told in run.books.told] == ["healed", "healed"]


async def test_waking_without_anything_new_asks_for_nothing() -> None:
    async with healing(wall_at=5_000) as run:
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500)
        await run.clock.run_for(2.0)
        asked = len(run.market.asked)
        run.healer.wake()
        await run.clock.settle()
        assert len(run.market.asked) == asked


async def test_many_topics_are_asked_for_once_each_the_oldest_gap_first() -> None:
    names = [f"S{number}USDT" for number in range(600)]
    async with healing(wall_at=10_000) as run:
        for place, name in enumerate(reversed(names)):
            run.lose(2_000 - place, 5_000, topic=name)
            run.trade(1_000, 2_500, 6_000, symbol=name)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.market.asked == [(name, 0.0) for name in names]
        assert run.healer.counts() == {"healed_gaps": 600, "unhealed_gaps": 0}


async def test_filling_a_gap_again_changes_nothing() -> None:
    """I12."""
    async with healing(wall_at=6_000) as run:
        for _ in range(2):
            run.lose(2_000, 5_000)
            if not run.books.told:
                run.trade(1_000, 2_500, 5_500)
            await run.clock.run_until(lambda: run.is_settled)
        assert [told[0] for told in run.books.told] == ["healed", "healed"]
        assert run.books.frames == [["BTCUSDT@2500"]]


async def test_a_gap_that_goes_on_while_its_page_comes_is_not_settled() -> None:
    async with healing(wall_at=6_000) as run:

        def lose_again(_rows: object) -> None:
            run.books.gaps[:] = [("linear", "BTCUSDT", START_MS + 2_000, None)]
            run.healer.wake()

        run.market.shuffle = lose_again
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 5_500)
        await run.clock.run_for(60.0)
        assert run.books.told == []
        assert run.books.frames == [["BTCUSDT@2500"]]


async def test_trades_that_are_too_old_to_count_heal_nothing() -> None:
    async with healing(wall_at=6_000) as run:
        run.books.oldest_ms = START_MS + 2_600
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 3_000, 5_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("given up", "linear", "BTCUSDT", 2_000, 5_000)]


async def test_trades_from_before_what_may_be_revised_are_not_offered() -> None:
    async with healing(wall_at=11 * MINUTE_MS + 30_000) as run:
        run.lose(30_000, 11 * MINUTE_MS)
        run.trade(20_000, 40_000, 59_999, 60_000, 11 * MINUTE_MS)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.frames == [["BTCUSDT@60000"]]
        assert [told[0] for told in run.books.told] == ["given up"]


async def test_trades_that_the_books_refuse_heal_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with healing(wall_at=6_000) as run:
        run.books.refuses = True
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 5_500)
        await run.clock.run_until(lambda: run.is_settled)
        assert run.books.told == [("given up", "linear", "BTCUSDT", 2_000, 5_000)]
    assert (
        "recent trades cannot be had: trades of linear:BTCUSDT were refused: "
        'trade price is "x", expected a decimal (byte 0)'
    ) in caplog.messages


async def test_what_nobody_expected_ends_the_gaps_of_its_topic_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with healing(wall_at=6_000) as run:
        run.books.faults["AUSDT"] = RuntimeError("broken")
        run.lose(2_000, 5_000, topic="AUSDT")
        run.lose(2_000, 5_000)
        for symbol in ("AUSDT", "BTCUSDT"):
            run.trade(1_000, 2_500, 5_500, symbol=symbol)
        await run.clock.run_until(lambda: run.is_settled)
        assert sorted(run.books.told) == [
            ("given up", "linear", "AUSDT", 2_000, 5_000),
            ("healed", "linear", "BTCUSDT", 2_000, 5_000),
        ]
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["gaps of linear:AUSDT cannot be filled"]


async def test_a_gap_that_cannot_even_be_given_up_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with healing(wall_at=6_000) as run:
        run.books.faults["BTCUSDT"] = RuntimeError("broken")
        run.books.faults["give_up BTCUSDT"] = RuntimeError("broken, too")
        run.lose(2_000, 5_000)
        run.trade(1_000, 2_500, 5_500)
        for _ in range(3):
            run.healer.wake()
            await run.clock.run_for(60.0)
        assert len(run.market.asked) == 1
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [
        "gaps of linear:BTCUSDT cannot be filled",
        "a gap of linear:BTCUSDT cannot be given up",
    ]


async def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with healing(wall_at=5_000) as run:
        for topic in ("AUSDT", "BTCUSDT"):
            run.lose(2_000, 5_000, topic=topic)
        run.trade(1_000, 2_500, 6_000)
        await run.clock.run_until(lambda: run.is_settled)
        await run.clock.settle()
    assert caplog.messages == ["gaps are to be filled: 2", "gaps are settled: 1 healed, 1 unhealed"]


async def test_a_candle_that_differs_is_looked_into_once() -> None:
    async with healing(wall_at=70_000) as run:
        run.trade(1_000, 2_000, 3_000)
        run.books.ids["linear"].remove(("BTCUSDT", "BTCUSDT@2000"))
        for _ in range(2):
            run.healer.reconcile("linear", "BTCUSDT", START_MS)
            await run.clock.run_until(lambda: bool(run.books.minutes()))
        await run.clock.run_for(300.0)
        assert run.books.frames == [["BTCUSDT@2000"]]
        assert run.books.minutes() == [0]
        assert run.market.asked == [("BTCUSDT", 0.0), ("BTCUSDT 0..1", 0.0)]
        assert run.healer.counts() == {"healed_gaps": 0, "unhealed_gaps": 0}


async def test_an_options_candle_is_looked_into_by_its_coin() -> None:
    async with healing(wall_at=70_000) as run:
        run.healer.reconcile("option", "BTC-1-C", START_MS)
        await run.clock.run_for(300.0)
        assert run.market.asked == [("BTC", 0.0)]


async def test_looking_into_a_candle_outlives_whatever_happens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with healing(wall_at=70_000) as run:
        run.trade(1_000)
        run.books.faults["BTCUSDT"] = RuntimeError("broken")
        run.healer.reconcile("linear", "BTCUSDT", START_MS)
        await run.clock.run_until(lambda: bool(run.books.minutes()))
    assert caplog.messages == ["a candle of linear:BTCUSDT cannot be looked into"]
