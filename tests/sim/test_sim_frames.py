"""Frames of the simulated exchange: the real shapes and exactly the executed trades."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast.sim.frames import encode_order
from tapecast.sim.instruments import INSTRUMENTS, Category
from tapecast.sim.market import Market, Odds, Order, SimTrade

START_MS = 1_790_000_000_000


def market(seed: int = 7, odds: Odds | None = None) -> Market:
    return Market(INSTRUMENTS, seed=seed, start_ms=START_MS, rate=400.0, odds=odds)


def read_back(order: Order) -> list[SimTrade]:
    """Return the trades of an order as a reader of its frames sees them."""
    category = order.trades[0].category
    trades: list[SimTrade] = []
    for frame in encode_order(order):
        message = json.loads(frame, parse_float=Decimal)
        assert message["topic"] == order.topic
        assert message["type"] == "snapshot"
        assert message["ts"] == order.sent_ms
        assert 1 <= len(message["data"]) <= 1024
        trades.extend(trade_of(category, row) for row in message["data"])
    return trades


def trade_of(category: Category, row: dict[str, Any]) -> SimTrade:
    return SimTrade(
        category=category,
        symbol=row["s"],
        event_ms=row["T"],
        taker_side=row["S"],
        price=row["p"],
        size=row["v"],
        trade_id=row["i"],
        exchange_seq=row["seq"],
        tick_direction=row.get("L", ""),
        block_trade=row["BT"],
        rpi=row.get("RPI", False),
        mark_price=row.get("mP", ""),
        index_price=row.get("iP", ""),
        mark_iv=row.get("mIv", ""),
        iv=row.get("iv", ""),
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_frames_hold_exactly_the_executed_trades(seed: int) -> None:
    for order in market(seed).advance(START_MS + 500):
        category = order.trades[0].category
        kept = category in {"linear", "inverse"}
        expected = [
            trade if kept else SimTrade(**{**fields(trade), "tick_direction": ""})
            for trade in order.trades
        ]
        assert read_back(order) == expected


def fields(trade: SimTrade) -> dict[str, Any]:
    return {name: getattr(trade, name) for name in trade.__struct_fields__}


def test_a_sweep_is_split_at_1024_trades_of_one_number() -> None:
    swept = market(odds=Odds(sweep=1.0, block_trade=0.0))
    order = swept.order_at(START_MS, symbol=("linear", "BTCUSDT"))
    while len(order.trades) <= 2048:
        order = swept.order_at(START_MS, symbol=("linear", "BTCUSDT"))
    frames = [json.loads(frame) for frame in encode_order(order)]
    assert [len(frame["data"]) for frame in frames] == [1024, 1024, len(order.trades) - 2048]
    assert len({row["seq"] for frame in frames for row in frame["data"]}) == 1
    assert len({frame["ts"] for frame in frames}) == 1


# Real frames of the newest shape, by their line in the file.
REAL_FRAMES: list[tuple[int, Category]] = [
    (6, "linear"),
    (7, "inverse"),
    (8, "spot"),
    (21, "option"),
]


@pytest.mark.parametrize(("line", "category"), REAL_FRAMES)
def test_key_order_and_types_are_those_of_a_real_frame(
    shared_data: Path, line: int, category: Category
) -> None:
    path = shared_data / "bybit_ws_singles" / "publicTrade_singles.jsonl"
    real = json.loads(path.read_text(encoding="utf-8").splitlines()[line - 1])
    symbol = real["data"][0]["s"]
    if category == "option":
        symbol = "BTC-25JUN27-106000-C-USDT"
    (frame,) = encode_order(market().order_at(START_MS, max_trades=1, symbol=(category, symbol)))
    ours = json.loads(frame)
    assert shape(ours) == shape(real)
    assert b" " not in frame


def shape(value: object) -> object:
    """Return keys in their order and types in place of values."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(value[0])]
    return type(value)


def test_futures_print_every_decimal_and_spot_strips_zeros() -> None:
    playing = market()
    linear = [
        trade
        for _ in range(200)
        for trade in playing.order_at(START_MS, symbol=("linear", "SOLUSDT")).trades
    ]
    assert {len(trade.price.partition(".")[2]) for trade in linear} == {3}
    assert {len(trade.size.partition(".")[2]) for trade in linear} == {1}
    spot = [
        trade
        for _ in range(200)
        for trade in playing.order_at(START_MS, symbol=("spot", "SOLUSDT")).trades
    ]
    texts = [text for trade in spot for text in (trade.price, trade.size)]
    assert not [text for text in texts if "." in text and text.endswith(("0", "."))]
    inverse = playing.order_at(START_MS, symbol=("inverse", "BTCUSD")).trades[0]
    assert inverse.size.isdigit()
    assert inverse.price[-3] == "."


def test_an_option_frame_names_topic_number_and_time_in_its_id() -> None:
    order = market().order_at(START_MS, symbol=("option", "ETH-26MAR27-3000-C-USDT"))
    message = json.loads(encode_order(order)[0])
    number = order.trades[0].exchange_seq
    assert message["topic"] == "publicTrade.ETH"
    assert message["id"] == f"publicTrade.ETH-{number}-{order.sent_ms}"
