"""How long a burst waits for clients that have no room."""

from tapecast.server.patience import Patience
from tests.server.server_fakes import FakeOutbox


def moments(patience: Patience, clients: list[FakeOutbox], most: int = 1000) -> int:
    """Return for how many moments clients are waited for that make no room."""
    return next(moment for moment in range(most) if not patience.waits_for(clients))


def test_who_has_room_is_not_waited_for() -> None:
    assert not Patience().waits_for([FakeOutbox(), FakeOutbox()])


def test_who_is_full_is_waited_for_a_quarter_of_a_second_and_not_again() -> None:
    patience, clients = Patience(), [FakeOutbox(is_full=True), FakeOutbox()]
    assert moments(patience, clients) == 250
    assert not patience.waits_for(clients)


def test_who_has_made_room_is_waited_for_anew() -> None:
    patience, client = Patience(), FakeOutbox(is_full=True)
    assert moments(patience, [client]) == 250
    client.is_full = False
    assert not patience.waits_for([client])
    client.is_full = True
    assert moments(patience, [client]) == 250


def test_each_client_has_a_patience_of_its_own_and_who_has_left_is_forgotten() -> None:
    patience, clients = Patience(), [FakeOutbox(is_full=True), FakeOutbox(is_full=True)]
    assert moments(patience, clients[:1]) == 250
    assert moments(patience, clients) == 250
    assert moments(patience, []) == 0
    assert moments(patience, clients[:1]) == 250
