"""The wall clock that goes on evenly: what is followed, what is not, and when."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.clocks import SystemClock
from tapecast.daemon.clocks import (
    AGREE_NS,
    BLIND_NS,
    SETTLE_NS,
    STEP_NS,
    SteadyClock,
    SteadyTime,
    Step,
    running_ns,
)

S = 1_000_000_000
HOUR = 3_600 * S
WALL = 1_790_000_000 * S
LOOK = S // 10

STEPS = st.one_of(st.integers(STEP_NS + 1, 48 * HOUR), st.integers(-48 * HOUR, -STEP_NS - 1))
LAGS = st.integers(0, S // 2)


class Machine:
    """A machine whose wall clock can be set, and an exchange that has the true time."""

    def __init__(self) -> None:
        self.running = 77 * S
        self.skew = 0
        self.time = SteadyTime(self.wall, self.running)

    @property
    def true(self) -> int:
        return WALL + self.running

    @property
    def wall(self) -> int:
        return self.true + self.skew

    @property
    def error(self) -> int:
        """How far the steady time is from the true one."""
        return self.time.now_ns(self.running) - self.true

    def spend(self, ns: int, *, lag: int | None = None) -> list[Step]:
        """Let time pass, looking ten times a second; with frames of some lag, or without any."""
        steps = []
        for _ in range(max(1, ns // LOOK)):
            self.running += LOOK
            if lag is not None and self.time.is_torn:
                self.time.observe(self.true - lag, self.running)
            step = self.time.look(self.wall, self.running)
            steps += [step] if step is not None else []
        return steps


@given(skew=STEPS, lag=LAGS, at=st.integers(0, 600))
def test_a_wrong_step_changes_nothing_as_long_as_frames_come(skew: int, lag: int, at: int) -> None:
    machine = Machine()
    machine.spend(at * S // 10)
    machine.skew = skew
    # Within the lag of a frame it cannot be told which of two times is right.
    assert machine.spend(3 * BLIND_NS, lag=min(lag, abs(skew) // 2 - 1)) == [Step(skew, "seen")]
    assert (machine.error, machine.time.steps_total) == (0, 1)


@given(skew=STEPS, lag=LAGS)
def test_a_clock_that_is_put_right_is_followed_within_seconds(skew: int, lag: int) -> None:
    machine = Machine()
    machine.skew = skew
    machine.time = SteadyTime(machine.wall, machine.running)
    machine.skew = 0
    steps = machine.spend(SETTLE_NS + S, lag=min(lag, abs(skew) // 2 - 1))
    assert steps == [Step(-skew, "seen"), Step(-skew, "agreed")]
    assert (machine.error, machine.time.is_torn) == (0, False)


@given(skew=STEPS)
def test_a_step_is_followed_after_a_minute_without_frames(skew: int) -> None:
    machine = Machine()
    machine.skew = skew
    assert machine.spend(BLIND_NS - S) == [Step(skew, "seen")]
    assert machine.error == 0
    assert machine.spend(2 * SETTLE_NS) == [Step(skew, "blind")]
    assert machine.error == skew


@given(skew=STEPS)
def test_a_step_that_is_undone_leaves_no_trace(skew: int) -> None:
    machine = Machine()
    machine.skew = skew
    machine.spend(10 * S)
    machine.skew = 0
    assert machine.spend(10 * S) == [Step(0, "undone")]
    assert (machine.error, machine.time.is_torn, machine.time.steps_total) == (0, False, 1)


@given(skews=st.lists(st.integers(-48 * HOUR, 48 * HOUR), max_size=20), lag=LAGS)
def test_whatever_is_done_to_the_clock_the_time_stays_near_the_exchanges(
    skews: list[int], lag: int
) -> None:
    machine = Machine()
    for skew in skews:
        machine.skew = skew
        for _ in range(40):
            machine.spend(LOOK, lag=lag)
            assert abs(machine.error) <= AGREE_NS
    machine.skew = 0
    machine.spend(2 * BLIND_NS, lag=lag)
    assert abs(machine.error) <= STEP_NS


@given(corrections=st.lists(st.integers(-STEP_NS // 4, STEP_NS // 4), max_size=30))
def test_corrections_are_followed_at_once_and_are_no_steps(corrections: list[int]) -> None:
    machine = Machine()
    for correction in corrections:
        machine.skew += correction
        assert machine.spend(LOOK) == []
        assert machine.error == machine.skew
    assert machine.time.steps_total == 0


def test_one_frame_that_was_long_on_its_way_proves_nothing() -> None:
    machine = Machine()
    machine.skew = -3 * S
    machine.spend(LOOK)
    machine.time.observe(machine.true - 3 * S, machine.running)
    assert machine.spend(SETTLE_NS * 2, lag=S // 10) == []
    assert machine.error == 0


def test_a_second_step_is_told_and_begins_anew() -> None:
    machine = Machine()
    machine.skew = HOUR
    machine.spend(BLIND_NS - S)
    machine.skew = -HOUR
    assert machine.spend(BLIND_NS - S) == [Step(-HOUR, "seen")]
    assert (machine.error, machine.time.steps_total) == (0, 2)


class SteppedClock(SystemClock):
    """A wall clock of the machine's that a test sets."""

    def __init__(self) -> None:
        self.wall = WALL

    def wall_ns(self) -> int:
        return self.wall


def test_the_daemons_clock_logs_and_counts_steps(caplog: pytest.LogCaptureFixture) -> None:
    machine, now = SteppedClock(), [5 * S]
    clock = SteadyClock(machine, running=lambda: now[0])
    assert (clock.wall_ns(), clock.wall_ms(), clock.steps_total) == (WALL, WALL // 1_000_000, 0)
    machine.wall += HOUR
    assert (clock.wall_ns(), clock.is_torn, clock.steps_total) == (WALL, True, 1)
    now[0] += SETTLE_NS
    machine.wall += SETTLE_NS
    clock.observe((machine.wall - S // 10) // 1_000_000)
    assert (clock.wall_ns(), clock.is_torn) == (machine.wall, False)
    assert caplog.messages == [
        "the wall clock was set by +3600.000 s, which is not followed yet",
        "the wall clock is followed by +3600.000 s: the exchange agrees with it",
    ]


async def test_what_never_jumps_is_the_machines_own() -> None:
    clock = SteadyClock(SystemClock())
    before_ns, before_s = time.monotonic_ns(), time.monotonic()
    await clock.sleep(0)
    assert before_ns <= clock.monotonic_ns() <= time.monotonic_ns()
    assert before_s <= clock.monotonic_s() <= time.monotonic()


def test_the_running_clock_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert running_ns() <= running_ns()
    monkeypatch.setattr("tapecast.daemon.clocks._CLOCK", None)
    assert time.monotonic_ns() <= running_ns() <= time.monotonic_ns()
