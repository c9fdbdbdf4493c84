"""U18 and U19: bytes that are no WebSocket, and messages that are too long, over real sockets."""

import tracemalloc

import pytest
from websockets.asyncio.server import ServerConnection

from .bybit_fakes import RetryClock, acknowledge, line_config, peer, running

MEBIBYTE = 1 << 20

BAD: list[tuple[str, bytes, str]] = [
    ("reserved bit", b"\xc1\x02{}", "own_1002"),
    ("unknown opcode", b"\x83\x02{}", "own_1002"),
    ("unknown control opcode", b"\x8b\x00", "own_1002"),
    ("masked by the server", b"\x81\x82\x00\x00\x00\x00{}", "own_1002"),
    ("long ping", b"\x89\x7e\x00\x7e" + b"x" * 126, "own_1002"),
    ("split ping", b"\x09\x02{}", "own_1002"),
    ("continuation of nothing", b"\x80\x02{}", "own_1002"),
    ("text within a split text", b"\x01\x02{}\x81\x02{}", "own_1002"),
    ("close frame of one byte", b"\x88\x01\x03", "own_1002"),
    ("close reason that is no text", b"\x88\x04\x03\xe8\xff\xfe", "own_1007"),
    ("1 GiB declared", b"\x81\x7f" + (1 << 30).to_bytes(8, "big") + b"x", "own_1009"),
    ("largest length declared", b"\x81\x7f" + ((1 << 63) - 1).to_bytes(8, "big"), "own_1009"),
]


@pytest.mark.parametrize(("sent", "kind"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
async def test_what_is_no_websocket_ends_the_connection_and_the_line_goes_on(
    sent: bytes, kind: str
) -> None:
    """U18: bad frames; U19: huge messages."""

    async def talk(connection: ServerConnection) -> None:
        await acknowledge(connection)
        connection.transport.write(sent)
        await connection.wait_closed()

    async with peer(talk) as url, running(line_config(url), RetryClock()) as (line, sink):
        await sink.until_subscribed(2)
        assert line.closes == {kind: 1}
        assert sink.frames == []


async def test_a_frame_that_is_cut_off_ends_the_connection_and_the_line_goes_on() -> None:
    """U18: truncated frame and FIN."""

    async def talk(connection: ServerConnection) -> None:
        await acknowledge(connection)
        connection.transport.write(b"\x81\x7e\x01\x00{")
        connection.transport.close()

    async with peer(talk) as url, running(line_config(url), RetryClock()) as (line, sink):
        await sink.until_subscribed(2)
        assert line.closes == {"1006": 1}
        assert sink.frames == []


async def test_text_that_is_no_utf_8_is_for_the_engine_to_refuse() -> None:
    """U18: UTF-8. The connection is good, and the engine has the words for the frame."""

    async def talk(connection: ServerConnection) -> None:
        await acknowledge(connection)
        connection.transport.write(b"\x81\x02\xff\xfe")
        await connection.wait_closed()

    async with peer(talk) as url, running(line_config(url), RetryClock()) as (line, sink):
        await sink.until_frames(1)
        assert sink.frames == [b"\xff\xfe"]
        assert line.closes == {}


async def test_memory_does_not_grow_by_what_is_too_long() -> None:
    """U19: huge messages, in one piece and in many."""
    piece = b"\x00\x7e\xff\xff" + b"x" * 65_535

    async def talk(connection: ServerConnection) -> None:
        await acknowledge(connection)
        connection.transport.write(b"\x01\x00")
        for _ in range(40):
            connection.transport.write(piece)
        await connection.wait_closed()

    async with (
        peer(talk, write_limit=8 * MEBIBYTE) as url,
        running(line_config(url), RetryClock(99)) as (line, sink),
    ):
        await sink.until_subscribed()
        tracemalloc.start()
        try:
            await sink.until_subscribed(8)
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert line.closes["own_1009"] >= 7
        # The sender's buffers are in it too.
        assert most_bytes < 16 * MEBIBYTE


async def test_compression_is_not_spoken() -> None:
    """U19: a bomb cannot be packed."""
    offered: list[str | None] = []

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        offered.append(connection.request.headers.get("Sec-WebSocket-Extensions"))
        await acknowledge(connection)
        await connection.wait_closed()

    async with peer(talk) as url, running(line_config(url)) as (_, sink):
        await sink.until_subscribed()
        assert offered == [None]
