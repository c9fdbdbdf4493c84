"""Slow and compressed clients over real sockets, on both event loops."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from tapecast._core import Batch

from .server_fakes import FrameReader, Serve, Served, receive

SOFT_BYTES = 262_144
PORTION_BYTES = 65_536
SEND_BUFFER_BYTES = 131_072


async def publish(served: Served, *batches: Batch) -> list[int]:
    """Publish batches, wait until they are written, and return the numbers of their messages."""
    for batch in batches:
        served.hub.publish(batch)
    while served.hub.queued_bytes or served.hub._writing is not None:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return [message.seq for batch in batches for message in batch]


async def publish_until_slow(served: Served, clients: int) -> int:
    """Publish until so many clients are slow, and return how many bytes that took."""
    published_bytes = 0
    while len(served.hub._slow) < clients:
        batch = served.engine.trades(100)
        published_bytes += batch.frames_bytes
        await publish(served, batch)
    return published_bytes


class Reader:
    """Reads a socket as slowly as the test says."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._frames = FrameReader()
        self.messages: list[dict[str, Any]] = []

    async def read(self, size: int) -> None:
        data = await asyncio.get_running_loop().sock_recv(self._sock, size)
        assert data
        self.messages += self._frames.feed(data)

    @property
    def known_to(self) -> int:
        """The number up to which it has everything or knows what it lacks."""
        last = self.messages[-1] if self.messages else {}
        return int(last.get("to_seq", last.get("seq", -1)))


def check_account(messages: Sequence[dict[str, Any]], published: Sequence[int]) -> int:
    """Check that every number was received, or announced as dropped; return how many were."""
    gaps = [message for message in messages if message.get("scope") == "client"]
    numbers = [message["seq"] for message in messages]
    assert numbers == sorted(numbers)
    received = {message["seq"] for message in messages if message not in gaps}
    missed = [seq for seq in published if seq not in received]
    for gap in gaps:
        within = [seq for seq in missed if gap["from_seq"] <= seq <= gap["to_seq"]]
        assert gap["dropped"] == len(within)
    assert sum(gap["dropped"] for gap in gaps) == len(missed)
    return len(missed)


async def test_clients_that_never_read_are_cut_after_two_seconds_and_hold_little(
    serve: Serve,
) -> None:
    async with serve() as served, served.connect() as client:
        await served.subscribed(client)
        socks = [await served.unread() for _ in range(3)]
        held_bytes = await publish_until_slow(served, 3)
        # What they hold, the kernel's part included, is what was published for them so far.
        assert held_bytes <= 5 << 18
        for _ in range(100):
            await publish(served, served.engine.trades(100))
        most = max(known.pending_bytes for known in served.listener._clients)
        assert SOFT_BYTES < most <= SOFT_BYTES + PORTION_BYTES
        served.clock.now_s += 1.89
        await publish(served, served.engine.stats())
        assert served.hub.subscribers == 4
        served.clock.now_s += 0.02
        while served.hub.subscribers > 1:  # noqa: ASYNC110 -- the broadcaster looks by itself
            await asyncio.sleep(0.01)
        assert served.hub.counts.slow_consumers == 3
        seqs = [(await receive(client))["seq"] for _ in range(served.engine.seq)]
        assert seqs == list(range(1, served.engine.seq + 1))
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("policy", ["conflate", "drop"])
@pytest.mark.parametrize("chosen", [{}, {"types": ["trade", "stats"], "symbols": ["BTC*"]}])
async def test_a_throttled_reader_gets_everything_or_is_told(
    serve: Serve, policy: str, chosen: dict[str, Any]
) -> None:
    async with serve() as served:
        sock = await served.unread(slow_policy=policy, **chosen)
        reader = Reader(sock)
        published: list[int] = []
        while len(published) < 12_000:
            engine = served.engine
            batches = [engine.trades(300), engine.stats(), engine.candle("ETHUSDT"), engine.gap()]
            await publish(served, *batches)
            published += [
                message.seq
                for batch in batches
                for message in batch
                if not chosen
                or message.type == "stats"
                or (message.type == "trade" and message.symbol == "BTCUSDT")
            ]
            await reader.read(20_000)
        assert served.hub._slow
        while reader.known_to < published[-1]:
            await reader.read(1 << 20)
        dropped = check_account(reader.messages[1:], published)
        assert dropped > 1_000
        assert served.hub.counts.dropped_messages == dropped
        kept = {message["seq"] for message in reader.messages}
        if policy == "conflate" and not chosen:
            # Of all gaps of the exchange's side not one is lost.
            gaps = [seq for seq in published if seq % 305 == 0]
            assert kept.issuperset(gaps)
        # It has caught up, and gets what follows as it comes.
        published = await publish(served, served.engine.trades(10))
        while reader.known_to < published[-1]:
            await reader.read(1 << 20)
        assert [message["seq"] for message in reader.messages[-10:]] == published
        assert served.hub.counts.slow_consumers == 0
        sock.close()


