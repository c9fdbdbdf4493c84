"""Clients that misbehave, over real sockets on both event loops: others never notice."""

import asyncio
import json
import logging
import socket
import struct
import sys
from contextlib import suppress
from itertools import pairwise

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .server_fakes import Serve, Served, receive

UPGRADE = (
    b"GET /ws/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RESET = struct.pack("ii", 1, 0)


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Return a masked frame; a mask of zeros leaves the payload as it is."""
    return bytes([(fin << 7) | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


SUBSCRIBE = frame(1, b'{"action":"subscribe","topic":"status"}')


async def settled(served: Served, clients: int = 0) -> None:
    """Wait until so many clients are left, and nothing of the others."""
    while len(served.listener._connections) > clients or served.listener.clients > clients:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert served.hub.subscribers <= clients


async def upgraded(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection after its handshake."""
    reader, writer = await served.raw()
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def closed_with(reader: asyncio.StreamReader) -> int | None:
    """Read to the end and return the code of the close frame, which comes last."""
    data = b""
    with suppress(ConnectionResetError):
        while more := await reader.read(65_536):
            data += more
    place = data.rfind(b"\x88")
    return None if place < 0 else int.from_bytes(data[place + 2 : place + 4], "big")


@pytest.mark.parametrize(
    "endless",
    [b"", b"GET", b"GET /ws/status HTTP/1.1\r\nHost: x\r\n"],
    ids=["nothing", "half a line", "endless headers"],
)
async def test_slow_handshakes_end_in_time_and_a_new_client_gets_in(
    serve: Serve, endless: bytes
) -> None:
    async with serve(handshake_timeout_s=0.6) as served:
        connections = [await served.raw() for _ in range(200)]
        for _, writer in connections:
            writer.write(endless)

        async def drip() -> None:
            number = 0
            while True:
                for _, writer in connections:
                    writer.write(b"X: y\r\n" if b"\n" in endless else b"x"[: len(endless)])
                number += 1
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        async with served.connect() as client:
            await served.subscribed(client)
            assert loop.time() - before_s < 0.5
            await settled(served, clients=1)
        assert loop.time() - before_s < 3.0
        dripping.cancel()
        for reader, writer in connections:
            with suppress(ConnectionError):
                await reader.read()
            writer.close()


async def test_too_many_headers_are_refused(serve: Serve) -> None:
    async with serve() as served:
        reader, writer = await served.raw()
        writer.write(b"GET /ws/status HTTP/1.1\r\n" + b"X: y\r\n" * 200)
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_storm_of_disconnects_leaves_nothing_and_holds_nobody_up(serve: Serve) -> None:
    async with serve(max_clients=1_200, accept_per_s=2_000) as served:
        loop = asyncio.get_running_loop()
        socks = []
        for number in range(1_000):
            sock = socket.socket()
            sock.setblocking(False)  # noqa: FBT003 -- it takes no keyword
            await loop.sock_connect(sock, ("127.0.0.1", served.listener.port))
            await loop.sock_sendall(sock, UPGRADE + (SUBSCRIBE if number % 2 else b""))
            socks.append(sock)
        while served.listener.clients < 1_000 or served.hub.subscribers < 500:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        served.hub.publish(served.engine.trades())
        for number, sock in enumerate(socks):
            if number % 3:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
        async with served.connect() as client:
            await served.subscribed(client)
            served.hub.publish(served.engine.trades())
            assert (await receive(client))["seq"] == 2
            await settled(served, clients=1)
            assert served.hub.subscribers == 1
        server = served.listener._server
        assert server is not None
        while server.handler_tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("sent", [SUBSCRIBE[:9], SUBSCRIBE, SUBSCRIBE * 9])
@pytest.mark.parametrize("resets", [False, True])
async def test_who_goes_while_subscribing_leaves_nothing_behind(
    serve: Serve, sent: bytes, *, resets: bool
) -> None:
    async with serve() as served:
        for _ in range(20):
            served.hub.publish(served.engine.trades(300))
            sock = socket.create_connection(("127.0.0.1", served.listener.port))
            sock.sendall(UPGRADE + sent)
            if resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
            await asyncio.sleep(0)
        await settled(served)
        assert served.hub.resumes._clients == {}


async def test_subscribing_again_and_again_changes_nothing_for_others(serve: Serve) -> None:
    async with serve(commands_per_s=1e9, command_burst=10**9) as served:
        async with served.connect() as client, served.connect() as other:
            await served.subscribed(other)
            seen: set[int] = set()
            for number in range(300):
                since = {"since": {"epoch": "e-1", "seq": max(0, served.engine.seq - 3)}}
                await served.subscribed(client, **(since if number % 2 else {}))
                served.hub.publish(served.engine.trades())
                while (message := await receive(client)).get("seq") != served.engine.seq:
                    seen.add(message["seq"])
            assert [(await receive(other))["seq"] for _ in range(300)] == list(range(1, 301))
            assert served.hub.subscribers == 2
            assert served.hub._groups.count == 1
        await settled(served)


async def joined(served: Served, number: int) -> list[int]:
    """Join, by a snapshot or by resuming, and return the numbers after it up to the 400th."""
    async with served.connect() as client:
        since = {"since": {"epoch": "e-1", "seq": 1}} if number % 2 else {}
        reply = await served.subscribed(client, **since)
        seqs = [1 if since else reply["seq"]]
        while seqs[-1] < 400:
            seqs.append((await receive(client))["seq"])
        return seqs


async def publishing(served: Served) -> None:
    """Publish until cancelled, for those who join late."""
    while True:
        served.hub.publish(served.engine.trades())
        await asyncio.sleep(0.001)


async def test_whoever_joins_while_publishing_has_neither_hole_nor_repeat(serve: Serve) -> None:
    async with serve() as served:
        served.hub.publish(served.engine.trades())
        joins = [asyncio.create_task(joined(served, number)) for number in range(100)]
        while served.engine.seq < 400:
            served.hub.publish(served.engine.trades())
            await asyncio.sleep(0.001)
        late = asyncio.create_task(publishing(served))
        for seqs in await asyncio.gather(*joins):
            assert all(after == before + 1 for before, after in pairwise(seqs))
        late.cancel()


async def resumed_all(client: ClientConnection, to_seq: int) -> float:
    """Read everything up to a number; return the longest time of the loop's turns meanwhile."""
    loop = asyncio.get_running_loop()
    longest_s, last = 0.0, 0
    while last < to_seq:
        before_s = loop.time()
        message = await receive(client)
        longest_s = max(longest_s, loop.time() - before_s)
        assert message["type"] != "trade" or message["seq"] == last + 1
        last = message.get("seq", last)
    return longest_s


async def test_a_resume_of_the_whole_ring_holds_nobody_up(serve: Serve) -> None:
    async with serve() as served, served.connect() as live, served.connect() as client:
        for _ in range(40):
            served.hub.publish(served.engine.trades(1_000))
        await served.subscribed(live)
        await client.send(
            json.dumps(
                {"action": "subscribe", "topic": "status", "since": {"epoch": "e-1", "seq": 0}}
            )
        )
        reading = asyncio.create_task(resumed_all(client, 40_020))
        loop = asyncio.get_running_loop()
        delays_s = []
        for _ in range(20):
            before_s = loop.time()
            served.hub.publish(served.engine.trades())
            await receive(live)
            delays_s.append(loop.time() - before_s)
            await asyncio.sleep(0.002)
        # Half of them, as the client itself reads in this loop too.
        assert sorted(delays_s)[10] < 0.05
        await reading
        assert served.hub.counts.slow_consumers == 0


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(8, b"\x03\xe8" + b"r" * 123), 1000),
        (frame(8, b"\x0f\xa0" + "grüße".encode()), 4000),
        (frame(8, b""), None),
        (frame(8, b"\x03"), 1002),
        (frame(8, b"\x03\xec"), 1002),
        (frame(8, b"\xff\xff"), 1002),
        (frame(8, b"\x03\xe8\xff"), 1007),
        (frame(9, b"p" * 125, fin=False), 1002),
        (frame(3, b"x"), 1002),
        (frame(0, b"x"), 1002),
        (frame(1, b"{", fin=False) * 2, 1002),
    ],
)
async def test_odd_closes_and_frames_are_answered_by_the_book(
    serve: Serve, sent: bytes, code: int | None
) -> None:
    async with serve() as served:
        reader, writer = await upgraded(served)
        writer.write(sent)
        if code is None:
            assert await reader.read() == b"\x88\0"
        else:
            assert await closed_with(reader) == code
        writer.close()
        await settled(served)


