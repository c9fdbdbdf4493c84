"""Lines of a writer: in order, never waited for, and counted where they cannot be written."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tapecast.clocks import SystemClock
from tapecast.telemetry import LineWriter, ThreadRegistry, Worker

LIMIT_S = 30.0


@dataclass
class Gate:
    """A `write` that waits until it is opened, and tells when somebody waits."""

    blocked: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    written: list[bytes] = field(default_factory=list)

    def write(self, _descriptor: int, data: bytes) -> int:
        self.blocked.set()
        assert self.opened.wait(LIMIT_S)
        self.written.append(data)
        return len(data)


@pytest.fixture
def registry() -> ThreadRegistry:
    return ThreadRegistry(monotonic_ns=SystemClock().monotonic_ns)


@pytest.fixture
def worker(registry: ThreadRegistry) -> Worker:
    return registry.register("log-writer", kind="thread", stall_after_s=5, idle_after_s=0)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the reading and the writing end of a pipe, which are closed afterwards."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError as error:  # the test has closed it
            assert error.errno == errno.EBADF  # noqa: PT017


def test_lines_are_written_in_order_each_with_its_end(
    pipe: tuple[int, int], worker: Worker
) -> None:
    reading, writing = pipe
    writer = LineWriter(writing, worker)
    writer.put("before the start")
    writer.start()
    for number in range(1_000):
        writer.put(f"line {number} ✓")
    assert writer.close(LIMIT_S)
    os.close(writing)
    with os.fdopen(os.dup(reading), encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert lines == ["before the start", *(f"line {number} ✓" for number in range(1_000))]
    assert writer.dropped_total == 0


def test_waiting_lines_go_out_in_one_write_and_512_at_most(worker: Worker) -> None:
    gate = Gate()
    writer = LineWriter(-1, worker, write=gate.write)
    for number in range(600):
        writer.put(str(number))
    gate.opened.set()
    writer.start()
    assert writer.close(LIMIT_S)
    assert [data.count(b"\n") for data in gate.written] == [512, 88]
    assert b"".join(gate.written) == b"".join(b"%d\n" % number for number in range(600))


def test_what_a_write_leaves_is_written_next(worker: Worker) -> None:
    written: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        assert descriptor == 7
        written.append(data[:3])
        return len(written[-1])

    writer = LineWriter(7, worker, write=write)
    writer.put("abcdefg")
    writer.put("hi")
    writer.start()
    assert writer.close(LIMIT_S)
    assert written == [b"abc", b"def", b"g\nh", b"i\n"]


def test_what_no_encoding_has_is_replaced(worker: Worker) -> None:
    gate = Gate()
    gate.opened.set()
    writer = LineWriter(-1, worker, write=gate.write)
    writer.put("name \udcff end")
    writer.start()
    assert writer.close(LIMIT_S)
    assert gate.written == [b"name ? end\n"]


def test_what_does_not_fit_the_queue_is_dropped_and_counted(worker: Worker) -> None:
    gate = Gate()
    writer = LineWriter(-1, worker, max_lines=3, write=gate.write)
    writer.start()
    writer.put("at the gate")
    assert gate.blocked.wait(LIMIT_S)
    for number in range(5):
        writer.put(str(number))
    assert writer.dropped_total == 2
    gate.opened.set()
    assert writer.close(LIMIT_S)
    assert gate.written == [b"at the gate\n", b"0\n1\n2\n"]
    assert writer.dropped_total == 2


def test_what_comes_after_the_close_is_dropped_and_counted(worker: Worker) -> None:
    gate = Gate()
    gate.opened.set()
    writer = LineWriter(-1, worker, write=gate.write)
    writer.start()
    writer.put("in time")
    assert writer.close(LIMIT_S)
    writer.put("too late")
    assert (gate.written, writer.dropped_total) == ([b"in time\n"], 1)
    assert writer.close(LIMIT_S)


def test_a_writer_that_never_started_is_closed_at_once(worker: Worker) -> None:
    assert LineWriter(-1, worker).close(LIMIT_S)
    assert worker.state(0) == "starting"


def test_a_reader_that_has_gone_fails_the_worker_and_loses_lines_that_are_counted(
    pipe: tuple[int, int], worker: Worker, registry: ThreadRegistry
) -> None:
    reading, writing = pipe
    os.close(reading)
    writer = LineWriter(writing, worker)
    writer.put("one")
    writer.put("two")
    writer.start()
    assert writer.close(LIMIT_S)
    [status] = registry.statuses(now_ns=SystemClock().monotonic_ns(), wall_ms=0)
    assert (status.state, status.error, status.messages) == ("failed", "Broken pipe", 0)
    writer.put("three")
    assert writer.dropped_total == 3


def test_lines_that_wait_while_a_write_fails_are_counted_too(worker: Worker) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    def write(_descriptor: int, _data: bytes) -> int:
        blocked.set()
        assert go_on.wait(LIMIT_S)
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = LineWriter(-1, worker, write=write)
    writer.start()
    writer.put("in the write")
    assert blocked.wait(LIMIT_S)
    for _ in range(4):
        writer.put("in the queue")
    go_on.set()
    assert writer.close(LIMIT_S)
    assert (writer.dropped_total, worker.error) == (5, "No space left on device")


def test_a_fault_in_the_thread_is_shown_and_reaches_whoever_looks_after_threads(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_descriptor: int, _data: bytes) -> int:
        raise ZeroDivisionError("a fault of ours")

    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    writer = LineWriter(-1, worker, write=write)
    writer.put("line")
    writer.start()
    assert writer.close(LIMIT_S)
    assert worker.error == "ZeroDivisionError: a fault of ours"
    assert [report.exc_type for report in told] == [ZeroDivisionError]


def full(writing: int) -> None:
    """Fill a pipe to its last byte."""
    os.set_blocking(writing, False)
    for size in (1 << 16, 1):
        try:
            while True:
                os.write(writing, b"x" * size)
        except BlockingIOError:
            pass


def read_lines(reading: int, enough: Callable[[bytes], bool]) -> bytes:
    data = b""
    while not enough(data):
        data += os.read(reading, 1 << 16)
    return data.lstrip(b"x")


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "made non-blocking"])
def test_a_pipe_that_nobody_reads_holds_up_nobody(
    pipe: tuple[int, int], worker: Worker, *, blocking: bool
) -> None:
    reading, writing = pipe
    full(writing)
    os.set_blocking(writing, blocking)
    writer = LineWriter(writing, worker, max_lines=10)
    writer.put("first")
    writer.start()
    for number in range(100):
        writer.put(str(number))
    assert writer.dropped_total >= 89
    assert not writer.close(0.05)
    waiting = 101 - writer.dropped_total
    data = read_lines(reading, lambda data: data.count(b"\n") == waiting)
    assert writer.close(LIMIT_S)
    assert data.startswith(b"first\n")
    assert data.splitlines()[1:] == [b"%d" % number for number in range(waiting - 1)]
    assert worker.error is None


def test_the_thread_reports_what_it_does(registry: ThreadRegistry, worker: Worker) -> None:
    gate, clock = Gate(), SystemClock()

    def status() -> tuple[str, int]:
        [found] = registry.statuses(now_ns=clock.monotonic_ns(), wall_ms=0)
        return found.state, found.messages

    writer = LineWriter(-1, worker, write=gate.write)
    assert status() == ("starting", 0)
    writer.start()
    writer.put("one")
    assert gate.blocked.wait(LIMIT_S)
    assert status() == ("running", 0)
    late_ns = clock.monotonic_ns() + 6_000_000_000
    [stuck] = registry.statuses(now_ns=late_ns, wall_ms=0)
    assert stuck.state == "stalled"
    writer.put("two")
    writer.put("three")
    gate.opened.set()
    assert writer.close(LIMIT_S)
    assert worker.state(late_ns) == "stopped"
    assert worker.messages_total == 3


class Watched(Worker):
    """Tells a test that the thread waits."""

    def __init__(self, told: threading.Event) -> None:
        super().__init__("log-writer", "thread", 5, 0, SystemClock().monotonic_ns)
        self.told = told

    def idle(self) -> None:
        super().idle()
        self.told.set()


def test_a_writer_without_lines_is_idle_and_does_not_count_as_stalled() -> None:
    idle = threading.Event()
    worker = Watched(idle)
    writer = LineWriter(-1, worker, write=lambda _descriptor, data: len(data))
    writer.start()
    assert idle.wait(LIMIT_S)
    assert worker.state(SystemClock().monotonic_ns() + 60_000_000_000) == "idle"
    assert writer.close(LIMIT_S)


def test_many_threads_lose_no_line_and_keep_their_own_order(worker: Worker) -> None:
    written: list[bytes] = []

    def write(_descriptor: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    writer = LineWriter(-1, worker, write=write)
    writer.start()

    def put(name: str) -> None:
        for number in range(500):
            writer.put(f"{name} {number}")

    threads = [threading.Thread(target=put, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert writer.close(LIMIT_S)
    lines = b"".join(written).decode().splitlines()
    assert len(lines) == 2_000
    for name in "abcd":
        own = [line for line in lines if line.startswith(name)]
        assert own == [f"{name} {number}" for number in range(500)]
    assert writer.dropped_total == 0
