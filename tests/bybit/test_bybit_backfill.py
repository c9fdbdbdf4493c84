"""Fetched trades: what is read, what they prove, and the frames that they make (U14, U29)."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast import Engine
from tapecast.aliases import Category
from tapecast.bybit.backfill import Page, Trade, Verdict, frames_of, judge, read_page
from tapecast.errors import FeedError
from tapecast.symbols import CATEGORIES
from tests.bybit.pages import START_MS, page_at, page_of, trade_row

SYMBOLS: dict[Category, tuple[str, str]] = {
    "linear": ("BTCUSDT", "BTCUSDT"),
    "inverse": ("BTCUSD", "BTCUSD"),
    "spot": ("BTCUSDT", "BTCUSDT"),
    "option": ("BTC", "BTC-25JUN27-106000-C-USDT"),
}
LATER_NS = (START_MS + 3_600_000) * 1_000_000


# What is read.


def test_a_page_is_read_oldest_first_and_its_numbers_stay_as_they_are_written() -> None:
    newer = trade_row(5, 2, price="80692.00", size="0.000136", side="Buy", isRPITrade=True)
    page = page_of([newer, trade_row(0, 1, isBlockTrade=True, added=[1])])
    assert page.trades == [
        Trade("BTCUSDT", "t1", START_MS, "80681.90", "0.010", "Sell", 1000, is_block=True),
        Trade(
            "BTCUSDT",
            "t2",
            START_MS + 5,
            "80692.00",
            "0.000136",
            "Buy",
            1005,
            is_block=False,
            is_rpi=True,
        ),
    ]
    assert page.is_ordered
    assert page.keys() == [("BTCUSDT", "t1", START_MS), ("BTCUSDT", "t2", START_MS + 5)]


def test_trades_of_one_order_keep_its_order() -> None:
    page = page_of(trade_row(0, number) for number in (3, 2, 1))
    assert [trade.trade_id for trade in page.trades] == ["t1", "t2", "t3"]


def test_an_option_page_holds_every_contract_of_its_coin() -> None:
    rows = [trade_row(9, 2, symbol="BTC-2-C-USDT"), trade_row(3, 1, symbol="BTC-1-P")]
    del rows[0]["isRPITrade"]
    page = page_of(rows, category="option", topic="BTC")
    assert [trade.symbol for trade in page.trades] == ["BTC-1-P", "BTC-2-C-USDT"]


def test_rows_out_of_order_are_put_in_order_and_told() -> None:
    page = page_of([trade_row(1, 1), trade_row(9, 9), trade_row(5, 5)])
    assert [trade.trade_id for trade in page.trades] == ["t1", "t5", "t9"]
    assert not page.is_ordered


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"price": "-1"}, 'trade price is "-1", expected a positive decimal (row 1)'),
        ({"price": 80681.9}, "trade price is 80681.9, expected a positive decimal (row 1)"),
        ({"price": "0.00"}, 'trade price is "0.00", expected a positive decimal (row 1)'),
        ({"size": "NaN"}, 'trade size is "NaN", expected a positive decimal (row 1)'),
        ({"size": " 1"}, 'trade size is " 1", expected a positive decimal (row 1)'),
        ({"size": "1\n"}, 'trade size is "1\\n", expected a positive decimal (row 1)'),
        ({"side": "buy"}, 'trade taker side is "buy", expected "Buy" or "Sell" (row 1)'),
        (
            {"time": "now"},
            'trade time is "now", expected whole milliseconds from 0 to 4102444799999 (row 1)',
        ),
        (
            {"seq": "-1"},
            'trade exchange sequence is "-1", expected a whole number below 2^63 (row 1)',
        ),
        ({"execId": ""}, 'trade id is "", expected 1 to 64 visible ASCII characters (row 1)'),
        (
            {"symbol": "A B"},
            'trade symbol is "A B", expected 1 to 32 characters without white space (row 1)',
        ),
        ({"isBlockTrade": None}, "trade block trade flag is null, expected true or false (row 1)"),
        ({"isRPITrade": "no"}, 'trade RPI flag is "no", expected true or false (row 1)'),
    ],
)
def test_a_bad_field_refuses_the_page_and_is_named(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(FeedError) as caught:
        page_of([trade_row(9, 9), trade_row(0, 1, **fields)])
    assert str(caught.value) == text


def test_a_missing_field_is_named() -> None:
    row = trade_row()
    del row["seq"]
    with pytest.raises(FeedError) as caught:
        page_of([row])
    assert str(caught.value) == (
        "trade is without exchange sequence, expected a whole number below 2^63 (row 0)"
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{}", "page is {}, expected a list of rows"),
        (b"[7]", "trade is 7, expected a row of values (row 0)"),
    ],
)
def test_what_is_no_list_of_rows_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(FeedError) as caught:
        read_page(body, category="linear", topic="BTCUSDT", most=1000)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("category", "topic", "symbol", "expected"),
    [
        ("linear", "ETHUSDT", "BTCUSDT", "ETHUSDT"),
        ("option", "BTC", "BTCDOM-1-C", "BTC-…"),
        ("option", "BTC", "BTC", "BTC-…"),
    ],
)
def test_a_page_of_another_symbol_is_refused(
    category: Category, topic: str, symbol: str, expected: str
) -> None:
    with pytest.raises(FeedError) as caught:
        page_of([trade_row(symbol=symbol)], category=category, topic=topic)
    assert str(caught.value) == (
        f'trade symbol is "{symbol}", expected "{expected}" as was asked for'
    )


def test_a_huge_page_is_refused() -> None:
    with pytest.raises(FeedError) as caught:
        page_of(trade_row(number=number) for number in range(1001))
    assert str(caught.value) == "page has 1001 rows, expected at most 1000"


def test_real_pages_are_read_and_are_in_order(shared_data: Path) -> None:
    path = shared_data / "bybit_spot_l2xl" / "rest_recent_trade_spot_BTCUSDC.jsonl"
    for line in path.read_bytes().splitlines():
        rows = json.loads(line)["result"]["list"]
        page = page_of(rows, category="spot", topic="BTCUSDC")
        assert page.is_ordered
        # Spot ids grow, so that they tell the order within one millisecond.
        ids = [int(trade.trade_id) for trade in page.trades]
        assert ids == sorted(ids)
        assert len(ids) == 60


# What is proven.


def judged(page: Page, known: str, from_ms: int, to_ms: int) -> tuple[str, int]:
    """Judge with times after the start; of `known`, an `x` stands for each trade that is."""
    marks = [mark == "x" for mark in known]
    verdict, whole_ms = judge(page, marks, START_MS + from_ms, START_MS + to_ms)
    return verdict.value, whole_ms - START_MS


@pytest.mark.parametrize(
    ("known", "from_ms", "to_ms", "expected"),
    [
        ("x--x", 20, 40, ("proven", 40)),
        ("x---", 20, 40, ("no_after", 40)),
        ("---x", 20, 40, ("no_before", 20)),
        ("----", 20, 40, ("no_before", 20)),
        # Of the very millisecond in which the gap begins, trades may be cut off.
        ("x--x", 10, 40, ("no_before", 10)),
        ("xx-x", 15, 40, ("proven", 40)),
        # The gap ends with its last millisecond.
        ("x--x", 20, 41, ("no_after", 40)),
        # Whatever is known within the gap proves nothing.
        ("-xx-", 15, 35, ("no_before", 15)),
        # A page that is older than the gap is whole up to there, or says nothing.
        ("xxxx", 60, 80, ("no_after", 60)),
        ("----", 60, 80, ("no_after", 60)),
        ("----", 40, 80, ("no_before", 40)),
        ("xx--", 25, 80, ("no_after", 40)),
    ],
)
def test_a_gap_is_proven_by_what_is_known_on_both_of_its_sides(
    known: str, from_ms: int, to_ms: int, expected: tuple[str, int]
) -> None:
    assert judged(page_at(10, 20, 30, 40), known, from_ms, to_ms) == expected


def test_an_empty_page_says_nothing() -> None:
    assert judged(page_at(), "", 10, 20) == ("no_after", 10)


def test_a_page_out_of_order_contradicts_itself() -> None:
    page = page_of([trade_row(10, 1), trade_row(40, 4), trade_row(20, 2)])
    assert judged(page, "xxx", 15, 30) == ("contradiction", 15)


@dataclass
class World:
    """What an exchange executed, oldest first, and what of it was received.

    Trades share milliseconds; those of the gap are lost by chance, and what is old is forgotten.
    """

    ledger: list[dict[str, Any]]
    known: set[str]
    from_ms: int
    to_ms: int

    @property
    def of_gap(self) -> set[str]:
        return {
            row["execId"] for row in self.ledger if self.from_ms <= int(row["time"]) < self.to_ms
        }

    def page(self, size: int, as_of: int) -> list[dict[str, Any]]:
        """Return the newest rows of a moment at which `as_of` trades were executed."""
        return self.ledger[:as_of][-size:][::-1]

    def receive(self, page: Page) -> list[bool]:
        """Apply a page and return what of it was known before."""
        known = [trade.trade_id in self.known for trade in page.trades]
        self.known.update(trade.trade_id for trade in page.trades)
        return known


@st.composite
def worlds(draw: st.DrawFn) -> World:
    steps = draw(st.lists(st.sampled_from([0, 0, 1, 2, 7]), min_size=1, max_size=40))
    contracts = draw(st.integers(1, 3))
    at, ledger = 0, []
    for number, step in enumerate(steps):
        at += step
        symbol = f"BTC-{number % contracts}-C"
        ledger.append(trade_row(at, number, symbol=symbol, seq=str(number // 2)))
    from_at = draw(st.integers(0, at + 1))
    to_at = draw(st.integers(from_at + 1, at + 3))
    lost = draw(st.sets(st.integers(0, len(ledger) - 1)))
    forgotten = draw(st.integers(0, len(ledger)))
    known = {
        row["execId"]
        for number, row in enumerate(ledger)
        if number >= forgotten
        and not (number in lost and from_at <= int(row["time"]) - START_MS < to_at)
    }
    return World(ledger, known, START_MS + from_at, START_MS + to_at)


@given(worlds(), st.data())
def test_nothing_of_a_gap_is_missing_once_it_is_proven(world: World, data: st.DataObject) -> None:
    """Whatever was lost or forgotten, however short, old or shuffled the pages, one or several."""
    from_ms = world.from_ms
    for _ in range(data.draw(st.integers(1, 4))):
        size = data.draw(st.integers(0, 12))
        rows = world.page(size, data.draw(st.integers(0, len(world.ledger))))
        if data.draw(st.booleans()):
            Random(data.draw(st.integers(0, 9))).shuffle(rows)
        page = page_of(rows, category="option", topic="BTC")
        known = world.receive(page)
        verdict, from_ms = judge(page, known, from_ms, world.to_ms)
        if verdict is Verdict.PROVEN:
            assert world.of_gap <= world.known
            return
        whole = {row["execId"] for row in world.ledger if int(row["time"]) < from_ms}
        assert world.of_gap & whole <= world.known


@given(worlds(), st.integers(1, 40))
def test_a_gap_is_proven_whenever_a_page_overlaps_both_of_its_sides(
    world: World, size: int
) -> None:
    rows = world.page(size, len(world.ledger))
    page = page_of(rows, category="option", topic="BTC")
    sides = [int(row["time"]) for row in rows if row["execId"] in world.known]
    overlaps = any(ms < world.from_ms for ms in sides) and any(ms >= world.to_ms for ms in sides)
    verdict, _ = judge(page, world.receive(page), world.from_ms, world.to_ms)
    assert (verdict is Verdict.PROVEN) == overlaps


@given(worlds(), st.integers(1, 12), st.data())
def test_no_later_page_proves_a_gap_that_was_said_to_be_beyond_reach(
    world: World, size: int, data: st.DataObject
) -> None:
    """A page of the same size that is taken later never reaches further back."""
    as_of = data.draw(st.integers(0, len(world.ledger)))
    early = page_of(world.page(size, as_of), category="option", topic="BTC")
    known = [trade.trade_id in world.known for trade in early.trades]
    verdict, _ = judge(early, known, world.from_ms, world.to_ms)
    if verdict is Verdict.NO_BEFORE:
        later_rows = world.page(size, data.draw(st.integers(as_of, len(world.ledger))))
        later = page_of(later_rows, category="option", topic="BTC")
        known = [trade.trade_id in world.known for trade in later.trades]
        assert judge(later, known, world.from_ms, world.to_ms)[0] is not Verdict.PROVEN


# The frames.


def ids_of(frames: list[bytes]) -> list[list[str]]:
    return [[item["i"] for item in json.loads(frame)["data"]] for frame in frames]


def test_a_frame_is_as_the_exchange_writes_it() -> None:
    page = page_of([trade_row(7, 1, isRPITrade=True)])
    (frame,) = frames_of(page, [False])
    assert json.loads(frame) == {
        "topic": "publicTrade.BTCUSDT",
        "type": "snapshot",
        "ts": START_MS + 7,
        "data": [
            {
                "T": START_MS + 7,
                "s": "BTCUSDT",
                "S": "Sell",
                "v": "0.010",
                "p": "80681.90",
                "i": "t1",
                "BT": False,
                "RPI": True,
                "seq": 1007,
            }
        ],
    }


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_engine_takes_the_frames_of_every_category(category: Category) -> None:
    topic, symbol = SYMBOLS[category]
    rows = [trade_row(at, at, symbol=symbol) for at in (30, 20, 10)]
    engine = Engine()
    for frame in frames_of(page_of(rows, category=category, topic=topic), [False] * 3):
        engine.feed(frame, received_ns=LATER_NS, category=category)
    assert engine.symbols() == [(category, symbol)]
    assert list(engine.trades(exact=True)["trade_id"]) == ["t10", "t20", "t30"]


def test_known_trades_and_those_from_before_are_left_out() -> None:
    page = page_at(10, 20, 30, 40)
    frames = frames_of(page, [False, False, True, False], since_ms=START_MS + 20)
    assert ids_of(frames) == [["t1"], ["t3"]]


def test_an_order_of_which_some_is_known_has_a_frame_of_its_own_and_so_has_the_newest() -> None:
    """The place in its frame tells trades of an order apart, in whatever pages they come."""
    page = page_at(10, 20, 20, 30, 40, 40)
    frames = frames_of(page, [False, True, False, False, False, False])
    assert ids_of(frames) == [["t0"], ["t1", "t2"], ["t3"], ["t4", "t5"]]


def test_nothing_new_makes_no_frame() -> None:
    assert frames_of(page_at(10, 20), [True, True]) == []
    assert frames_of(page_at(), []) == []


def test_frames_have_at_most_so_many_trades_and_orders_stay_together() -> None:
    page = page_at(10, 20, 20, 30, 30, 30, 30, 40)
    assert ids_of(frames_of(page, [False] * 8, most=3)) == [
        ["t0", "t1", "t2"],
        ["t3", "t4", "t5"],
        ["t6"],
        ["t7"],
    ]


def test_an_order_that_is_told_in_two_pages_closes_with_its_last_trade() -> None:
    """Whatever stood before it on the first page."""
    rows = [trade_row(0, 0), trade_row(9, 1, price="1"), trade_row(9, 2, price="2")]
    rows.append(trade_row(9, 3, price="3"))
    engine = Engine()
    known = [False, False, False, False]
    for told in (3, 4):
        page = page_of(reversed(rows[:told]))
        for frame in frames_of(page, known[:told]):
            engine.feed(frame, received_ns=LATER_NS)
        known = [True, True, True, False]
    (candle,) = engine.candles()
    assert (candle["close"], candle["trades"]) == (3.0, 4)


@given(worlds(), st.integers(1, 12))
def test_frames_hold_every_trade_that_is_not_known_in_the_exchanges_order(
    world: World, most: int
) -> None:
    page = page_of(reversed(world.ledger), category="option", topic="BTC")
    known = [trade.trade_id in world.known for trade in page.trades]
    frames = frames_of(page, known, most=most)
    told = [trade_id for frame in ids_of(frames) for trade_id in frame]
    in_order = [trade.trade_id for trade in page.trades]
    assert told == [trade_id for trade_id in in_order if trade_id in set(told)]
    assert set(in_order) - world.known <= set(told)
    assert all(len(frame) <= most for frame in ids_of(frames))
