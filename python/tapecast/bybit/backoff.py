"""When to connect again: capped exponential backoff with full jitter, and a budget of connects.

No I/O and no clock: time is an argument, chance is injected.
"""

from collections import deque
from random import Random
from typing import Final

__all__ = ["Backoff", "ConnectBudget"]

FIRST_RETRY_S: Final = 0.25
"""The first retry comes within it: most losses of a line are over at once."""

BUDGET_CONNECTS: Final = 100
BUDGET_WINDOW_S: Final = 300.0
"""Bybit bars an address at 500 connects in 5 minutes; all lines of a process share a fifth of it.

Source: https://bybit-exchange.github.io/docs/v5/ws/connect
"""


class Backoff:
    """Delays between attempts to connect, for ever.

    Args:
        base_s: Most that the second retry waits; it doubles from there.
        cap_s: Most that any retry waits.
        random: Where the jitter comes from.
    """

    def __init__(self, *, base_s: float, cap_s: float, random: Random) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._random = random
        self._failures = 0

    def reset(self) -> None:
        """Begin anew, after a connection that lived long enough to be called one."""
        self._failures = 0

    def next_s(self, *, at_least_s: float = 0.0) -> float:
        """Return how long to wait before the next attempt, in seconds.

        Args:
            at_least_s: What the exchange asks for; up to a tenth is added, so that lines which
                were refused together do not come back together.
        """
        self._failures += 1
        if at_least_s > 0:
            return at_least_s * (1 + self._random.random() / 10)
        if self._failures == 1:
            return self._random.uniform(0, min(FIRST_RETRY_S, self._cap_s))
        # Doubling is bounded before it is computed: failures grow for as long as an outage lasts.
        doublings = min(self._failures - 2, 32)
        return self._random.uniform(0, min(self._cap_s, self._base_s * 2.0**doublings))


class ConnectBudget:
    """At most so many connects in any window of time, over all lines that share it."""

    def __init__(
        self, *, connects: int = BUDGET_CONNECTS, window_s: float = BUDGET_WINDOW_S
    ) -> None:
        self._connects = connects
        self._window_s = window_s
        self._taken: deque[float] = deque()

    def take(self, now_s: float) -> float:
        """Take a place for one connect and return how long to wait for it, in seconds.

        Args:
            now_s: Monotonic seconds.
        """
        while self._taken and self._taken[0] <= now_s - self._window_s:
            self._taken.popleft()
        at_s = now_s
        if len(self._taken) >= self._connects:
            # The place becomes free when the connect that many places before it is a window old.
            at_s = max(now_s, self._taken[-self._connects] + self._window_s)
        self._taken.append(at_s)
        return at_s - now_s
