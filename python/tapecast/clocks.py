"""The machine's clocks, for whoever composes the daemon; the rooms get time as an argument."""

import asyncio
import sys
import threading
import time
from typing import Final

__all__ = ["SystemClock", "thread_cpu_ns"]

_PER_THREAD_SCHED: Final = 0b110


class SystemClock:
    """Every clock that a part of the daemon asks for."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        return time.time_ns()

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never jump."""
        return time.monotonic_ns()

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


def thread_cpu_ns(thread_id: int) -> int | None:
    """Return the CPU time that a thread has used, in nanoseconds.

    Args:
        thread_id: What `threading.get_ident` returned in that thread.

    Returns:
        `None` if the thread has ended, or where the system cannot tell (all but Linux).
    """
    if sys.platform != "linux":
        return None
    # `time.pthread_getcpuclockid` may crash the process if the thread ends meanwhile. The kernel
    # answers for the same clock with an error, and its number is made of the thread's number:
    # https://github.com/torvalds/linux/blob/v6.12/include/linux/posix-timers_types.h
    native_ids = (thread.native_id for thread in threading.enumerate() if thread.ident == thread_id)
    native_id = next(native_ids, None)
    if native_id is None:
        return None
    try:
        return time.clock_gettime_ns((~native_id << 3) | _PER_THREAD_SCHED)
    except OSError:
        return None
