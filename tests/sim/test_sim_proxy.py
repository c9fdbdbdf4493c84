"""The proxy between two real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from tapecast.sim import toxics
from tapecast.sim.cabinet import Cabinet
from tapecast.sim.pipe import HangUp, Pipe
from tapecast.sim.proxy import ChaosProxy
from tapecast.sim.toxics import Toxic

LIMIT_S = 20.0
SHORT_S = 0.15
"""How long a test waits for what must not come."""


class End:
    """A client of the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def echo(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.reader.readexactly(len(data))


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Serve what comes in back, until its end; give the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def proxied(*script: Toxic, seed: int = 0) -> AsyncIterator[ChaosProxy]:
    async with (
        asyncio.timeout(LIMIT_S),
        echo_server() as port,
        ChaosProxy(("127.0.0.1", port), seed=seed, toxics=script) as proxy,
    ):
        yield proxy


@asynccontextmanager
async def client(proxy: ChaosProxy) -> AsyncIterator[End]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield End(reader, writer)
    finally:
        writer.transport.abort()


async def assert_silent(end: End) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT_S):
            await end.reader.read(1)


async def test_bytes_pass_in_both_directions_and_ends_do() -> None:
    async with proxied() as proxy, client(proxy) as end:
        data = bytes(range(256)) * 4000
        assert await end.echo(data) == data
        end.writer.write_eof()
        assert await end.reader.read() == b""
        await proxy.wait_connections(0)


async def test_a_target_that_is_not_there_resets() -> None:
    async with echo_server() as port:
        pass
    async with (
        asyncio.timeout(LIMIT_S),
        ChaosProxy(("127.0.0.1", port)) as proxy,
        client(proxy) as end,
    ):
        with pytest.raises(ConnectionResetError):
            await end.reader.read()


async def test_an_end_that_is_gone_already_is_a_reset() -> None:
    class Gone:
        def can_write_eof(self) -> bool:
            return True

        def write_eof(self) -> None:
            raise OSError(107, "Transport endpoint is not connected")

    reader = asyncio.StreamReader()
    reader.feed_eof()
    pipe = Pipe(
        reader,
        cast("asyncio.StreamWriter", Gone()),
        cabinet=Cabinet(0),
        connection=1,
        stream="upstream",
        seed=0,
    )
    await pipe.read()
    with pytest.raises(HangUp) as caught:
        await pipe.write()
    assert caught.value.reset is True


async def test_latency_delays_and_keeps_the_order() -> None:
    async with proxied(toxics.Latency(latency_ms=100, jitter_ms=50)) as proxy, client(proxy) as end:
        begin_s = time.monotonic()
        assert await end.echo(b"one") == b"one"
        assert time.monotonic() - begin_s >= 0.1
        for place in range(20):
            end.writer.write(bytes([place]))
            await asyncio.sleep(0)
        assert await end.reader.readexactly(20) == bytes(range(20))


async def test_latency_of_one_direction_is_half_of_both() -> None:
    toxic = toxics.Latency(latency_ms=150, stream="downstream")
    async with proxied(toxic) as proxy, client(proxy) as end:
        begin_s = time.monotonic()
        await end.echo(b"one")
        assert time.monotonic() - begin_s >= 0.15


async def test_down_refuses_and_cuts_and_comes_back_on_its_port() -> None:
    async with proxied() as proxy:
        port = proxy.port
        async with client(proxy) as end:
            await end.echo(b"x")
            dose = await proxy.add(toxics.Down())
            with pytest.raises(ConnectionResetError):
                await end.reader.read()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await proxy.remove(dose)
        assert proxy.port == port
        async with client(proxy) as end:
            assert await end.echo(b"y") == b"y"


async def test_bandwidth_takes_its_time() -> None:
    toxic = toxics.Bandwidth(rate_bytes_s=50_000, stream="upstream")
    async with proxied(toxic) as proxy, client(proxy) as end:
        begin_s = time.monotonic()
        await end.echo(bytes(15_000))
        assert time.monotonic() - begin_s >= 0.2


async def test_a_slow_close_passes_the_end_on_late() -> None:
    async with proxied(toxics.SlowClose(delay_ms=200)) as proxy, client(proxy) as end:
        await end.echo(b"x")
        begin_s = time.monotonic()
        end.writer.write_eof()
        assert await end.reader.read() == b""
        assert time.monotonic() - begin_s >= 0.2


async def test_a_timeout_lets_nothing_pass_and_closes() -> None:
    async with proxied() as proxy, client(proxy) as end:
        await end.echo(b"x")
        await proxy.add(toxics.Timeout(timeout_ms=100))
        end.writer.write(b"y")
        assert await end.reader.read() == b""


