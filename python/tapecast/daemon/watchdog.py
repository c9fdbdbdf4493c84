"""A thread that sees the event loop stand still, and says where."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Final

from tapecast.telemetry import Worker

__all__ = ["STALL_S", "Watchdog"]

_LOGGER = logging.getLogger(__name__)

STALL_S: Final = 1.0
"""Silence of the event loop that is a stall: none of its turns takes a tenth of that."""

_LOOK_S: Final = 0.1


class Watchdog:
    """Logs the stack of the loop's thread, once a stall, while the loop does not move.

    Code that holds the interpreter's lock holds this thread up, too: such a stall is counted when
    it is over.

    Args:
        worker: Where the thread reports.
        monotonic_s: A clock that never jumps.
        limit_s: Silence that is a stall.

    Attributes:
        stalls_total: Stalls so far.
    """

    def __init__(
        self, worker: Worker, *, monotonic_s: Callable[[], float], limit_s: float = STALL_S
    ) -> None:
        self.stalls_total = 0
        self._worker = worker
        self._monotonic_s = monotonic_s
        self._limit_s = limit_s
        self._loop_thread = threading.get_ident()
        self._beaten_s = monotonic_s()
        self._is_stalled = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=worker.name, daemon=True)

    def start(self) -> None:
        """Watch the thread that calls this, which shall call `beat` many times a second."""
        self._loop_thread = threading.get_ident()
        self._beaten_s = self._monotonic_s()
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()

    def beat(self) -> None:
        """Tell that the loop moves."""
        now_s = self._monotonic_s()
        silent_s = now_s - self._beaten_s
        self._beaten_s = now_s
        if silent_s >= self._limit_s:
            with self._lock:
                self.stalls_total += not self._is_stalled
                self._is_stalled = False
            _LOGGER.warning("the event loop moves again after %.1f s", silent_s)

    def look(self) -> None:
        """Log where the loop's thread is, if it has been silent for too long."""
        silent_s = self._monotonic_s() - self._beaten_s
        if silent_s < self._limit_s:
            return
        with self._lock:
            # It may have moved meanwhile.
            if self._is_stalled or self._monotonic_s() - self._beaten_s < self._limit_s:
                return
            self._is_stalled = True
            self.stalls_total += 1
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 -- documented
        _log(silent_s, None if frame is None else "".join(traceback.format_stack(frame)).rstrip())

    def _run(self) -> None:
        with self._worker.watch():
            while not self._closing.wait(_LOOK_S):
                self._worker.beat(1)
                self.look()


def _log(silent_s: float, stack: str | None) -> None:
    text = "the event loop stands still for %.1f s"
    # The stack is that of another thread than the one that logs.
    record = _LOGGER.makeRecord(
        _LOGGER.name, logging.ERROR, __file__, 0, text, (silent_s,), None, sinfo=stack
    )
    _LOGGER.handle(record)