async def test_a_drained_client_of_an_idle_stream_gets_what_was_withheld(serve: Serve) -> None:
    async with serve() as served:
        sock = await served.unread()
        reader = Reader(sock)
        await publish_until_slow(served, 1)
        await publish(served, served.engine.trades(100), served.engine.stats())
        while reader.known_to < served.engine.seq:
            await reader.read(1 << 20)
        assert check_account(reader.messages[1:], range(1, served.engine.seq + 1)) == 100
        assert [message["type"] for message in reader.messages[-2:]] == ["gap", "stats"]
        sock.close()


async def test_unsubscribing_while_slow_leaves_no_hole_unannounced(serve: Serve) -> None:
    async with serve() as served:
        sock = await served.unread()
        reader = Reader(sock)
        await publish_until_slow(served, 1)
        await publish(served, served.engine.trades(100), served.engine.stats())
        command = b'{"action":"unsubscribe","topic":"status"}'
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command)
        while not reader.messages or reader.messages[-1]["type"] != "unsubscribed":
            await reader.read(1 << 20)
        assert check_account(reader.messages[1:-1], range(1, served.engine.seq + 1)) == 100
        sock.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes twice what it is asked for")
async def test_the_kernel_holds_no_more_than_it_is_asked_to(serve: Serve) -> None:
    async with serve() as served, served.connect() as client:
        await served.subscribed(client)
        (connection,) = served.listener._connections
        accepted = connection.transport.get_extra_info("socket")
        sent = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert sent == 2 * SEND_BUFFER_BYTES


async def test_pings_and_replies_keep_their_place_in_the_stream(serve: Serve) -> None:
    async with serve(ping_interval_s=0.01) as served, served.connect() as client:
        await served.subscribed(client)
        for number in range(50):
            served.hub.publish(served.engine.trades(20))
            await client.send(f'{{"action":"ping","id":{number}}}')
            await (await client.ping())
            seqs = [message.get("seq") for message in [await receive(client) for _ in range(21)]]
            assert seqs.count(None) == 1
            numbers = [seq for seq in seqs if seq is not None]
            assert numbers == list(range(number * 20 + 1, number * 20 + 21))
            served.clock.now_s += 1.0


DEFLATES = {
    "as browsers offer it": ClientPerMessageDeflateFactory(),
    "small windows": ClientPerMessageDeflateFactory(
        server_max_window_bits=9, client_max_window_bits=9
    ),
    "none": None,
}


@pytest.mark.parametrize("offer", DEFLATES)
async def test_compressed_and_plain_clients_get_the_same(serve: Serve, offer: str) -> None:
    deflate = DEFLATES[offer]
    async with (
        serve(compression=True) as served,
        served.connect() as usual,
        connect(
            f"ws://127.0.0.1:{served.listener.port}/ws/status",
            proxy=None,
            compression=None,
            extensions=None if deflate is None else [deflate],
        ) as client,
    ):
        for one in (usual, client):
            await served.subscribed(one, types=["trade", "stats"])
        await client.send('{"action":"ping"}')
        assert (await receive(client))["type"] == "pong"
        seqs = await publish(served, served.engine.trades(400), served.engine.stats())
        for one in (usual, client):
            assert [(await receive(one))["seq"] for _ in seqs] == seqs
        bits = sorted(known.window_bits for known in served.listener._clients)
        assert bits == sorted([11, {"small windows": 9, "none": 0}.get(offer, 11)])
        assert served.hub._groups.count == len(set(bits))


async def test_a_slow_compressed_client_is_told_what_it_lacks(serve: Serve) -> None:
    async with serve(compression=True) as served:
        sock = await served.unread(offers="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        (client,) = served.listener._clients
        assert client.window_bits == 11
        reader = Reader(sock)
        await publish_until_slow(served, 1)
        await publish(served, served.engine.trades(100), served.engine.stats())
        while reader.known_to < served.engine.seq:
            await reader.read(1 << 20)
        assert check_account(reader.messages[1:], range(1, served.engine.seq + 1)) == 100
        sock.close()
