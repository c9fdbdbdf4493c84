"""How long topics may be silent, by how busy they were."""

from random import Random

import pytest

from tapecast.bybit.liveness import Stale, Traffic

LIMIT_S = 60.0


def frame(name: str) -> bytes:
    return f'{{"topic":"publicTrade.{name}","type":"snapshot","ts":1,"data":[]}}'.encode()


def traffic(*names: str, patience: float = 1.0) -> Traffic:
    made = Traffic(names, stale_after_s=LIMIT_S, patience=patience)
    made.receive(names, 0.0)
    return made


def flow(made: Traffic, name: str, *, every_s: float, until_s: float, from_s: float = 0.0) -> float:
    """Have frames of a topic come regularly; return when the last one came."""
    count = int((until_s - from_s) / every_s)
    for number in range(1, count + 1):
        made.hear(frame(name), from_s + number * every_s)
    return from_s + count * every_s


def stale_at(made: Traffic, from_s: float, *, other: str | None = None) -> tuple[float, Stale]:
    """Return how long after a time something is stale first, and what.

    Args:
        made: What is looked at.
        from_s: The time.
        other: A topic that is heard all the while.
    """
    for second in range(100_000):
        if other is not None:
            made.hear(frame(other), from_s + second)
        found = made.look(from_s + second)
        if found is not None:
            return float(second), found
    raise AssertionError("nothing is stale")


@pytest.mark.parametrize(
    ("every_s", "limit_s"), [(0.001, 60.0), (0.5, 60.0), (1.9, 60.0), (4.0, 120.0), (60.0, 1800.0)]
)
def test_a_topic_may_be_silent_for_a_minute_or_thirty_of_its_intervals(
    every_s: float, limit_s: float
) -> None:
    made = traffic("A")
    last_s = flow(made, "A", every_s=every_s, until_s=max(40.0, 40 * every_s))
    after_s, found = stale_at(made, last_s)
    assert after_s == pytest.approx(limit_s, abs=1.0)
    assert found.names == ("A",)
    assert found.limit_s == pytest.approx(limit_s)
    assert not found.in_vain


@pytest.mark.parametrize(("times", "known"), [(16, False), (17, True)])
def test_sixteen_intervals_tell_how_busy_a_topic_is(times: int, *, known: bool) -> None:
    made = traffic("A", "B")
    flow(made, "A", every_s=1.0, until_s=float(times))
    flow(made, "B", every_s=1.0, until_s=1e4)
    found = made.look(1e4)
    assert (found is not None and found.names == ("A",)) == known


def test_a_topic_that_was_never_heard_is_not_stale_by_itself() -> None:
    made = traffic("A", "B")
    flow(made, "B", every_s=1.0, until_s=1e5)
    assert made.look(1e5) is None
    assert made.heard_s("A") is None


def test_a_swarm_of_frames_is_one_arrival() -> None:
    made = traffic("A")
    at_s = 0.0
    for _ in range(40):
        at_s += 20.0
        for number in range(100):
            made.hear(frame("A"), at_s + number / 1000)
    after_s, _ = stale_at(made, at_s)
    assert after_s == pytest.approx(600.0, abs=2.0)


def test_the_limit_follows_a_market_that_becomes_quiet() -> None:
    made = traffic("A")
    last_s = flow(made, "A", every_s=0.1, until_s=100.0)
    for _ in range(100):
        last_s += 30.0
        assert made.look(last_s) is None
        made.hear(frame("A"), last_s)
    after_s, _ = stale_at(made, last_s)
    assert after_s > 800.0


def test_a_lost_connection_teaches_nothing_about_intervals() -> None:
    made = traffic("A")
    flow(made, "A", every_s=1.0, until_s=100.0)
    made.begin()
    assert made.look(5000.0) is None
    made.receive(["A"], 5000.0)
    last_s = flow(made, "A", every_s=1.0, until_s=5010.0, from_s=5000.0)
    after_s, _ = stale_at(made, last_s)
    assert after_s == pytest.approx(60.0, abs=1.0)


def test_how_busy_topics_are_is_known_on_the_next_connection_too() -> None:
    made = traffic("A")
    flow(made, "A", every_s=1.0, until_s=100.0)
    made.begin()
    made.receive(["A"], 200.0)
    after_s, _ = stale_at(made, 200.0)
    assert after_s == pytest.approx(60.0, abs=1.0)


def test_a_line_of_busy_topics_is_stale_in_a_quarter_of_the_time() -> None:
    names = ("A", "B", "C", "D", "E")
    made = traffic(*names)
    for name in names:
        flow(made, name, every_s=0.5, until_s=100.0)
    after_s, found = stale_at(made, 100.0)
    assert after_s == 15.0
    assert found == Stale(names, 15.0, 15.0, is_line=True, in_vain=False)


