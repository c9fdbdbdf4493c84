"""The exchange without sockets: its clock, its truth, its connections."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast.sim.desk import Desk, HandshakeFailed
from tapecast.sim.fault_scripts import random_script
from tapecast.sim.faults import (
    Drop,
    Fault,
    Lose,
    Maintenance,
    RefuseHandshake,
    StallHandshake,
)
from tapecast.sim.instruments import select_instruments
from tests.sim.desks import BTC, KLINES, START_MS, TRADES, desk, subscribe

SYMBOLS = ("linear:BTCUSDT", "linear:ETHUSDT")
PLAYED_MS = 20_000


def played(seed: int | None, step_ms: int = PLAYED_MS) -> tuple[Desk, list[list[bytes]]]:
    """Return an exchange that was played in steps, and what two clients received of it."""
    script = None if seed is None else random_script(seed, duration_ms=PLAYED_MS, every_ms=1000)
    sim = Desk(select_instruments(SYMBOLS), start_ms=START_MS, seed=4, rate=50.0, script=script)
    lines = [subscribe(sim, TRADES, KLINES) for _ in range(2)]
    for until_ms in range(START_MS + step_ms, START_MS + PLAYED_MS + 1, step_ms):
        sim.advance_to(until_ms)
    return sim, [line.pending() for line in lines]


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_truth_does_not_depend_on_faults(seed: int) -> None:
    faulty, _ = played(seed)
    healthy, _ = played(None)
    assert list(faulty.ledger) == list(healthy.ledger)


@given(st.integers(0, 1000), st.sampled_from([10, 250, 1000]))
@settings(max_examples=15, deadline=None)
def test_what_clients_receive_depends_on_the_seeds_alone(seed: int, step_ms: int) -> None:
    whole, once = played(seed)
    slowly, again = played(seed, step_ms)
    assert once == again
    assert list(whole.log) == list(slowly.log)


def test_what_is_left_to_chance_depends_on_the_seed_of_the_script() -> None:
    def received(seed: int) -> list[bytes]:
        sim = desk(Lose(probability=0.5), seed=seed)
        line = subscribe(sim, TRADES)
        sim.step(100, symbol=BTC)
        return line.pending()

    assert received(1) == received(1)
    assert received(1) != received(2)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (RefuseHandshake(status=429), "handshake was answered HTTP 429, expected 101"),
        (StallHandshake(), "handshake was not answered, expected HTTP 101"),
        (Maintenance(), "connection was reset, expected a handshake"),
    ],
)
def test_a_handshake_fails_as_the_fault_says(fault: Fault, text: str) -> None:
    sim = desk()
    injection = sim.inject(fault)
    with pytest.raises(HandshakeFailed) as caught:
        sim.connect("linear")
    assert str(caught.value) == text
    assert caught.value.injection is injection
    injection.end()
    sim.connect("linear")


def test_maintenance_cuts_the_connections_of_its_category() -> None:
    sim = desk()
    linear, spot = subscribe(sim, TRADES), subscribe(sim, TRADES, category="spot")
    sim.inject(Maintenance(category="spot", for_ms=1000))
    assert (linear.open, spot.open) == (True, False)
    with pytest.raises(HandshakeFailed):
        sim.connect("spot")
    sim.connect("linear")
    sim.advance(1000)
    sim.connect("spot")


def test_connections_are_found_by_what_they_are_subscribed_to() -> None:
    sim = desk()
    none = sim.connect("linear")
    btc, eth = subscribe(sim, TRADES), subscribe(sim, "publicTrade.ETHUSDT")
    spot = subscribe(sim, TRADES, category="spot")
    assert sim.connections_of("linear") == [none, btc, eth]
    assert sim.connections_of("linear", "BTC*") == [btc]
    assert sim.connections_of("spot", "BTC*") == [spot]
    assert sim.connections() == [none, btc, eth, spot]


def test_something_is_due_next_when_a_fault_is() -> None:
    assert desk().next_ms == float("inf")
    assert desk(Drop(at_ms=70)).next_ms == START_MS + 70


def test_whoever_asks_is_told_of_every_change() -> None:
    sim, changes = desk(), []
    sim.on_change = lambda: changes.append(len(sim.connections()))
    line = subscribe(sim, TRADES)
    line.disconnect()
    assert changes == [1, 1, 0]
