"""Lines to a pipe, file or terminal by a thread of their own, so that nobody ever waits for it."""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from tapecast.telemetry.threads import Worker

__all__ = ["LineWriter"]

_WRITE_LINES: Final = 512


class LineWriter:
    """Writes queued lines in order; what does not fit the queue is dropped and counted.

    So is what comes once it is closing, or once the descriptor has failed. It writes to the
    descriptor itself: a thread that is stuck in a blocked pipe must not hold a lock that the
    interpreter needs to end.

    Args:
        descriptor: Where to write, such as 1 for stdout.
        worker: Where the thread reports.
        max_lines: Lines that may wait.
        write: Writes bytes to a descriptor and returns how many; for tests.
        on_failed: Told, in the thread, why nothing is written any more.
    """

    def __init__(
        self,
        descriptor: int,
        worker: Worker,
        *,
        max_lines: int = 10_000,
        write: Callable[[int, bytes], int] = os.write,
        on_failed: Callable[[OSError], None] | None = None,
    ) -> None:
        self.dropped_total = 0
        self._descriptor = descriptor
        self._worker = worker
        self._max_lines = max_lines
        self._write = write
        self._on_failed = on_failed
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=worker.name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue one line, without its end; callable from any thread, and never waits."""
        with self._changed:
            if self._closing or len(self._lines) >= self._max_lines:
                self.dropped_total += 1
                return
            self._lines.append(line)
            self._changed.notify()

    def close(self, timeout_s: float) -> bool:
        """Write what is queued and end the thread; return whether it ended within the time."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._write_all()
        except BaseException as error:
            # A fault of ours: whoever looks after threads hears of it.
            self._worker.failed(error)
            raise

    def _write_all(self) -> None:
        self._worker.running()
        while lines := self._next():
            self._worker.beat()
            data = "".join(f"{line}\n" for line in lines).encode(errors="replace")
            try:
                while data:
                    data = data[self._write_some(data) :]
            except OSError as error:
                # A reader that has gone does not come back on this descriptor.
                self._fail(error, len(lines))
                return
            self._worker.beat(len(lines))
        self._worker.stopped()

    def _write_some(self, data: bytes) -> int:
        """Write and return how many bytes were taken."""
        try:
            return self._write(self._descriptor, data)
        except BlockingIOError:
            # Whoever shares the terminal or pipe has made it non-blocking; it is full, not gone.
            select.select([], [self._descriptor], [])
            return 0

    def _next(self) -> list[str]:
        """Wait for lines and take some; none once everything is written and it is closing."""
        with self._changed:
            while not self._lines and not self._closing:
                self._worker.idle()
                self._changed.wait()
            count = min(len(self._lines), _WRITE_LINES)
            return [self._lines.popleft() for _ in range(count)]

    def _fail(self, error: OSError, lost: int) -> None:
        self._worker.failed(error.strerror or error)
        with self._changed:
            self.dropped_total += lost + len(self._lines)
            self._lines.clear()
            self._max_lines = 0
        if self._on_failed is not None:
            self._on_failed(error)
