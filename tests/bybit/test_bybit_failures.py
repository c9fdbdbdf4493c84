"""What exceptions of connecting and conversing are called, and what they make a line wait."""

import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidUpgrade,
)
from websockets.frames import Close
from websockets.http11 import Response

from tapecast.bybit.failures import Failure, LostError, RenewedError, describe

THEIRS = Close(1011, "overload")
OURS = Close(1009, "too big")


def expired() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] …")
    error.verify_message = "certificate has expired"
    return error


def old_protocol() -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] …")
    error.reason = "TLSV1_ALERT_PROTOCOL_VERSION"
    return error


def status(code: int) -> InvalidStatus:
    return InvalidStatus(Response(code, "", Headers()))


FAILURES: list[tuple[Exception, Failure]] = [
    (LostError("dead"), Failure("dead", "silent")),
    (LostError("no reply", "no_reply"), Failure("no reply", "no_reply")),
    (RenewedError("old"), Failure("old", "renewed")),
    (ConnectionClosedError(None, None), Failure("connection lost without a close frame", "1006")),
    (
        ConnectionClosedError(THEIRS, None),
        Failure("closed by the exchange: 1011 overload", "1011"),
    ),
    (
        ConnectionClosedOK(Close(1000, ""), Close(1000, ""), rcvd_then_sent=True),
        Failure("closed by the exchange: 1000", "1000"),
    ),
    (
        ConnectionClosedError(Close(4242, ""), Close(4242, ""), rcvd_then_sent=True),
        Failure("closed by the exchange: 4242", "other"),
    ),
    (
        ConnectionClosedError(Close(1008, "policy"), Close(1008, ""), rcvd_then_sent=True),
        Failure("closed by the exchange: 1008 policy", "1008", 30.0),
    ),
    (ConnectionClosedError(None, OURS), Failure("closed by us: 1009 too big", "own_1009")),
    (
        ConnectionClosed(Close(1008, ""), OURS, rcvd_then_sent=False),
        Failure("closed by us: 1009 too big", "own_1009"),
    ),
    (status(403), Failure("cannot connect: HTTP 403", "http_403", 600.0)),
    (status(429), Failure("cannot connect: HTTP 429", "http_429", 600.0)),
    (status(302), Failure("cannot connect: HTTP 302", "http_other")),
    (status(502), Failure("cannot connect: HTTP 502", "http_other")),
    (InvalidMessage("no HTTP"), Failure("cannot connect: no HTTP", "handshake")),
    (
        InvalidUpgrade("Upgrade", None),
        Failure("cannot connect: missing Upgrade header", "handshake"),
    ),
    (
        InvalidProxy("x://", "scheme"),
        Failure("cannot connect: x:// isn't a valid proxy: scheme", "handshake"),
    ),
    (expired(), Failure("tls: certificate was refused: certificate has expired", "tls", 10.0)),
    (old_protocol(), Failure("tls: tlsv1 alert protocol version", "tls", 10.0)),
    (TimeoutError(), Failure("cannot connect: no connection within 5 s", "timeout")),
    (
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        Failure(f"cannot connect: [Errno {socket.EAI_NONAME}] unknown", "dns"),
    ),
    (
        ConnectionRefusedError(111, "Connection refused"),
        Failure("cannot connect: [Errno 111] Connection refused", "network"),
    ),
    (
        OSError("Multiple exceptions: a, b"),
        Failure("cannot connect: Multiple exceptions: a, b", "network"),
    ),
]


@pytest.mark.parametrize(("error", "failure"), FAILURES)
def test_a_failure_has_its_words_its_label_and_its_wait(error: Exception, failure: Failure) -> None:
    assert describe(error, open_timeout_s=5.0, forbidden_wait_s=600.0) == failure


def test_what_was_not_expected_has_no_words() -> None:
    assert describe(ZeroDivisionError(), open_timeout_s=5.0, forbidden_wait_s=600.0) is None
