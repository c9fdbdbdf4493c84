"""Tasks, callbacks and threads that fail: each ends the daemon, with its name in the log."""

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tapecast.daemon.supervision import Crew, Supervisor, is_fatal
from tapecast.errors import FeedError, InternalFault, RecordingDamaged

LIMIT_S = 10.0
UNTIL = ", expected to run until the daemon stops"


class PanicException(BaseException):
    """What PyO3 makes of a panic: none of `Exception`."""


async def forever() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def supervised(stop: asyncio.Event | None = None) -> AsyncIterator[Supervisor]:
    """Run two tasks that do nothing, and whatever the block does, until something ends it."""
    async with asyncio.timeout(LIMIT_S), Supervisor() as supervisor:
        supervisor.start("hub", forever())
        supervisor.start("stats", forever())
        await asyncio.sleep(0)
        yield supervisor
        await supervisor.wait(stop or asyncio.Event())


async def fault_of(
    act: Callable[[Supervisor], object], stop: asyncio.Event | None = None
) -> InternalFault:
    """Return what ends it once something was done."""
    with pytest.raises(InternalFault) as caught:
        async with supervised(stop) as supervisor:
            act(supervisor)
    return caught.value


def task_called(name: str) -> asyncio.Task[Any]:
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return task


async def test_nothing_is_raised_when_it_is_told_to_stop() -> None:
    before = asyncio.all_tasks()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    hooks = (loop.get_task_factory(), loop.get_exception_handler(), threading.excepthook)
    stop.set()
    async with supervised(stop):
        pass
    assert asyncio.all_tasks() == before
    assert (loop.get_task_factory(), loop.get_exception_handler(), threading.excepthook) == hooks


@pytest.mark.parametrize("name", ["hub", "stats"])
async def test_a_task_that_somebody_cancels_ends_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InternalFault) as caught:
        async with supervised():
            task_called(name).cancel()
    assert str(caught.value) == f"task {name} was cancelled{UNTIL}"
    assert caplog.messages == [f"task {name} was cancelled"]