async def test_long_pings_are_answered_and_a_flood_of_them_is_closed(serve: Serve) -> None:
    async with serve(close_timeout_s=0.2) as served, served.connect() as other:
        await served.subscribed(other)
        reader, writer = await upgraded(served)
        writer.write(frame(9, b"p" * 125))
        assert await reader.readexactly(127) == b"\x8a\x7d" + b"p" * 125
        writer.write(frame(9, b"") * 20_000)
        assert await closed_with(reader) == 1008
        writer.close()
        await settled(served, clients=1)
        served.hub.publish(served.engine.trades())
        assert (await receive(other))["seq"] == 1


async def test_who_floods_with_pings_and_reads_nothing_is_gone_all_the_same(serve: Serve) -> None:
    async with serve(close_timeout_s=0.1) as served:
        sock = await served.unread()
        with suppress(ConnectionError):
            while served.listener.clients:
                await asyncio.get_running_loop().sock_sendall(sock, frame(9, b"p" * 125) * 500)
        await settled(served)
        sock.close()


async def test_many_fragments_are_too_large_together(serve: Serve) -> None:
    async with serve() as served:
        reader, writer = await upgraded(served)
        writer.write(frame(1, b"{", fin=False))
        with suppress(ConnectionError):
            for _ in range(1_000):
                writer.write(frame(0, b"x" * 100, fin=False))
                await writer.drain()
        assert await closed_with(reader) == 1009
        writer.close()


