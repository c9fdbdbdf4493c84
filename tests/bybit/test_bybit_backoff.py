"""Delays between connects and the budget of connects, with time and chance as arguments."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.bybit.backoff import Backoff, ConnectBudget

WINDOW_S = 300.0


class Most(Random):
    """Chance at its worst: the longest wait that may be drawn."""

    def random(self) -> float:
        return 1.0

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def backoff(random: Random, *, base_s: float = 0.5, cap_s: float = 30.0) -> Backoff:
    return Backoff(base_s=base_s, cap_s=cap_s, random=random)


def test_the_longest_waits_double_up_to_the_cap() -> None:
    waits = backoff(Most())
    assert [waits.next_s() for _ in range(10)] == [
        0.25,
        0.5,
        1.0,
        2.0,
        4.0,
        8.0,
        16.0,
        30.0,
        30.0,
        30.0,
    ]


def test_a_reset_begins_anew() -> None:
    waits = backoff(Most())
    for _ in range(5):
        waits.next_s()
    waits.reset()
    assert [waits.next_s(), waits.next_s()] == [0.25, 0.5]


def test_what_the_failure_asks_for_is_waited_and_up_to_a_tenth_more() -> None:
    assert backoff(Most()).next_s(at_least_s=600) == pytest.approx(660)


def test_a_long_outage_waits_longer_than_the_failure_asks_for() -> None:
    waits = backoff(Most())
    for _ in range(20):
        waits.next_s(at_least_s=10)
    assert waits.next_s(at_least_s=10) == 30.0


@given(
    seed=st.integers(0, 2**32),
    base_s=st.floats(0.001, 86_400),
    cap_s=st.floats(0.001, 86_400),
    failures=st.lists(st.floats(0, 1000), min_size=1, max_size=80),
)
def test_every_wait_is_within_its_bounds(
    seed: int, base_s: float, cap_s: float, failures: list[float]
) -> None:
    waits = backoff(Random(seed), base_s=base_s, cap_s=cap_s)
    for at_least_s in failures:
        wait_s = waits.next_s(at_least_s=at_least_s)
        assert at_least_s <= wait_s <= max(cap_s, at_least_s * 1.1)


@given(seed=st.integers(0, 2**32))
def test_the_first_retry_comes_within_a_quarter_of_a_second(seed: int) -> None:
    assert 0 <= backoff(Random(seed)).next_s() <= 0.25


def test_the_jitter_is_full() -> None:
    waits = backoff(Random(1))
    for _ in range(20):
        waits.next_s()
    drawn = [waits.next_s() for _ in range(200)]
    assert min(drawn) < 1.0
    assert max(drawn) > 29.0


def test_it_never_gives_up() -> None:
    waits = backoff(Random(2))
    assert all(0 <= waits.next_s() <= 30.0 for _ in range(10_000))


def test_connects_are_a_little_apart_and_the_hundred_and_first_waits_for_the_window() -> None:
    budget = ConnectBudget()
    waits = [budget.take(1000.0) for _ in range(101)]
    assert waits[:100] == pytest.approx([number * 0.05 for number in range(100)])
    assert waits[100] == pytest.approx(300.0)


def test_a_place_comes_back_when_it_is_a_window_old() -> None:
    budget = ConnectBudget(connects=2, spacing_s=0.0)
    assert [budget.take(0.0), budget.take(10.0)] == [0.0, 0.0]
    assert budget.take(20.0) == 280.0
    assert budget.take(300.0) == 10.0
    assert budget.take(1000.0) == 0.0


@given(
    pauses=st.lists(st.floats(0, 50), min_size=1, max_size=120),
    connects=st.integers(1, 7),
    spacing_s=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_no_window_ever_holds_more_connects_than_the_budget(
    pauses: list[float], connects: int, spacing_s: float
) -> None:
    budget = ConnectBudget(connects=connects, window_s=WINDOW_S, spacing_s=spacing_s)
    now_s = 0.0
    made = []
    for pause_s in pauses:
        now_s += pause_s
        made.append(now_s + budget.take(now_s))
    assert all(late >= early - 1e-6 for early, late in pairwise(made))
    pairs = zip(made, made[connects:], strict=False)
    assert all(late - early >= WINDOW_S - 1e-6 for early, late in pairs)
    assert all(late - early >= spacing_s - 1e-6 for early, late in pairwise(made))


@pytest.mark.parametrize("lines", [1, 5, 40])
def test_lines_that_fail_without_end_stay_under_a_hundred_connects_in_five_minutes(
    lines: int,
) -> None:
    """U8: maintenance."""
    budget = ConnectBudget()
    random = Random(3)
    waits = [backoff(random) for _ in range(lines)]
    due = [0.0] * lines
    made = []
    for _ in range(1000):
        line = due.index(min(due))
        at_s = due[line] + budget.take(due[line])
        made.append(at_s)
        due[line] = at_s + waits[line].next_s()
    made.sort()
    assert all(
        late - early >= WINDOW_S - 1e-6 for early, late in zip(made, made[100:], strict=False)
    )
