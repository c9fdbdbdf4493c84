"""A rate with a burst: the token bucket. No I/O, no clock."""

__all__ = ["TokenBucket"]


class TokenBucket:
    """Allows so much per second in the long run, and so much at once.

    Args:
        rate: Tokens that come back each second.
        burst: Tokens at most, and at first.
        now_s: Monotonic seconds; None if the first token is taken now.
    """

    __slots__ = ("_burst", "_filled_s", "_rate", "_tokens")

    def __init__(self, *, rate: float, burst: float, now_s: float | None = None) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._filled_s = now_s

    def take(self, now_s: float) -> bool:
        """Return whether there is a token, and spend it.

        Args:
            now_s: Monotonic seconds; a step back gives no tokens.
        """
        since_s = now_s if self._filled_s is None else self._filled_s
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - since_s) * self._rate)
        self._filled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def charge(self, tokens: float) -> None:
        """Spend more tokens, but never more than there are."""
        self._tokens = max(0.0, self._tokens - tokens)
