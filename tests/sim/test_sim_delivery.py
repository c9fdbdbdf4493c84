"""What faults do to frames of data."""

import json
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.sim.delivery import damaged
from tapecast.sim.faults import Corrupt, Hole, Late, Lose, Mute, Repeat, Shuffle
from tests.sim.desks import BTC, KLINES, START_MS, TRADES, desk, ids, subscribe


def test_without_faults_every_frame_comes() -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    trades = sim.step(50, symbol=BTC)
    assert ids(line.pending()) == [trade.trade_id for trade in trades]


def test_lost_trades_happened_and_are_recorded() -> None:
    sim = desk(Lose(probability=0.5))
    line = subscribe(sim, TRADES)
    trades = [trade.trade_id for trade in sim.step(400, symbol=BTC)]
    received, lost = ids(line.pending()), sim.log.trade_ids("withheld", connection=1)
    assert sorted(received + lost) == sorted(trades)
    assert 50 < len(lost) < 350
    assert [trade.trade_id for trade in sim.ledger] == trades


def test_every_connection_loses_the_same_trades() -> None:
    sim = desk(Lose(probability=0.5))
    one, two = subscribe(sim, TRADES), subscribe(sim, TRADES)
    sim.step(200, symbol=BTC)
    assert one.pending() == two.pending()


def test_each_connection_loses_trades_of_its_own_if_so_wanted() -> None:
    sim = desk(Lose(probability=0.5, alike=False))
    one, two = subscribe(sim, TRADES), subscribe(sim, TRADES)
    trades = sim.step(400, symbol=BTC)
    first, second = set(ids(one.pending())), set(ids(two.pending()))
    assert first != second
    assert len(first | second) > max(len(first), len(second))
    assert first | second <= {trade.trade_id for trade in trades}


def test_only_the_symbols_and_topics_of_a_fault_are_lost() -> None:
    sim = desk(Lose(symbols="ETH*"))
    line = subscribe(sim, TRADES, "publicTrade.ETHUSDT", KLINES, "kline.1.ETHUSDT")
    trades = sim.step(20, symbol=BTC)
    sim.step(20, symbol=("linear", "ETHUSDT"))
    sim.advance(1000)
    frames = line.pending()
    assert ids(frames) == [trade.trade_id for trade in trades]
    topics = [json.loads(frame)["topic"] for frame in frames]
    assert {KLINES, "kline.1.ETHUSDT"} < set(topics)


def test_contracts_and_coins_of_options_are_symbols_too() -> None:
    sim = desk(rate=100.0, symbols=("option:BTC-*",))
    line = subscribe(sim, "publicTrade.BTC", category="option")
    for symbols in ("BTC", "BTC-*"):
        injection = sim.inject(Lose(symbols=symbols))
        sim.step(20)
        assert line.pending() == []
        injection.end()


@pytest.mark.parametrize("fault", [Hole(for_ms=1000), Mute(for_ms=1000)])
def test_what_is_not_sent_for_a_while_never_comes(fault: Hole | Mute) -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    sim.inject(fault)
    lost = sim.step(10, symbol=BTC)
    sim.advance(1000)
    told = sim.step(10, symbol=BTC)
    assert ids(line.pending()) == [trade.trade_id for trade in told]
    assert sim.log.trade_ids("withheld") == [trade.trade_id for trade in lost]


def test_repeated_frames_come_again_later() -> None:
    sim = desk(Repeat(after_ms=300))
    line = subscribe(sim, TRADES)
    sim.step(10, symbol=BTC)
    first = line.pending()
    sim.advance(299)
    assert line.pending() == []
    sim.advance(1)
    assert line.pending() == first
    assert sim.log.trade_ids("repeated") == ids(first)


def test_shuffled_frames_come_all_and_in_another_order() -> None:
    sim = desk(Shuffle(window_ms=200))
    line = subscribe(sim, TRADES)
    trades = sim.step(60, at_ms=START_MS + 10, symbol=BTC)
    sim.advance_to(START_MS + 199)
    assert line.pending() == []
    sim.advance_to(START_MS + 200)
    received = ids(line.pending())
    assert received != [trade.trade_id for trade in trades]
    assert sorted(received) == sorted(trade.trade_id for trade in trades)
    later = sim.step(5, at_ms=START_MS + 250, symbol=BTC)
    sim.advance_to(START_MS + 400)
    assert sorted(ids(line.pending())) == sorted(trade.trade_id for trade in later)


def test_late_frames_come_late_and_are_overtaken_by_those_behind() -> None:
    sim = desk(Late(by_ms=500, for_ms=100))
    line = subscribe(sim, TRADES)
    late = sim.step(5, at_ms=START_MS + 50, symbol=BTC)
    early = sim.step(5, at_ms=START_MS + 200, symbol=BTC)
    assert ids(line.pending()) == [trade.trade_id for trade in early]
    sim.advance_to(START_MS + 549)
    assert line.pending() == []
    sim.advance_to(START_MS + 550)
    assert ids(line.pending()) == [trade.trade_id for trade in late]


def test_how_late_is_drawn_for_each_frame() -> None:
    sim = desk(Late(by_ms=100, spread_ms=400))
    line = subscribe(sim, TRADES)
    trades = sim.step(60, symbol=BTC)
    sim.advance(99)
    assert line.pending() == []
    sim.advance(401)
    received = ids(line.pending())
    assert sorted(received) == sorted(trade.trade_id for trade in trades)
    assert received != [trade.trade_id for trade in trades]


def test_what_is_held_back_for_a_connection_that_ends_is_recorded_as_withheld() -> None:
    sim = desk(Late(by_ms=500))
    line = subscribe(sim, TRADES)
    trades = sim.step(5, symbol=BTC)
    line.disconnect()
    sim.advance(500)
    assert sim.log.trade_ids("withheld") == [trade.trade_id for trade in trades]


def test_corrupt_frames_are_no_json_and_recorded() -> None:
    sim = desk(Corrupt(probability=0.5))
    line = subscribe(sim, TRADES)
    trades = sim.step(200, symbol=BTC)
    good: list[bytes] = []
    for frame in line.pending():
        frame.decode("ascii")
        try:
            json.loads(frame)
        except ValueError:
            continue
        good.append(frame)
    corrupted = sim.log.trade_ids("corrupted")
    assert 0 < len(corrupted) < 200
    assert sorted(ids(good) + corrupted) == sorted(trade.trade_id for trade in trades)


@given(st.integers(), st.sampled_from(["truncated", "mutated", "any"]))
def test_damaged_text_is_never_json(seed: int, form: str) -> None:
    payload = b'{"topic":"publicTrade.BTCUSDT","ts":1,"data":[{"p":"1.5","v":"2"}]}'
    text = damaged(payload, Random(seed), form)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text)
    if form == "truncated":
        assert payload.startswith(text)
