"""How many may connect, and how fast; the others are told when to come back. No I/O, no clock."""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final

from tapecast.server.access import address_key
from tapecast.server.bucket import TokenBucket
from tapecast.server.limits import ServerLimits

__all__ = ["Admission"]

_LEAST_RETRY_S: Final = 1


class Admission:
    """Admits clients as long as the limits allow.

    Args:
        limits: The server's limits.
        most_clients: The limit of clients at a time, where it is lower than the limits' own.
        spread: Returns a random number from 0 to 1, which spreads those who come back.
    """

    def __init__(
        self, limits: ServerLimits, *, most_clients: int | None = None, spread: Callable[[], float]
    ) -> None:
        self._limits = limits
        self._most = (
            limits.max_clients if most_clients is None else min(limits.max_clients, most_clients)
        )
        self._spread = spread
        self._admitted: dict[Hashable, str | None] = {}
        self._of_address: Counter[str] = Counter()
        self._rate = TokenBucket(rate=limits.accept_per_s, burst=limits.accept_per_s)

    @property
    def retry_after_s(self) -> int:
        """When one who is refused now should come back, in seconds; different each time."""
        most = max(_LEAST_RETRY_S, self._limits.retry_after_s)
        return round(_LEAST_RETRY_S + self._spread() * (most - _LEAST_RETRY_S))

    def admit(self, connection: Hashable, host: str, *, now_s: float) -> str | None:
        """Let a connection in, until it is released.

        Args:
            connection: The connection.
            host: Address of its client.
            now_s: Monotonic seconds.

        Returns:
            Why it is not let in; None if it is.
        """
        clients = len(self._admitted)
        if clients >= self._most:
            return f"{clients} clients are connected, expected at most {self._most}"
        address = address_key(host)
        most = self._limits.max_clients_per_address
        if address is not None and self._of_address[address] >= most:
            return f"{most} clients are connected from {address}, expected at most {most}"
        if not self._rate.take(now_s):
            rate = self._limits.accept_per_s
            return f"too many handshakes at once, expected at most {rate} a second"
        self._admitted[connection] = address
        if address is not None:
            self._of_address[address] += 1
        return None

    def release(self, connection: Hashable) -> None:
        """Give back the place of a connection; nothing happens if it has none."""
        address = self._admitted.pop(connection, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]
