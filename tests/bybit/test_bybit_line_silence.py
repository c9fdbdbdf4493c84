"""Lines that fall silent, in memory and in time that passes by itself."""

import asyncio
import json
from collections.abc import Callable

import pytest

from tapecast.bybit import ConnectBudget, LineConfig, Timing
from tapecast.sim.faults import Drop, Hole, Maintenance, NoPong, RefuseHandshake
from tests.chaos.loops import LoopClock

from .bybit_fakes import line_config
from .bybit_memory import START_MS, Memory, lived

URL = "ws://memory/linear"


def config(*topics: str, place: int = 0, **more: object) -> LineConfig:
    return line_config(URL, *topics, place=place, **more)  # type: ignore[arg-type]  # a category


def ops(sent: list[bytes]) -> list[str]:
    return [json.loads(payload)["op"] for payload in sent]


def test_a_black_hole_is_pinged_after_three_seconds_and_cut_two_later_without_a_farewell() -> None:
    """U2: half-open connection."""

    async def live(memory: Memory) -> None:
        async with memory.line(config()) as (line, sink):
            await memory.until(10.2)
            heard_ms = sink.received_ns[-1] // 1_000_000
            await memory.until(15.2)
            (dead, alive) = memory.connections
            assert dead.pings == 1
            assert ops(dead.sent) == ["subscribe", "ping"]
            assert dead.ends == ["aborted"]
            assert alive.ends == []
            text = "line linear-1 was silent for 5.0 s, expected at most 5.0 s"
            assert sink.states[2:] == [
                ("stale", text),
                ("reconnecting", text),
                ("connected", ""),
            ]
            assert line.closes == {"silent": 1}
            # What was received ends with the last sign of life, not with its discovery.
            ((topics, lost_ms),) = sink.lost
            assert topics == ["BTCUSDT"]
            assert heard_ms - 100 <= lost_ms <= heard_ms

    lived(live, Hole(at_ms=10_000, for_ms=4_900))


def test_a_quiet_line_that_answers_pings_is_kept_for_hours() -> None:
    """U2: a quiet symbol is no dead connection."""

    async def live(memory: Memory) -> None:
        async with memory.line(config()) as (line, sink):
            await memory.until(4 * 3600.0)
            assert line.closes == {}
            (connection,) = memory.connections
            assert ops(connection.sent).count("unsubscribe") == 0
            assert sink.lost == []

    lived(live, rate=0.002)


def test_a_line_whose_pings_are_ignored_is_kept_while_data_comes() -> None:
    """U11: pongs are missing, data flows."""

    async def live(memory: Memory) -> None:
        async with memory.line(config()) as (line, _):
            await memory.until(300.0)
            assert line.closes == {}
            assert line.frames_total > 100

    lived(live, NoPong(), rate=20.0)


def test_the_next_connection_is_there_within_a_second_of_a_reset() -> None:
    """U1: reset."""

    async def live(memory: Memory) -> None:
        async with memory.line(config()) as (line, sink):
            await memory.until(10.0)
            frames = len(sink.frames)
            await memory.until(11.0)
            assert sink.reasons == ["connection lost without a close frame"]
            assert memory.connects[1][0] - 10.0 <= 0.25 + 0.01
            assert len(sink.frames) > frames
            ((_, lost_ms),) = sink.lost
            assert START_MS + 9_000 <= lost_ms <= START_MS + 10_000 <= sink.subscribed[1][1]
            assert line.closes == {"1006": 1}

    lived(live, Drop(at_ms=10_000), rate=50.0)


def test_the_waits_of_the_settings_are_kept() -> None:
    async def live(memory: Memory) -> None:
        timing = Timing(silence_ping_s=0.5, silence_abort_s=0.25)
        async with memory.line(config(timing=timing)) as (_, sink):
            await memory.until(11.0)
            assert sink.reasons == ["line linear-1 was silent for 0.8 s, expected at most 0.8 s"]

    lived(live, Hole(at_ms=10_000, for_ms=900), rate=50.0)