def test_a_line_of_quiet_topics_is_stale_by_the_sum_of_their_rates() -> None:
    names = tuple(f"S{number}" for number in range(50))
    made = traffic(*names)
    for name in names:
        flow(made, name, every_s=100.0, until_s=4000.0)
    after_s, found = stale_at(made, 4000.0)
    assert after_s == pytest.approx(60.0, abs=1.0)
    assert found.is_line


def test_a_line_on_which_nothing_ever_came_is_found_by_how_many_topics_it_has() -> None:
    """U12: pongs come, data never does."""
    names = tuple(f"S{number}" for number in range(200))
    after_s, found = stale_at(traffic(*names), 0.0)
    assert after_s == pytest.approx(540.0, abs=1.0)
    assert found.is_line
    # One topic alone may be as quiet as it likes while a connection lives.
    assert traffic("A").look(24 * 3600.0) is None


def test_what_is_silent_though_it_was_subscribed_anew_is_so_in_vain() -> None:
    made = traffic("A", "B")
    last_s = flow(made, "A", every_s=1.0, until_s=100.0)
    flow(made, "B", every_s=1.0, until_s=1e4)
    made.doubt(["A"], last_s + 60, is_line=False)
    assert not made.is_received("A")
    made.receive(["A"], last_s + 61)
    assert made.look(last_s + 120) is None
    found = made.look(last_s + 121)
    assert found == Stale(("A",), 60.0, 60.0, is_line=False, in_vain=True)


def test_what_was_heard_again_is_doubted_anew() -> None:
    made = traffic("A", "B")
    last_s = flow(made, "A", every_s=1.0, until_s=100.0)
    flow(made, "B", every_s=1.0, until_s=1e4)
    made.doubt(["A"], last_s + 60, is_line=False)
    made.receive(["A"], last_s + 61)
    made.hear(frame("A"), last_s + 62)
    made.hear(frame("B"), last_s + 123)
    found = made.look(last_s + 123)
    assert found is not None
    assert not found.in_vain


def test_what_ends_trading_costs_ever_fewer_connections() -> None:
    made = traffic("A", "B")
    now_s = flow(made, "A", every_s=1.0, until_s=100.0)
    waits = []
    for _ in range(7):
        wait_s, found = stale_at(made, now_s, other="B")
        now_s += wait_s
        waits.append(wait_s)
        made.fail(found, now_s)
        made.begin()
        made.receive(["A", "B"], now_s)
    expected = [60.0, 240.0, 960.0, 3840.0, 15360.0, 61440.0, 61440.0]
    assert waits == pytest.approx(expected, abs=2.0)
    # Once it is heard again, all is forgiven.
    last_s = flow(made, "A", every_s=1.0, from_s=now_s, until_s=now_s + 10.0)
    assert stale_at(made, last_s, other="B")[0] == pytest.approx(60.0, abs=1.0)


def test_siblings_have_different_patience() -> None:
    made = traffic("A", patience=1.25)
    last_s = flow(made, "A", every_s=1.0, until_s=100.0)
    assert stale_at(made, last_s)[0] == pytest.approx(75.0, abs=1.0)


@pytest.mark.parametrize(
    "spelling",
    [
        '{"topic":"publicTrade.A","ts":1}',
        '{"id":"publicTrade.A-1-2","topic":"publicTrade.A"}',
        ' { "ts": 1, "topic" : "publicTrade.A" }',
        '{"topic":"public\\u0054rade.A"}',
    ],
)
def test_a_topic_is_known_in_any_spelling(spelling: str) -> None:
    made = traffic("A")
    made.hear(spelling.encode(), 7.0)
    assert made.heard_s("A") == 7.0


@pytest.mark.parametrize(
    "foreign",
    [b"", b"no JSON", b'{"topic":"publicTrade.AB"}', b'{"topic":"publicTrade.', b"\xff", b"{}"],
)
def test_a_frame_of_no_topic_of_the_line_is_ignored(foreign: bytes) -> None:
    made = traffic("A")
    made.hear(foreign, 7.0)
    assert made.heard_s("A") is None


@pytest.mark.parametrize("mean_s", [0.3, 3.0, 40.0])
def test_a_market_by_chance_gives_no_false_alarm(mean_s: float) -> None:
    chance = Random(4)
    made = traffic("A")
    now_s = look_s = 0.0
    for _ in range(20_000):
        now_s += chance.expovariate(1 / mean_s)
        while look_s < now_s:
            assert made.look(look_s) is None
            look_s += max(1.0, mean_s)
        made.hear(frame("A"), now_s)
