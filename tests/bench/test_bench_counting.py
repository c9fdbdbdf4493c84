"""The counting client: exact counts, however the bytes are cut."""

import asyncio

import pytest

from tapecast import Engine
from tapecast.bench.corpus import START_MS, STEP_MS, frames
from tapecast.bench.counting import MARK, CountingClient


async def connected() -> CountingClient:
    client = CountingClient()
    client.data_received(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    return client


@pytest.mark.parametrize("size", [1, 2, len(MARK) - 1, len(MARK), len(MARK) + 1, 1_000])
async def test_every_trade_message_counts_once_however_the_bytes_are_cut(size: int) -> None:
    engine, sent, count = Engine(), b"", 0
    for number, (frame, _) in enumerate(frames(20)):
        received_ms = START_MS + int(number * STEP_MS) + 1
        batch = engine.feed(frame, received_ns=received_ms * 1_000_000)
        sent, count = sent + batch.frames, count + len(batch)
    client = await connected()
    for start in range(0, len(sent), size):
        client.data_received(sent[start : start + size])
    assert client.count == count > 20


async def test_a_client_is_ready_with_the_first_byte_after_the_handshake() -> None:
    client = CountingClient()
    client.data_received(b"HTTP/1.1 101 Switching Proto")
    client.data_received(b"cols\r\n\r\n")
    assert not client.ready.done()
    client.data_received(b"\x81")
    assert client.ready.done()


async def test_a_refused_handshake_says_what_was_answered() -> None:
    client = CountingClient()
    client.data_received(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    with pytest.raises(ConnectionError, match=r"HTTP/1.1 503 Service Unavailable, expected"):
        await client.ready


async def test_a_connection_lost_before_anything_came_is_an_error() -> None:
    client = await connected()
    client.connection_lost(None)
    async with asyncio.timeout(5):
        await client.lost.wait()
    with pytest.raises(ConnectionError, match="closed before the first message"):
        await client.ready
