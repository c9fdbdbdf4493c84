"""File descriptors: how many connections there may be, and a quiet log when there are none left."""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any, Final, TypeAlias

__all__ = ["AcceptFailures", "Handler", "most_connections", "raise_descriptor_limit"]

_LOGGER = logging.getLogger(__name__)

_RESERVED: Final = 64
"""Descriptors for everything but clients: files, lines to the exchange, the loop's own."""

_ACCEPT_FAILED: Final = "socket.accept() out of system resource"
"""What asyncio says of it; uvloop says nothing."""
_LOG_INTERVAL_S: Final = 1.0

Handler: TypeAlias = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it is allowed to; return how many that is."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource  # noqa: PLC0415 -- there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # Some systems call the hard limit infinite and refuse that all the same.
            return soft
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def most_connections() -> int:
    """Return how many connections the limit of open files leaves room for; at least one."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource  # noqa: PLC0415 -- there is none on Windows

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft - _RESERVED)


class AcceptFailures:
    """An exception handler of the loop: says that nobody can be let in once a second, at most.

    The loop tries again by itself, and fails some hundred times a second meanwhile.

    Args:
        before: Handles everything else; None for the loop's own way.
        monotonic_s: Returns monotonic seconds.
    """

    def __init__(self, before: Handler | None, *, monotonic_s: Callable[[], float]) -> None:
        self._before = before
        self._monotonic_s = monotonic_s
        self._logged_s: float | None = None
        self._failures = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle one report of the loop."""
        error = context.get("exception")
        if not isinstance(error, OSError) or context.get("message") != _ACCEPT_FAILED:
            if self._before is None:
                loop.default_exception_handler(context)
            else:
                self._before(loop, context)
            return
        self._failures += 1
        now_s = self._monotonic_s()
        if self._logged_s is None or now_s - self._logged_s >= _LOG_INTERVAL_S:
            _LOGGER.error(
                "no further client can be let in: %s; failed %d times since this was said last",
                (error.strerror or str(error)).lower(),
                self._failures,
            )
            self._logged_s, self._failures = now_s, 0
