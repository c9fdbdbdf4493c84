"""REST answers of the simulated exchange: pages, limits, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tapecast.sim.instruments import INSTRUMENTS, Category
from tapecast.sim.klines import MINUTE_MS, KlineBook
from tapecast.sim.ledger import Ledger
from tapecast.sim.market import Market
from tapecast.sim.queries import MarketData, Refusal

START_MS = 1_790_000_040_000  # a full minute
NOW_MS = START_MS + 10 * MINUTE_MS + 1


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    ledger = Ledger()
    market = Market(INSTRUMENTS, seed=11, start_ms=START_MS, rate=40.0)
    for order in market.advance(NOW_MS - 1):
        ledger.append(order.trades)
    return ledger


@pytest.fixture(scope="module")
def data(ledger: Ledger) -> MarketData:
    klines = KlineBook()
    for trade in ledger:
        klines.add(trade)
    return MarketData(INSTRUMENTS, ledger=ledger, klines=klines)


def symbols(answer: dict[str, Any]) -> list[str]:
    return [row["symbol"] for row in answer["list"]]


@pytest.mark.parametrize("limit", [1, 7, 28, 29, 30, 1000])
def test_pages_hold_every_linear_symbol_once(data: MarketData, limit: int) -> None:
    trading = sorted(
        one.symbol for one in INSTRUMENTS if (one.category, one.status) == ("linear", "Trading")
    )
    listed: list[str] = []
    cursor = ""
    while True:
        query = {"category": "linear", "limit": str(limit), "cursor": cursor}
        answer = data.instruments_info(query)
        assert len(answer["list"]) <= limit
        listed += symbols(answer)
        cursor = answer["nextPageCursor"]
        if not cursor:
            break
    assert listed == trading


def test_a_cursor_is_url_encoded_as_on_the_real_exchange(data: MarketData) -> None:
    answer = data.instruments_info({"category": "linear", "limit": "2"})
    assert symbols(answer) == ["1000PEPEUSDT", "ADAUSDT"]
    assert answer["nextPageCursor"] == "first%3D1000PEPEUSDT%26last%3DADAUSDT"
    # A client that sends it as it is has it decoded on the way; one that encodes it again does not.
    for cursor in ("first=1000PEPEUSDT&last=ADAUSDT", "first%3D1000PEPEUSDT%26last%3DADAUSDT"):
        page = data.instruments_info({"category": "linear", "limit": "1", "cursor": cursor})
        assert symbols(page) == ["APTUSDT"]


def test_spot_has_no_pages(data: MarketData) -> None:
    answer = data.instruments_info({"category": "spot", "limit": "1"})
    assert len(answer["list"]) == 14
    assert list(answer) == ["category", "list"]


def test_options_default_to_bitcoin(data: MarketData) -> None:
    assert len(symbols(data.instruments_info({"category": "option"}))) == 6
    other = data.instruments_info({"category": "option", "baseCoin": "ETH"})
    assert [one.split("-")[0] for one in symbols(other)] == ["ETH"] * 4
    assert symbols(data.instruments_info({"category": "option", "baseCoin": "SOL"})) == []


def test_status_and_symbol_narrow_the_list(data: MarketData) -> None:
    assert symbols(data.instruments_info({"category": "linear", "status": "PreLaunch"})) == [
        "NOVAUSDT"
    ]
    assert symbols(data.instruments_info({"category": "inverse", "symbol": "BTCUSDH27"})) == [
        "BTCUSDH27"
    ]
    assert symbols(data.instruments_info({"category": "spot", "symbol": "NOPE"})) == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "params error: category invalid"),
        ({"category": "futures"}, "params error: category invalid"),
        ({"category": "linear", "symbol": "NOPE"}, "params error: symbol invalid"),
        ({"category": "linear", "status": "trading"}, "params error: status invalid"),
        ({"category": "linear", "limit": "0"}, "params error: limit invalid"),
        ({"category": "linear", "limit": "ten"}, "params error: limit invalid"),
        ({"category": "linear", "cursor": "xyz"}, "params error: cursor invalid"),
    ],
)
def test_bad_instrument_queries_are_refused(
    data: MarketData, query: dict[str, str], text: str
) -> None:
    with pytest.raises(Refusal) as caught:
        data.instruments_info(query)
    assert (caught.value.code, caught.value.text) == (10001, text)


@pytest.mark.parametrize(
    ("category", "limit", "expected"),
    [
        ("spot", None, 60),
        ("spot", "1000", 60),
        ("spot", "5", 5),
        ("linear", None, 500),
        ("linear", "1000", 1000),
        ("linear", "2000", 1000),
    ],
)
def test_recent_trades_are_the_newest_of_the_ledger(
    data: MarketData, ledger: Ledger, category: Category, limit: str | None, expected: int
) -> None:
    query = {"category": category, "symbol": "BTCUSDT"} | ({"limit": limit} if limit else {})
    answer = data.recent_trade(query)
    newest = ledger.trades(category, "BTCUSDT")[::-1][:expected]
    assert len(newest) == expected
    assert answer == {
        "category": category,
        "list": [
            {
                "execId": trade.trade_id,
                "symbol": "BTCUSDT",
                "price": trade.price,
                "size": trade.size,
                "side": trade.taker_side,
                "time": str(trade.event_ms),
                "isBlockTrade": trade.block_trade,
                "isRPITrade": trade.rpi,
                "seq": str(trade.exchange_seq),
            }
            for trade in newest
        ],
    }


def test_recent_option_trades_come_by_base_coin(data: MarketData, ledger: Ledger) -> None:
    answer = data.recent_trade({"category": "option", "baseCoin": "ETH", "limit": "1000"})
    expected = {t.trade_id for t in ledger.trades("option") if t.symbol.startswith("ETH")}
    assert {row["execId"] for row in answer["list"]} == expected
    times = [int(row["time"]) for row in answer["list"]]
    assert times == sorted(times, reverse=True)
    assert {"mP", "iP", "mIv", "iv"} < set(answer["list"][0])


def test_recent_trades_have_the_keys_of_the_real_page(shared_data: Path, data: MarketData) -> None:
    path = shared_data / "bybit_spot_l2xl" / "rest_recent_trade_spot_BTCUSDC.jsonl"
    real = json.loads(path.read_text(encoding="utf-8").splitlines()[0])["result"]
    ours = data.recent_trade({"category": "spot", "symbol": "BTCUSDC"})
    assert list(ours) == list(real)
    assert list(ours["list"][0]) == list(real["list"][0])
    assert [type(v) for v in ours["list"][0].values()] == [
        type(v) for v in real["list"][0].values()
    ]


def kline(data: MarketData, **query: str) -> list[int]:
    answer = data.kline({"symbol": "BTCUSDT", "interval": "1", **query}, now_ms=NOW_MS)
    return [(int(row[0]) - START_MS) // MINUTE_MS for row in answer["list"]]


def test_klines_are_newest_first_and_the_newest_may_be_open(data: MarketData) -> None:
    assert kline(data) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert kline(data, limit="3") == [10, 9, 8]


def test_both_ends_of_a_kline_query_are_inclusive(data: MarketData) -> None:
    def at(minute: int) -> str:
        return str(START_MS + minute * MINUTE_MS)

    assert kline(data, start=at(2), end=at(4)) == [4, 3, 2]
    assert kline(data, start=at(2), end=at(9), limit="2") == [9, 8]
    assert kline(data, start=at(2), limit="2") == [3, 2]
    assert kline(data, end=at(1)) == [1, 0]
    assert kline(data, start=at(20), end=at(30)) == []
    assert kline(data, start=str(int(at(2)) + 1), end=str(int(at(4)) - 1)) == [3]


def test_longer_klines_are_aligned_to_their_interval(data: MarketData) -> None:
    answer = data.kline({"category": "spot", "symbol": "BTCUSDT", "interval": "5"}, now_ms=NOW_MS)
    assert (answer["symbol"], answer["category"]) == ("BTCUSDT", "spot")
    assert all(int(row[0]) % (5 * MINUTE_MS) == 0 and len(row) == 7 for row in answer["list"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"category": "option"}, "params error: category invalid"),
        ({"symbol": "NOPE"}, "params error: symbol invalid"),
        ({"symbol": "BTCUSD"}, "params error: symbol invalid"),
        ({"interval": "2"}, "params error: interval invalid"),
        ({"interval": ""}, "params error: interval invalid"),
        ({"start": "-1"}, "params error: start invalid"),
        ({"end": "now"}, "params error: end invalid"),
        ({"limit": "-5"}, "params error: limit invalid"),
    ],
)
def test_bad_kline_queries_are_refused(data: MarketData, change: dict[str, str], text: str) -> None:
    with pytest.raises(Refusal) as caught:
        data.kline({"symbol": "BTCUSDT", "interval": "1"} | change, now_ms=NOW_MS)
    assert caught.value.text == text
