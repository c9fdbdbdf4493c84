"""What is said of an address that cannot be listened on, and how a connection is reset."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["not_listening", "reset"]

_LINGER_NONE: Final = struct.pack("ii", 1, 0)


def not_listening(error: OSError, host: str, port: int) -> OSError:
    """Return the error of an address that cannot be listened on, with a text for people."""
    # Name resolution has numbers of its own, below zero on Linux.
    number = error.errno or 0
    reason = os.strerror(number) if number > 0 else error.strerror or str(error)
    return OSError(error.errno, f"cannot listen on {host}:{port}: {reason.lower()}")


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection with a TCP reset; what was not sent is lost."""
    end = transport.get_extra_info("socket")
    if end is not None and not transport.is_closing():
        # Without it, an aborted connection ends in order unless there is something unread.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    abort = getattr(transport, "abort", transport.close)
    abort()