class StoppedClock(LoopClock):
    """The process is stopped for 40 s while it sleeps; what came meanwhile waits to be read.

    Attributes:
        waiting: Reads what waits, once the process goes on.
    """

    waiting: Callable[[], None] | None = None
    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.waiting is not None:
            asyncio.get_running_loop().call_soon(self.waiting)
            self.waiting = None
            self.ahead_s = 40.0


@pytest.mark.parametrize("reads", [True, False])
def test_a_process_that_was_stopped_reads_before_it_calls_a_line_silent(*, reads: bool) -> None:
    """U2: not every silence is the exchange's."""

    async def live(memory: Memory) -> None:
        clock = memory.clock = StoppedClock(START_MS)
        async with memory.line(config()) as (line, _):
            await memory.until(10.0)
            clock.waiting = memory.connections[0].on_bytes if reads else lambda: None
            await memory.until(51.9)
            assert line.closes == ({} if reads else {"silent": 1})

    lived(live, rate=0.002)


@pytest.mark.parametrize("lines", [1, 6])
def test_ten_minutes_of_refused_connects_stay_within_the_budget(lines: int) -> None:
    """U8: maintenance."""

    async def live(memory: Memory) -> list[float]:
        budget = ConnectBudget()
        await hold(memory, budget, lines, until_s=720.0)
        return [at_s for at_s, _ in memory.connects]

    async def hold(memory: Memory, budget: ConnectBudget, more: int, *, until_s: float) -> None:
        if not more:
            await memory.until(until_s)
            return
        one = config(place=more)
        async with memory.line(one, budget) as (line, sink):
            await hold(memory, budget, more - 1, until_s=until_s)
            # It came back by itself, at most one longest wait after the end.
            assert line.is_covering(["BTCUSDT"])
            assert sink.subscribed[-1][1] <= START_MS + 690_000

    made = lived(live, Maintenance(at_ms=10_000, for_ms=600_000))
    assert len(made) > 20 * lines**0.5
    assert all(late - early > 300.0 - 1e-6 for early, late in zip(made, made[100:], strict=False))


def test_a_failed_connect_moves_on_to_the_next_address_and_a_loss_does_not() -> None:
    """U5: the next address on retry."""

    async def live(memory: Memory) -> None:
        async with memory.line(config(place=1)):
            await memory.until(40.0)
            turns = [target.turn for _, target in memory.connects]
            # Lost at 10 s; refused until 12 s; lost again at 30 s.
            assert turns[:2] == [1, 1]
            refused = turns[2:-1]
            assert refused == list(range(2, 2 + len(refused)))
            assert refused
            assert turns[-1] == 1

    lived(
        live,
        Drop(at_ms=10_000),
        RefuseHandshake(at_ms=10_000, for_ms=2_000, status=503),
        Drop(at_ms=30_000),
    )


def test_a_line_knows_its_age_its_lag_and_what_it_covers() -> None:
    async def live(memory: Memory) -> None:
        async with memory.line(config()) as (line, sink):
            assert (line.age_s, line.lag_ms, line.connected_since_ms) == (None, None, None)
            assert line.heard_s("BTCUSDT") is None
            assert not line.is_covering(["BTCUSDT"])
            await memory.until(20.0)
            assert line.age_s == pytest.approx(20.0)
            assert line.connected_since_ms == START_MS
            assert line.lag_ms is not None
            assert -10 <= line.lag_ms <= 100
            assert line.frames_total == len(sink.frames)
            heard_s = line.heard_s("BTCUSDT")
            assert heard_s is not None
            assert 18.0 <= heard_s <= 20.0
            assert line.is_covering(["BTCUSDT"])
            assert not line.is_covering(["BTCUSDT", "ETHUSDT"])

    lived(live, rate=50.0)
