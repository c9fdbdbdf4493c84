"""REST answers and their faults."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tapecast.sim.desk import Desk
from tapecast.sim.faults import (
    KlineStale,
    KlineWrong,
    Maintenance,
    RestCode,
    RestHtml,
    RestShuffled,
    RestStale,
    RestStatus,
    RestTimeout,
    RestWindow,
)
from tapecast.sim.klines import MINUTE_MS
from tests.sim.desks import BTC, START_MS, desk

RECENT = "/v5/market/recent-trade"
KLINE = "/v5/market/kline"
LINEAR = {"category": "linear", "symbol": "BTCUSDT", "limit": "1000"}
MINUTES = {"category": "linear", "symbol": "BTCUSDT", "interval": "1"}


def rows(sim: Desk, path: str, query: dict[str, str]) -> list[Any]:
    status, body = sim.rest(path, query)
    assert status == 200
    answer: list[Any] = json.loads(body)["result"]["list"]
    return answer


def executed(sim: Desk) -> list[str]:
    return [row["execId"] for row in rows(sim, RECENT, LINEAR)]


def newest_first(trades: list[Any]) -> list[str]:
    return [trade.trade_id for trade in reversed(trades)]


def test_without_faults_the_answer_is_the_truth() -> None:
    sim = desk()
    trades = sim.step(100, symbol=BTC)
    assert executed(sim) == newest_first(trades)


def test_a_path_that_is_none_is_404() -> None:
    assert desk().rest("/v5/market/tickers") == (404, b"404: Not Found")


def test_a_status_comes_without_a_body_and_only_on_its_path() -> None:
    sim = desk(RestStatus(status=503, path="*/recent-trade"))
    assert sim.rest(RECENT, LINEAR) == (503, b"")
    assert sim.rest("/v5/market/time")[0] == 200


def test_a_code_comes_with_http_200() -> None:
    sim = desk(RestCode())
    status, body = sim.rest(RECENT, LINEAR)
    assert status == 200
    assert json.loads(body) == {
        "retCode": 10006,
        "retMsg": "Too many visits!",
        "result": {"category": "", "list": [], "nextPageCursor": ""},
        "retExtInfo": {},
        "time": START_MS,
    }


def test_a_page_of_the_network_is_html() -> None:
    sim = desk(RestHtml(status=502))
    status, body = sim.rest(RECENT, LINEAR)
    assert (status, body[:6]) == (502, b"<html>")
    assert sim.answer(RECENT, LINEAR).content_type == "text/html"


def test_a_query_that_is_not_answered_is_a_timeout() -> None:
    sim = desk(RestTimeout(for_ms=1000))
    with pytest.raises(TimeoutError, match=r"^no answer to /v5/market/recent-trade$"):
        sim.rest(RECENT, LINEAR)
    sim.advance(1000)
    assert executed(sim) == []


def test_maintenance_resets_queries_of_its_category() -> None:
    sim = desk(Maintenance(category="linear"))
    with pytest.raises(ConnectionResetError, match=r"^/v5/market/recent-trade was reset$"):
        sim.rest(RECENT, LINEAR)
    assert sim.rest(RECENT, {"category": "spot", "symbol": "BTCUSDT"})[0] == 200


def test_a_window_holds_the_newest_trades() -> None:
    sim = desk(RestWindow(trades=7))
    trades = sim.step(100, symbol=BTC)
    assert executed(sim) == newest_first(trades)[:7]


def test_a_stale_page_ends_in_the_past() -> None:
    sim = desk(RestStale(by_ms=5000))
    old = sim.step(20, at_ms=START_MS + 1000, symbol=BTC)
    sim.step(20, at_ms=START_MS + 4000, symbol=BTC)
    sim.advance_to(START_MS + 6000)
    assert executed(sim) == newest_first(old)


def test_a_shuffled_page_holds_the_same_trades() -> None:
    sim = desk(RestShuffled())
    trades = sim.step(100, symbol=BTC)
    shuffled = executed(sim)
    assert shuffled != newest_first(trades)
    assert sorted(shuffled) == sorted(newest_first(trades))


def test_a_fault_of_a_symbol_spares_the_others() -> None:
    sim = desk(RestWindow(trades=0, symbols="ETH*"))
    trades = sim.step(5, symbol=BTC)
    sim.step(5, symbol=("linear", "ETHUSDT"))
    assert executed(sim) == newest_first(trades)
    assert rows(sim, RECENT, LINEAR | {"symbol": "ETHUSDT"}) == []


def test_some_queries_fail_and_the_same_ones_by_seed() -> None:
    def statuses(seed: int) -> list[int]:
        sim = desk(RestStatus(probability=0.5), seed=seed)
        return [sim.rest("/v5/market/time")[0] for _ in range(50)]

    assert set(statuses(1)) == {200, 500}
    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)


def test_one_minute_is_wrong_and_the_others_are_not() -> None:
    sim = desk(rate=20.0)
    sim.advance_to(START_MS + MINUTE_MS)
    true = rows(sim, KLINE, MINUTES)
    injection = sim.inject(KlineWrong(minute_ms=START_MS, field="volume", by="0.001", over="rest"))
    wrong = rows(sim, KLINE, MINUTES)
    assert wrong[0] == true[0]
    assert Decimal(wrong[1][5]) - Decimal(true[1][5]) == Decimal("0.001")
    assert wrong[1][:5] + wrong[1][6:] == true[1][:5] + true[1][6:]
    injection.end()
    assert rows(sim, KLINE, MINUTES) == true


def test_a_minute_is_wrong_in_which_the_fault_begins() -> None:
    sim = desk(rate=20.0)
    sim.advance_to(START_MS + MINUTE_MS + 10_000)
    true = rows(sim, KLINE, MINUTES)
    sim.inject(KlineWrong(field="high"))
    wrong = rows(sim, KLINE, MINUTES)
    assert wrong[1] == true[1]
    assert Decimal(wrong[0][2]) - Decimal(true[0][2]) == 1


@pytest.mark.parametrize("category", ["linear", "inverse"])
def test_stale_minutes_are_those_of_that_time(category: str) -> None:
    symbol = "BTCUSDT" if category == "linear" else "BTCUSD"
    query = {"category": category, "symbol": symbol, "interval": "1"}
    sim = desk(rate=20.0, symbols=(f"{category}:{symbol}",))
    sim.advance_to(START_MS + 90_000)
    then = rows(sim, KLINE, query)
    sim.advance_to(START_MS + 150_000)
    assert len(rows(sim, KLINE, query)) == 3
    sim.inject(KlineStale(by_ms=60_000))
    assert rows(sim, KLINE, query) == then


def test_what_was_altered_is_recorded() -> None:
    sim = desk(RestWindow(trades=1), RestStatus(path="*/time"))
    sim.step(2, symbol=BTC)
    sim.rest(RECENT, LINEAR)
    sim.rest("/v5/market/time")
    told = [(event.kind, event.topic) for event in sim.log if event.deed == "altered"]
    assert told == [("rest_window", RECENT), ("rest_status", "/v5/market/time")]
