"""The pace of requests."""

from hypothesis import given
from hypothesis import strategies as st

from tapecast.bybit.throttle import Throttle


def test_a_burst_goes_at_once_and_what_follows_at_its_rate() -> None:
    throttle = Throttle(rate_per_s=10, burst=3)
    assert [round(throttle.take(5.0), 9) for _ in range(5)] == [0.0, 0.0, 0.0, 0.1, 0.2]
    assert [round(throttle.take(9.0), 9) for _ in range(4)] == [0.0, 0.0, 0.0, 0.1]


def test_a_pause_holds_everyone() -> None:
    throttle = Throttle(rate_per_s=10, burst=3)
    throttle.hold(7.0)
    throttle.hold(6.0)
    assert [round(throttle.take(5.0), 9) for _ in range(4)] == [2.0, 2.0, 2.0, 2.1]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=400))
def test_any_five_seconds_have_at_most_half_of_what_bars_an_address(gaps_s: list[float]) -> None:
    throttle, now_s, sent_s = Throttle(), 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s / 100
        sent_s.append(now_s + throttle.take(now_s))
    assert sent_s == sorted(sent_s)
    most = max(sum(start <= at < start + 5 for at in sent_s) for start in sent_s)
    assert most <= 301
