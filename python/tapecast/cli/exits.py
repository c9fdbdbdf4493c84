"""How the process ends: the exit code of every error, and what is said of it."""

import errno
import os
import sys
import threading
from contextlib import suppress
from typing import Final, NamedTuple

from tapecast.errors import (
    ConfigError,
    FeedError,
    InternalFault,
    StateForeign,
    StateLocked,
    StateTooNew,
    StoreError,
)

__all__ = ["Exit", "exit_of", "leave", "secure_streams"]

_FAILED: Final = 1
_MISUSED: Final = 2
# As in sysexits.h, and as init scripts have it for an address in use.
_TOO_NEW: Final = 65
_OUR_FAULT: Final = 70
_LOCKED: Final = 73
_IO_ERROR: Final = 74
_NO_ADDRESS: Final = 98
_INTERRUPTED: Final = 130

_NO_ADDRESS_ERRORS: Final = {
    errno.EACCES,
    errno.EADDRINUSE,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
}

_STREAMS: Final = 3


class Exit(NamedTuple):
    """An end of the process.

    Attributes:
        code: The exit code.
        lines: What is said on stderr.
        is_unknown: Whether only a traceback tells what happened.
    """

    code: int
    lines: tuple[str, ...] = ()
    is_unknown: bool = False


def exit_of(error: BaseException) -> Exit:  # noqa: PLR0911 -- a table
    """Return how an error ends the process: the one place that says so."""
    match error:
        case ConfigError():
            return Exit(_MISUSED, error.problems)
        case StateForeign():
            return _with_way_out(_MISUSED, error, "set another state_dir, or those settings again")
        case StateTooNew():
            return _with_way_out(_TOO_NEW, error, "run that tapecast, or set another state_dir")
        case StateLocked():
            return _with_way_out(_LOCKED, error, "end that process, or set another state_dir")
        case StoreError():
            way_out = 'mend it, set another state_dir, or "none" to keep nothing'
            return _with_way_out(_IO_ERROR, error, way_out)
        case KeyboardInterrupt():
            # Before the daemon takes signals itself, or in a command that does not.
            return Exit(_INTERRUPTED)
        case OSError() if _is_about_an_address(error):
            way_out = "end what uses it, or listen elsewhere (--host, --port)"
            return _with_way_out(_NO_ADDRESS, _words(error), way_out)
        case OSError() | FeedError():
            return Exit(_FAILED, (_words(error),))
    name = "" if isinstance(error, InternalFault) else f"{type(error).__name__}: "
    end = _with_way_out(_OUR_FAULT, f"{name}{error}", "a fault of tapecast, please report it")
    return end._replace(is_unknown=not isinstance(error, InternalFault))


def _with_way_out(code: int, what: object, way_out: str) -> Exit:
    return Exit(code, (f"{what}; {way_out}",))


def _is_about_an_address(error: OSError) -> bool:
    if error.filename is not None:
        return False
    # Name resolution has numbers of its own, below zero on Linux.
    return error.errno is not None and (error.errno < 0 or error.errno in _NO_ADDRESS_ERRORS)


def _words(error: OSError | FeedError) -> str:
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror[:1].lower() + error.strerror[1:]
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)


def secure_streams() -> None:
    """Open the null device for each of stdin, stdout and stderr that is closed.

    Otherwise the next file or socket would get its number, and what is printed would go there.
    """
    for descriptor in range(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)


def leave(code: int) -> None:
    """End the process, without waiting for threads that are stuck, such as in a resolver."""
    main = threading.main_thread()
    if all(each.daemon for each in threading.enumerate() if each is not main):
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        # Whoever read it may have gone; of one that was closed there is no object at all.
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