async def test_a_timeout_of_zero_never_closes() -> None:
    async with proxied(toxics.Timeout(timeout_ms=0)) as proxy, client(proxy) as end:
        end.writer.write(b"x")
        await assert_silent(end)
        await proxy.clear()
        assert await end.reader.readexactly(1) == b"x"


@pytest.mark.parametrize("timeout_ms", [0, 50])
async def test_a_reset_is_a_reset(timeout_ms: int) -> None:
    async with proxied() as proxy, client(proxy) as end:
        await end.echo(b"x")
        await proxy.add(toxics.ResetPeer(timeout_ms=timeout_ms))
        with pytest.raises(ConnectionResetError):
            await end.reader.read()


async def test_a_reset_that_is_removed_in_time_is_none() -> None:
    async with proxied() as proxy, client(proxy) as end:
        dose = await proxy.add(toxics.ResetPeer(timeout_ms=60_000))
        await proxy.remove(dose)
        assert await end.echo(b"x") == b"x"


async def test_a_slicer_cuts_into_small_pieces() -> None:
    toxic = toxics.Slicer(average_bytes=10, variation_bytes=5, delay_ms=1, stream="downstream")
    async with proxied(toxic) as proxy, client(proxy) as end:
        data = bytes(range(200))
        end.writer.write(data)
        pieces: list[bytes] = []
        while sum(len(piece) for piece in pieces) < len(data):
            pieces.append(await end.reader.read(1000))
        assert b"".join(pieces) == data
        assert len(pieces) > 3


async def test_a_limit_closes_after_so_many_bytes() -> None:
    toxic = toxics.LimitData(limit_bytes=100, stream="downstream")
    async with proxied(toxic) as proxy, client(proxy) as end:
        end.writer.write(bytes(300))
        assert await end.reader.read() == bytes(100)


@pytest.mark.parametrize("stream", ["both", "upstream", "downstream"])
async def test_a_hole_holds_everything_until_it_ends(stream: str) -> None:
    hole = next(
        toxics.Hole(stream=one) for one in ("both", "upstream", "downstream") if one == stream
    )
    async with proxied() as proxy, client(proxy) as end:
        await end.echo(b"x")
        dose = await proxy.add(hole)
        end.writer.write(b"late")
        await assert_silent(end)
        await proxy.remove(dose)
        assert await end.reader.readexactly(4) == b"late"


async def test_in_a_hole_a_connection_is_accepted_and_nothing_passes() -> None:
    async with proxied(toxics.Hole()) as proxy, client(proxy) as end:
        end.writer.write(b"x")
        end.writer.write_eof()
        await assert_silent(end)
        assert proxy.connections == 1


async def test_bits_flip_and_the_same_ones_by_seed() -> None:
    async def received(seed: int) -> bytes:
        toxic = toxics.Corrupt(rate=0.01, stream="downstream")
        async with proxied(toxic, seed=seed) as proxy, client(proxy) as end:
            return await end.echo(bytes(1000))

    first = await received(1)
    assert 0 < sum(byte != 0 for byte in first) < 100
    assert all(byte.bit_count() <= 1 for byte in first)
    assert await received(1) == first
    assert await received(2) != first


async def test_toxicity_says_how_many_connections_are_befallen() -> None:
    toxic = toxics.LimitData(limit_bytes=0, toxicity=0.5)
    async with proxied(toxic, seed=3) as proxy:
        lived = []
        for _ in range(20):
            async with client(proxy) as end:
                end.writer.write(b"x")
                lived.append(await end.reader.read(1))
        assert 3 < lived.count(b"x") < 17
        assert lived.count(b"x") + lived.count(b"") == 20


async def test_a_script_begins_and_ends_its_toxics() -> None:
    async with proxied(toxics.Hole(at_ms=50, for_ms=150)) as proxy, client(proxy) as end:
        assert await end.echo(b"x") == b"x"
        await asyncio.wait_for(_holed(proxy), LIMIT_S)
        end.writer.write(b"y")
        assert await end.reader.readexactly(1) == b"y"


async def _holed(proxy: ChaosProxy) -> None:
    while proxy._cabinet.first(toxics.Hole, 1) is None:
        await proxy._cabinet.changed.wait()


async def test_what_is_removed_before_it_begins_never_does() -> None:
    async with proxied(toxics.Down(at_ms=60_000)) as proxy, client(proxy) as end:
        await proxy.clear()
        assert await end.echo(b"x") == b"x"


async def test_a_port_in_use_is_an_os_error() -> None:
    async with proxied() as proxy:
        taken = ChaosProxy(("127.0.0.1", 1), port=proxy.port)
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{proxy.port}: address"):
            await taken.__aenter__()
