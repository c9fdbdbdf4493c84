"""What the registry says of workers, by a clock that the test sets."""

import asyncio
import threading
from dataclasses import dataclass, field

import msgspec
import pytest

from tapecast.clocks import SystemClock, thread_cpu_ns
from tapecast.errors import FeedStale
from tapecast.messages import ThreadStatus
from tapecast.telemetry.threads import ThreadRegistry, Worker

MS = 1_000_000
WALL_MS = 1_700_000_000_000


@dataclass
class Bench:
    """A registry whose clocks are set by hand."""

    now_ns: int = 5_000_000_000
    cpu_ns: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry = ThreadRegistry(monotonic_ns=lambda: self.now_ns, cpu_ns=self.cpu_ns.get)

    def passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1_000_000_000)

    def status(self, worker: Worker) -> ThreadStatus:
        """Return what the registry says of one worker."""
        statuses = self.registry.statuses(now_ns=self.now_ns, wall_ms=WALL_MS)
        return next(status for status in statuses if status.name == worker.name)

    def state(self, worker: Worker) -> str:
        return self.status(worker).state


@pytest.fixture
def bench() -> Bench:
    return Bench()


def in_thread(report: object) -> int:
    """Call something in a thread of its own and return the thread's identifier."""
    assert callable(report)
    thread = threading.Thread(target=report)
    thread.start()
    thread.join(30)
    assert thread.ident is not None
    return thread.ident


def test_a_worker_that_never_reports_starts_and_then_is_stalled(bench: Bench) -> None:
    worker = bench.registry.register("timer", stall_after_s=3)
    bench.passes(3)
    assert bench.status(worker) == ThreadStatus("timer", "task", "starting", 0, 0.0, 0, None)
    bench.passes(0.001)
    assert bench.status(worker) == ThreadStatus("timer", "task", "stalled", 0, 0.0, 0, None)


def test_a_silent_worker_is_stalled_until_it_goes_on(bench: Bench) -> None:
    worker = bench.registry.register("timer", stall_after_s=3)
    worker.running()
    bench.passes(3)
    assert bench.state(worker) == "running"
    bench.passes(0.001)
    assert bench.state(worker) == "stalled"
    worker.beat()
    assert bench.state(worker) == "running"


def test_a_worker_without_a_limit_is_never_stalled(bench: Bench) -> None:
    worker = bench.registry.register("replay")
    bench.passes(1e6)
    assert bench.state(worker) == "starting"
    worker.running()
    bench.passes(1e6)
    assert bench.state(worker) == "running"


def test_a_worker_that_waits_is_idle_after_a_while_and_never_stalled(bench: Bench) -> None:
    worker = bench.registry.register("writer", stall_after_s=3, idle_after_s=2)
    worker.running()
    worker.idle()
    bench.passes(1.999)
    assert bench.state(worker) == "running"
    bench.passes(0.001)
    assert bench.state(worker) == "idle"
    bench.passes(1e6)
    assert bench.state(worker) == "idle"


def test_a_worker_that_took_work_and_is_stuck_in_it_is_stalled(bench: Bench) -> None:
    worker = bench.registry.register("writer", stall_after_s=3)
    worker.idle()
    bench.passes(100)
    worker.beat()
    bench.passes(3.001)
    assert bench.state(worker) == "stalled"


def test_an_end_is_not_called_stalled(bench: Bench) -> None:
    stopped = bench.registry.register("stopped", stall_after_s=3)
    failed = bench.registry.register("failed", stall_after_s=3)
    stopped.stopped()
    failed.failed("bad file descriptor")
    bench.passes(100)
    assert (bench.state(stopped), bench.status(stopped).error) == ("stopped", None)
    assert (bench.state(failed), bench.status(failed).error) == ("failed", "bad file descriptor")


def test_the_error_stands_until_a_restarted_worker_is_up(bench: Bench) -> None:
    worker = bench.registry.register("linear-1")
    worker.running()
    worker.failed(ConnectionRefusedError(111, "Connection refused"))
    worker.restarted()
    status = bench.status(worker)
    assert (status.state, status.restarts) == ("starting", 1)
    assert status.error == "ConnectionRefusedError: [Errno 111] Connection refused"
    worker.running()
    status = bench.status(worker)
    assert (status.state, status.restarts, status.error) == ("running", 1, None)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("connection lost", "connection lost"),
        (ValueError(), "ValueError"),
        (KeyError("seq"), "KeyError: 'seq'"),
        (
            FeedStale("linear-1", 31.0, 30.0),
            "line linear-1 was silent for 31.0 s, expected at most 30.0 s",
        ),
        (ExceptionGroup("group", [ExceptionGroup("inner", [OSError("gone")])]), "OSError: gone"),
        ("two\nlines\tand more", "two lines and more"),
        ("x" * 300, "x" * 256),
    ],
)
def test_a_reason_becomes_one_short_line(bench: Bench, reason: object, text: str) -> None:
    worker = bench.registry.register("worker")
    worker.failed(reason)
    assert bench.status(worker).error == text


