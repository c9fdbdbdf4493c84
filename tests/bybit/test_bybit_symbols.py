"""Symbols from patterns and lists, and their spread over lines."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.aliases import Category
from tapecast.bybit import Rest, plan, resolve
from tapecast.bybit.topics import MAX_ARGS_CHARS, args_chars, kline_topic_of, topic_of
from tapecast.errors import FeedError
from tapecast.sim.exchange import SimExchange, SimSettings
from tapecast.symbols import Pattern, parse_patterns


class Listing:
    """An exchange's lists, which count how often they are asked for."""

    def __init__(self, **symbols: list[str]) -> None:
        self.symbols = symbols
        self.asked: list[Category] = []

    async def instruments(self, category: Category) -> list[dict[str, Any]]:
        self.asked.append(category)
        return [{"symbol": name, "status": "Trading"} for name in self.symbols[category]]


async def resolved(listing: Listing, *texts: str) -> tuple[dict[Category, list[str]], list[str]]:
    names, unmatched = await resolve(parse_patterns(texts), listing.instruments)
    return names, [str(pattern) for pattern in unmatched]


async def test_explicit_symbols_are_taken_as_they_are_without_a_list() -> None:
    listing = Listing()
    names, unmatched = await resolved(listing, "spot:BTCUSDT", "ETHUSDT", "option:BTC", "spot:X")
    assert list(names.items()) == [
        ("spot", ["BTCUSDT", "X"]),
        ("linear", ["ETHUSDT"]),
        ("option", ["BTC"]),
    ]
    assert (unmatched, listing.asked) == ([], [])


async def test_globs_match_the_list_in_its_order_and_each_list_is_asked_for_once() -> None:
    listing = Listing(linear=["ETHUSDT", "BTCPERP", "BTCUSDT"], spot=["BTCUSDC", "BTCUSDT"])
    names, unmatched = await resolved(
        listing, "linear:*USDT", "spot:*USDC", "linear:BTC*", "linear:B?CPERP"
    )
    assert names == {"linear": ["ETHUSDT", "BTCUSDT", "BTCPERP"], "spot": ["BTCUSDC"]}
    assert unmatched == []
    assert listing.asked == ["linear", "spot"]


async def test_a_symbol_that_is_wanted_twice_comes_once_where_it_was_wanted_first() -> None:
    names, _ = await resolved(Listing(linear=["AUSDT", "BUSDT"]), "BUSDT", "linear:*", "AUSDT")
    assert names == {"linear": ["BUSDT", "AUSDT"]}


async def test_globs_that_match_nothing_are_told_and_leave_their_category_empty() -> None:
    names, unmatched = await resolved(Listing(spot=["BTCUSDT"]), "spot:*EUR", "spot:[XY]*")
    assert names == {"spot": []}
    assert unmatched == ["spot:*EUR", "spot:[XY]*"]


async def test_what_does_not_trade_or_has_no_name_is_left_out() -> None:
    async def instruments(_category: Category) -> list[dict[str, Any]]:
        return [
            {"symbol": "AUSDT", "status": "PreLaunch"},
            {"symbol": "BUSDT"},
            {"status": "Trading"},
            {"symbol": "CUSDT", "status": "Trading"},
            {"symbol": "CUSDT", "status": "Trading"},
        ]

    names, _ = await resolve([Pattern("linear", "*")], instruments)
    assert names == {"linear": ["BUSDT", "CUSDT"]}


async def test_a_list_that_cannot_be_had_is_an_error() -> None:
    async def instruments(_category: Category) -> list[dict[str, Any]]:
        raise FeedError("no list")

    with pytest.raises(FeedError, match=r"^no list$"):
        await resolve([Pattern("linear", "*")], instruments)


async def test_globs_are_resolved_over_the_exchange_page_by_page() -> None:
    async with (
        asyncio.timeout(20),
        SimExchange(SimSettings(live=False)) as sim,
        Rest(sim.rest_url, page_size=2) as rest,
    ):
        names, unmatched = await resolve(parse_patterns(["linear:*USDT"]), rest.instruments)
        listed = {
            one.symbol
            for one in SimSettings().instruments()
            if one.category == "linear" and one.symbol.endswith("USDT") and one.status == "Trading"
        }
        assert len(listed) > 2
        assert set(names["linear"]) == listed
        assert unmatched == []


def test_topics_are_spread_over_lines_of_at_most_so_many() -> None:
    assert plan(["A", "B", "C", "D", "E"], most=2) == [("A", "B"), ("C", "D"), ("E",)]
    assert plan([], most=2) == []


def test_a_line_holds_no_more_characters_than_its_connection_may_have() -> None:
    # 40 characters each with prefix, quotes and comma: 525 of them make 21,000.
    names = [f"{number:025d}" for number in range(1000)]
    assert [len(line) for line in plan(names, most=2000)] == [525, 475]


@given(names=st.lists(st.text(min_size=1, max_size=3000), max_size=60), most=st.integers(1, 20))
def test_a_plan_keeps_the_order_loses_nothing_and_holds_the_limits(
    names: list[str], most: int
) -> None:
    lines = plan(names, most=most)
    assert [name for line in lines for name in line] == names
    assert all(1 <= len(line) <= most for line in lines)
    assert all(sum(len(name) + 15 for name in line) <= 21_000 for line in lines)


def test_candles_take_part_of_the_characters_of_a_line() -> None:
    """U10: limits of arguments."""
    names = [f"SYMBOL{number:04}USDT" for number in range(900)]
    for audit in (False, True):
        topics = [topic_of, kline_topic_of] if audit else [topic_of]
        lines = plan(names, most=2000, audit=audit)
        assert [name for line in lines for name in line] == names
        assert len(lines) == (3 if audit else 2)
        for line in lines:
            chars = sum(args_chars(topic(name)) for name in line for topic in topics)
            assert chars <= MAX_ARGS_CHARS
