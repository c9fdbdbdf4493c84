"""The arrays that the core hands to Python: their fields, their selection, their exact text."""

import math
from typing import Any

import numpy as np
import pytest

from tapecast import Engine, decode_trades
from tests.core.frames import START_MS, feed, frame_of, trade_item

CANDLE_FIELDS = [
    *[("category", "<U7"), ("symbol", "<U32"), ("start_ms", "<i8"), ("end_ms", "<i8")],
    *[(name, "<f8") for name in ("open", "high", "low", "close")],
    *[(name, "<f8") for name in ("volume", "turnover", "buy_volume")],
    *[("trades", "<i8"), ("vwap", "<f8"), ("closed", "|b1"), ("complete", "|b1")],
    ("revision", "<i8"),
]
TRADE_FIELDS = [
    *[("symbol", "<U32"), ("event_ms", "<i8"), ("taker_side", "<U4")],
    *[("price", "<f8"), ("size", "<f8"), ("trade_id", "<U64"), ("exchange_seq", "<i8")],
    *[("is_block", "|b1"), ("is_rpi", "|b1")],
]
EXACT = {"open", "high", "low", "close", "volume", "turnover", "buy_volume", "price", "size"}


def fields(rows: np.ndarray[Any, Any]) -> list[tuple[str, str]]:
    return [(name, rows.dtype[name].str) for name in rows.dtype.names or ()]


def exact(known: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, "<U41" if name in EXACT else form) for name, form in known]


@pytest.fixture
def engine() -> Engine:
    """Two symbols of one name in two categories and one of its own, with a minute closed."""
    engine = Engine()
    feed(engine, trade_item(p="100.10", v="0.1"), trade_item(5, i="2", p="100.2", v="0.2"))
    feed(engine, trade_item(60_000, i="3", S="Sell", p="99"))
    feed(engine, trade_item(p="101"), category="spot")
    feed(engine, trade_item(s="ETHUSDT", p="7", BT=True, RPI=True, seq=2**64 - 1))
    engine.advance(START_MS + 61_000)
    return engine


def test_candles_have_the_documented_fields(engine: Engine) -> None:
    for rows in (engine.candles(), Engine().candles()):
        assert fields(rows) == CANDLE_FIELDS
    for rows in (engine.candles(exact=True), Engine().candles(exact=True)):
        assert fields(rows) == exact(CANDLE_FIELDS)


def test_trades_have_the_documented_fields(engine: Engine) -> None:
    frame, nothing = frame_of([trade_item()]), frame_of([])
    for source in (frame, nothing):
        assert fields(decode_trades(source)) == TRADE_FIELDS
        assert fields(decode_trades(source, exact=True)) == exact(TRADE_FIELDS)
    for its in (engine, Engine()):
        assert fields(its.trades()) == [("category", "<U7"), *TRADE_FIELDS]
        assert fields(its.trades(exact=True)) == [("category", "<U7"), *exact(TRADE_FIELDS)]


def test_candles_come_by_symbol_and_then_oldest_first(engine: Engine) -> None:
    rows = engine.candles()
    names = ["category", "symbol", "start_ms", "end_ms", "trades", "closed"]
    later = START_MS + 60_000
    assert rows[names].tolist() == [
        ("linear", "BTCUSDT", START_MS, later, 2, True),
        ("linear", "BTCUSDT", later, later + 60_000, 1, False),
        ("spot", "BTCUSDT", START_MS, later, 1, True),
        ("linear", "ETHUSDT", START_MS, later, 1, True),
    ]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 4),
        ({"symbol": "BTCUSDT"}, 3),
        ({"symbol": "BTCUSDT", "category": "linear"}, 2),
        ({"category": "spot"}, 1),
        ({"category": "option"}, 0),
        ({"symbol": "btcusdt"}, 0),
    ],
)
def test_candles_are_chosen_by_symbol_and_category(
    engine: Engine, arguments: dict[str, Any], count: int
) -> None:
    assert len(engine.candles(**arguments)) == count


def test_exact_candles_hold_the_decimal_text_and_plain_ones_the_nearest_double(
    engine: Engine,
) -> None:
    names = ["open", "high", "low", "close", "volume", "turnover", "buy_volume"]
    text = engine.candles("BTCUSDT", category="linear", exact=True)[names].tolist()
    assert text == [
        ("100.1", "100.2", "100.1", "100.2", "0.3", "30.05", "0.3"),
        ("99", "99", "99", "99", "1", "99", "0"),
    ]
    doubles = engine.candles("BTCUSDT", category="linear")
    assert doubles[names].tolist() == [tuple(map(float, row)) for row in text]
    assert doubles["vwap"].tolist() == [30.05 / 0.3, 99.0]


def test_a_minute_without_volume_has_no_vwap() -> None:
    engine = Engine(empty="flat")
    feed(engine, trade_item())
    engine.advance(START_MS + 121_000)
    rows = engine.candles()
    assert rows["volume"].tolist() == [1.0, 0.0]
    assert [math.isnan(vwap) for vwap in rows["vwap"].tolist()] == [False, True]


def test_arrays_belong_to_the_caller(engine: Engine) -> None:
    rows = engine.candles()
    rows["open"] = 0.0
    assert engine.candles()["open"].tolist() == [100.1, 99.0, 101.0, 7.0]


def test_trades_keep_flags_and_sequence_and_saturate_where_numpy_cannot_hold_it(
    engine: Engine,
) -> None:
    names = ["is_block", "is_rpi", "exchange_seq"]
    assert engine.trades()[names].tolist()[-1] == (True, True, 2**63 - 1)
    assert engine.trades()[names].tolist()[0] == (False, False, 1)


def test_recent_trades_are_the_newest_oldest_first_and_bounded() -> None:
    engine = Engine(recent_trades=3)
    for number in range(10):
        feed(engine, trade_item(i=str(number)))
        assert len(engine.trades()) == min(number + 1, 3)
    assert engine.trades()["trade_id"].tolist() == ["7", "8", "9"]
    none = Engine(recent_trades=0)
    feed(none, trade_item())
    assert len(none.trades()) == 0


def test_closed_candles_are_kept_to_their_bound_once_they_can_no_longer_be_revised() -> None:
    engine = Engine(history_candles=2, revise_window_ms=0)
    for minute in range(6):
        feed(engine, trade_item(minute * 60_000, i=str(minute)))
    engine.advance(START_MS + 361_000)
    starts = (engine.candles()["start_ms"] - START_MS) // 60_000
    assert starts.tolist() == [4, 5]


def test_an_unknown_category_is_named_with_the_known_ones(engine: Engine) -> None:
    text = r'^category is "future", expected linear, inverse, spot or option$'
    with pytest.raises(ValueError, match=text):
        engine.candles(category="future")  # type: ignore[arg-type] # what is tested
    with pytest.raises(ValueError, match=text):
        decode_trades(frame_of([]), category="future")  # type: ignore[arg-type] # the same
    with pytest.raises(ValueError, match=text):
        engine.feed(b"", received_ns=0, category="future")  # type: ignore[arg-type] # the same
    assert engine.counts["bad_frames"] == 0


@pytest.mark.parametrize(("silent_minutes", "count"), [(10_080, 10_082), (10_081, 2)])
def test_one_step_of_the_clock_fills_a_silence_of_up_to_a_week(
    silent_minutes: int, count: int
) -> None:
    engine = Engine(empty="flat", clock="event", history_candles=20_000)
    feed(engine, trade_item())
    feed(engine, trade_item((silent_minutes + 1) * 60_000 + 30_000, i="2"))
    assert len(engine.candles()) == count