def test_rates_are_over_the_time_since_the_last_look(bench: Bench) -> None:
    worker = bench.registry.register("broadcaster")
    bench.passes(2)
    worker.beat(3)
    worker.beat(4)
    assert (bench.status(worker).messages, bench.status(worker).rate) == (7, 3.5)
    bench.passes(0.5)
    worker.beat(1)
    assert (bench.status(worker).messages, bench.status(worker).rate) == (8, 2.0)
    bench.passes(1)
    assert (bench.status(worker).messages, bench.status(worker).rate) == (8, 0.0)


def test_two_looks_at_the_same_moment_say_the_same(bench: Bench) -> None:
    worker = bench.registry.register("broadcaster")
    bench.passes(1)
    worker.beat(3)
    first = bench.registry.statuses(now_ns=bench.now_ns, wall_ms=WALL_MS)
    assert bench.registry.statuses(now_ns=bench.now_ns, wall_ms=WALL_MS) == first
    assert bench.status(worker).rate == 3.0


def test_the_last_report_is_told_in_wall_clock(bench: Bench) -> None:
    worker = bench.registry.register("timer")
    assert bench.status(worker).last_active_ms is None
    worker.beat()
    bench.passes(1.25)
    assert bench.status(worker).last_active_ms == WALL_MS - 1250
    look_ns = bench.now_ns
    bench.passes(0.1)
    worker.beat()
    late = bench.registry.statuses(now_ns=look_ns, wall_ms=WALL_MS)
    assert [(status.last_active_ms, status.state) for status in late] == [(WALL_MS, "running")]


def test_cpu_is_told_of_threads_from_the_second_look_on(bench: Bench) -> None:
    task = bench.registry.register("task")
    thread = bench.registry.register("thread", kind="thread")
    task.running()
    bench.passes(1)
    assert bench.status(thread).cpu_percent is None
    ident = in_thread(thread.running)
    bench.cpu_ns[ident] = 700 * MS
    bench.passes(1)
    assert bench.status(thread).cpu_percent is None
    bench.cpu_ns[ident] = 950 * MS
    bench.passes(2)
    assert (bench.status(thread).cpu_percent, bench.status(task).cpu_percent) == (12.5, None)
    del bench.cpu_ns[ident]
    bench.passes(1)
    assert bench.status(thread).cpu_percent is None


def test_cpu_of_another_thread_is_not_counted_after_a_restart_or_an_end(bench: Bench) -> None:
    worker = bench.registry.register("writer", kind="thread")
    worker.running()
    first = threading.get_ident()
    bench.cpu_ns[first] = 100 * MS
    bench.passes(1)
    assert bench.status(worker).cpu_percent is None
    worker.restarted()
    worker.thread_id = first + 1
    bench.cpu_ns[first + 1] = 900 * MS
    bench.passes(1)
    assert bench.status(worker).cpu_percent is None
    worker.stopped()
    bench.passes(1)
    assert bench.status(worker).cpu_percent is None


def test_statuses_come_in_order_and_decode_as_the_contract_has_them(bench: Bench) -> None:
    for name, kind in (("linear-1", "task"), ("log-writer", "thread"), ("timer", "task")):
        bench.registry.register(name, kind="thread" if kind == "thread" else "task")
    worker = bench.registry.register("writer", kind="thread", stall_after_s=1)
    worker.running()
    bench.cpu_ns[threading.get_ident()] = 0
    bench.passes(1)
    bench.status(worker)
    worker.beat(5)
    worker.failed("full disk")
    worker.restarted()
    bench.cpu_ns[threading.get_ident()] = 20 * MS
    bench.passes(2)
    payload = bench.registry.encode(now_ns=bench.now_ns, wall_ms=WALL_MS)
    decoded = msgspec.json.decode(payload, type=list[ThreadStatus])
    assert [status.name for status in decoded] == ["linear-1", "log-writer", "timer", "writer"]
    assert decoded[3] == ThreadStatus(
        "writer", "thread", "stalled", 5, 2.5, 1, WALL_MS - 2000, 1.0, "full disk"
    )
    assert msgspec.json.decode(payload)[0] == {
        "name": "linear-1",
        "kind": "task",
        "state": "starting",
        "messages": 0,
        "rate": 0.0,
        "restarts": 0,
        "last_active_ms": None,
        "cpu_percent": None,
        "error": None,
    }


