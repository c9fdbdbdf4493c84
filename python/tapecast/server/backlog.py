"""What is withheld from one slow subscriber, and the account of what it will never get. No I/O."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapecast.messages import GapClient, encode_message
from tapecast.server.share import Share
from tapecast.server.wire import text_frame

if TYPE_CHECKING:
    from tapecast.server.share import Kept, Key

__all__ = ["Backlog", "Piece"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Finished frames that are written at once.

    Attributes:
        frames: The frames, one after the other.
        streamed: Streamed messages among them.
        messages: All messages among them, gaps of this client included.
    """

    frames: bytes
    streamed: int
    messages: int


class Backlog:
    """Keeps the newest message of each key in order of their numbers, and counts the others.

    What has once been announced and lined up for writing is never replaced any more, so that each
    announcement stays exact.

    Args:
        keeps: Whether anything is kept; if not, everything is dropped.
        piece_bytes: Size of what is written at once, which only a single message may exceed.

    Attributes:
        bytes: Size of everything that is kept or lined up.
        messages: Streamed messages that are kept or lined up.
    """

    def __init__(self, *, keeps: bool, piece_bytes: int) -> None:
        self._keeps = keeps
        self._piece_bytes = piece_bytes
        self.bytes = 0
        self.messages = 0
        # By key, in order of their numbers.
        self._kept: dict[Key, Kept] = {}
        self._lined_up: deque[Piece] = deque()
        self._dropped = 0
        self._from_seq = 0
        self._to_seq = 0

    def add(self, share: Share) -> int:
        """Withhold what a subscriber should have got.

        Returns:
            How many messages were dropped for it.
        """
        before = self._dropped
        if not self._keeps:
            self._drop(share.first_seq, share.last_seq, share.count)
            return share.count
        if share.trades:
            self._drop(share.trades[0], share.trades[-1], len(share.trades))
        for message in share.kept:
            old = self._kept.pop(message.key, None)
            if old is not None:
                self._drop(old.seq, old.seq, 1)
                self.bytes -= len(old.frame)
                self.messages -= 1
            self._kept[message.key] = message
            self.bytes += len(message.frame)
            self.messages += 1
        return self._dropped - before

    def take(self) -> Piece | None:
        """Return what to write next; None if nothing is left and everything is announced."""
        if not self._lined_up:
            self._line_up()
        if not self._lined_up:
            return None
        piece = self._lined_up.popleft()
        self.bytes -= len(piece.frames)
        self.messages -= piece.streamed
        return piece

    def _drop(self, from_seq: int, to_seq: int, messages: int) -> None:
        self._from_seq = min(self._from_seq, from_seq) if self._dropped else from_seq
        self._to_seq = max(self._to_seq, to_seq) if self._dropped else to_seq
        self._dropped += messages

    def _line_up(self) -> None:
        """Cut what is kept into pieces, with the gap where its first message would have come."""
        kept = list(self._kept.values())
        self._kept.clear()
        streamed = [(message.frame, 1) for message in kept]
        if self._dropped:
            gap = self._gap()
            before = sum(message.seq < self._from_seq for message in kept)
            streamed.insert(before, (gap, 0))
            self.bytes += len(gap)
            self._dropped = 0
        self._lined_up.extend(_pieces(streamed, self._piece_bytes))

    def _gap(self) -> bytes:
        gap = GapClient(
            dropped=self._dropped,
            from_seq=self._from_seq,
            to_seq=self._to_seq,
            # Everything before it has a lower number and everything after it a higher one.
            seq=self._from_seq,
        )
        return text_frame(encode_message(gap))


def _pieces(frames: Iterable[tuple[bytes, int]], max_bytes: int) -> Iterable[Piece]:
    """Join frames, each with whether it is a streamed message, to pieces of limited size."""
    piece: list[bytes] = []
    streamed = size = 0
    for frame, is_streamed in frames:
        if piece and size + len(frame) > max_bytes:
            yield Piece(b"".join(piece), streamed, len(piece))
            piece, streamed, size = [], 0, 0
        piece.append(frame)
        streamed += is_streamed
        size += len(frame)
    if piece:
        yield Piece(b"".join(piece), streamed, len(piece))
