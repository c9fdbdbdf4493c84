"""What systemd is told: that the daemon is ready, that its loop lives, that it stops.

The protocol is one datagram a message: https://www.freedesktop.org/software/systemd/man/sd_notify
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

__all__ = ["Systemd"]

_PETS_PER_LIMIT: Final = 4
"""systemd recommends two; late ones must not count as none."""


class Systemd:
    """Sends to the socket that systemd names in the environment; without one it does nothing.

    Nothing waits and nothing is raised: a message that cannot be sent at once is lost.

    Args:
        environment: Variables of the process.

    Attributes:
        pet_every_s: How often it wants to be told that the loop lives; None if it does not ask.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.pet_every_s: Final = _pet_every_s(environment)
        self._address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of the abstract namespace.
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._petted_s: float | None = None
        self._socket: socket.socket | None = None
        if self._address and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(0)

    def ready(self) -> None:
        """Tell that the daemon serves."""
        self._send(b"READY=1")

    def stopping(self) -> None:
        """Tell that the daemon ends."""
        self._send(b"STOPPING=1")

    def alive(self, now_s: float) -> None:
        """Tell that the event loop lives, if that is due; to be called from the loop alone."""
        if self.pet_every_s is None:
            return
        if self._petted_s is None or now_s - self._petted_s >= self.pet_every_s:
            self._petted_s = now_s
            self._send(b"WATCHDOG=1")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: bytes) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(message, self._address)


def _pet_every_s(environment: Mapping[str, str]) -> float | None:
    limit_us = environment.get("WATCHDOG_USEC", "")
    # Set for another process, if a parent of ours was asked.
    if environment.get("WATCHDOG_PID", "") not in {"", str(os.getpid())}:
        return None
    if not limit_us.isdecimal() or int(limit_us) == 0:
        return None
    return int(limit_us) / 1_000_000 / _PETS_PER_LIMIT
