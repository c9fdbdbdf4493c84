"""One connected client as the hub sees it: an outbox over its WebSocket connection."""

import socket
import struct
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CloseCode
from websockets.protocol import State

from tapecast.errors import SlowConsumerError
from tapecast.messages.fields import SlowPolicy
from tapecast.server.backlog import Backlog
from tapecast.server.interfaces import ServerCounts
from tapecast.server.limits import ServerLimits
from tapecast.server.share import Share
from tapecast.server.wire import text_frame

__all__ = ["Subscriber"]

_LINGER_NOT: Final = struct.pack("ii", 1, 0)
"""A closed socket forgets at once what it has not sent."""


class Subscriber:
    """Writes to one connection without waiting, and never more than its limits allow.

    Frames go straight to the transport. What the library itself sends (pings, pongs, closes) it
    writes there at once too, so that nothing overtakes anything.

    Args:
        connection: The open connection.
        limits: The server's limits.
        counts: The totals to count in.

    Attributes:
        window_bits: The window that streamed messages are compressed with; 0 for plain ones.
        is_slow: Whether it is over the soft limit, or was and has not yet caught up.
    """

    def __init__(
        self, connection: ServerConnection, *, limits: ServerLimits, counts: ServerCounts
    ) -> None:
        self.window_bits = _shared_window_bits(connection)
        self.is_slow = False
        self._connection = connection
        self._transport = connection.transport
        self._limits = limits
        self._counts = counts
        self._policy: SlowPolicy = limits.slow_policy
        # Where no more than this waits, no limit can be exceeded.
        self._unchecked_bytes = min(limits.soft_pending_bytes, limits.max_pending_bytes)
        self._backlog: Backlog | None = None
        # Since when it has been over the soft limit, as far as anyone with a clock has looked.
        self._over_since_s: float | None = None
        # Offsets count the bytes of all frames ever written to this connection.
        self._written_bytes = 0
        # Frames up to this offset, from the first byte of the last snapshot on, or of what was
        # given back to a returning client, are not held against it.
        self._exempt_from_bytes = 0
        self._exempt_to_bytes = 0
        # Deliveries that may still wait, each as two numbers: the offset at which it ends, and its
        # messages. As pairs they would keep the garbage collector busy.
        self._waiting: deque[int] = deque()

    def __str__(self) -> str:
        """Return the client's address and the connection's id, for logs."""
        return f"{self._connection.remote_address} {self._connection.id}"

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait in this process to be sent."""
        return self._transport.get_write_buffer_size()

    # What the hub calls; the contract stands with `Outbox`.

    @property
    def is_full(self) -> bool:
        """See `Outbox.is_full`."""
        return not self.is_slow and self._held_against() > self._limits.soft_pending_bytes // 2

    @property
    def has_room(self) -> bool:
        """See `Outbox.has_room`."""
        return not self.is_slow and self.pending_bytes <= self._limits.flush_bytes

    def begin(self, policy: SlowPolicy | None) -> None:
        """See `Outbox.begin`."""
        self._policy = policy or self._limits.slow_policy

    def end(self) -> None:
        """See `Outbox.end`."""
        while self._backlog is not None and self._connection.protocol.state is State.OPEN:
            self._write_withheld(self._backlog)
        self._abandon()

    def send(self, payload: bytes, *, counted: bool = True) -> None:
        """See `Outbox.send`."""
        start_bytes = self._written_bytes
        pending_bytes = self._write(text_frame(payload), 1)
        if not counted:
            self._exempt_from_bytes, self._exempt_to_bytes = start_bytes, self._written_bytes
        if pending_bytes > self._unchecked_bytes:
            self._check()

    def give_back(self, share: Share) -> None:
        """See `Outbox.give_back`."""
        if self._exempt_to_bytes <= self._written_bytes - self.pending_bytes:
            self._exempt_from_bytes = self._written_bytes
        self._write(share.frames, share.count)
        self._exempt_to_bytes = self._written_bytes

    def deliver(self, share: Share, *, is_current: bool = False) -> None:
        """See `Outbox.deliver`."""
        if self.is_slow:
            self._catch_up()
            if is_current and self.is_slow:
                return
        if self._backlog is not None:
            self._counts.dropped_messages += self._backlog.add(share)
            self._check()
        elif self._write(share.frames, share.count) > self._unchecked_bytes:
            self._check()

    def relieve(self, now_s: float) -> None:
        """See `Outbox.relieve`."""
        if self.is_slow:
            self._catch_up()
        if self._held_against() <= self._limits.soft_pending_bytes:
            self._over_since_s = None
        elif self._over_since_s is None:
            self._over_since_s = now_s
        elif now_s - self._over_since_s >= self._limits.slow_after_s:
            held_bytes = self._held_against()
            self._cut_off(held_bytes, self._limits.soft_pending_bytes, now_s - self._over_since_s)

    # What may wait.

    def _write(self, frames: bytes, messages: int) -> int:
        """Hand finished frames to a connection, if it is open; return how many bytes wait then."""
        if self._connection.protocol.state is not State.OPEN:
            return 0
        transport, size = self._transport, len(frames)
        try:
            transport.write(frames)
        except Exception:
            self._fail()
            raise
        self._written_bytes += size
        self._counts.sent_messages += messages
        pending_bytes: int = transport.get_write_buffer_size()
        # Some loops write at the end of their turn, so that these frames themselves mostly wait.
        if pending_bytes <= size:
            self._waiting.clear()
        else:
            self._forget_sent(pending_bytes)
        if pending_bytes:
            self._waiting.append(self._written_bytes)
            self._waiting.append(messages)
        return pending_bytes

    def _forget_sent(self, pending_bytes: int) -> None:
        """Forget the deliveries that have been sent whole."""
        sent_to_bytes = self._written_bytes - pending_bytes
        while self._waiting and self._waiting[0] <= sent_to_bytes:
            self._waiting.popleft()
            self._waiting.popleft()

    def _held_against(self) -> int:
        """Return how many bytes wait, what is exempt aside."""
        pending_bytes = self.pending_bytes
        if not pending_bytes:
            return 0
        sent_to_bytes = self._written_bytes - pending_bytes
        exempt_bytes = max(0, self._exempt_to_bytes - max(self._exempt_from_bytes, sent_to_bytes))
        return pending_bytes - exempt_bytes

    def _check(self) -> None:
        """Find out whether too much waits, and cut the client off if it is far too much."""
        held_bytes = self._held_against()
        withheld_bytes = 0 if self._backlog is None else self._backlog.bytes
        if held_bytes + withheld_bytes > self._limits.max_pending_bytes:
            self._cut_off(held_bytes + withheld_bytes, self._limits.max_pending_bytes)
        if held_bytes > self._limits.soft_pending_bytes and not self.is_slow:
            self.is_slow = True
            if self._policy != "disconnect":
                keeps = self._policy == "conflate"
                self._backlog = Backlog(keeps=keeps, piece_bytes=self._limits.flush_bytes)

    def _catch_up(self) -> None:
        """Write what was withheld as far as the client has room, and find out if that was all."""
        if self._held_against() <= self._limits.soft_pending_bytes:
            self._over_since_s = None
        while self._held_against() <= self._limits.soft_pending_bytes // 2:
            if self._backlog is None or self._connection.protocol.state is not State.OPEN:
                self._abandon()
                return
            self._write_withheld(self._backlog)

    def _write_withheld(self, backlog: Backlog) -> None:
        """Write what comes next of a backlog, which is no longer needed if that is nothing."""
        piece = backlog.take()
        if piece is None:
            self._backlog = None
        else:
            self._write(piece.frames, piece.messages)

    def _abandon(self) -> None:
        """Withhold nothing more; what cannot be written any more is dropped."""
        if self._backlog is not None:
            self._counts.dropped_messages += self._backlog.messages
            self._backlog = None
        self.is_slow = False
        self._over_since_s = None

    def _cut_off(self, pending_bytes: int, limit_bytes: int, for_s: float | None = None) -> None:
        """Abort the connection, and count what its client will not get."""
        self._forget_sent(self.pending_bytes)
        self._counts.slow_consumers += 1
        self._counts.dropped_messages += sum(islice(self._waiting, 1, None, 2))
        self._abandon()
        # Else the kernel keeps for minutes what it could not send.
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        # A close frame would wait behind everything that the client does not read.
        self._transport.abort()
        raise SlowConsumerError(pending_bytes, limit_bytes, for_s)

    def _fail(self) -> None:
        """Close a connection that could not be written to, without waiting."""
        self._abandon()
        try:
            self._connection.protocol.fail(CloseCode.INTERNAL_ERROR, "message could not be sent")
            self._connection.send_data()
        except Exception:  # noqa: BLE001 -- whatever is wrong with it, aborting ends it
            self._transport.abort()


def _shared_window_bits(connection: ServerConnection) -> int:
    """Return the window that was negotiated without context takeover; 0 without compression."""
    for extension in connection.protocol.extensions:
        if isinstance(extension, PerMessageDeflate) and extension.local_no_context_takeover:
            return extension.local_max_window_bits
    return 0
