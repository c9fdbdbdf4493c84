"""An event loop without waiting: whenever nothing is ready, time jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["LoopClock", "run"]

_T = TypeVar("_T")

_TURN_S = 1e-6


class _Selector(selectors.SelectSelector):
    """Finds nothing ready, and lets the time pass that it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due, expected a timer")
        # Work takes time, too: who waits for the clock alone must see it go on.
        self.now_s += max(_TURN_S, timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    """Its time is the selector's."""

    def __init__(self, selector: _Selector) -> None:
        super().__init__(selector)
        self._instant = selector

    def time(self) -> float:
        return self._instant.now_s


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end, in as little real time as the work itself takes."""
    with asyncio.Runner(loop_factory=lambda: _Loop(_Selector())) as runner:
        return runner.run(work)


class LoopClock:
    """A clock for the daemon and for the exchange that reads the running loop's time.

    Args:
        start_ms: The wall clock when the loop's time is 0.
    """

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms

    def wall_ns(self) -> int:
        return self.wall_ms() * 1_000_000

    def wall_ms(self) -> int:
        # A timer may be due some nanoseconds before its millisecond.
        return self._start_ms + int(self.monotonic_s() * 1000 + 1e-3)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def monotonic_ns(self) -> int:
        return int(self.monotonic_s() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
