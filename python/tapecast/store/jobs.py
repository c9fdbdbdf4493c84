"""One thread that does what may wait for the disk, in order."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

__all__ = ["JobThread", "Reporter"]

_T = TypeVar("_T")


class Reporter(Protocol):
    """Where a thread reports what it does, as the registry of workers has it."""

    def running(self) -> None:
        """Report that it is up."""

    def beat(self, messages: int = 0) -> None:
        """Report a turn, and how many messages it handles in it."""

    def idle(self) -> None:
        """Report that it waits for something that need not come."""

    def stopped(self) -> None:
        """Report its end."""


class JobThread:
    """Runs jobs one after the other; one that is stuck does not keep the process from ending.

    Args:
        name: Its name.
        reporter: Where it reports.
    """

    def __init__(self, name: str, reporter: Reporter | None = None) -> None:
        self._reporter = reporter
        self._jobs: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], _T]) -> Future[_T]:
        """Queue a job and return what becomes of it; cancelled if the thread is closing."""
        future: Future[_T] = Future()

        def run() -> None:
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 -- whoever looks at the future gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._changed:
            if self._closing:
                future.cancel()
                return future
            self._jobs.append(run)
            self._changed.notify()
        return future

    def close(self, timeout_s: float) -> bool:
        """Do what is queued and end; return whether it ended within the time."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._reporter is not None:
            self._reporter.running()
        while (job := self._next()) is not None:
            if self._reporter is not None:
                self._reporter.beat(1)
            job()
            # It holds what it was made of, a whole checkpoint perhaps.
            del job
        if self._reporter is not None:
            self._reporter.stopped()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return None
                if self._reporter is not None:
                    self._reporter.idle()
                self._changed.wait()
            return self._jobs.popleft()
