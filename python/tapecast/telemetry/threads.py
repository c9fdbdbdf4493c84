"""The registry of workers: who is running, who is idle, who is stalled.

Every worker, OS thread or asyncio task, reports here; stats messages show its `statuses`. No clock
is read here: the registry is given its clocks.
"""

import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET

from tapecast.errors import TapecastError
from tapecast.messages import ThreadStatus

__all__ = ["Kind", "LineFigures", "State", "ThreadRegistry", "Worker"]

Kind: TypeAlias = Literal["thread", "task"]
State: TypeAlias = Literal["starting", "running", "idle", "stalled", "stopped", "failed"]

_Phase: TypeAlias = Literal["starting", "active", "waiting", "stopped", "failed"]
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_ENDINGS: Final = (CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
_MAX_ERROR_CHARS: Final = 256
"""Stats carry the error to every client, once a second."""


class _Report(NamedTuple):
    """What a worker reported last; replaced as a whole, so that readers never see half of one."""

    phase: _Phase
    at_ns: int
    error: str | None = None


@dataclass(slots=True)
class LineFigures:
    """What a line to the exchange has beside what every worker has.

    Attributes:
        wins: Trades that it brought first.
        duplicates: Trades that it brought and that were known already.
        lag_ms: How long after it was made its last frame was read; `None` before the first.
    """

    wins: int = 0
    duplicates: int = 0
    lag_ms: int | None = None


@dataclass(slots=True, eq=False)
class Worker:
    """A worker's handle, at which it reports.

    One thread at a time reports, the registry may read from another one: a report is one
    assignment. A worker that is not idle must report again within `stall_after_s`; before it waits
    for what need not come, it reports `idle`.

    Attributes:
        name: Its name.
        kind: What it is.
        stall_after_s: Silence after which it counts as stalled, unless it reported `idle`; never
            if `None`.
        idle_after_s: How long it must have been idle to be shown so. Who has a turn many times a
            second is running, whatever it does at the moment of the look.
        messages_total: What it has handled.
        restarts_total: How often it was started again.
        thread_id: The thread that it runs in, once it runs; `None` for tasks.
        line: Figures of a line to the exchange; `None` for all others.
    """

    name: str
    kind: Kind
    stall_after_s: float | None
    idle_after_s: float
    _clock_ns: Callable[[], int]
    messages_total: int = 0
    restarts_total: int = 0
    thread_id: int | None = None
    line: LineFigures | None = None
    _has_reported: bool = False
    _report: _Report = field(init=False)

    def __post_init__(self) -> None:
        """Begin to wait for the first report."""
        self._report = _Report("starting", self._clock_ns())

    def running(self) -> None:
        """Report that it is up; a thread calls it from itself, so that its CPU time is known."""
        if self.kind == "thread":
            self.thread_id = threading.get_ident()
        self._tell("active")

    def beat(self, messages: int = 0) -> None:
        """Report a turn of its loop, and how many messages it handles in it."""
        self.messages_total += messages
        self._tell("active")

    def idle(self) -> None:
        """Report that it waits for something that need not come."""
        self._tell("waiting")

    def restarted(self) -> None:
        """Report that it begins anew; the last error stands until it is up."""
        self.restarts_total += 1
        self._tell("starting", self.error)

    def stopped(self) -> None:
        """Report its end."""
        self._tell("stopped")

    def failed(self, reason: object) -> None:
        """Report that it ended, or cannot go on for now, for a reason: an exception or a text."""
        self._tell("failed", _text_of(reason))

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Report that it runs while the block does, and how the block ends.

        An exception is a failure and goes on, a panic of the extension too, which is none of
        `Exception`; a cancellation is an end like any other.
        """
        self.running()
        try:
            yield
        except _ENDINGS:
            self.stopped()
            raise
        except BaseException as error:
            self.failed(error)
            raise
        self.stopped()

    @property
    def error(self) -> str | None:
        """Why it failed; `None` if it did not, or is up again."""
        return self._report.error

    @property
    def last_active_ns(self) -> int | None:
        """Monotonic time of its last report; `None` before the first."""
        return self._report.at_ns if self._has_reported else None

    @property
    def has_ended(self) -> bool:
        """Whether it does not run: its thread, if any, may be another's by now."""
        return self._report.phase in {"stopped", "failed"}

    def state(self, now_ns: int) -> State:
        """Return its state at a time of the registry's clock."""
        phase, at_ns, _ = self._report
        silent_s = (now_ns - at_ns) / _NS_PER_S
        match phase:
            case "stopped" | "failed":
                return phase
            case "waiting":
                return "idle" if silent_s >= self.idle_after_s else "running"
            case _ if self.stall_after_s is not None and silent_s > self.stall_after_s:
                return "stalled"
            case "starting":
                return phase
            case "active":
                return "running"

    def _tell(self, phase: _Phase, error: str | None = None) -> None:
        self._report = _Report(phase, self._clock_ns(), error)
        self._has_reported = True


@dataclass(slots=True)
class _Look:
    """What the registry saw of a worker last time, and the figures that it made of it."""

    at_ns: int
    messages: int = 0
    thread_id: int | None = None
    cpu_ns: int | None = None
    rate: float = 0.0
    cpu_percent: float | None = None


class ThreadRegistry:
    """All workers of a process.

    Args:
        monotonic_ns: A clock that never jumps; called from every worker's thread.
        cpu_ns: Returns the CPU time of a thread by its `threading.get_ident`, in nanoseconds;
            `None` where it cannot be told or the thread has ended.
    """

    def __init__(
        self,
        *,
        monotonic_ns: Callable[[], int],
        cpu_ns: Callable[[int], int | None] = lambda _: None,
    ) -> None:
        self._clock_ns = monotonic_ns
        self._cpu_ns = cpu_ns
        self._workers: dict[str, Worker] = {}
        self._looks: dict[str, _Look] = {}

    def register(
        self,
        name: str,
        *,
        kind: Kind = "task",
        stall_after_s: float | None = None,
        idle_after_s: float = 5.0,
    ) -> Worker:
        """Return the handle of a new worker, which is starting.

        Args:
            name: Its name, not taken yet.
            kind: What it is.
            stall_after_s: Silence after which it counts as stalled, unless it reported `idle`, and
                also if it never reported at all; never if `None`: of a worker that may be busy or
                starting for as long as it likes.
            idle_after_s: How long it must have been idle to be shown so.

        Raises:
            ValueError: If the name is taken.
        """
        if name in self._workers:
            raise ValueError(f'worker "{name}" is registered already, expected a new name')
        worker = Worker(name, kind, stall_after_s, idle_after_s, self._clock_ns)
        self._looks[name] = _Look(self._clock_ns())
        self._workers[name] = worker
        return worker

    def statuses(self, *, now_ns: int, wall_ms: int) -> list[ThreadStatus]:
        """Return the state of every worker, in the order of their registration.

        Rates and CPU shares are over the time since the last call: one reader calls it.

        Args:
            now_ns: Time of the registry's clock.
            wall_ms: Wall clock at the same moment, milliseconds since the epoch.
        """
        return [self._status(worker, now_ns, wall_ms) for worker in list(self._workers.values())]

    def encode(self, *, now_ns: int, wall_ms: int) -> bytes:
        """Return `statuses` as a JSON array."""
        return msgspec.json.encode(self.statuses(now_ns=now_ns, wall_ms=wall_ms))

    def _status(self, worker: Worker, now_ns: int, wall_ms: int) -> ThreadStatus:
        look = self._looks[worker.name]
        if now_ns > look.at_ns:
            look = self._looks[worker.name] = self._look(worker, look, now_ns)
        active_ns = worker.last_active_ns
        # A thread may have reported since `now_ns` was read.
        silent_ms = 0 if active_ns is None else max(0, now_ns - active_ns) // _NS_PER_MS
        return ThreadStatus(
            name=worker.name,
            kind=worker.kind,
            state=worker.state(now_ns),
            messages=look.messages,
            rate=look.rate,
            restarts=worker.restarts_total,
            last_active_ms=None if active_ns is None else max(0, wall_ms - silent_ms),
            cpu_percent=look.cpu_percent,
            error=worker.error,
            wins=UNSET if worker.line is None else worker.line.wins,
            duplicates=UNSET if worker.line is None else worker.line.duplicates,
            lag_ms=UNSET if worker.line is None else worker.line.lag_ms,
        )

    def _look(self, worker: Worker, before: _Look, now_ns: int) -> _Look:
        thread_id = None if worker.has_ended else worker.thread_id
        look = _Look(now_ns, worker.messages_total, thread_id)
        interval_ns = now_ns - before.at_ns
        look.rate = round((look.messages - before.messages) * _NS_PER_S / interval_ns, 3)
        if thread_id is not None:
            look.cpu_ns = self._cpu_ns(thread_id)
        if look.cpu_ns is not None and before.cpu_ns is not None and thread_id == before.thread_id:
            used_ns = max(0, look.cpu_ns - before.cpu_ns)
            look.cpu_percent = round(used_ns * 100 / interval_ns, 1)
        return look


def _text_of(reason: object) -> str:
    """Return one line that says why a worker failed."""
    while isinstance(reason, BaseExceptionGroup):  # what a task group makes of its first failure
        reason = reason.exceptions[0]
    text = str(reason)
    if isinstance(reason, BaseException) and not isinstance(reason, TapecastError):
        text = f"{type(reason).__name__}: {text}" if text else type(reason).__name__
    return " ".join(text.split())[:_MAX_ERROR_CHARS]
