"""How fast the exchange may be asked: a bucket of permits that all requests share.

No I/O and no clock: time is an argument.
"""

from typing import Final

__all__ = ["Throttle"]

RATE_PER_S: Final = 50.0
BURST: Final = 50
"""Bybit bars an address at 600 requests in 5 seconds; this allows half of it at most.

Source: https://bybit-exchange.github.io/docs/v5/rate-limit
"""


class Throttle:
    """At most `burst` requests at once, and `rate_per_s` of them in the long run.

    Args:
        rate_per_s: Requests per second.
        burst: Requests that may be made at once after a pause.
    """

    def __init__(self, *, rate_per_s: float = RATE_PER_S, burst: int = BURST) -> None:
        self._interval_s = 1 / rate_per_s
        self._slack_s = (burst - 1) * self._interval_s
        # When the next request would be due if they came evenly; it may lie ahead by the slack.
        self._even_s = float("-inf")
        self._held_s = float("-inf")

    def take(self, now_s: float) -> float:
        """Take the next place for one request and return how long to wait for it, in seconds.

        Places are given in the order of asking; one that is not used is not given back.

        Args:
            now_s: Monotonic seconds.
        """
        at_s = max(now_s, self._held_s, self._even_s - self._slack_s)
        self._even_s = max(at_s, self._even_s) + self._interval_s
        return at_s - now_s

    def hold(self, until_s: float) -> None:
        """Give no place before a time, in monotonic seconds: the exchange asked for a pause."""
        self._held_s = max(self._held_s, until_s)
