"""Replies of the exchange, of all categories, read leniently. No I/O and no clock."""

import re
from typing import Any, Final

import msgspec

__all__ = ["ALREADY", "Reply", "named_topics", "read_reply", "text_of", "texts_of"]

ALREADY: Final = "already subscribed"
"""Part of the refusal of what needs no subscription any more."""

_NAMED_TOPICS: Final = (
    re.compile(r"Invalid symbol\s*:\s*\[(?P<topics>[^\]]+)\]"),
    re.compile(r"topic:\s*(?P<topics>\S+)"),
)


class Reply(msgspec.Struct):
    """Any frame that is no trade message: fields of all categories, whatever of them is there."""

    op: Any = None
    success: Any = None
    ret_msg: Any = None
    req_id: Any = None
    type: Any = None
    topic: Any = None
    data: Any = None


_DECODER: Final = msgspec.json.Decoder(Reply)


def read_reply(frame: bytes) -> Reply | None:
    """Return a frame's fields, or nothing if it is no JSON object."""
    try:
        return _DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def text_of(value: object) -> str:
    """Return a field of a reply that should be a text."""
    return value if isinstance(value, str) else ""


def texts_of(value: object) -> list[str]:
    """Return the texts in a field of a reply that should be a list of them."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def named_topics(reason: str) -> list[str]:
    """Return the topics that a refusal names in its prose."""
    for pattern in _NAMED_TOPICS:
        if found := pattern.search(reason):
            return [topic.strip() for topic in found["topics"].split(",")]
    return []