def test_a_name_is_taken_once(bench: Bench) -> None:
    bench.registry.register("timer")
    with pytest.raises(ValueError, match=r"\A.*\Z") as caught:
        bench.registry.register("timer")
    assert str(caught.value) == 'worker "timer" is registered already, expected a new name'


def test_watch_tells_how_a_block_ends(bench: Bench) -> None:
    worker = bench.registry.register("timer")
    with worker.watch():
        assert bench.state(worker) == "running"
    assert bench.state(worker) == "stopped"
    with pytest.raises(ZeroDivisionError), worker.watch():
        raise ZeroDivisionError("by zero")
    status = bench.status(worker)
    assert (status.state, status.error) == ("failed", "ZeroDivisionError: by zero")


class PanicException(BaseException):
    """What the extension raises where it has a fault: none of `Exception`."""


def test_a_panic_is_a_failure_too(bench: Bench) -> None:
    worker = bench.registry.register("timer")
    with pytest.raises(PanicException), worker.watch():
        raise PanicException("index out of bounds")
    status = bench.status(worker)
    assert (status.state, status.error) == ("failed", "PanicException: index out of bounds")


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_the_usual_ends_are_no_failures(bench: Bench, end: type[BaseException]) -> None:
    worker = bench.registry.register("timer")
    with pytest.raises(end), worker.watch():
        raise end
    assert bench.state(worker) == "stopped"


async def test_a_cancelled_task_has_stopped(bench: Bench) -> None:
    worker = bench.registry.register("timer")

    async def work() -> None:
        with worker.watch():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert bench.state(worker) == "running"
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert bench.state(worker) == "stopped"


async def test_a_blocked_event_loop_shows_as_a_stalled_task(bench: Bench) -> None:
    worker = bench.registry.register("timer", stall_after_s=3)
    turn = asyncio.Event()

    async def work() -> None:
        while True:
            worker.beat(1)
            await turn.wait()
            turn.clear()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    bench.passes(10)  # the loop makes no turn meanwhile
    assert bench.state(worker) == "stalled"
    turn.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bench.state(worker) == "running"
    task.cancel()
    await asyncio.wait([task])


def test_a_reader_never_sees_half_of_a_report() -> None:
    clock = SystemClock()
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    worker = registry.register("writer", kind="thread", stall_after_s=60)
    done = threading.Event()

    def work() -> None:
        with worker.watch():
            for _ in range(20_000):
                worker.beat(1)
                worker.idle()
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    seen, counts = set(), []
    while not done.is_set():
        [status] = registry.statuses(now_ns=clock.monotonic_ns(), wall_ms=clock.wall_ms())
        seen.add(status.state)
        counts.append(status.messages)
    thread.join(30)
    assert seen <= {"starting", "running", "stopped"}
    assert counts == sorted(counts)
    [status] = registry.statuses(now_ns=clock.monotonic_ns(), wall_ms=clock.wall_ms())
    assert (status.state, status.messages) == ("stopped", 20_000)


@pytest.mark.skipif(thread_cpu_ns(threading.get_ident()) is None, reason="only Linux can tell")
def test_cpu_of_a_live_thread_grows_and_that_of_an_ended_one_is_not_known() -> None:
    go, end = threading.Event(), threading.Event()
    used: list[int] = []

    def work() -> None:
        ident = threading.get_ident()
        before = thread_cpu_ns(ident)
        assert before is not None
        while (now := thread_cpu_ns(ident)) is not None and now - before < 2 * MS:
            pass
        used.append(before)
        go.set()
        end.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    assert go.wait(30)
    assert thread.ident is not None
    now = thread_cpu_ns(thread.ident)
    assert now is not None
    assert now - used[0] >= 2 * MS
    end.set()
    thread.join(30)
    assert thread_cpu_ns(thread.ident) is None
    assert thread_cpu_ns(0) is None
