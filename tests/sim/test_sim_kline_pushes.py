"""Minutes over WebSocket against the REST API and against the trades."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tapecast.sim.faults import KlineWrong, Lose
from tapecast.sim.klines import MINUTE_MS
from tests.sim.desks import BTC, KLINES, START_MS, ask, desk, subscribe


def pushed(frames: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames]


def test_a_push_has_the_shape_of_the_exchange() -> None:
    sim = desk()
    line = subscribe(sim, KLINES)
    (trade,) = sim.step(1, at_ms=START_MS + 300, symbol=BTC)
    assert line.pending() == []
    sim.advance_to(START_MS + 1000)
    price = f"{Decimal(trade.price).normalize():f}"
    value = f"{(Decimal(trade.price) * Decimal(trade.size)).normalize():f}"
    assert pushed(line.pending()) == [
        {
            "topic": KLINES,
            "data": [
                {
                    "start": START_MS,
                    "end": START_MS + 59_999,
                    "interval": "1",
                    "open": price,
                    "close": price,
                    "high": price,
                    "low": price,
                    "volume": f"{Decimal(trade.size).normalize():f}",
                    "turnover": value,
                    "confirm": False,
                    "timestamp": START_MS + 300,
                }
            ],
            "ts": START_MS + 1000,
            "type": "snapshot",
        }
    ]


def test_an_open_minute_is_sent_each_second_that_it_trades() -> None:
    sim = desk()
    line = subscribe(sim, KLINES)
    for second in (0, 1, 5):
        sim.step(2, at_ms=START_MS + second * 1000 + 10, symbol=BTC)
    sim.advance_to(START_MS + 30_000)
    assert [one["ts"] - START_MS for one in pushed(line.pending())] == [1000, 2000, 6000]


@pytest.mark.parametrize("symbols", [("linear:BTCUSDT",), ("inverse:BTCUSD",), ("spot:BTCUSDT",)])
def test_a_closed_minute_is_confirmed_as_rest_has_it(symbols: tuple[str, ...]) -> None:
    category, _, symbol = symbols[0].partition(":")
    sim = desk(rate=20.0, symbols=symbols)
    topic = f"kline.1.{symbol}"
    line = next(
        subscribe(sim, topic, category=one)
        for one in ("linear", "inverse", "spot")
        if one == category
    )
    sim.advance_to(START_MS + 3 * MINUTE_MS)
    confirmed = [one for one in pushed(line.pending()) if one["data"][0]["confirm"]]
    assert [one["ts"] for one in confirmed] == [START_MS + n * MINUTE_MS for n in (1, 2, 3)]
    status, body = sim.rest(
        "/v5/market/kline", {"category": category, "symbol": symbol, "interval": "1"}
    )
    rows = json.loads(body)["result"]["list"][::-1][:3]
    assert status == 200
    names = ("start", "open", "high", "low", "close", "volume", "turnover")
    told = [[str(one["data"][0][name]) for name in names] for one in confirmed]
    assert told == rows


def test_a_minute_without_trades_is_confirmed_too() -> None:
    sim = desk()
    line = subscribe(sim, KLINES)
    sim.step(1, symbol=BTC)
    sim.advance_to(START_MS + 2 * MINUTE_MS)
    last = pushed(line.pending())[-1]["data"][0]
    assert (last["start"], last["confirm"]) == (START_MS + MINUTE_MS, True)
    assert (last["volume"], last["turnover"]) == ("0", "0")
    assert last["open"] == last["close"]


def test_a_symbol_that_never_traded_and_an_option_have_none() -> None:
    sim = desk(rate=50.0, symbols=("option:*",))
    contract = next(t for t in sim._topics["option"] if t.startswith("kline.1.BTC-"))
    option = subscribe(sim, contract, category="option")
    sim.advance(MINUTE_MS)
    assert option.pending() == []
    quiet = desk()
    line = subscribe(quiet, KLINES)
    quiet.advance(MINUTE_MS)
    assert line.pending() == []


def test_nothing_is_sent_after_unsubscribing() -> None:
    sim = desk()
    line = subscribe(sim, KLINES)
    sim.step(1, symbol=BTC)
    assert ask(line, "unsubscribe", KLINES)["success"] is True
    sim.advance(2 * MINUTE_MS)
    assert line.pending() == []
    assert ask(line, "subscribe", KLINES)["success"] is True
    sim.step(1, symbol=BTC)
    sim.advance(1000)
    assert len(line.pending()) == 1


def test_lost_trades_are_in_the_minutes() -> None:
    sim = desk(Lose())
    line = subscribe(sim, KLINES, "publicTrade.BTCUSDT")
    trades = sim.step(10, symbol=BTC)
    sim.advance(1000)
    (push,) = pushed(line.pending())
    assert Decimal(push["data"][0]["volume"]) == sum(Decimal(trade.size) for trade in trades)


def test_a_wrong_minute_is_wrong_where_it_is_said_to_be() -> None:
    sim = desk(KlineWrong(over="websocket", field="close", by="0.5"))
    line = subscribe(sim, KLINES)
    (trade,) = sim.step(1, symbol=BTC)
    sim.advance_to(START_MS + 2 * MINUTE_MS)
    closes = [one["data"][0]["close"] for one in pushed(line.pending())]
    price = Decimal(trade.price)
    assert [Decimal(close) - price for close in closes] == [Decimal("0.5")] * 2 + [Decimal(0)]
