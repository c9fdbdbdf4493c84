"""What was published lately, for clients that come back. No I/O, no clock."""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from operator import attrgetter

from tapecast._core import Batch

__all__ = ["Page", "Ring"]

_LEAST_PAGES = 64
"""The oldest page is forgotten whole, which shall be little of everything that is kept."""


class Page:
    """Some messages, one after the other, that are kept and forgotten together.

    Attributes:
        first_seq: Number of the first message.
        last_seq: Number of the last message.
        bytes: Size of their frames.
        begun_s: When the first of them was published, in monotonic seconds.
        before_bytes: Size of the frames of all pages before this one, forgotten ones included.
    """

    __slots__ = ("_batches", "before_bytes", "begun_s", "bytes", "first_seq", "last_seq")

    def __init__(self, first_seq: int, begun_s: float, before_bytes: int) -> None:
        self.first_seq = first_seq
        self.last_seq = first_seq - 1
        self.bytes = 0
        self.begun_s = begun_s
        self.before_bytes = before_bytes
        self._batches: list[Batch] = []

    def add(self, batch: Batch, last_seq: int, size: int) -> None:
        """Add what was published next."""
        self._batches.append(batch)
        self.last_seq = last_seq
        self.bytes += size

    @property
    def batch(self) -> Batch:
        """All messages."""
        if len(self._batches) > 1:
            self._batches[:] = [Batch.joined(self._batches)]
        return self._batches[0]


class Ring:
    """Keeps the newest messages without a hole, in pages, as far as three bounds allow.

    To append takes the same time however much is kept. What does not follow what was appended
    before it (the numbering has restarted, or something was never handed over) empties the ring.

    Args:
        epoch: Returns the epoch of what is appended.
        max_messages: Messages that are kept at most.
        max_bytes: Bytes of frames that are kept at most.
        max_age_s: How much older than the newest message any may be.
        page_bytes: About the size of a page.

    Attributes:
        epoch: The epoch of what is kept; None before anything was appended.
        last_seq: Number of the last message appended, whether or not it is still kept.
        messages: Number of messages kept.
        bytes: Size of their frames.
    """

    def __init__(
        self,
        epoch: Callable[[], str],
        *,
        max_messages: int,
        max_bytes: int,
        max_age_s: float,
        page_bytes: int,
    ) -> None:
        self._epoch_of_new = epoch
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._page_bytes = min(page_bytes, max_bytes // _LEAST_PAGES)
        self._page_messages = max_messages // _LEAST_PAGES
        self._page_age_s = max_age_s / _LEAST_PAGES
        self._pages: deque[Page] = deque()
        # Nothing follows it, so that the first append begins the first epoch.
        self.last_seq = -1
        self.epoch: str | None = None
        self.messages = 0
        self.bytes = 0
        self._appended_bytes = 0
        # What the newest page may still take.
        self._room_messages = 0
        self._room_bytes = 0
        self._full_s = -math.inf

    def append(self, batch: Batch, *, at_s: float) -> None:
        """Take what was published next, and forget what is too much or too old.

        Args:
            batch: At least one message, in the order of `seq` and without a hole.
            at_s: When it was published, in monotonic seconds.
        """
        first_seq, count, size = batch[0].seq, len(batch), batch.frames_bytes
        if first_seq != self.last_seq + 1 or self.epoch is None:
            self._empty()
        last_seq = self.last_seq = first_seq + count - 1
        if self._room_bytes <= 0 or self._room_messages <= 0 or at_s >= self._full_s:
            self._pages.append(Page(first_seq, at_s, self._appended_bytes))
            self._room_messages, self._room_bytes = self._page_messages, self._page_bytes
            self._full_s = at_s + self._page_age_s
        self._pages[-1].add(batch, last_seq, size)
        self._room_messages -= count
        self._room_bytes -= size
        self.messages += count
        self.bytes += size
        self._appended_bytes += size
        if (
            self.bytes > self._max_bytes
            or self.messages > self._max_messages
            or at_s - self._pages[0].begun_s > self._max_age_s
        ):
            self._forget(at_s)

    def holds_after(self, epoch: str, seq: int) -> bool:
        """Return whether everything that was appended after a number is kept, if only nothing."""
        first_seq = self._pages[0].first_seq if self._pages else self.last_seq + 1
        return epoch == self.epoch and first_seq - 1 <= seq <= self.last_seq

    def page_after(self, epoch: str, seq: int) -> Page | None:
        """Return the page in which the message after a number is; None if it is not kept."""
        if seq == self.last_seq or not self.holds_after(epoch, seq):
            return None
        return self._pages[bisect_left(self._pages, seq + 1, key=attrgetter("last_seq"))]

    def bytes_after(self, epoch: str, seq: int) -> int:
        """Return about how many bytes of frames come after a number, as far as they are kept."""
        page = self.page_after(epoch, seq)
        return 0 if page is None else self._appended_bytes - page.before_bytes

    def _forget(self, now_s: float) -> None:
        """Forget the oldest pages until all bounds hold."""
        while self._pages and (
            self.bytes > self._max_bytes
            or self.messages > self._max_messages
            or now_s - self._pages[0].begun_s > self._max_age_s
        ):
            page = self._pages.popleft()
            self.messages -= page.last_seq - page.first_seq + 1
            self.bytes -= page.bytes
        if not self._pages:
            self._room_bytes = 0

    def _empty(self) -> None:
        """Begin anew."""
        self._pages.clear()
        self.messages = self.bytes = self._room_bytes = 0
        self.epoch = self._epoch_of_new()
