"""The exchange's own candles beside the engine's."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast import Batch, Engine
from tapecast.messages import Ohlcv, decode_message
from tests.core.frames import LATER_NS, START_MS, feed, frame_of, trade_item
from tests.reference import MINUTE_MS, plain

Row: TypeAlias = tuple[int, str, str, str, str, str, str]
Opened: TypeAlias = Literal["first_trade", "previous_close"]
OF: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT"}
TOPICS: dict[str, Any] = {"category": "linear", "topics": ["BTCUSDT"]}


def minute(number: int, **fields: object) -> dict[str, Any]:
    """Return a trade of the `number`-th minute."""
    return trade_item(number * MINUTE_MS, i=f"{number}-{fields}", **fields)


def row(number: int, *texts: str) -> Row:
    """Return the exchange's candle of the `number`-th minute: prices, volume and turnover."""
    opened, high, low, close, volume, turnover = texts
    return (START_MS + number * MINUTE_MS, opened, high, low, close, volume, turnover)


def candles(batch: Batch) -> list[Ohlcv]:
    """Return the candles that a batch publishes."""
    known = [decode_message(message.payload) for message in batch]
    return [candle for candle in known if isinstance(candle, Ohlcv)]


@pytest.fixture
def engine() -> Engine:
    """An engine with two closed minutes; the second was not seen whole."""
    engine = Engine(assume_covered=False)
    engine.cover(START_MS, **TOPICS)
    feed(engine, minute(0, p="100"))
    feed(engine, minute(1, p="102", v="2"))
    engine.miss(START_MS + 70_000, START_MS + 80_000, settled=False, **TOPICS)
    engine.advance(START_MS + 121_000)
    return engine


def test_a_candle_that_equals_the_exchanges_is_verified_as_a_revision(engine: Engine) -> None:
    [candle] = candles(engine.klines([row(0, "100", "100", "100", "100", "1", "100")], **OF))
    assert (candle.verified, candle.complete, candle.revision) == (True, True, 1)
    assert (candle.source, candle.trades) == ("trades", 1)
    assert engine.audit == (1, 0, None)
    assert engine.counts["verified_candles"] == 1


def test_the_same_row_twice_says_nothing_new(engine: Engine) -> None:
    rows = [row(0, "100", "100", "100", "100", "1", "100")]
    assert engine.klines(rows, **OF)
    assert not engine.klines(rows, **OF)
    assert engine.audit == (1, 0, None)


@pytest.mark.parametrize(
    ("texts", "largest"),
    [
        (("100", "101.5", "100", "100", "1", "100"), "1.5"),
        (("100", "100", "99.75", "100", "1", "100"), "0.25"),
        (("100", "100", "100", "100.1", "1", "100"), "0.1"),
        (("100", "100", "100", "100", "1.000000001", "100"), "0.000000001"),
        (("100", "100", "100", "100", "4", "400"), "300"),
    ],
)
def test_a_minute_seen_whole_that_differs_keeps_its_values_and_says_so(
    engine: Engine, texts: tuple[str, ...], largest: str
) -> None:
    [candle] = candles(engine.klines([row(0, *texts)], **OF))
    assert (candle.verified, candle.complete, candle.source) == (False, True, "trades")
    assert (str(candle.close), str(candle.volume)) == ("100", "1")
    assert candle.text.endswith(" trades 1 revision 1 mismatched")
    assert engine.audit == (0, 1, largest)
    assert engine.counts["mismatched_candles"] == 1


def test_a_late_trade_that_explains_the_difference_makes_the_candle_verified(
    engine: Engine,
) -> None:
    engine.klines([row(0, "100", "100", "100", "100", "3", "300")], **OF)
    batch = engine.feed(frame_of([minute(0, p="100", v="2")]), received_ns=LATER_NS)
    assert [(it.verified, it.trades) for it in candles(batch)] == [(True, 2)]
    assert engine.audit == (1, 1, "200")


def test_a_minute_with_all_that_the_exchange_counted_is_whole(engine: Engine) -> None:
    assert engine.candles()["complete"].tolist() == [True, False]
    [candle] = candles(engine.klines([row(1, "100", "102", "100", "102", "2", "204")], **OF))
    assert (candle.complete, candle.verified, candle.source) == (True, True, "trades")
    assert engine.unsettled() != []


