"""One connected client as the hub sees it: an outbox over its WebSocket connection."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode
from websockets.protocol import State

from tapecast.errors import SlowConsumerError
from tapecast.server.interfaces import ServerCounts
from tapecast.server.limits import ServerLimits

__all__ = ["Subscriber"]

_SHORT_PAYLOAD: Final = 126
_MEDIUM_PAYLOAD: Final = 65_536


class Subscriber:
    """Writes to one connection without waiting, and cuts it off when too much waits for it.

    Args:
        connection: The open connection.
        limits: The server's limits.
        counts: The totals to count in.
    """

    def __init__(
        self, connection: ServerConnection, *, limits: ServerLimits, counts: ServerCounts
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._counts = counts
        # Offsets count the bytes of all frames ever written to this connection.
        self._written_bytes = 0
        # Frames up to this offset, from the first byte of the last snapshot on, are not held
        # against the client.
        self._exempt_from_bytes = 0
        self._exempt_to_bytes = 0
        # Deliveries that may still wait: the offset at which each ends, and its messages.
        self._waiting: deque[tuple[int, int]] = deque()

    def __str__(self) -> str:
        """Return the client's address and the connection's id, for logs."""
        return f"{self._connection.remote_address} {self._connection.id}"

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait in this process to be sent."""
        return self._connection.transport.get_write_buffer_size()

    def deliver(self, payloads: Sequence[bytes], *, counted: bool = True) -> None:
        """Send messages in order, now, without waiting; see `Outbox.deliver`.

        Nothing is sent on a connection that is already closing.
        """
        if self._connection.state is not State.OPEN:
            return
        start_bytes = self._written_bytes
        try:
            for payload in payloads:
                broadcast((self._connection,), payload, text=True, raise_exceptions=True)
                self._written_bytes += _frame_bytes(payload)
        except Exception:
            self._fail()
            raise
        self._counts.sent_messages += len(payloads)
        if not counted:
            self._exempt_from_bytes, self._exempt_to_bytes = start_bytes, self._written_bytes
        self._check_pending(len(payloads))

    def _check_pending(self, messages: int) -> None:
        """Note what still waits after a delivery, and cut the client off if that is too much."""
        pending_bytes = self.pending_bytes
        if not pending_bytes:
            self._waiting.clear()
            return
        self._waiting.append((self._written_bytes, messages))
        sent_to_bytes = self._written_bytes - pending_bytes
        while self._waiting[0][0] <= sent_to_bytes:
            self._waiting.popleft()
        exempt_bytes = max(0, self._exempt_to_bytes - max(self._exempt_from_bytes, sent_to_bytes))
        if pending_bytes - exempt_bytes <= self._limits.max_pending_bytes:
            return
        self._counts.slow_consumers += 1
        self._counts.dropped_messages += sum(messages for _, messages in self._waiting)
        # A close frame would wait behind everything that the client does not read.
        self._connection.transport.abort()
        raise SlowConsumerError(pending_bytes - exempt_bytes, self._limits.max_pending_bytes)

    def _fail(self) -> None:
        """Close a connection that could not be written to, without waiting."""
        try:
            self._connection.protocol.fail(CloseCode.INTERNAL_ERROR, "message could not be sent")
            self._connection.send_data()
        except Exception:  # noqa: BLE001 -- whatever is wrong with it, aborting ends it
            self._connection.transport.abort()


def _frame_bytes(payload: bytes) -> int:
    """Return the size of an unmasked frame with this payload (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < _SHORT_PAYLOAD:
        return size + 2
    return size + (4 if size < _MEDIUM_PAYLOAD else 10)
