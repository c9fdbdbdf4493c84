"""Where connections are opened to, in what time, and what they tell of."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection

from tapecast.bybit import Target, Timing, WebSockets
from tapecast.bybit.addresses import Addresses

from .bybit_fakes import LIMIT_S, RetryClock, acknowledge, line_config, peer, running, tcp_peer

LOOPBACKS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


async def reached(turn: int, addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return where was connected to, in order; nobody listens there."""
    asked: list[str] = []

    async def refuse(*_args: object, host: str, **_more: object) -> None:
        asked.append(host)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "create_connection", refuse)
    monkeypatch.setattr(asyncio.AbstractEventLoop, "create_connection", refuse)
    opener = WebSockets(Addresses(lambda _host, _port: addresses))
    with pytest.raises(ConnectionRefusedError):
        await opener(Target("wss://stream.example/v5", None, turn), lambda: None)
    return asked


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (0, ["127.0.0.1", "127.0.0.2"]),
        (1, ["127.0.0.2", "127.0.0.3"]),
        (2, ["127.0.0.3", "127.0.0.1"]),
        (7, ["127.0.0.2", "127.0.0.3"]),
    ],
)
async def test_lines_of_different_places_begin_at_different_addresses(
    turn: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """U5: the next address on retry."""
    assert await reached(turn, LOOPBACKS, monkeypatch) == expected


async def test_one_address_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await reached(1, LOOPBACKS[:1], monkeypatch) == LOOPBACKS[:1]


async def test_the_host_of_the_url_is_asked_for_whatever_its_address() -> None:
    hosts: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        hosts.extend(
            line.partition(": ")[2]
            for line in head.decode().split("\r\n")
            if line.lower().startswith("host:")
        )
        writer.close()

    async with asyncio.timeout(LIMIT_S), tcp_peer(answer) as port:
        opener = WebSockets(Addresses(lambda _host, _port: ["127.0.0.1"]))
        config = line_config(f"ws://stream.example:{port}/v5/public/linear")
        async with running(config, RetryClock(0), opener=opener) as (_, sink):
            await sink.until_reconnecting()
    assert hosts == [f"stream.example:{port}"]


async def test_a_handshake_of_a_byte_at_a_time_is_given_up_in_time() -> None:
    """U5: slow handshake."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)

    async with tcp_peer(drip) as port:
        config = line_config(f"ws://127.0.0.1:{port}", open_timeout_s=0.05)
        async with running(config, RetryClock(1)) as (line, sink):
            await sink.until_reconnecting(2)
            assert sink.reasons == ["cannot connect: no connection within 0.05 s"] * 2
            assert line.closes == {"timeout": 2}


async def test_pongs_alone_keep_a_line() -> None:
    """U2: bytes are signs of life that are no frames."""
    timing = Timing(silence_ping_s=0.02, silence_abort_s=5.0)

    async def talk(connection: ServerConnection) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    async with peer(talk) as url, running(line_config(url, timing=timing)) as (line, sink):
        await sink.until_subscribed()
        session = line._session
        assert session is not None
        for _ in range(5):
            alive_s = session._alive_s
            while session._alive_s == alive_s:  # noqa: ASYNC110 -- nobody tells of it
                await asyncio.sleep(0)
        assert sink.reasons == []
        assert sink.frames == []