def test_a_minute_with_missing_trades_takes_the_exchanges_values(engine: Engine) -> None:
    [candle] = candles(engine.klines([row(1, "100", "103.5", "99", "101", "5", "507.5")], **OF))
    assert candle == Ohlcv(
        seq=engine.seq,
        exchange="bybit",
        symbol="BTCUSDT",
        category="linear",
        timeframe="1m",
        start=START_MS + 60_000,
        timestamp=START_MS + 120_000,
        timestamp_iso="2026-09-21T14:16:00.000Z",
        open=Decimal(100),
        high=Decimal("103.5"),
        low=Decimal(99),
        close=Decimal(101),
        volume=Decimal(5),
        turnover=Decimal("507.5"),
        buy_volume=None,
        trades=None,
        vwap=101.5,
        closed=True,
        complete=False,
        revision=1,
        source="kline",
        verified=None,
        text="2026-09-21T14:16:00.000Z ohlcv linear:BTCUSDT 1m open 100 high 103.5 low 99 "
        "close 101 volume 5 vwap 101.5 revision 1 incomplete source kline",
    )
    assert engine.counts["kline_candles"] == 1
    assert engine.audit == (0, 0, None)


def test_arrays_have_neither_trades_nor_buy_volume_where_a_candle_is_the_exchanges(
    engine: Engine,
) -> None:
    engine.klines([row(1, "100", "103.5", "99", "101", "5", "507.5")], **OF)
    rows = engine.candles()
    assert rows["trades"].tolist() == [1, -1]
    assert rows["buy_volume"][0] == 1
    assert np.isnan(rows["buy_volume"][1])
    assert engine.candles(exact=True)["buy_volume"].tolist() == ["1", "NaN"]


def test_trades_that_are_found_take_the_place_of_the_exchanges_values(engine: Engine) -> None:
    engine.klines([row(1, "100", "103", "100", "102", "3", "307")], **OF)
    found = frame_of([trade_item(60_000, p="103", i="found", seq=0)])
    batch = engine.backfill(found, received_ns=LATER_NS, category="linear")
    [candle] = candles(batch)
    assert (candle.source, candle.complete, candle.verified) == ("backfill", True, True)
    assert (candle.trades, candle.revision) == (2, 2)


def test_a_heal_takes_precedence_over_the_exchanges_values(engine: Engine) -> None:
    engine.klines([row(1, "100", "103", "100", "102", "3", "307")], **OF)
    healed = engine.heal(START_MS + 70_000, START_MS + 80_000, category="linear", topic="BTCUSDT")
    [candle] = candles(healed)
    assert (candle.source, candle.complete, candle.verified) == ("trades", True, False)
    assert (str(candle.volume), candle.trades) == ("2", 1)


def test_a_row_of_a_minute_that_is_open_waits_for_its_end() -> None:
    engine = Engine()
    feed(engine, minute(0))
    feed(engine, minute(1))
    engine.advance(START_MS + 61_000)
    assert not engine.klines([row(1, "100", "100", "100", "100", "1", "100")], **OF)
    _, partials = engine.partials()
    assert [it.verified for it in candles(partials)] == [None]
    assert [it.verified for it in candles(engine.advance(START_MS + 121_000))] == [True]


def test_a_minute_of_which_no_trade_came_takes_the_exchanges_values() -> None:
    engine = Engine(assume_covered=False)
    engine.advance(START_MS + 121_000)
    rows = [row(1, "9", "9", "8", "8", "2", "17"), row(0, "9", "9", "9", "9", "0", "0")]
    [candle] = candles(engine.klines(rows, **OF))
    assert (candle.start, candle.source, candle.revision) == (START_MS + 60_000, "kline", 0)
    assert engine.symbols() == [("linear", "BTCUSDT")]


def test_a_symbol_of_which_nothing_was_traded_is_not_taken_up() -> None:
    engine = Engine()
    engine.advance(START_MS + 121_000)
    assert not engine.klines([row(0, "9", "9", "9", "9", "0", "0")], **OF)
    assert engine.symbols() == []


def test_no_more_symbols_are_taken_up_than_may_be_known() -> None:
    engine = Engine(max_symbols=1)
    feed(engine, minute(0))
    engine.advance(START_MS + 121_000)
    rows = [row(0, "9", "9", "9", "9", "1", "9")]
    assert not engine.klines(rows, category="linear", symbol="ETHUSDT")
    assert engine.symbols() == [("linear", "BTCUSDT")]


def test_a_row_of_a_minute_far_ahead_is_passed_over() -> None:
    engine = Engine()
    feed(engine, minute(0))
    engine.advance(START_MS + 61_000)
    engine.klines([row(60, "9", "9", "9", "9", "1", "9")], **OF)
    assert not candles(engine.advance(START_MS + 62 * MINUTE_MS))


