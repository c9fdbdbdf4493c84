"""Redundant lines, compared with each other; without sockets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tapecast.bybit import LineConfig
from tapecast.clocks import SystemClock
from tapecast.daemon.lines import LineSet

TOPICS = ("BTCUSDT", "ETHUSDT")
CONFIG = LineConfig(name="linear-1a", category="linear", topics=TOPICS, url="ws://nowhere")


@dataclass
class FakeLine:
    """A line that does as it is told, and keeps what it is asked."""

    config: LineConfig = CONFIG
    age_s: float | None = 10.0
    lag_ms: int | None = 5
    covered: set[str] = field(default_factory=lambda: set(TOPICS))
    heard: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def heard_s(self, topic: str) -> float | None:
        return self.heard.get(topic)

    def is_covering(self, topics: Sequence[str]) -> bool:
        return self.covered.issuperset(topics)

    def suspect(self, topic: str) -> None:
        self.asked.append(f"suspect {topic}")

    def renew(self, reason: str) -> None:
        self.asked.append(reason)

    async def run(self) -> None:
        self.began.set()
        await asyncio.Event().wait()


def set_of(*lines: FakeLine, max_age_s: float = 100.0) -> LineSet:
    return LineSet(lines, TOPICS, clock=SystemClock(), max_age_s=max_age_s)


def test_an_old_line_is_replaced_while_another_covers_for_it() -> None:
    old, young = FakeLine(age_s=101.0), FakeLine()
    set_of(old, young).look(0.0)
    assert (old.asked, young.asked) == (["replaced: 101 s old"], [])


def test_an_old_line_stays_while_nobody_covers_for_it() -> None:
    old, young = FakeLine(age_s=101.0), FakeLine(covered={"BTCUSDT"})
    set_of(old, young).look(0.0)
    assert old.asked == []


def test_one_line_at_a_time_is_replaced() -> None:
    lines = [FakeLine(age_s=101.0), FakeLine(age_s=102.0)]
    set_of(*lines).look(0.0)
    assert [len(line.asked) for line in lines] == [1, 0]


def test_a_line_that_lags_behind_its_sibling_for_some_looks_is_replaced() -> None:
    slow, quick = FakeLine(lag_ms=2_100), FakeLine(lag_ms=50)
    lines = set_of(slow, quick)
    for look in range(4):
        lines.look(float(look))
    assert slow.asked == []
    lines.look(4.0)
    assert (slow.asked, quick.asked) == (["replaced: 2050 ms behind its sibling"], [])


def test_a_lag_that_both_lines_have_is_the_exchanges() -> None:
    lines = [FakeLine(lag_ms=9_000), FakeLine(lag_ms=8_500)]
    both = set_of(*lines)
    for look in range(10):
        both.look(float(look))
    assert [line.asked for line in lines] == [[], []]


def test_a_line_that_owes_what_its_sibling_brings_is_suspected_after_five_seconds() -> None:
    good, deaf = FakeLine(), FakeLine(heard={"BTCUSDT": 10.0})
    lines = set_of(good, deaf)
    for now_s in range(12, 20):
        good.heard["BTCUSDT"] = float(now_s)
        lines.look(float(now_s))
    assert (good.asked, deaf.asked) == ([], ["suspect BTCUSDT"])


def test_a_copy_that_comes_a_little_later_is_no_reason_for_suspicion() -> None:
    first, second = FakeLine(), FakeLine()
    lines = set_of(first, second)
    for now_s in range(0, 100, 10):
        # A quiet symbol, looked at just between both copies of its trade.
        first.heard["BTCUSDT"] = now_s - 0.01
        lines.look(float(now_s))
        second.heard["BTCUSDT"] = now_s + 0.01
        for more_s in range(1, 10):
            lines.look(now_s + float(more_s))
    assert (first.asked, second.asked) == ([], [])


def test_what_a_line_does_not_cover_it_does_not_owe() -> None:
    good, away = FakeLine(heard={"BTCUSDT": 1.0}), FakeLine(covered=set())
    lines = set_of(good, away)
    for now_s in range(1, 20):
        lines.look(float(now_s))
    assert away.asked == []


@pytest.mark.parametrize("count", [1, 2])
async def test_all_lines_run_until_the_set_is_cancelled(count: int) -> None:
    lines = [FakeLine() for _ in range(count)]
    task = asyncio.create_task(set_of(*lines).run())
    async with asyncio.timeout(10):
        for line in lines:
            await line.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
