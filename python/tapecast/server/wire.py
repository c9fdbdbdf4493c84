"""WebSocket frames of the server (RFC 6455, section 5.2): plain, or deflated (RFC 7692)."""

import zlib
from typing import Final

__all__ = ["MAX_WINDOW_BITS", "MEMORY_LEVEL", "deflated_frame", "text_frame"]

MAX_WINDOW_BITS: Final = 11
"""A window of 2 KiB: what is compressed is one message at a time, and few are larger."""
MEMORY_LEVEL: Final = 4

_FINAL_TEXT: Final = 0x81
_COMPRESSED: Final = 0x40
_MEDIUM: Final = 126
_LONG: Final = 127
_MAX_MEDIUM_BYTES: Final = 0xFFFF
# What a flush ends with, and a message leaves out (RFC 7692, section 7.2.1).
_FLUSH_TAIL_BYTES: Final = 4


def text_frame(payload: bytes) -> bytes:
    """Return a payload as a finished text frame, unmasked."""
    return _frame(_FINAL_TEXT, payload)


def deflated_frame(payload: bytes, window_bits: int) -> bytes:
    """Return a payload as a finished text frame, compressed by itself.

    Whoever has negotiated at least this window and no context takeover can read it.

    Args:
        payload: One message.
        window_bits: Base-2 logarithm of the window's size, 9 to 15.
    """
    deflate = zlib.compressobj(wbits=-window_bits, memLevel=MEMORY_LEVEL)
    deflated = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return _frame(_FINAL_TEXT | _COMPRESSED, deflated[:-_FLUSH_TAIL_BYTES])


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < _MEDIUM:
        return bytes((head, size)) + payload
    if size <= _MAX_MEDIUM_BYTES:
        return bytes((head, _MEDIUM)) + size.to_bytes(2, "big") + payload
    return bytes((head, _LONG)) + size.to_bytes(8, "big") + payload
