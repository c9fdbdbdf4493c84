"""Why a line was lost or could not be had, in words, and how long to stay away at least."""

import ssl
from typing import Final, NamedTuple

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

__all__ = ["FORBIDDEN", "Failure", "LostError", "describe"]

_POLICY_VIOLATION: Final = 1008
_POLICY_WAIT_S: Final = 30.0
_TLS_WAIT_S: Final = 10.0
FORBIDDEN: Final = frozenset({403, 429})
"""HTTP statuses by which the exchange bars an address for a while."""


class LostError(Exception):
    """The connection is of no use any more, and must be cut without a word.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Failure(NamedTuple):
    """An end of a connection, or of an attempt to connect.

    Attributes:
        reason: Why, for people.
        wait_s: Least that is waited before the next attempt.
    """

    reason: str
    wait_s: float = 0.0


def describe(error: Exception, *, open_timeout_s: float, forbidden_wait_s: float) -> Failure | None:
    """Say what an exception of connecting or conversing means; nothing if it was not expected.

    Args:
        error: What was raised.
        open_timeout_s: How long connecting was allowed to take.
        forbidden_wait_s: What to wait after HTTP 403 or 429.
    """
    failure = None
    match error:
        case LostError():
            failure = Failure(error.reason)
        case ConnectionClosed():
            failure = _describe_close(error)
        case InvalidStatus(response=response):
            wait_s = forbidden_wait_s if response.status_code in FORBIDDEN else 0.0
            failure = Failure(f"cannot connect: HTTP {response.status_code}", wait_s)
        case ssl.SSLError():
            failure = Failure(_describe_tls(error), _TLS_WAIT_S)
        case TimeoutError():
            failure = Failure(f"cannot connect: no connection within {open_timeout_s:g} s")
        case WebSocketException() | OSError():
            failure = Failure(f"cannot connect: {error}")
    return failure


def _describe_close(closed: ConnectionClosed) -> Failure:
    theirs, ours = closed.rcvd, closed.sent
    if theirs is not None and (ours is None or closed.rcvd_then_sent):
        wait_s = _POLICY_WAIT_S if theirs.code == _POLICY_VIOLATION else 0.0
        return Failure(f"closed by the exchange: {theirs.code} {theirs.reason}".rstrip(), wait_s)
    if ours is not None:
        return Failure(f"closed by us: {ours.code} {ours.reason}".rstrip())
    return Failure("connection lost without a close frame")


def _describe_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: certificate was refused: {error.verify_message}"
    return f"tls: {(error.reason or str(error)).replace('_', ' ').lower()}"
