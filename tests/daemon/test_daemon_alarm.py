"""A wait that can be cut short."""

import asyncio

from tapecast.daemon.alarm import Alarm
from tests.daemon.healer_fakes import FastClock


async def test_a_wait_ends_when_its_time_is_over() -> None:
    clock = FastClock()
    wait = asyncio.ensure_future(Alarm(clock).wait(5.0))
    await clock.run_for(4.9)
    assert not wait.done()
    await clock.run_for(0.1)
    assert await wait is False
    assert clock.monotonic_s() == 5.0


async def test_ringing_ends_a_wait_at_once() -> None:
    clock = FastClock()
    alarm = Alarm(clock)
    wait = asyncio.ensure_future(alarm.wait(5.0))
    await clock.settle()
    alarm.ring()
    assert await wait is True
    assert clock.monotonic_s() == 0.0


async def test_what_rang_before_ends_one_wait_alone() -> None:
    clock = FastClock()
    alarm = Alarm(clock)
    alarm.ring()
    assert await alarm.wait(5.0) is True
    wait = asyncio.ensure_future(alarm.wait(5.0))
    await clock.run_for(5.0)
    assert await wait is False


async def test_many_that_are_set_to_the_same_time_go_off_within_a_second() -> None:
    clock = FastClock()
    waits = [asyncio.ensure_future(Alarm(clock, place).wait(5.0)) for place in range(250)]
    await clock.run_for(5.0)
    assert sum(wait.done() for wait in waits) == 3
    await clock.run_for(0.5)
    assert sum(wait.done() for wait in waits) == 152
    await clock.run_for(0.5)
    assert all(wait.done() for wait in waits)