async def test_a_task_that_is_done_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalFault) as caught:
        async with supervised() as supervisor:
            supervisor.start("timer", asyncio.sleep(0))
    assert str(caught.value) == f"task timer is done{UNTIL}"
    assert caplog.messages == ["task timer is done"]


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ZeroDivisionError("no"), "failed: ZeroDivisionError: no"),
        (OSError(5, "Input/output error"), "failed: OSError: [Errno 5] Input/output error"),
        (FeedError("none"), "failed: FeedError: none"),
        (AssertionError(), "failed: AssertionError"),
        (PanicException("index"), "failed: PanicException: index"),
        (BaseExceptionGroup("g", [PanicException("deep")]), "failed: PanicException: deep"),
    ],
)
async def test_a_task_that_raises_ends_it_and_its_traceback_is_logged(
    error: BaseException, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(InternalFault) as caught:
        async with supervised() as supervisor:
            supervisor.start("timer", fail())
    assert str(caught.value) == f"task timer {end}{UNTIL}"
    assert caught.value.__cause__ is error
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("CRITICAL", f"task timer {end}")
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_the_first_of_several_faults_is_raised_and_all_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fault = await fault_of(
        lambda _: [task_called(name).cancel() for name in ("stats", "hub")],
    )
    assert fault.part == "task stats"
    assert caplog.messages == ["task stats was cancelled", "task hub was cancelled"]


async def test_a_fault_is_raised_even_if_it_is_told_to_stop_at_once() -> None:
    stop = asyncio.Event()

    def act(_supervisor: Supervisor) -> None:
        task_called("hub").cancel()
        stop.set()

    fault = await fault_of(act, stop)
    assert fault.part == "task hub"


async def test_the_task_that_may_end_ends_it_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    async with supervised() as supervisor:
        supervisor.start("source", asyncio.sleep(0), may_end=True)
    assert caplog.messages == []


@pytest.mark.parametrize("error", [OSError(2, "No such file"), RecordingDamaged("x is damaged")])
async def test_what_is_wrong_with_its_input_is_raised_as_it_is(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        async with supervised() as supervisor:
            supervisor.start("source", fail(), may_end=True)
    assert caught.value is error
    assert caplog.messages == []


async def test_anything_else_in_it_is_a_fault() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(InternalFault, match="task source failed: KeyError: 'x'"):
        async with supervised() as supervisor:
            supervisor.start("source", fail(), may_end=True)


async def test_it_may_not_be_cancelled_by_others() -> None:
    def act(supervisor: Supervisor) -> None:
        supervisor.start("source", forever(), may_end=True)
        task_called("source").cancel()

    assert str(await fault_of(act)) == f"task source was cancelled{UNTIL}"


async def test_tasks_are_ended_the_last_one_first() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async with Supervisor() as supervisor:
        for name in "abc":
            supervisor.start(name, work(name))
        await asyncio.sleep(0)
    assert ended == ["c", "b", "a"]


async def test_a_task_that_fails_on_its_way_out_is_a_fault() -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            raise ValueError("late")

    stop = asyncio.Event()
    stop.set()
    fault = await fault_of(lambda supervisor: supervisor.start("source", work()), stop)
    assert str(fault) == f"task source failed: ValueError: late{UNTIL}"


async def test_a_task_that_does_not_end_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    free = asyncio.Event()

    async def work() -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    def act(supervisor: Supervisor) -> None:
        supervisor.start("stubborn", work())
        task_called("hub").cancel()

    fault = await fault_of(act)
    assert fault.part == "task hub"
    assert caplog.messages == [
        "task hub was cancelled",
        "task stubborn did not end within 1.5 s",
    ]
    free.set()
    await task_called("stubborn")


# Tasks within tasks.


async def crew_of(*works: Coroutine[Any, Any, None], may_end: bool = False) -> None:
    async with Crew() as crew:
        for number, work in enumerate(works):
            crew.create_task(work, name=f"line-{number}", may_end=may_end)
        crew.create_task(forever(), name="other")


@pytest.mark.parametrize(
    ("act", "end"),
    [
        (lambda task: task.cancel(), "was cancelled"),
        (lambda task: task._fut_waiter.set_result(True), "is done"),
        (lambda task: task._fut_waiter.set_exception(KeyError("x")), "failed: KeyError: 'x'"),
    ],
)
async def test_a_task_of_a_crew_that_ends_ends_everything(
    act: Callable[[Any], None], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def meddle() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        (inner, *_) = [one for one in asyncio.all_tasks() if one.get_name() == "line-0"]
        act(inner)
        await forever()

    def begin(supervisor: Supervisor) -> None:
        supervisor.start("source", crew_of(forever(), crew_of(forever())))
        supervisor.start("meddler", meddle())

    fault = await fault_of(begin)
    part = "task source" if "failed" in end else "task line-0"
    assert (fault.part, fault.end) == (part, end)
    assert caplog.messages == [f"{part} {end}"]


async def test_a_crew_ends_in_peace_when_it_is_told_to() -> None:
    stop = asyncio.Event()
    before = asyncio.all_tasks()
    async with supervised(stop) as supervisor:
        supervisor.start("source", crew_of(forever(), crew_of(forever())))
        for _ in range(3):
            await asyncio.sleep(0)
        stop.set()
    assert asyncio.all_tasks() == before


async def test_tasks_of_a_crew_that_may_end_do_not_end_it() -> None:
    crew = asyncio.create_task(crew_of(asyncio.sleep(0), may_end=True))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not crew.done()
    crew.cancel()
    await asyncio.wait([crew])
    assert crew.cancelled()


# What nobody has started here.


def panic() -> None:
    raise PanicException("deep")


async def panicking() -> None:
    panic()


def in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(panic)


def in_a_timer() -> None:
    asyncio.get_running_loop().call_later(0.001, panic)


def in_a_task_that_nobody_looks_at() -> None:
    asyncio.get_running_loop().create_task(panicking(), name="task")


def in_a_thread() -> None:
    threading.Thread(target=panic, name="writer").start()


def in_a_protocol() -> None:
    class Broken(asyncio.Protocol):
        def data_received(self, _data: bytes) -> None:
            panic()

    async def connect() -> None:
        near, far = socket.socketpair()
        with near, far:
            far.settimeout(0)
            far.send(b"x")
            transport, _ = await asyncio.get_running_loop().create_connection(Broken, sock=near)
            await asyncio.get_running_loop().sock_recv(far, 1)
            transport.close()

    connecting.append(asyncio.get_running_loop().create_task(connect(), name="connect"))


connecting: list[asyncio.Task[None]] = []


@pytest.mark.parametrize(
    ("somewhere", "part"),
    [
        (in_a_callback, "a callback"),
        (in_a_timer, "a callback"),
        (in_a_protocol, "a callback"),
        (in_a_task_that_nobody_looks_at, "task task"),
        (in_a_thread, "thread writer"),
    ],
)
async def test_a_panic_ends_it_wherever_it_comes_out(
    somewhere: Callable[[], None], part: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InternalFault) as caught:
        async with supervised():
            somewhere()
    assert str(caught.value) == f"{part} failed: PanicException: deep{UNTIL}"
    assert f"{part} failed: PanicException: deep" in caplog.messages
    while connecting:
        await asyncio.wait([connecting.pop()])


async def swallowed_by_gather() -> None:
    await asyncio.gather(panicking(), return_exceptions=True)


async def covered_by_another_error() -> None:
    try:
        panic()
    finally:
        raise ValueError("while it was on its way")


@pytest.mark.parametrize("work", [swallowed_by_gather, covered_by_another_error])
async def test_a_panic_ends_it_even_where_it_is_hidden(
    work: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    tasks: list[asyncio.Task[None]] = []
    fault = await fault_of(
        lambda _: tasks.append(asyncio.get_running_loop().create_task(work(), name="task"))
    )
    assert fault.end.startswith("failed: ")
    await asyncio.wait(tasks)
    tasks[0].exception()


async def test_an_ordinary_error_that_nobody_handles_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise ValueError("only this client")

    async def failing() -> None:
        fail()

    stop = asyncio.Event()
    async with supervised(stop):
        loop = asyncio.get_running_loop()
        loop.call_soon(fail)
        task = loop.create_task(failing(), name="client")
        await asyncio.wait([task])
        del task
        gc.collect()
        stop.set()
    assert "Exception in callback" in caplog.text
    assert "Task exception was never retrieved" in caplog.text
    assert {record.levelname for record in caplog.records} == {"ERROR"}


async def test_any_error_that_nobody_handles_in_a_thread_ends_it() -> None:
    def fail() -> None:
        raise ValueError("the writer")

    with pytest.raises(InternalFault, match="thread log-writer failed: ValueError: the writer"):
        async with supervised():
            threading.Thread(target=fail, name="log-writer").start()


async def test_a_thread_may_exit() -> None:
    stop = asyncio.Event()
    async with supervised(stop):
        thread = threading.Thread(target=lambda: exec("raise SystemExit"))  # noqa: S102 -- one line
        thread.start()
        await asyncio.to_thread(thread.join)
        stop.set()


def raised(work: Callable[[], None]) -> BaseException:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 -- whatever it is
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (PanicException(), True),
        (
            BaseExceptionGroup("g", [ValueError(), BaseExceptionGroup("h", [PanicException()])]),
            True,
        ),
        (ValueError(), False),
        (ExceptionGroup("g", [ValueError()]), False),
        (asyncio.CancelledError(), False),
        (KeyboardInterrupt(), False),
        (SystemExit(70), False),
        (GeneratorExit(), False),
    ],
)
def test_fatal_is_what_is_none_of_exception_and_no_usual_end(
    error: BaseException, *, fatal: bool
) -> None:
    assert is_fatal(error) is fatal


def test_an_error_that_covers_a_fatal_one_is_fatal_and_circles_do_no_harm() -> None:
    error, cause = ValueError(), KeyError()
    error.__cause__, cause.__context__ = cause, error
    assert not is_fatal(error)
    cause.__cause__ = PanicException()
    assert is_fatal(error)
