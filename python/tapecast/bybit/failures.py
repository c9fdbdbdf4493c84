"""Why a line was lost or could not be had, in words, and how long to stay away at least."""

import socket
import ssl
from typing import Final, NamedTuple

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

__all__ = ["FORBIDDEN", "RENEWED", "Failure", "LostError", "RenewedError", "describe"]

_POLICY_VIOLATION: Final = 1008
_POLICY_WAIT_S: Final = 30.0
_TLS_WAIT_S: Final = 10.0
FORBIDDEN: Final = frozenset({403, 429})
"""HTTP statuses by which the exchange bars an address for a while."""

RENEWED: Final = "renewed"
"""The kind of an end that we wanted."""

_CODES: Final = frozenset({*range(1000, 1004), 1005, *range(1007, 1015)})
"""Codes of close frames that have a label of their own."""


class LostError(Exception):
    """The connection is of no use any more, and must be cut without a word.

    Attributes:
        reason: Why.
        kind: The same as one of few labels.
    """

    def __init__(self, reason: str, kind: str = "silent") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


class RenewedError(Exception):
    """The connection is good, and is to be replaced by a new one.

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
        kind: The same as a label: the code of the exchange's close frame (`1006` if there was none,
            `other` if it is unusual), `own_` and the code of ours, `silent`, `stale`, `no_reply`,
            `renewed`; or why there was no connection: `tls`, `dns`, `timeout`, `network`,
            `handshake`, `http_403`, `http_429`, `http_other`; `error` for the unexpected.
        wait_s: Least that is waited before the next attempt.
    """

    reason: str
    kind: str
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
            failure = Failure(error.reason, error.kind)
        case RenewedError():
            failure = Failure(error.reason, RENEWED)
        case ConnectionClosed():
            failure = _describe_close(error)
        case InvalidStatus(response=response):
            failure = _describe_status(response.status_code, forbidden_wait_s)
        case ssl.SSLError():
            failure = Failure(_describe_tls(error), "tls", _TLS_WAIT_S)
        case TimeoutError():
            reason = f"cannot connect: no connection within {open_timeout_s:g} s"
            failure = Failure(reason, "timeout")
        case WebSocketException() | OSError():
            failure = Failure(f"cannot connect: {error}", _label_of(error))
    return failure


def _label_of(error: WebSocketException | OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "dns"
    return "network" if isinstance(error, OSError) else "handshake"


def _describe_close(closed: ConnectionClosed) -> Failure:
    theirs, ours = closed.rcvd, closed.sent
    if theirs is not None and (ours is None or closed.rcvd_then_sent):
        reason = f"closed by the exchange: {theirs.code} {theirs.reason}".rstrip()
        wait_s = _POLICY_WAIT_S if theirs.code == _POLICY_VIOLATION else 0.0
        return Failure(reason, _label(theirs.code), wait_s)
    if ours is not None:
        reason = f"closed by us: {ours.code} {ours.reason}".rstrip()
        return Failure(reason, f"own_{_label(ours.code)}")
    return Failure("connection lost without a close frame", "1006")


def _label(code: int) -> str:
    return str(code) if code in _CODES else "other"


def _describe_status(status: int, forbidden_wait_s: float) -> Failure:
    reason = f"cannot connect: HTTP {status}"
    if status in FORBIDDEN:
        return Failure(reason, f"http_{status}", forbidden_wait_s)
    return Failure(reason, "http_other")


def _describe_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: certificate was refused: {error.verify_message}"
    return f"tls: {(error.reason or str(error)).replace('_', ' ').lower()}"
