"""Every part of the daemon that fails, and how the daemon ends by it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest

from tapecast._core import Engine
from tapecast.errors import InternalFault

from .harness import BEGIN_MS, MINUTE_MS, Running, running, subscriber

TASKS: Final = (
    "broadcaster",
    "partials",
    "loop-watch",
    "stats-publisher",
    "engine-timer",
    "healer",
    "repairs",
    "source",
    "linear-1",
    "linear-1-keeper",
    "linear-1-receiver",
)
"""Every task of a daemon with one line that nobody is subscribed to, by its name."""


class PanicException(BaseException):
    """What PyO3 makes of a panic in the core: none of `Exception`."""


def tasks_called(name: str) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


async def ended_by(act: Callable[[Running], object]) -> InternalFault:
    """Return how a daemon ends once something was done to it."""

    async def end() -> None:
        async with running(bybit__lines="1") as run:
            await run.subscribed(("linear", "BTCUSDT"))
            act(run)
            await asyncio.wait([run.task])

    before = asyncio.all_tasks()
    with pytest.raises(InternalFault) as caught:
        await end()
    assert asyncio.all_tasks() == before
    return caught.value


async def test_the_table_has_every_task() -> None:
    before = {id(task) for task in asyncio.all_tasks()}
    async with running(bybit__lines="1") as run:
        await run.subscribed(("linear", "BTCUSDT"))
        names = {task.get_name() for task in asyncio.all_tasks() if id(task) not in before}
    ours = {name for name in names if not name.startswith("Task-")}
    assert ours - {"stop", "crew"} == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
async def test_a_task_that_somebody_cancels_ends_the_daemon(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault = await ended_by(lambda _: [task.cancel() for task in tasks_called(name)])
    # Of a conversation the line is what is left over.
    part = name.removesuffix("-keeper").removesuffix("-receiver")
    assert (fault.part, fault.end) == (f"task {part}", "was cancelled")
    assert f"task {part} was cancelled" in caplog.messages


METHODS: Final = ("feed", "advance", "stats", "upstream", "unsettled", "uncover")


class TornEngine:
    """An engine one of whose methods panics once it is armed."""

    def __init__(self, engine: Engine, method: str) -> None:
        self.engine, self.method, self.is_armed = engine, method, False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the engine has
        if self.is_armed and name == self.method:
            raise PanicException(f"index out of bounds in {name}")
        return getattr(self.engine, name)


def panic_in(method: str) -> Callable[[Running], None]:
    def act(run: Running) -> None:
        torn = TornEngine(run.daemon.engine, method)
        run.daemon._intake.engine = torn  # type: ignore[misc, assignment]
        torn.is_armed = True
        run.sim.advance_to(BEGIN_MS + 5_000)
        run.clock.set(run.clock.wall_ms() + MINUTE_MS)
        run.daemon._wake_healer()
        if method in {"upstream", "uncover"}:
            run.sim.drop_all()

    return act


@pytest.mark.parametrize("method", METHODS)
async def test_a_panic_in_the_core_ends_the_daemon(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault = await ended_by(panic_in(method))
    assert fault.end == f"failed: PanicException: index out of bounds in {method}"
    texts = {one.getMessage(): one for one in caplog.records}
    record = texts[f"{fault.part} {fault.end}"]
    assert record.levelname == "CRITICAL"
    assert record.exc_info is not None


async def test_a_panic_while_a_client_subscribes_ends_the_daemon() -> None:
    async def end() -> None:
        async with running(bybit__lines="1") as run:
            run.daemon.hub.subscribe = panic  # type: ignore[method-assign, assignment]
            async with subscriber(run.url):
                await asyncio.wait([run.task])

    def panic(*_: object, **__: object) -> None:
        raise PanicException("in a snapshot")

    with pytest.raises(InternalFault) as caught:
        await end()
    assert caught.value.end == "failed: PanicException: in a snapshot"
