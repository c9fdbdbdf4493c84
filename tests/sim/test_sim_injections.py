"""Whom faults befall, and when."""

import pytest

from tapecast.sim.faults import Close, Drop, Hole, Lose, Mute
from tests.sim.desks import BTC, START_MS, TRADES, desk, ids, subscribe


def test_a_fault_lasts_from_its_beginning_to_its_end() -> None:
    sim = desk(Lose(at_ms=100, for_ms=100))
    line = subscribe(sim, TRADES)
    trades = [
        sim.step(1, at_ms=START_MS + at_ms, symbol=BTC)[0].trade_id
        for at_ms in (0, 99, 100, 199, 200)
    ]
    assert ids(line.pending()) == [trades[0], trades[1], trades[4]]
    began, *_, ended = list(sim.log)
    assert (began.deed, began.at_ms) == ("began", START_MS + 100)
    assert (ended.deed, ended.at_ms) == ("ended", START_MS + 200)


def test_an_injected_fault_counts_from_now() -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    sim.advance(5000)
    sim.inject(Drop(at_ms=10))
    sim.advance(9)
    assert line.open
    sim.advance(1)
    assert not line.open


def test_a_fault_that_is_ended_before_it_begins_never_does() -> None:
    sim = desk(Drop(at_ms=100), Mute(at_ms=100))
    line = subscribe(sim, TRADES)
    sim.end_faults()
    sim.advance(1000)
    assert line.open
    assert list(sim.log) == []


def test_a_number_means_that_one_of_those_subscribed() -> None:
    sim = desk()
    other = subscribe(sim, "publicTrade.ETHUSDT")
    first, second = subscribe(sim, TRADES), subscribe(sim, TRADES)
    sim.inject(Drop(symbols="BTC*", connection=1))
    assert [one.open for one in (other, first, second)] == [True, True, False]
    sim.inject(Drop(symbols="BTC*", connection=1))
    assert [one.open for one in (other, first, second)] == [True, True, False]


def test_a_choice_is_made_at_the_beginning_and_kept() -> None:
    sim = desk()
    first = subscribe(sim, TRADES)
    sim.inject(Mute(connection=0))
    second = subscribe(sim, TRADES)
    trades = sim.step(3, symbol=BTC)
    assert first.pending() == []
    assert ids(second.pending()) == [trade.trade_id for trade in trades]


def test_all_means_those_that_come_later_too() -> None:
    sim = desk(Mute())
    line = subscribe(sim, TRADES)
    sim.step(3, symbol=BTC)
    assert line.pending() == []


def test_a_random_connection_is_one_and_the_same_by_seed() -> None:
    def dropped(seed: int) -> list[int]:
        sim = desk(Drop(at_ms=1, connection="random"), seed=seed)
        lines = [subscribe(sim, TRADES) for _ in range(5)]
        sim.advance(1)
        return [line.number for line in lines if not line.open]

    assert dropped(1) == dropped(1)
    assert all(len(dropped(seed)) == 1 for seed in range(5))
    assert len({dropped(seed)[0] for seed in range(20)}) > 1


def test_a_choice_among_none_befalls_nobody() -> None:
    sim = desk(Drop(at_ms=0, connection="random"), Hole(connection=0))
    line = subscribe(sim, TRADES)
    sim.advance(10)
    assert line.open


@pytest.mark.parametrize("category", ["linear", "[ls]*", "*"])
def test_a_category_is_a_glob(category: str) -> None:
    sim = desk()
    linear = subscribe(sim, TRADES)
    option = subscribe(sim, "publicTrade.BTC", category="option")
    sim.inject(Close(category=category))
    assert (linear.open, option.open) == (False, category != "*")
