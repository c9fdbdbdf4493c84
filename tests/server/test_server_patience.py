"""How long a burst waits for clients that have no room."""

from tapecast.server.patience import Patience
from tests.server.server_fakes import FakeOutbox


def moments(patience: Patience, clients: list[FakeOutbox]) -> int:
    """Return for how many moments clients are waited for."""
    waits = (patience.waits_for(clients, is_behind=True) for _ in range(1000))
    return next(moment for moment, does_wait in enumerate(waits) if not does_wait)


def test_who_has_room_is_not_waited_for() -> None:
    assert not Patience().waits_for([FakeOutbox(), FakeOutbox()], is_behind=True)


def test_without_a_burst_nobody_is_waited_for() -> None:
    assert not Patience().waits_for([FakeOutbox(is_full=True)], is_behind=False)


def test_a_burst_waits_for_a_quarter_of_a_second_and_no_more() -> None:
    patience, clients = Patience(), [FakeOutbox(is_full=True), FakeOutbox()]
    assert moments(patience, clients) == 250
    assert not patience.waits_for(clients, is_behind=True)


def test_who_makes_a_little_room_again_and_again_prolongs_nothing() -> None:
    patience, client = Patience(), FakeOutbox()
    waited = 0
    for moment in range(2_000):
        client.is_full = moment % 10 != 0
        waited += patience.waits_for([client], is_behind=True)
    assert waited == 250


def test_the_next_burst_waits_anew() -> None:
    patience, client = Patience(), FakeOutbox(is_full=True)
    assert moments(patience, [client]) == 250
    assert not patience.waits_for([client], is_behind=False)
    assert moments(patience, [client]) == 250
