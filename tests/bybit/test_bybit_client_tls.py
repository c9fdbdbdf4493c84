"""U6: certificates that must be refused, and protocols that are too old, over real sockets."""

import asyncio
import socket
import ssl
import threading
import warnings
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import trustme
from websockets.asyncio.server import ServerConnection

from tapecast.bybit import WebSockets

from .bybit_fakes import RetryClock, acknowledge, line_config, peer, running, tcp_peer


async def accept(connection: ServerConnection) -> None:
    await acknowledge(connection)
    await connection.wait_closed()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def refused(context: ssl.SSLContext, tls: ssl.SSLContext | None) -> str:
    """Let a line meet a server, and return why there is no connection."""
    clock = RetryClock(1)
    async with peer(accept, ssl=context) as url:
        config = line_config(url.replace("ws://127.0.0.1", "wss://localhost"))
        async with running(config, clock, opener=WebSockets(tls=tls)) as (line, sink):
            await sink.until_reconnecting(2)
            assert ("connected", "") not in sink.states
            assert line.closes == {"tls": 2}
            assert 10.0 <= clock.waits[0] <= 11.0
            return sink.reasons[0]


async def test_a_certificate_of_the_host_by_an_authority_is_accepted(authority: trustme.CA) -> None:
    context = serving(authority.issue_cert("localhost"))
    async with peer(accept, ssl=context) as url:
        config = line_config(url.replace("ws://127.0.0.1", "wss://localhost"))
        opener = WebSockets(tls=trusting(authority))
        # The address is looked up apart: name and certificate are the URL's still.
        async with running(config, opener=opener) as (_, sink):
            await sink.until_subscribed()


async def test_an_expired_certificate_is_refused(authority: trustme.CA) -> None:
    expired = authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    reason = await refused(serving(expired), trusting(authority))
    assert reason == "tls: certificate was refused: certificate has expired"


async def test_a_certificate_of_another_host_is_refused(authority: trustme.CA) -> None:
    foreign = authority.issue_cert("stream.example")
    reason = await refused(serving(foreign), trusting(authority))
    assert reason == (
        "tls: certificate was refused: Hostname mismatch, certificate is not valid for 'localhost'."
    )


async def test_a_certificate_that_nobody_vouches_for_is_refused(authority: trustme.CA) -> None:
    unknown = serving(authority.issue_cert("localhost"))
    reason = await refused(unknown, None)
    # The authority's own certificate is not sent: the chain ends in nothing.
    assert reason == "tls: certificate was refused: unable to get local issuer certificate"


async def test_a_self_signed_certificate_is_refused(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.private_key_pem.tempfile() as key, authority.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    reason = await refused(context, None)
    # OpenSSL spells it "self signed" or "self-signed", by its version.
    expected = "tls: certificate was refused: self-signed certificate"
    assert reason.replace("self signed", "self-signed") == expected


def serve_old(listening: socket.socket, context: ssl.SSLContext) -> None:
    """Shake hands without a loop: asyncio's servers cut the connection before the alert is sent."""
    with suppress(OSError):
        while True:
            accepted, _ = listening.accept()
            with suppress(OSError), context.wrap_socket(accepted, server_side=True):
                pass


async def test_a_server_of_tls_1_1_is_refused(authority: trustme.CA) -> None:
    context = serving(authority.issue_cert("localhost"))
    with warnings.catch_warnings():
        # It is the old protocol that is wanted.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    clock = RetryClock(0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve_old, args=(listening, context))
        server.start()
        try:
            config = line_config(f"wss://127.0.0.1:{listening.getsockname()[1]}")
            opener = WebSockets(tls=trusting(authority))
            async with running(config, clock, opener=opener) as (line, sink):
                await sink.until_reconnecting()
                assert sink.reasons == ["tls: tlsv1 alert protocol version"]
                assert line.closes == {"tls": 1}
                await sink.until(lambda: clock.waits)
                assert 10.0 <= clock.waits[0] <= 11.0
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            server.join()


async def test_a_peer_that_speaks_no_tls_is_refused() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    clock = RetryClock(1)
    async with (
        tcp_peer(plain) as port,
        running(line_config(f"wss://127.0.0.1:{port}"), clock) as (line, sink),
    ):
        await sink.until_reconnecting(2)
        assert sink.reasons[0].startswith("tls: ")
        assert 10.0 <= clock.waits[0] <= 11.0
        assert line.closes == {"tls": 2}
