"""What can be said of an exchange frame without decoding its trades."""

from typing import Final

import msgspec

__all__ = [
    "TOPIC_PREFIX",
    "frame_topic",
    "frame_ts_ms",
    "is_control_frame",
    "is_trade_frame",
]

TOPIC_PREFIX: Final = "publicTrade."
"""What the topic of a trade frame begins with; a symbol follows, or a base coin for options."""

_MAX_MS: Final = 1 << 62
"""Far beyond every time, and within 64 bits."""

_BEGINNINGS: Final = (b'{"topic":"publicTrade.', b'{"id":"publicTrade.')


class _Head(msgspec.Struct):
    """The fields of a frame that name it, of whatever type they are."""

    topic: object = None
    ts: object = None
    op: object = None
    type: object = None


_DECODER: Final = msgspec.json.Decoder(_Head)


def is_trade_frame(frame: bytes) -> bool:
    """Whether a frame is a trade message, in whatever spelling; what is no JSON is taken for one.

    The engine refuses and counts those: it has the better words for what is wrong with them.
    """
    if frame.startswith(_BEGINNINGS):
        return True
    head = _head(frame)
    return head is None or _name(head) is not None


def is_control_frame(frame: bytes) -> bool:
    """Whether a frame is an answer of the exchange to a command: an acknowledgement or a pong."""
    head = _head(frame)
    return head is not None and (isinstance(head.op, str) or head.type == "COMMAND_RESP")


def frame_topic(frame: bytes) -> str | None:
    """Return the symbol (or base coin) of a trade frame's topic; `None` where none can be read."""
    head = _head(frame)
    return None if head is None else _name(head)


def frame_ts_ms(frame: bytes) -> int | None:
    """Return when the exchange made a frame, in milliseconds; `None` where it does not say."""
    head = _head(frame)
    if head is None or type(head.ts) is not int:  # `True` is an integer in Python
        return None
    return head.ts if abs(head.ts) < _MAX_MS else None


def _head(frame: bytes) -> _Head | None:
    try:
        return _DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _name(head: _Head) -> str | None:
    topic = head.topic
    if isinstance(topic, str) and topic.startswith(TOPIC_PREFIX):
        return topic.removeprefix(TOPIC_PREFIX)
    return None
