"""How many clients are let in, and how fast."""

import pytest

from tapecast.server.admission import Admission
from tapecast.server.limits import ServerLimits


def admission(spread: float = 0.5, most_clients: int | None = None, **limits: int) -> Admission:
    return Admission(ServerLimits(**limits), most_clients=most_clients, spread=lambda: spread)  # type: ignore[arg-type]


def test_no_more_clients_than_allowed_and_a_place_that_is_released_is_free() -> None:
    places = admission(max_clients=2)
    assert places.admit("a", "127.0.0.1", now_s=0.0) is None
    assert places.admit("b", "127.0.0.1", now_s=0.0) is None
    full = "2 clients are connected, expected at most 2"
    assert places.admit("c", "127.0.0.1", now_s=0.0) == full
    places.release("c")
    assert places.admit("c", "127.0.0.1", now_s=0.0) == full
    places.release("a")
    places.release("a")
    assert places.admit("c", "127.0.0.1", now_s=0.0) is None


def test_fewer_descriptors_make_fewer_places() -> None:
    places = admission(max_clients=5, most_clients=1)
    assert places.admit("a", "", now_s=0.0) is None
    assert places.admit("b", "", now_s=0.0) == "1 clients are connected, expected at most 1"


def test_handshakes_beyond_a_seconds_worth_wait_for_their_turn() -> None:
    places = admission(accept_per_s=10)
    answers = [places.admit(number, "", now_s=5.0) for number in range(12)]
    fast = "too many handshakes at once, expected at most 10 a second"
    assert answers == [None] * 10 + [fast] * 2
    assert places.admit("a", "", now_s=5.0625) == fast
    assert places.admit("a", "", now_s=5.125) is None
    assert places.admit("b", "", now_s=5.125) == fast
    assert [places.admit(f"c{number}", "", now_s=99.0) for number in range(11)] == [
        *[None] * 10,
        fast,
    ]


def test_a_clock_that_steps_back_lets_nobody_in() -> None:
    places = admission(accept_per_s=1)
    assert places.admit("a", "", now_s=5.0) is None
    assert places.admit("b", "", now_s=4.0) is not None
    assert places.admit("b", "", now_s=5.0) is None


@pytest.mark.parametrize(
    ("hosts", "of"),
    [
        (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], "192.0.2.1"),
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:9::"], "2001:db8::/64"),
    ],
)
def test_one_address_has_only_its_share(hosts: list[str], of: str) -> None:
    places = admission(max_clients_per_address=2)
    answers = [places.admit(number, host, now_s=0.0) for number, host in enumerate(hosts)]
    full = f"2 clients are connected from {of}, expected at most 2"
    assert answers == [None, None, full]
    assert places.admit("other", "198.51.100.1", now_s=0.0) is None
    places.release(0)
    assert places.admit(3, hosts[2], now_s=0.0) is None
    for number in (1, 3, "other"):
        places.release(number)
    assert not places._of_address


def test_this_host_has_no_share_of_its_own() -> None:
    places = admission(max_clients_per_address=1)
    hosts = ["127.0.0.1", "::1", "::ffff:127.0.0.1", ""]
    assert [places.admit(host, host, now_s=0.0) for host in hosts] == [None] * 4


@pytest.mark.parametrize(("spread", "after_s"), [(0.0, 1), (0.5, 3), (1.0, 5)])
def test_who_is_refused_comes_back_at_a_time_of_its_own(spread: float, after_s: int) -> None:
    assert admission(spread).retry_after_s == after_s