def old(
    empty: Literal["skip", "flat"] = "skip",
    opened: Opened = "first_trade",
    history_candles: int = 120,
) -> Engine:
    """Return an engine whose minutes before the fourth can no longer be revised."""
    engine = Engine(
        assume_covered=False,
        revise_window_ms=60_000,
        empty=empty,
        open=opened,
        history_candles=history_candles,
    )
    engine.cover(START_MS + 3 * MINUTE_MS, **TOPICS)
    feed(engine, minute(1))
    engine.advance(START_MS + 5 * MINUTE_MS)
    return engine


def test_an_old_minute_without_a_candle_comes_into_the_history_once() -> None:
    engine = old()
    rows = [row(at, "9", "9", "8", "8", "2", "17") for at in (2, 1, 0)]
    found = candles(engine.klines(rows, **OF))
    assert [(it.start - START_MS) // MINUTE_MS for it in found] == [0, 2]
    assert [it.source for it in found] == ["kline", "kline"]
    assert [it.seq for it in found] == [engine.seq - 1, engine.seq]
    assert engine.candles()["trades"].tolist() == [-1, 1, -1]
    assert not engine.klines(rows, **OF)
    assert engine.counts["kline_candles"] == 2


def test_an_old_minute_for_which_the_history_has_no_room_is_passed_over() -> None:
    engine = old(history_candles=1)
    assert not engine.klines([row(0, "9", "9", "8", "8", "2", "17")], **OF)
    assert engine.candles()["trades"].tolist() == [1]


def test_an_old_empty_minute_publishes_nothing_unless_flat_candles_are_wanted() -> None:
    rows = [row(2, "100", "100", "100", "100", "0", "0")]
    assert not old().klines(rows, **OF)
    engine = old(empty="flat")
    engine.klines([row(0, "9", "9", "9", "9", "0", "0")], **OF)
    assert engine.candles()["trades"].tolist()[:2] == [-1, 1]


def test_the_next_minute_opens_at_the_close_of_an_old_one_that_was_found() -> None:
    engine = old(opened="previous_close")
    feed(engine, minute(4, p="7"))
    engine.klines([row(2, "9", "9", "8", "8.5", "2", "17")], **OF)
    [candle] = candles(engine.advance(START_MS + 5 * MINUTE_MS + 1_000))
    assert (str(candle.open), str(candle.high), str(candle.close)) == ("8.5", "8.5", "7")


def test_an_empty_minute_behind_missed_trades_is_flat_at_the_exchanges_close() -> None:
    engine = Engine(empty="flat")
    feed(engine, minute(0))
    engine.miss(START_MS + 70_000, START_MS + 80_000, settled=False, **TOPICS)
    engine.advance(START_MS + 3 * MINUTE_MS + 1_000)
    assert [str(it) for it in engine.candles()["close"]] == ["100.0"] * 3
    [candle] = candles(engine.klines([row(2, *["101"] * 4, "0", "0")], **OF))
    assert (str(candle.close), candle.trades, candle.verified) == ("101", 0, True)
    [other] = candles(engine.klines([row(1, "100", "101", "100", "101", "3", "303")], **OF))
    assert (other.source, other.complete) == ("kline", False)


def test_what_the_close_before_was_is_not_asked_where_it_may_have_been_missed() -> None:
    engine = old()
    feed(engine, minute(4, p="7"))
    engine.advance(START_MS + 5 * MINUTE_MS + 1_000)
    [candle] = candles(engine.klines([row(4, "8", "8", "7", "7", "1", "7")], **OF))
    assert candle.verified is True


def test_the_close_before_is_that_of_the_last_minute_with_a_trade() -> None:
    engine = Engine(revise_window_ms=60_000)
    feed(engine, minute(0, p="6"))
    feed(engine, minute(1, p="8"))
    feed(engine, minute(6, p="7"))
    engine.advance(START_MS + 7 * MINUTE_MS + 1_000)
    [right] = candles(engine.klines([row(6, "8", "8", "7", "7", "1", "7")], **OF))
    assert right.verified is True
    [wrong] = candles(engine.klines([row(6, "7.5", "7.5", "7", "7", "1", "7")], **OF))
    assert wrong.verified is False
    assert engine.audit == (1, 1, "0.5")


@pytest.mark.parametrize(
    ("given_row", "text"),
    [
        (
            (START_MS + 1, *["1"] * 6),
            f"start_ms is {START_MS + 1}, expected the start of a minute",
        ),
        (
            (START_MS, *["1"] * 2, "0", *["1"] * 3),
            'low is "0", expected a positive decimal of at most 19 digits',
        ),
        ((START_MS, *["1"] * 5, "-1"), 'turnover is "-1", expected a decimal below 2^128'),
    ],
)
def test_a_row_with_a_bad_field_is_refused_with_all_others(given_row: Row, text: str) -> None:
    engine = Engine()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is asserted
        engine.klines([row(0, *["1"] * 6), given_row], **OF)
    assert str(caught.value) == text
    assert engine.symbols() == []


def test_a_category_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r'^category is "x", expected linear, inverse, spot'):
        Engine().klines([], category="x", symbol="A")  # type: ignore[arg-type] # what is tested


