"""The stream over real sockets, on both event loops: conversations, limits, abuse, the end."""

import asyncio
import json
import socket
from contextlib import suppress

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tapecast.messages import Pong, decode_message
from tapecast.server import Hub, Listener

from .server_fakes import FakeClock, FakeEngine, Serve, Served, receive

PING = '{"action":"ping"}'


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    """Read a client to its end and return the close code and reason."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    return client.close_code, client.close_reason


async def ended(reader: asyncio.StreamReader) -> None:
    """Read a connection without handshake to its end, which may be a reset."""
    with suppress(ConnectionResetError):
        assert await reader.read() == b""


async def errors(client: ClientConnection, number: int) -> list[str]:
    """Return the codes of the next replies."""
    return [(await receive(client))["code"] for _ in range(number)]


async def test_a_subscriber_gets_the_snapshot_then_everything_in_order(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        served.hub.publish(served.engine.trades())
        snapshot = await served.subscribed(client, id="a")
        assert snapshot == {
            "topic": "status",
            "type": "snapshot",
            "epoch": "e-1",
            "seq": 1,
            "id": "a",
        }
        for _ in range(100):
            served.hub.publish(served.engine.trades())
            served.hub.publish(served.engine.stats())
        assert [(await receive(client))["seq"] for _ in range(200)] == list(range(2, 202))


async def test_a_ping_gets_a_pong_with_the_wall_clock(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        await client.send('{"action":"ping","id":1.50}')
        reply = await client.recv(decode=False)
        assert reply.endswith(b'"id":1.50}')
        assert decode_message(reply) == Pong(timestamp=served.clock.now_ms, id=1.5)


async def test_a_second_subscribe_replaces_the_first(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        await served.subscribed(client)
        await served.subscribed(client, types=["trade"], symbols=["ETH*"])
        for batch in (
            served.engine.stats(),
            served.engine.trades(),
            served.engine.trades(1, "ETHUSDT"),
        ):
            served.hub.publish(batch)
        assert (await receive(client))["seq"] == 3
        assert served.hub.subscribers == 1


async def test_unsubscribe_stops_the_stream_and_keeps_the_connection(serve: Serve) -> None:
    async with serve(idle_timeout_s=0.5) as served, served.connect() as client:
        await served.subscribed(client)
        await client.send('{"action":"unsubscribe","topic":"status","id":null}')
        assert await receive(client) == {"topic": "status", "type": "unsubscribed", "id": None}
        served.hub.publish(served.engine.trades())
        # Longer than the idle timeout: it holds only for who has never subscribed.
        async with served.connect() as other:
            assert (await closed(other))[0] == 1008
        await client.send(PING)
        assert (await receive(client))["type"] == "pong"
        assert (await served.subscribed(client))["seq"] == 1


async def test_history_and_filters_reach_the_engine(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        served.engine.trades(1, "BTCUSDT", "spot")
        snapshot = await served.subscribed(
            client,
            history={"candles": 120},
            types=["ohlcv"],
            symbols=["spot:*"],
            since={"epoch": "old", "seq": 7},
        )
        assert snapshot["recovered"] is False
        assert served.engine.asked == [
            {"history": 120, "types": ("ohlcv",), "symbols": {"spot:BTCUSDT"}}
        ]


async def test_in_progress_candles_come_when_asked_for(serve: Serve) -> None:
    async with serve() as served, served.connect() as client, served.connect() as plain:
        await served.subscribed(client, partial_ms=1000)
        await served.subscribed(plain)
        served.engine.trades()
        served.hub.tick(now_s=served.clock.now_s + 0.999)
        served.hub.tick(now_s=served.clock.now_s + 1.0)
        served.hub.publish(served.engine.stats())
        assert [(await receive(client))["type"] for _ in range(2)] == ["ohlcv", "stats"]
        assert (await receive(plain))["type"] == "stats"


async def test_a_bad_command_is_answered_and_the_connection_stays(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        await client.send('{"action":"dance","id":"x"}')
        assert await receive(client) == {
            "topic": "status",
            "type": "error",
            "code": "unknown_action",
            "message": 'action is "dance", expected "subscribe", "unsubscribe" or "ping"',
            "id": "x",
        }
        await client.send("x" * 5000)
        assert await receive(client) == {
            "topic": "status",
            "type": "error",
            "code": "too_large",
            "message": "command has 5000 bytes, expected at most 4096",
        }
        await client.send(PING)
        assert (await receive(client))["type"] == "pong"
        assert served.hub.counts.command_errors == 2


async def test_ten_errors_in_a_row_close_with_1008(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        for _ in range(10):
            await client.send("?")
        assert await errors(client, 10) == ["bad_json"] * 10
        assert await closed(client) == (1008, "10 errors in a row")


async def test_a_flood_gets_one_error_and_is_closed_with_1008(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        for _ in range(100):
            await client.send(PING)
        assert [(await receive(client))["type"] for _ in range(40)] == ["pong"] * 40
        assert await errors(client, 1) == ["rate_limited"]
        assert await closed(client) == (1008, "command flood, expected at most 20 commands/s")


@pytest.mark.parametrize(
    ("frame", "opcode", "close"),
    [
        (b"{}", "binary", (1003, "frame is binary, expected text")),
        (b"\xff", "text", (1007, "invalid start byte at position 0")),
        (b"x" * 70_000, "text", (1009, "frame with 70000 bytes exceeds limit of 65536 bytes")),
    ],
)
async def test_what_is_no_command_at_all_closes_the_connection(
    serve: Serve, frame: bytes, opcode: str, close: tuple[int, str]
) -> None:
    async with serve() as served, served.connect() as client:
        await client.send(frame, text=opcode == "text")
        assert await closed(client) == close


async def test_who_never_subscribes_is_closed_and_pings_do_not_help(serve: Serve) -> None:
    async with serve(idle_timeout_s=0.5) as served, served.connect() as client:
        await client.send(PING)
        assert (await receive(client))["type"] == "pong"
        assert await closed(client) == (1008, "no subscription within 0.5 s")


async def test_more_clients_than_allowed_are_answered_503(serve: Serve) -> None:
    async with serve(max_clients=1) as served:
        async with served.connect():
            with pytest.raises(InvalidStatus) as refused:
                async with served.connect():
                    pass
            response = refused.value.response
            assert response.status_code == 503
            assert 1 <= int(response.headers["Retry-After"]) <= 5
            assert json.loads(response.body or b"") == {
                "error": "service_unavailable",
                "message": "1 clients are connected, expected at most 1",
            }
            assert served.hub.counts.rejected_clients == 1
        # The place of a client that has left is free again.
        async with served.connect() as client:
            assert (await served.subscribed(client))["type"] == "snapshot"


async def publish_at_the_pace_of(client: ClientConnection, served: Served) -> int:
    """Publish 100 kB of trades and return the number of the last, all received in order."""
    batch = served.engine.trades(370)
    served.hub.publish(batch)
    seqs = [message.seq for message in batch]
    assert [(await receive(client))["seq"] for _ in seqs] == seqs
    return seqs[-1]


async def test_shutting_down_tells_1012_and_does_not_wait_for_who_never_reads(serve: Serve) -> None:
    loop = asyncio.get_running_loop()
    async with serve(shutdown_timeout_s=1.0) as served:
        async with served.connect() as client:
            await served.subscribed(client)
            with await served.unread():
                while max(known.pending_bytes for known in served.listener._clients) < 200_000:
                    await publish_at_the_pace_of(client, served)
                started_s = loop.time()
                async with asyncio.timeout(3):
                    await served.listener.__aexit__(None, None, None)
                assert loop.time() - started_s < 3.0
                assert await closed(client) == (1012, "server is shutting down")
        assert served.listener.clients == 0
        assert served.hub.subscribers == 0
        assert not served.listener._connections


async def test_shutting_down_with_healthy_clients_does_not_use_up_the_time(serve: Serve) -> None:
    async with serve(shutdown_timeout_s=30.0) as served, served.connect() as client:
        await served.subscribed(client)
        reader, writer = await served.raw()
        async with asyncio.timeout(10):
            _, code = await asyncio.gather(
                served.listener.__aexit__(None, None, None), closed(client)
            )
        assert code == (1012, "server is shutting down")
        await ended(reader)
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /ws/status HTTP/1.1\r\nHost: x\r\nUpgr"])
async def test_a_handshake_that_never_ends_is_closed(serve: Serve, sent: bytes) -> None:
    async with serve(handshake_timeout_s=0.05) as served:
        reader, writer = await served.raw()
        writer.write(sent)
        await ended(reader)
        writer.close()


async def test_a_client_that_vanishes_leaves_nothing_behind(serve: Serve) -> None:
    async with serve() as served:
        sock = await served.unread()
        (connection,) = served.listener._connections
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        await connection.wait_closed()
        server = served.listener._server
        assert server is not None
        if server.handler_tasks:
            await asyncio.wait(server.handler_tasks)
        assert served.listener.clients == 0
        assert served.hub.subscribers == 0


async def test_a_client_that_answers_no_ping_is_closed_with_1011(serve: Serve) -> None:
    async with serve(ping_interval_s=0.05, ping_timeout_s=0.05, close_timeout_s=0.05) as served:
        with await served.unread() as sock:
            received = b""
            while data := await asyncio.get_running_loop().sock_recv(sock, 4096):
                received += data
        # Opcode 8, then the code 1011 in network order (RFC 6455, section 5.5.1).
        close = b"\x03\xf3keepalive ping timeout"
        assert received.endswith(bytes([0x88, len(close)]) + close)


async def test_small_messages_leave_at_once_and_the_port_can_be_reused(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        await served.subscribed(client)
        (connection,) = served.listener._connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert served.listener._server is not None
        listening = served.listener._server.sockets[0]
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert connection.protocol.extensions == []


async def test_a_port_in_use_is_a_clear_error(serve: Serve) -> None:
    async with serve() as served:
        port = served.listener.port
        with pytest.raises(OSError, match="cannot listen") as refused:
            async with Listener(Hub(FakeEngine()), FakeClock(), port=port):
                pass
        assert (
            refused.value.strerror == f"cannot listen on 127.0.0.1:{port}: address already in use"
        )


async def test_a_given_socket_is_listened_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        async with Listener(Hub(FakeEngine()), FakeClock(), sock=sock) as listener:
            assert listener.port == port


async def test_the_port_of_a_closed_listener_is_unknown() -> None:
    listener = Listener(Hub(FakeEngine()), FakeClock())
    with pytest.raises(RuntimeError) as unknown:
        _ = listener.port
    assert str(unknown.value) == "listener is not open, expected to be within its context"


async def test_the_failure_of_the_engine_closes_that_client_alone_with_1011(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve() as served, served.connect() as client, served.connect() as other:
        await served.subscribed(other)
        served.engine.trades()

        def broken(**_: object) -> bytes:
            raise ValueError("no snapshot today")

        monkeypatch.setattr(served.engine, "snapshot", broken)
        await client.send('{"action":"subscribe","topic":"status"}')
        assert (await closed(client))[0] == 1011
        served.hub.publish(served.engine.trades())
        assert (await receive(other))["seq"] == 2