async def test_control_characters_reach_neither_the_log_nor_the_reply_raw(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serve() as served, served.connect() as client:
        text = 'nul \0 bell \a escape \x1b[31m line \n "' + "x" * 1_000
        await client.send(text)
        reply = await client.recv()
        assert isinstance(reply, str)
        assert reply.isprintable()
        assert len(reply) < 300
    assert all(record.getMessage().isprintable() for record in caplog.records)


async def test_a_fast_herd_is_told_to_come_back_at_different_times(serve: Serve) -> None:
    async with serve(accept_per_s=3) as served:
        clients = [await served.connect() for _ in range(3)]
        times = set()
        for _ in range(40):
            with pytest.raises(InvalidStatus) as refused:
                await served.connect()
            response = refused.value.response
            assert response.status_code == 503
            message = "too many handshakes at once, expected at most 3 a second"
            assert json.loads(response.body or b"")["message"] == message
            times.add(response.headers["Retry-After"])
        assert len(times) > 1
        assert times <= {"1", "2", "3", "4", "5"}
        assert served.hub.counts.rejected_clients == 40
        served.clock.now_s += 1.0
        clients.append(await served.connect())
        for client in clients:
            await client.close()


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127/8 is this host on Linux alone")
async def test_one_address_gets_no_more_than_its_share(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What comes from this host is exempt; the test's addresses all do.
    monkeypatch.setattr("tapecast.server.admission.address_key", lambda host: host)

    async def client_of(served: Served, address: str) -> ClientConnection:
        return await connect(
            f"ws://127.0.0.1:{served.listener.port}/ws/status",
            proxy=None,
            local_addr=(address, 0),
        )

    async with serve(max_clients_per_address=2) as served:
        clients = [await client_of(served, "127.0.0.2") for _ in range(2)]
        with pytest.raises(InvalidStatus) as refused:
            await client_of(served, "127.0.0.2")
        message = "2 clients are connected from 127.0.0.2, expected at most 2"
        assert json.loads(refused.value.response.body or b"")["message"] == message
        clients.append(await client_of(served, "127.0.0.3"))
        await clients[0].close()
        await settled(served, clients=2)
        clients.append(await client_of(served, "127.0.0.2"))
        for client in clients:
            await client.close()
        await settled(served)
        assert not served.listener._admission._of_address


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this host has no IPv6")
async def test_the_stream_is_served_over_ipv6(serve: Serve) -> None:
    async with serve(host="::1") as served:
        url = f"ws://[::1]:{served.listener.port}/ws/status"
        async with connect(url, proxy=None) as client:
            await served.subscribed(client)
            served.hub.publish(served.engine.trades())
            assert (await receive(client))["seq"] == 1


async def test_the_failure_of_one_write_closes_that_client_alone_with_1011(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve() as served, served.connect() as client, served.connect() as other:
        await served.subscribed(client)
        broken = next(iter(served.listener._clients))
        await served.subscribed(other)
        deliver = type(broken).deliver

        def fail(self: object, share: object, *, is_current: bool = False) -> None:
            if self is broken:
                broken._fail()
                raise RuntimeError("cannot be written to")
            deliver(self, share, is_current=is_current)  # type: ignore[arg-type]

        monkeypatch.setattr(type(broken), "deliver", fail)
        served.hub.publish(served.engine.trades())
        assert (await receive(other))["seq"] == 1
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1011
