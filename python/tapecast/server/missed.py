"""What returning clients have missed: made once for all who ask for the same. No I/O, no clock."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from tapecast.server.filter import Filter
from tapecast.server.ring import Page
from tapecast.server.share import Share, shares_of

__all__ = ["Missed", "Piece"]

_MAX_CACHED_BYTES: Final = 16 << 20


class Piece:
    """What a filter lets through of one page, as shares that are made when they are asked for.

    Args:
        shares: The shares.
        to_seq: Number of the last message of the page.

    Attributes:
        to_seq: The same.
    """

    def __init__(self, shares: Iterator[Share], to_seq: int) -> None:
        self.to_seq = to_seq
        self._shares = shares
        self._made: list[Share] = []

    def share(self, place: int) -> Share | None:
        """Return one of the shares, counted from 0; None if there are not so many."""
        self._made.extend(islice(self._shares, max(0, place + 1 - len(self._made))))
        return self._made[place] if place < len(self._made) else None


class Missed:
    """Keeps pieces for those who come back from the same place, as far as there is room.

    Args:
        max_bytes: Size of a share.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._cached: dict[object, Piece] = {}
        self._cached_bytes = 0

    def get(self, page: Page, after_seq: int, chosen: Filter, window_bits: int) -> Piece:
        """Return what a filter lets through of a page.

        Args:
            page: The messages.
            after_seq: Number of the last message that is known already.
            chosen: The filter.
            window_bits: The window to compress with; 0 for frames as they are.
        """
        after_seq = max(after_seq, page.first_seq - 1)
        key = (after_seq, page.last_seq, chosen.key, window_bits)
        piece = self._cached.get(key)
        if piece is None:
            batch = chosen.of(page.batch, after_seq=after_seq)
            shares = shares_of(batch, max_bytes=self._max_bytes, window_bits=window_bits)
            piece = Piece(shares, page.last_seq)
            # Once as a batch and once as shares.
            size = 2 * batch.frames_bytes + chosen.key_bytes
            if self._cached_bytes + size > _MAX_CACHED_BYTES:
                self.forget()
            self._cached[key] = piece
            self._cached_bytes += size
        return piece

    def forget(self) -> None:
        """Keep nothing any more."""
        self._cached.clear()
        self._cached_bytes = 0
