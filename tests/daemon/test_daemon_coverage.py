"""What several lines carried, joined into what was received."""

from hypothesis import given
from hypothesis import strategies as st

from tapecast.daemon.coverage import CLOCK_MARGIN_MS, Coverage, Loss, TopicKey

KEY: TopicKey = ("linear", "BTCUSDT")
M = CLOCK_MARGIN_MS


def test_a_topic_is_received_from_its_first_line_on() -> None:
    coverage = Coverage()
    assert coverage.gain("a", KEY, 1_000) == 1_000 + M
    assert coverage.gain("b", KEY, 5_000) is None
    assert coverage.carriers(KEY) == 2


def test_the_loss_of_one_line_of_two_costs_nothing() -> None:
    coverage = Coverage()
    coverage.gain("a", KEY, 1_000)
    coverage.gain("b", KEY, 2_000)
    assert coverage.lose("a", KEY, 60_000) is None
    assert coverage.is_carried("b", KEY)
    assert not coverage.is_carried("a", KEY)


def test_the_loss_of_the_last_line_loses_the_topic_from_its_last_frame_on() -> None:
    coverage = Coverage()
    coverage.gain("a", KEY, 1_000)
    assert coverage.lose("a", KEY, 60_000) == Loss([], 60_000 - M)
    assert coverage.gain("a", KEY, 61_000) == 61_000 + M


def test_a_line_that_carries_nothing_loses_nothing() -> None:
    coverage = Coverage()
    assert coverage.lose("a", KEY, 60_000) is None
    coverage.gain("b", KEY, 1_000)
    assert coverage.lose("a", KEY, 60_000) is None


def test_a_line_that_is_lost_within_the_margin_carried_nothing() -> None:
    coverage = Coverage()
    coverage.gain("a", KEY, 1_000)
    assert coverage.lose("a", KEY, 1_200) == Loss([], 1_000 + M)


def test_a_line_found_dead_late_leaves_the_hole_that_it_was_thought_to_cover() -> None:
    coverage = Coverage()
    coverage.gain("a", KEY, 0)
    coverage.gain("b", KEY, 0)
    # Line b dies at 10 s, unnoticed; a is away from 20 s to 21 s, and b seems to cover for it.
    assert coverage.lose("a", KEY, 20_000) is None
    assert coverage.gain("a", KEY, 21_000) is None
    assert coverage.lose("b", KEY, 10_000) == Loss([(20_000 - M, 21_000 + M)], None)
    # What was told is not told again.
    assert coverage.lose("a", KEY, 90_000) == Loss([], 90_000 - M)


def test_of_two_dead_lines_the_one_that_lived_longer_counts() -> None:
    coverage = Coverage()
    coverage.gain("a", KEY, 0)
    coverage.gain("b", KEY, 0)
    assert coverage.lose("a", KEY, 50_000) is None
    assert coverage.lose("b", KEY, 10_000) == Loss([], 50_000 - M)


STEP_MS = 10_000
"""Longer than both margins, so that a stretch of one step is carried at its middle."""


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), min_size=1, max_size=40
    )
)
def test_whatever_no_line_carried_is_told_once_all_lines_are_gone(
    events: list[tuple[str, int, bool]],
) -> None:
    """Lines come and go; a loss may be found out some steps after it happened."""
    coverage = Coverage()
    carried: dict[str, int] = {}
    truth: set[int] = set()
    told: list[tuple[int, int]] = []
    lost_ms: int | None = None
    first: int | None = None
    now = 0

    def lose(line: str, late: int) -> None:
        nonlocal lost_ms
        since = carried.pop(line)
        until = max(since, now - late)
        truth.update(range(since, until))
        loss = coverage.lose(line, KEY, until * STEP_MS)
        if loss is not None:
            told.extend(loss.holes)
            lost_ms = loss.lost_ms if loss.lost_ms is not None else lost_ms

    for line, late, stays in events:
        now += 1
        if line in carried:
            lose(line, late)
        if stays:
            first = now if first is None else first
            carried[line] = now
            since_ms = coverage.gain(line, KEY, now * STEP_MS)
            if since_ms is not None and lost_ms is not None:
                told.append((lost_ms, since_ms))
                lost_ms = None
    for line in list(carried):
        lose(line, 0)
    if first is None:
        return
    end = now if lost_ms is None else lost_ms // STEP_MS + 1
    for step in range(first, end):
        middle_ms = step * STEP_MS + STEP_MS // 2
        is_told = any(from_ms <= middle_ms < to_ms for from_ms, to_ms in told)
        is_told = is_told or (lost_ms is not None and middle_ms >= lost_ms)
        assert is_told == (step not in truth), step
