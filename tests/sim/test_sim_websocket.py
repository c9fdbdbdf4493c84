"""Faults over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tapecast.sim.exchange import SimExchange, SimSettings
from tapecast.sim.faults import (
    Close,
    Corrupt,
    Drop,
    Fault,
    Hole,
    Late,
    Maintenance,
    NoPong,
    RefuseHandshake,
    RestHtml,
    RestTimeout,
    Script,
    StallHandshake,
)
from tests.sim.desks import BTC, START_MS, TRADES, ids

LIMIT_S = 20.0
SHORT_S = 0.2
"""How long a test waits for what must not come."""


def settings(*faults: Fault) -> SimSettings:
    return SimSettings(live=False, start_ms=START_MS, rate=0.0, faults=Script(faults=faults))


def line(sim: SimExchange, *, open_timeout_s: float = LIMIT_S) -> connect:
    return connect(
        f"{sim.ws_url}/linear",
        compression=None,
        proxy=None,
        max_queue=None,
        open_timeout=open_timeout_s,
        ping_interval=None,
        close_timeout=SHORT_S,
    )


@asynccontextmanager
async def subscribed(sim: SimExchange) -> AsyncIterator[ClientConnection]:
    async with line(sim) as client:
        await client.send(json.dumps({"op": "subscribe", "args": [TRADES]}))
        assert json.loads(await client.recv())["success"] is True
        yield client


async def test_a_reset_is_no_close() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings()) as sim,
        subscribed(sim) as client,
    ):
        sim.inject(Drop(symbols="BTC*"))
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is None
        assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012])
async def test_a_close_has_its_code_and_reason(code: int) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings()) as sim,
        subscribed(sim) as client,
    ):
        trades = sim.step(1, symbol=BTC)
        sim.inject(Close(code=code, reason="bye"))
        assert ids([await client.recv(decode=False)]) == [trade.trade_id for trade in trades]
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        received = caught.value.rcvd
        told = None if received is None else (received.code, received.reason)
        assert told == (None if code == 1006 else (code, "bye"))
        await sim.wait_connections(0)


async def test_in_a_hole_nothing_passes_and_the_connection_stays() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings()) as sim,
        subscribed(sim) as client,
    ):
        injection = sim.inject(Hole())
        sim.step(5, symbol=BTC)
        await client.send('{"op":"ping"}')
        pong = asyncio.ensure_future(await client.ping())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_S):
                await client.recv()
        assert not pong.done()
        assert sim.connections == 1
        injection.end()
        trades = sim.step(1, symbol=BTC)
        assert ids([await client.recv(decode=False)]) == [trade.trade_id for trade in trades]


async def test_a_client_leaves_a_hole_without_an_answer() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(settings()) as sim:
        async with subscribed(sim) as client:
            sim.inject(Hole())
            await client.close()
            assert client.close_code == 1006
        await sim.wait_connections(0)


async def test_pings_without_pongs() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings()) as sim,
        subscribed(sim) as client,
    ):
        await (await client.ping())
        sim.inject(NoPong())
        pong = asyncio.ensure_future(await client.ping())
        trades = sim.step(1, symbol=BTC)
        assert ids([await client.recv(decode=False)]) == [trade.trade_id for trade in trades]
        assert not pong.done()


async def test_corrupt_text_comes_in_a_valid_frame() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings(Corrupt(form="truncated"))) as sim,
        subscribed(sim) as client,
    ):
        sim.step(1, symbol=BTC)
        with pytest.raises(ValueError, match="line 1 column"):
            json.loads(await client.recv())


async def test_late_frames_come_when_their_time_has_come() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings(Late(by_ms=500))) as sim,
        subscribed(sim) as client,
    ):
        trades = sim.step(1, symbol=BTC)
        sim.advance_to(START_MS + 500)
        assert ids([await client.recv(decode=False)]) == [trade.trade_id for trade in trades]


@pytest.mark.parametrize("status", [403, 418, 429, 500, 502, 503, 504, 302])
async def test_a_handshake_is_answered_with_a_status(status: int) -> None:
    fault = RefuseHandshake(status=status)
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings(fault)) as sim,
        aiohttp.ClientSession() as client,
        client.get(f"{sim.rest_url}/v5/public/linear", allow_redirects=False) as response,
    ):
        assert response.status == status
        assert response.headers.get("Location") == (
            "http://127.0.0.1:9/" if status == 302 else None
        )


async def test_a_refused_handshake_is_no_websocket() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(settings(RefuseHandshake())) as sim:
        with pytest.raises(InvalidStatus):
            await line(sim)
        assert sim.connections == 0


async def test_a_stalled_handshake_is_never_answered() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(settings(StallHandshake())) as sim:
        with pytest.raises(TimeoutError):
            await line(sim, open_timeout_s=SHORT_S)


async def test_during_maintenance_everything_is_reset() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(settings()) as sim, subscribed(sim) as client:
        injection = sim.inject(Maintenance())
        with pytest.raises(ConnectionClosed):
            await client.recv()
        with pytest.raises(InvalidMessage):
            await line(sim)
        async with aiohttp.ClientSession() as web:
            with pytest.raises(aiohttp.ClientConnectionError):
                await web.get(f"{sim.rest_url}/v5/market/time")
        injection.end()
        async with subscribed(sim):
            assert sim.connections == 1


async def test_rest_faults_come_over_http() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings(RestHtml(status=502))) as sim,
        aiohttp.ClientSession() as web,
    ):
        async with web.get(f"{sim.rest_url}/v5/market/time") as response:
            assert (response.status, response.content_type) == (502, "text/html")
        sim.desk.end_faults()
        sim.inject(RestTimeout())
        with pytest.raises(TimeoutError):
            await web.get(
                f"{sim.rest_url}/v5/market/time", timeout=aiohttp.ClientTimeout(total=SHORT_S)
            )


async def test_deeds_are_read_over_http() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings()) as sim,
        subscribed(sim) as client,
        aiohttp.ClientSession() as web,
    ):
        sim.inject(Close())
        with pytest.raises(ConnectionClosed):
            await client.recv()
        async with web.get(f"{sim.rest_url}/sim/faults", params={"after": "1"}) as response:
            assert response.headers["X-Faults-Dropped"] == "0"
            deeds = [json.loads(text) for text in (await response.text()).splitlines()]
        assert [(one["number"], one["kind"], one["deed"]) for one in deeds] == [
            (2, "close", "closed"),
            (3, "close", "ended"),
        ]
        assert (deeds[0]["connection"], deeds[0]["category"]) == (1, "linear")
        assert len(sim.fault_log) == 3
        async with web.get(f"{sim.rest_url}/sim/faults", params={"after": "x"}) as response:
            assert await response.text() == 'after is "x", expected a number of a deed'


async def test_a_live_exchange_follows_its_script() -> None:
    script = Script(faults=(Drop(at_ms=300),))
    async with asyncio.timeout(LIMIT_S), SimExchange(SimSettings(rate=0.0, faults=script)) as sim:
        async with subscribed(sim) as client:
            with pytest.raises(ConnectionClosed):
                await client.recv()
        assert [event.deed for event in sim.fault_log] == ["began", "cut", "ended"]
