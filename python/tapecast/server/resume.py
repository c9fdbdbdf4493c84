"""Clients that come back, and are given what they have missed. No I/O, no clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from tapecast.messages import Resumed, Since, encode_message
from tapecast.server.interfaces import EngineView, Outbox
from tapecast.server.limits import ServerLimits
from tapecast.server.missed import Missed, Piece
from tapecast.server.ring import Ring
from tapecast.server.share import Share
from tapecast.server.wish import Wish

__all__ = ["DEFLATE_COST", "WRITE_COST_BYTES", "Resumes"]

WRITE_COST_BYTES: Final = 16_384
"""One write costs about as much as so many bytes more in it."""
DEFLATE_COST: Final = 100
"""What a compressed byte costs, in bytes that are written."""
_SLICE_COST_BYTES: Final = 1 << 19
"""A slice of what is given back: short, as live messages wait for it."""


class Registry(Protocol):
    """The hub's part in it."""

    def attempt(self, outbox: Outbox, action: Callable[[], None]) -> bool:
        """Do something with one subscriber, and forget it if that fails; return if it did not."""

    def begin(self, outbox: Outbox, wish: Wish, *, now_s: float) -> int:
        """Send a snapshot and then everything after it; return the bytes of the snapshot."""

    def join(self, outbox: Outbox, wish: Wish, seq: int, *, now_s: float) -> None:
        """Let a subscriber that has everything up to a number get what follows."""


@dataclass(slots=True, eq=False)
class Returning:
    """A client that is being given what it has missed.

    Attributes:
        wish: What it has asked for.
        epoch: The epoch in which it counts.
        seq: Up to this number it has everything.
        piece: What it is being given; None between two pieces.
        place: Which share of the piece comes next.
    """

    wish: Wish
    epoch: str
    seq: int
    piece: Piece | None = None
    place: int = 0

    def begin(self, piece: Piece) -> None:
        """Go on with another piece."""
        self.piece, self.place = piece, 0

    def take(self) -> Share | None:
        """Return what comes next of the piece, which may be over with it; None if it is empty."""
        if self.piece is None:
            return None
        share = self.piece.share(self.place)
        self.place += 1
        if self.piece.share(self.place) is None:
            self.seq, self.piece = self.piece.to_seq, None
        return share


class Resumes:
    """Gives returning clients what they have missed, piece by piece, until they join the others.

    A client that reads more slowly than the ring forgets gets a snapshot in place of the rest.

    Args:
        ring: What was published lately.
        engine: Where the epoch and the newest number come from.
        limits: The server's limits.
        registry: Where clients join.
    """

    def __init__(
        self, ring: Ring, engine: EngineView, *, limits: ServerLimits, registry: Registry
    ) -> None:
        self._ring = ring
        self._engine = engine
        self._registry = registry
        self._missed = Missed(max_bytes=limits.flush_bytes)
        # Whoever waits longest comes first.
        self._clients: dict[Outbox, Returning] = {}

    def __len__(self) -> int:
        """Return how many clients are being given what they have missed."""
        return len(self._clients)

    def __contains__(self, outbox: Outbox) -> bool:
        """Return whether a client is one of them."""
        return outbox in self._clients

    def remove(self, outbox: Outbox) -> bool:
        """Give a client nothing more; return whether it was one of them."""
        return self._clients.pop(outbox, None) is not None

    def can_resume(self, since: Since) -> bool:
        """Return whether a client can be given everything after what it has seen."""
        if self._ring.holds_after(since.epoch, since.seq):
            return True
        return since.epoch == self._engine.epoch and since.seq == self._engine.seq

    def resume(self, outbox: Outbox, wish: Wish, since: Since, *, now_s: float) -> int:
        """Begin to give a client that can resume what it has missed.

        Args:
            outbox: The client.
            wish: What it asked for.
            since: What it has seen.
            now_s: Monotonic seconds.

        Returns:
            Bytes of everything that was missed, by any client.
        """
        to_seq = max(since.seq, self._ring.last_seq)
        reply = encode_message(
            Resumed(epoch=since.epoch, from_seq=since.seq + 1, to_seq=to_seq, id=wish.reply_id)
        )
        if not self._registry.attempt(outbox, partial(outbox.send, reply, counted=False)):
            return len(reply)
        if since.seq == to_seq:
            self._registry.join(outbox, wish, to_seq, now_s=now_s)
        else:
            self._clients[outbox] = Returning(wish, since.epoch, since.seq)
        return len(reply) + self._ring.bytes_after(since.epoch, since.seq)

    def give_back(self, *, now_s: float) -> bool:
        """Write a slice of what was missed, to those who have room.

        Args:
            now_s: Monotonic seconds.

        Returns:
            Whether there was anything to do.
        """
        cost_bytes = 0
        for outbox, returning in self._with_room():
            cost_bytes += self._give_back(outbox, returning, now_s)
            if cost_bytes >= _SLICE_COST_BYTES:
                break
        if not self._clients:
            self._missed.forget()
        return cost_bytes > 0

    def _with_room(self) -> Iterator[tuple[Outbox, Returning]]:
        """Yield those who can be written to, once each; any may be removed meanwhile."""
        for outbox in list(self._clients):
            returning = self._clients.get(outbox)
            if returning is not None and outbox.has_room:
                self._clients[outbox] = self._clients.pop(outbox)
                yield outbox, returning

    def _give_back(self, outbox: Outbox, returning: Returning, now_s: float) -> int:
        """Write what comes next to one client; return what that cost, in bytes."""
        cost_bytes = WRITE_COST_BYTES
        if returning.piece is None:
            page = self._ring.page_after(returning.epoch, returning.seq)
            if page is None:
                # What is left of it has been forgotten.
                self.remove(outbox)
                return cost_bytes + self._registry.begin(outbox, returning.wish, now_s=now_s)
            bits = outbox.window_bits
            returning.begin(self._missed.get(page, returning.seq, returning.wish.chosen, bits))
            cost_bytes += page.bytes
        share = returning.take()
        if share is not None:
            cost_bytes += len(share.frames) * (DEFLATE_COST if outbox.window_bits else 1)
            if not self._registry.attempt(outbox, partial(outbox.give_back, share)):
                return cost_bytes
        if returning.piece is None and returning.seq == self._ring.last_seq:
            self.remove(outbox)
            self._registry.join(outbox, returning.wish, returning.seq, now_s=now_s)
        return cost_bytes
