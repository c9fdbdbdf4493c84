"""The registry of workers: who is running, who is idle, who is stalled.

Every worker, OS thread or asyncio task, reports here; `statuses` is what stats messages show of it. No clock is read: times
come from the clock that the registry is given.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["Kind", "State", "ThreadRegistry", "ThreadStatus", "Worker"]

Kind: TypeAlias = Literal["thread", "task"]
State: TypeAlias = Literal["starting", "running", "idle", "stalled", "stopped", "failed"]

_NS_PER_S: Final = 1_000_000_000


class ThreadStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as stats messages show it.

    Attributes:
        name: Its name.
        kind: OS thread or asyncio task.
        state: `stalled` if it should have reported by now and has not.
        messages: What it has handled since the start.
        rate: The same per second, over the last interval.
        cpu_percent: Share of one core over the last interval; of threads alone, `None` for tasks.
        last_active_ms: Wall clock of its last report; `None` before the first.
        restarts: How often it was started again.
        error: Why it failed; `None` if it did not.
    """

    name: str
    kind: Kind
    state: State
    messages: int
    rate: float
    cpu_percent: float | None
    last_active_ms: int | None
    restarts: int
    error: str | None


@dataclass(slots=True, eq=False)
class Worker:
    """A worker's handle: it reports here.

    Safe to use from the worker's own thread while the registry reads: each report is one assignment.
    """

    name: str
    kind: Kind
    clock_ns: Callable[[], int]
    stall_after_s: float | None = None
    idle_after_s: float = 5.0
    messages_total: int = 0
    restarts_total: int = 0
    error: str | None = None
    thread_id: int | None = None
    _phase: Literal["starting", "active", "idle", "stopped", "failed"] = "starting"
    _active_ns: int | None = None
    _born_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self._born_ns = self.clock_ns()

    def running(self) -> None:
        """Report that it is up; a thread calls it from itself, so that its CPU time is known."""
        if self.kind == "thread":
            self.thread_id = threading.get_ident()
        self.error = None
        self._touch("active")

    def beat(self, messages: int = 0) -> None:
        """Report a turn of its loop, and how many messages it handled in it."""
        self.messages_total += messages
        self._touch("active")

    def idle(self) -> None:
        """Report that it waits for something that need not come."""
        self._touch("idle")

    def restarted(self) -> None:
        """Report that it begins anew."""
        self.restarts_total += 1
        self._touch("starting")

    def stopped(self) -> None:
        """Report its end."""
        self._touch("stopped")

    def failed(self, reason: object) -> None:
        """Report that it ended, or cannot go on, for a reason."""
        self.error = str(reason) or type(reason).__name__
        self._touch("failed")

    def _touch(self, phase: Literal["starting", "active", "idle", "stopped", "failed"]) -> None:
        self._phase = phase
        self._active_ns = self.clock_ns()

    @property
    def last_active_ns(self) -> int | None:
        """Monotonic time of its last report."""
        return self._active_ns

    def state(self, now_ns: int) -> State:
        """Return its state at a time of the same clock."""
        if self._phase == "stopped" or self._phase == "failed":
            return self._phase
        since = self._born_ns if self._active_ns is None else self._active_ns
        silent_s = (now_ns - since) / _NS_PER_S
        is_due = self._phase != "idle" and self.stall_after_s is not None
        if is_due and self.stall_after_s is not None and silent_s > self.stall_after_s:
            return "stalled"
        if self._phase == "starting":
            return "starting"
        return "idle" if self._phase == "idle" or silent_s > self.idle_after_s else "running"


@dataclass(slots=True)
class _Look:
    """What the registry saw of a worker last time."""

    at_ns: int
    messages: int
    cpu_ns: int | None


class ThreadRegistry:
    """All workers of a process.

    Args:
        monotonic_ns: A clock that never jumps.
    """

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = monotonic_ns
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
        """Return the handle of a new worker.

        Args:
            name: Its name, not taken yet.
            kind: What it is.
            stall_after_s: Silence, while not idle, after which it counts as stalled; never if `None`.
            idle_after_s: Silence after which it counts as idle.

        Raises:
            ValueError: If the name is taken.
        """
        if name in self._workers:
            raise ValueError(f'worker "{name}" is registered already, expected a new name')
        worker = Worker(
            name, kind, self._clock_ns, stall_after_s=stall_after_s, idle_after_s=idle_after_s
        )
        self._workers[name] = worker
        self._looks[name] = _Look(self._clock_ns(), 0, None)
        return worker

    def statuses(self, *, now_ns: int, wall_ms: int) -> list[ThreadStatus]:
        """Return the state of every worker, in the order of their registration.

        Rates and CPU shares are over the time since the last call.

        Args:
            now_ns: Monotonic time.
            wall_ms: Wall clock at the same moment, milliseconds since the epoch.
        """
        return [self._status(worker, now_ns, wall_ms) for worker in self._workers.values()]

    def encode(self, *, now_ns: int, wall_ms: int) -> bytes:
        """Return `statuses` as a JSON array."""
        return msgspec.json.encode(self.statuses(now_ns=now_ns, wall_ms=wall_ms))

    def _status(self, worker: Worker, now_ns: int, wall_ms: int) -> ThreadStatus:
        before = self._looks[worker.name]
        cpu_ns = _thread_cpu_ns(worker)
        look = _Look(now_ns, worker.messages_total, cpu_ns)
        self._looks[worker.name] = look
        interval_ns = max(1, now_ns - before.at_ns)
        rate = (look.messages - before.messages) * _NS_PER_S / interval_ns
        cpu_percent = None
        if cpu_ns is not None:
            used_ns = cpu_ns - before.cpu_ns if before.cpu_ns is not None else 0
            cpu_percent = round(max(0, used_ns) * 100 / interval_ns, 1)
        active_ns = worker.last_active_ns
        return ThreadStatus(
            name=worker.name,
            kind=worker.kind,
            state=worker.state(now_ns),
            messages=worker.messages_total,
            rate=round(rate, 3),
            cpu_percent=cpu_percent,
            last_active_ms=None if active_ns is None else wall_ms - (now_ns - active_ns) // 10**6,
            restarts=worker.restarts_total,
            error=worker.error,
        )


def _thread_cpu_ns(worker: Worker) -> int | None:
    """Return the CPU time that a thread has used, where the system can tell."""
    clock_of = getattr(time, "pthread_getcpuclockid", None)
    if worker.thread_id is None or clock_of is None:
        return None
    # The clock of a thread that has ended may not be asked for: the identifier is no longer its own.
    if worker.thread_id not in {thread.ident for thread in threading.enumerate()}:
        return None
    return time.clock_gettime_ns(clock_of(worker.thread_id))
