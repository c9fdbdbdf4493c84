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

BUDGET_SPACING_S: Final = 0.05
"""Between two connects: lines that start or are lost together do not shake hands all at once."""

_MAX_DOUBLINGS: Final = 32


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
            at_least_s: What the failure asks for, the cap notwithstanding; up to a tenth is added,
                so that lines which were refused together do not come back together.
        """
        self._failures += 1
        if self._failures == 1:
            most_s = FIRST_RETRY_S
        else:
            # Doubling is bounded before it is computed: failures grow as long as an outage lasts.
            most_s = self._base_s * 2.0 ** min(self._failures - 2, _MAX_DOUBLINGS)
        wait_s = self._random.uniform(0, min(most_s, self._cap_s))
        return max(wait_s, at_least_s * (1 + self._random.random() / 10))


class ConnectBudget:
    """At most so many connects in any window of time, over all lines that share it.

    Args:
        connects: Most connects of a window.
        window_s: Its length.
        spacing_s: Least time between two connects.
    """

    def __init__(
        self,
        *,
        connects: int = BUDGET_CONNECTS,
        window_s: float = BUDGET_WINDOW_S,
        spacing_s: float = BUDGET_SPACING_S,
    ) -> None:
        self._connects = connects
        self._window_s = window_s
        self._spacing_s = spacing_s
        # When connects were or will be made, in order; the last `connects` of them decide.
        self._taken: deque[float] = deque(maxlen=connects)

    def take(self, now_s: float) -> float:
        """Take the next place for one connect and return how long to wait for it, in seconds.

        Places are given in the order of asking; one that is not used is not given back.

        Args:
            now_s: Monotonic seconds.
        """
        at_s = now_s
        if self._taken:
            at_s = max(at_s, self._taken[-1] + self._spacing_s)
        if len(self._taken) == self._connects:
            # The place becomes free when the connect that many places before it is a window old.
            at_s = max(at_s, self._taken[0] + self._window_s)
        self._taken.append(at_s)
        return at_s - now_s
