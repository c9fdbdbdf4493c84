"""The end: who is told what, in which time."""

import asyncio
import json
from contextlib import suppress
from typing import cast

import pytest
from websockets.exceptions import ConnectionClosed

from tapecast.messages import Bye, decode_message
from tapecast.server.descriptors import most_connections

from .server_fakes import Serve, Served, receive

UPGRADE = (
    b"GET /ws/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
COMMAND = b'{"action":"subscribe","topic":"status"}'
# Masked with zeros.
SUBSCRIBE = bytes([0x81, 0x80 | len(COMMAND), 0, 0, 0, 0]) + COMMAND
REASON = b"\x03\xf4server is shutting down"
CLOSE = bytes([0x88, len(REASON)]) + REASON


async def raw_answer(served: Served, path: str) -> bytes:
    reader, writer = await served.raw()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_every_subscriber_is_told_bye_and_when_to_come_back(serve: Serve) -> None:
    async with serve() as served:
        clients = [await served.connect() for _ in range(10)]
        for client in clients[:9]:
            await served.subscribed(client)
        served.hub.publish(served.engine.trades())
        served.hub.flush_all()
        await served.listener.__aexit__(None, None, None)
        times = set()
        for client in clients[:9]:
            assert (await receive(client))["type"] == "trade"
            bye = decode_message(await client.recv(decode=False))
            assert isinstance(bye, Bye)
            assert 500 <= bye.retry_ms <= 5_000
            times.add(bye.retry_ms)
        assert len(times) > 1
        for client in clients:
            # Who has not subscribed is told nothing but the close.
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1012, "server is shutting down")


async def test_while_closing_nobody_is_let_in_and_nothing_is_ready(serve: Serve) -> None:
    async with serve() as served:
        assert (await raw_answer(served, "/readyz")).endswith(b'{"status":"ready"}')
        served.listener.refuse()
        answer = await raw_answer(served, "/readyz")
        assert answer.startswith(b"HTTP/1.1 503 ")
        body = {"status": "not_ready", "reasons": ["server is shutting down"]}
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == body
        reader, writer = await served.raw()
        writer.write(UPGRADE)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        assert answer.endswith(b'"message":"server is shutting down"}')


async def test_many_clients_are_told_over_a_while_and_who_never_reads_holds_nobody_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.server.closing._AT_ONCE", 2)
    loop = asyncio.get_running_loop()
    async with serve(shutdown_timeout_s=1.0, slow_policy="disconnect") as served:
        clients = [await served.connect() for _ in range(20)]
        for client in clients:
            await served.subscribed(client)
        silent = [await served.unread() for _ in range(3)]
        for _ in range(9):
            served.hub.publish(served.engine.trades(370))
            served.hub.flush_all()
            await asyncio.sleep(0)
        before_s = loop.time()
        await served.listener.__aexit__(None, None, None)
        assert loop.time() - before_s < 1.5
        for client in clients:
            kinds = []
            with suppress(ConnectionClosed):
                while True:
                    kinds.append((await receive(client))["type"])
            assert kinds[-1] == "bye"
            assert client.close_code == 1012
        assert served.listener.clients == 0
        assert not served.listener._connections
        for sock in silent:
            sock.close()


class Healthy(asyncio.Protocol):
    """Subscribes, reads everything, and closes when it is told to."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(UPGRADE + SUBSCRIBE)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if CLOSE in self.received:
            self.transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed.set()


async def test_a_thousand_clients_of_which_some_never_read_are_left_in_three_seconds(
    serve: Serve,
) -> None:
    loop = asyncio.get_running_loop()
    if most_connections() < 2_200:
        pytest.skip("too few file descriptors")
    async with serve(accept_per_s=5_000, slow_policy="disconnect") as served:
        healthy = []
        for _ in range(900):
            _, client = await loop.create_connection(Healthy, "127.0.0.1", served.listener.port)
            healthy.append(client)
        silent = [await served.unread() for _ in range(100)]
        while served.hub.subscribers < 1_000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(6):
            served.hub.publish(served.engine.trades(370))
            served.hub.flush_all()
            await asyncio.sleep(0.1)
        assert served.listener.pending_bytes > 100_000
        before_s, turns = loop.time(), 0
        closing = asyncio.create_task(served.listener.__aexit__(None, None, None))
        while not closing.done():
            turns += 1
            await asyncio.sleep(0.001)
        await closing
        assert loop.time() - before_s < 3.0
        assert turns > 100
        for client in healthy:
            await client.closed.wait()
            assert client.received.count(b'"type":"bye"') == 1
            assert client.received.endswith(CLOSE)
        assert served.listener.clients == 0
        for sock in silent:
            sock.close()