Trades: TypeAlias = list[tuple[int, int, int]]
"""Trades in their order: minute, price in hundredths and size in thousandths."""


def exchange_rows(trades: Trades) -> list[Row]:
    """Return the klines of trades by the exchange's rules, from the minute of the first one on."""
    rows: list[Row] = []
    close = Decimal(trades[0][1]) / 100
    for number in range(trades[0][0], 5):
        own = [
            (Decimal(price) / 100, Decimal(size) / 1000)
            for at, price, size in trades
            if at == number
        ]
        prices = [close, *(price for price, _ in own)]
        volume = sum((size for _, size in own), Decimal(0))
        turnover = sum((price * size for price, size in own), Decimal(0))
        figures = (prices[0], max(prices), min(prices), prices[-1], volume, turnover)
        rows.append(row(number, *map(plain, figures)))
        close = prices[-1]
    return rows


def items(trades: Trades, is_wanted: Callable[[int], bool]) -> list[dict[str, Any]]:
    """Return the trades whose place in the list is wanted, as they stand in a frame."""
    return [
        trade_item(
            minute * MINUTE_MS + at,
            i=str(at + 1),
            seq=at,
            p=plain(Decimal(price) / 100),
            v=plain(Decimal(size) / 1000),
        )
        for at, (minute, price, size) in enumerate(trades)
        if is_wanted(at)
    ]


@given(
    trades=st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 400), st.integers(1, 5_000)), min_size=1
    ).map(lambda trades: sorted(trades, key=lambda trade: trade[0])),
    lost=st.sets(st.integers(0, 4)),
    kept=st.sets(st.integers(0, 50)),
    opened=st.sampled_from(["first_trade", "previous_close"]),
    rows_first=st.booleans(),
)
def test_every_candle_is_verified_or_the_exchanges_by_decimal_arithmetic(
    trades: Trades, lost: set[int], kept: set[int], opened: Opened, *, rows_first: bool
) -> None:
    engine = Engine(assume_covered=False, open=opened)
    engine.cover(START_MS, **TOPICS)
    for number in lost:
        start_ms = START_MS + number * MINUTE_MS
        engine.miss(start_ms + 1_000, start_ms + 2_000, settled=False, **TOPICS)
    rows = exchange_rows(trades)
    received = [at for at in range(len(trades)) if trades[at][0] not in lost or at in kept]
    # A symbol that is not known yet is taken up by rows as well.
    if rows_first:
        engine.klines(rows, **OF)
    if received:
        engine.feed(frame_of(items(trades, received.__contains__)), received_ns=LATER_NS)
    engine.advance(START_MS + 6 * MINUTE_MS)
    engine.klines(rows, **OF)
    found = {int(it["start_ms"]): it for it in engine.candles(exact=True)}
    traded = [(START_MS + number * MINUTE_MS, number) for number in sorted({t[0] for t in trades})]
    assert list(found) == [start_ms for start_ms, _ in traded]
    by_start = {it[0]: it for it in rows}
    for start_ms, number in traded:
        own = [at for at in range(len(trades)) if trades[at][0] == number]
        is_whole = all(at in received for at in own)
        candle = found[start_ms]
        exact = tuple(candle[name] for name in ("close", "volume", "turnover"))
        assert exact == by_start[start_ms][4:]
        assert bool(candle["complete"]) == is_whole
        assert candle["trades"] == (len(own) if is_whole else -1)
        if not is_whole:
            assert (
                tuple(candle[name] for name in ("open", "high", "low")) == by_start[start_ms][1:4]
            )
    verified, mismatched, largest = engine.audit
    assert (mismatched, largest) == (0, None)
    assert verified == sum(candle["trades"] >= 0 for candle in found.values())
