"""What the subscribers of one filter get of one portion; made once for them all. No I/O."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import msgspec

from tapecast._core import Batch, Message
from tapecast.server.wire import deflated_frame

__all__ = ["Kept", "Key", "Share", "shares_of"]

Key: TypeAlias = int | str | tuple[str | None, str | None, int]
"""Equal for messages of which only the newest matters."""


class _Start(msgspec.Struct):
    """Just enough of a candle to know its window."""

    start: int


_START_DECODER = msgspec.json.Decoder(_Start)


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that a slow subscriber gets later, unless a newer one replaces it.

    Attributes:
        key: What it says something about.
        seq: Its number.
        frame: The message as a finished frame.
    """

    key: Key
    seq: int
    frame: bytes


class Share:
    """Messages in the order of their numbers, as finished frames.

    Args:
        messages: At least one message.
        frames: All their frames, one after the other.
        window_bits: The window that the frames are compressed with; 0 if they are not.

    Attributes:
        messages: The same.
        frames: The same.
        count: Number of messages.
        first_seq: Number of the first message.
    """

    def __init__(
        self, messages: Batch | Sequence[Message], frames: bytes, *, window_bits: int = 0
    ) -> None:
        self.messages = messages
        self.frames = frames
        self.count = len(messages)
        self.first_seq = messages[0].seq
        self._window_bits = window_bits

    @property
    def last_seq(self) -> int:
        """Number of the last message."""
        return self.messages[-1].seq

    @cached_property
    def kept(self) -> Sequence[Kept]:
        """The messages that are not just dropped where there is no room for them: all but trades.

        Made for slow subscribers alone.
        """
        return [
            Kept(_key(message), message.seq, _framed(message, self._window_bits))
            for message in self.messages
            if message.type != "trade"
        ]

    @cached_property
    def trades(self) -> Sequence[int]:
        """The numbers of its trades."""
        return [message.seq for message in self.messages if message.type == "trade"]

    def after(self, seq: int) -> "Share | None":
        """Return what comes after a number; None if nothing does."""
        later = [message for message in self.messages if message.seq > seq]
        if not later:
            return None
        frames = b"".join(_framed(message, self._window_bits) for message in later)
        return Share(later, frames, window_bits=self._window_bits)


def shares_of(batch: Batch, *, max_bytes: int, window_bits: int = 0) -> Iterator[Share]:
    """Yield a batch as one share or, where it is large, as several.

    Args:
        batch: Any number of messages.
        max_bytes: Size of a share's frames, and before they are compressed of its messages; only a
            single message may exceed it.
        window_bits: The window to compress with; 0 for frames as they are.
    """
    if not len(batch):
        return
    if not window_bits and batch.frames_bytes <= max_bytes:
        yield Share(batch, batch.frames)
        return
    for messages, frames in _cut(batch, max_bytes, window_bits):
        yield Share(messages, b"".join(frames), window_bits=window_bits)


def _cut(
    batch: Iterable[Message], max_bytes: int, window_bits: int
) -> Iterator[tuple[list[Message], list[bytes]]]:
    messages: list[Message] = []
    frames: list[bytes] = []
    size = 0
    for message in batch:
        frame = _framed(message, window_bits)
        # To compress a message costs time by its own size.
        cost = max(len(frame), len(message.payload)) if window_bits else len(frame)
        if messages and size + cost > max_bytes:
            yield messages, frames
            messages, frames, size = [], [], 0
        messages.append(message)
        frames.append(frame)
        size += cost
    yield messages, frames


def _framed(message: Message, window_bits: int) -> bytes:
    return deflated_frame(message.payload, window_bits) if window_bits else message.frame


def _key(message: Message) -> Key:
    if message.type == "stats":
        return "stats"
    if message.type == "ohlcv":
        return message.category, message.symbol, _START_DECODER.decode(message.payload).start
    # Gaps and changes of a line each say something of their own.
    return message.seq
