"""The simulated exchange as a server, over real sockets."""

import asyncio
import base64
import json
import os
import socket
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from tapecast.errors import ConfigError
from tapecast.sim.exchange import SimExchange, SimSettings, run
from tapecast.sim.instruments import Category
from tapecast.sim.klines import MINUTE_MS
from tapecast.sim.market import Odds, SimTrade

START_MS = 1_790_000_000_000
LIMIT_S = 20.0

MANUAL = SimSettings(live=False, start_ms=START_MS, seed=3, rate=400.0)

BTC: tuple[Category, str] = ("linear", "BTCUSDT")


def line(sim: SimExchange, category: Category) -> connect:
    # No limit of unread frames: a client that leaves some unread still closes at once.
    return connect(f"{sim.ws_url}/{category}", compression=None, proxy=None, max_queue=None)


async def ask(client: ClientConnection, **command: object) -> dict[str, Any]:
    await client.send(json.dumps(command))
    return await receive(client)


async def receive(client: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await client.recv(), parse_float=Decimal)
    return message


async def subscribe(client: ClientConnection, *topics: str) -> None:
    assert (await ask(client, op="subscribe", args=topics))["success"] is True


async def receive_rows(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Return the rows of the next frames until there are that many; more would fail the test."""
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        rows += (await receive(client))["data"]
    assert len(rows) == count
    return rows


async def assert_nothing_more(client: ClientConnection) -> None:
    """Prove that no frame waits: the next message is the answer to a ping."""
    assert (await ask(client, op="ping"))["op"] in {"ping", "pong"}


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (r["s"], r["T"], r["S"], r["p"], r["v"], r["i"], r["seq"], r["BT"], r.get("RPI", False))
        for r in rows
    ]


def true(trades: list[SimTrade]) -> list[tuple[Any, ...]]:
    return [
        (
            t.symbol,
            t.event_ms,
            t.taker_side,
            t.price,
            t.size,
            t.trade_id,
            t.exchange_seq,
            t.block_trade,
            t.rpi,
        )
        for t in trades
    ]


@pytest.mark.parametrize(
    ("category", "topics", "coin"),
    [
        ("linear", ["publicTrade.BTCUSDT", "publicTrade.ETHUSDT"], None),
        ("spot", ["publicTrade.BTCUSDT"], None),
        ("inverse", ["publicTrade.BTCUSD"], None),
        ("option", ["publicTrade.BTC"], "BTC-"),
    ],
)
async def test_a_subscriber_receives_exactly_the_trades_of_its_topics(
    category: Category, topics: list[str], coin: str | None
) -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim, line(sim, category) as client:
        sim.step(50)  # before the subscription: nothing of it is replayed
        await subscribe(client, *topics)
        sim.step(1500)
        names = {topic.removeprefix("publicTrade.") for topic in topics}
        expected = [
            trade
            for _, trade in sim.ledger.entries(after=50, category=category)
            if (trade.symbol.startswith(coin) if coin else trade.symbol in names)
        ]
        assert expected
        assert told(await receive_rows(client, len(expected))) == true(expected)
        await assert_nothing_more(client)


async def test_every_subscriber_of_a_topic_gets_each_frame() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(MANUAL) as sim,
        line(sim, "linear") as one,
        line(sim, "linear") as two,
    ):
        await subscribe(one, "publicTrade.BTCUSDT")
        await subscribe(two, "publicTrade.BTCUSDT")
        trades = sim.step(20, symbol=BTC)
        assert told(await receive_rows(one, 20)) == true(trades)
        assert told(await receive_rows(two, 20)) == true(trades)


async def test_an_unsubscribed_or_refused_topic_sends_nothing() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim, line(sim, "linear") as client:
        refusal = await ask(client, op="subscribe", args=["publicTrade.BTCUSDT", "publicTrade.X"])
        assert refusal["ret_msg"] == "error:handler not found,topic:publicTrade.X"
        sim.step(5, symbol=BTC)
        await assert_nothing_more(client)
        await subscribe(client, "publicTrade.BTCUSDT")
        assert sim.subscribers("linear", "publicTrade.BTCUSDT") == 1
        await ask(client, op="unsubscribe", args=["publicTrade.BTCUSDT"])
        assert sim.subscribers("linear", "publicTrade.BTCUSDT") == 0
        sim.step(5, symbol=BTC)
        await assert_nothing_more(client)


async def test_a_sweep_arrives_in_frames_of_1024() -> None:
    settings = SimSettings(live=False, start_ms=START_MS, odds=Odds(sweep=1.0, block_trade=0.0))
    async with asyncio.timeout(LIMIT_S), SimExchange(settings) as sim, line(sim, "spot") as client:
        await subscribe(client, "publicTrade.BTCUSDT")
        trades = sim.step(5000, symbol=("spot", "BTCUSDT"))
        lengths: list[int] = []
        rows: list[dict[str, Any]] = []
        while len(rows) < len(trades):
            data = (await receive(client))["data"]
            lengths.append(len(data))
            rows += data
        assert max(lengths) == 1024
        assert told(rows) == true(trades)


async def test_a_test_decides_the_time_and_the_number_of_trades() -> None:
    async with SimExchange(MANUAL) as sim:
        assert sim.now_ms() == START_MS
        trades = sim.step(7, at_ms=START_MS + 1234)
        assert [trade.event_ms for trade in trades] == [START_MS + 1234] * 7
        assert sim.now_ms() == START_MS + 1234
        later = sim.advance_to(START_MS + 10_000)
        assert sim.now_ms() == START_MS + 10_000
        assert list(sim.ledger) == trades + later
        with pytest.raises(
            ValueError, match=r"^time is 1790000000000 ms, expected at least 1790000010000 ms$"
        ):
            sim.step(at_ms=START_MS)


async def test_two_runs_of_one_seed_are_equal() -> None:
    async with SimExchange(MANUAL) as one, SimExchange(MANUAL) as two:
        assert one.advance_to(START_MS + 5000) == two.advance_to(START_MS + 5000)
        assert one.port != two.port


async def test_dropping_cuts_every_connection_without_a_close_frame() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim:
        async with line(sim, "linear") as one, line(sim, "option") as two:
            await sim.wait_connections(2)
            assert sim.drop_all() == 2
            for client in (one, two):
                with pytest.raises(ConnectionClosedError) as caught:
                    await client.recv()
                assert caught.value.rcvd is None
        await sim.wait_connections(0)
        async with line(sim, "linear") as again:
            await subscribe(again, "publicTrade.BTCUSDT")
            assert sim.subscribers("linear", "publicTrade.BTCUSDT") == 1


async def test_dropping_with_a_code_closes_every_connection() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim, line(sim, "spot") as client:
        await sim.wait_connections(1)
        assert sim.drop_all(1012) == 1
        with pytest.raises(ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        await sim.wait_connections(0)


async def open_and_never_read(sim: SimExchange) -> socket.socket:
    """Connect, subscribe, and never read a byte after that."""
    loop = asyncio.get_running_loop()
    sleeper = socket.socket()
    sleeper.setblocking(False)  # noqa: FBT003 -- the standard library's signature
    sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(sleeper, ("127.0.0.1", sim.port))
    command = b'{"op":"subscribe","args":["publicTrade.BTCUSDT"]}'
    # A frame of a client is masked; a mask of zeros leaves it readable.
    frame = bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command
    upgrade = (
        f"GET /v5/public/linear HTTP/1.1\r\nHost: 127.0.0.1:{sim.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
    )
    await loop.sock_sendall(sleeper, upgrade.encode() + frame)
    return sleeper


async def test_a_client_that_never_reads_is_cut_and_stalls_nobody() -> None:
    settings = SimSettings(live=False, start_ms=START_MS, max_pending_bytes=200_000)
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings) as sim,
        line(sim, "linear") as healthy,
    ):
        await subscribe(healthy, "publicTrade.BTCUSDT")
        sleeper = await open_and_never_read(sim)
        with sleeper:
            await sim.wait_subscribed("linear", "publicTrade.BTCUSDT", 2)
            # The kernel holds some megabytes for a client that sleeps.
            for _ in range(200):
                trades = sim.step(300, symbol=BTC)
                assert told(await receive_rows(healthy, 300)) == true(trades)
                if sim.connections == 1:
                    break
            await sim.wait_connections(1)
            assert sim.subscribers("linear", "publicTrade.BTCUSDT") == 1


async def get(sim: SimExchange, path: str, **query: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as client,
        client.get(sim.rest_url + path, params=query) as response,
    ):
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


async def test_rest_answers_in_the_envelope_of_the_exchange() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim:
        sim.advance_to(START_MS + 2 * MINUTE_MS)
        now_ms = START_MS + 2 * MINUTE_MS
        assert await get(sim, "/v5/market/time") == {
            "retCode": 0,
            "retMsg": "OK",
            "result": {
                "timeSecond": str(now_ms // 1000),
                "timeNano": f"{now_ms}000000",
            },
            "retExtInfo": {},
            "time": now_ms,
        }
        recent = await get(sim, "/v5/market/recent-trade", category="spot", symbol="BTCUSDT")
        newest = sim.ledger.trades("spot", "BTCUSDT")[::-1][:60]
        assert [row["execId"] for row in recent["result"]["list"]] == [t.trade_id for t in newest]
        klines = await get(sim, "/v5/market/kline", symbol="BTCUSDT", interval="1")
        total = sum(Decimal(t.size) for t in sim.ledger.trades("linear", "BTCUSDT"))
        assert sum(Decimal(row[5]) for row in klines["result"]["list"]) == total
        page = await get(sim, "/v5/market/instruments-info", category="linear", limit="29")
        assert (len(page["result"]["list"]), page["result"]["nextPageCursor"]) == (29, "")


async def test_rest_refusals_come_with_http_200() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim:
        answer = await get(
            sim, "/v5/market/instruments-info", category="linear", symbol="NOTASYMBOL"
        )
        assert answer == {
            "retCode": 10001,
            "retMsg": "params error: symbol invalid",
            "result": {"category": "", "list": [], "nextPageCursor": ""},
            "retExtInfo": {},
            "time": START_MS,
        }


async def test_a_wrong_path_is_404() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim, aiohttp.ClientSession() as web:
        for path in ("/v5/market/tickers", "/v5/public/spread"):
            async with web.get(sim.rest_url + path) as response:
                assert response.status == 404


async def test_the_ledger_is_read_over_http() -> None:
    settings = SimSettings(live=False, start_ms=START_MS, ledger_limit=100)
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings) as sim,
        aiohttp.ClientSession() as web,
    ):
        trades = sim.step(130)
        url = f"{sim.rest_url}/sim/ledger"
        async with web.get(url, params={"after": "120"}) as response:
            lines = [json.loads(text) for text in (await response.text()).splitlines()]
            assert response.headers["X-Ledger-Dropped"] == "30"
        assert [one.pop("number") for one in lines] == list(range(121, 131))
        assert [SimTrade(**one) for one in lines] == trades[120:]
        async with web.get(url, params={"category": "spot", "symbol": "BTCUSDT"}) as response:
            found = [json.loads(text)["trade_id"] for text in (await response.text()).splitlines()]
        assert found == [t.trade_id for t in sim.ledger.trades("spot", "BTCUSDT")]
        async with web.get(url, params={"after": "x"}) as response:
            assert response.status == 400
            assert await response.text() == 'after is "x", expected a number of a trade'


async def test_a_live_exchange_trades_by_itself_on_the_wall_clock() -> None:
    settings = SimSettings(rate=2000.0, seed=1)
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings) as sim,
        line(sim, "linear") as client,
    ):
        await subscribe(client, "publicTrade.BTCUSDT")
        rows: list[dict[str, Any]] = []
        while len(rows) < 50:
            rows += (await receive(client))["data"]
        truth = sim.ledger.trades("linear", "BTCUSDT")
        first = [trade.trade_id for trade in truth].index(rows[0]["i"])
        assert told(rows) == true(truth[first : first + len(rows)])
        assert max(row["T"] for row in rows) <= sim.now_ms()


async def test_a_live_exchange_does_not_make_up_for_time_that_was_slept() -> None:
    wall_ms = START_MS
    settings = SimSettings(rate=2000.0, seed=1)
    sim = SimExchange(settings, wall_ms=lambda: wall_ms)
    wall_ms += 3_600_000
    async with asyncio.timeout(LIMIT_S), sim, line(sim, "linear") as client:
        await subscribe(client, "publicTrade.BTCUSDT")
        wall_ms += 1000
        row = (await receive(client))["data"][0]
        assert START_MS + 3_600_000 <= row["T"] <= wall_ms
        assert sim.ledger.total < 10_000


async def test_run_serves_until_it_is_stopped() -> None:
    stop = asyncio.Event()
    ready: asyncio.Future[SimExchange] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(LIMIT_S):
        running = asyncio.create_task(
            run(SimSettings(rate=0.0), on_ready=ready.set_result, stop=stop)
        )
        sim = await ready
        async with line(sim, "linear") as client:
            await assert_nothing_more(client)
            stop.set()
            await running
            with pytest.raises(ConnectionClosedError):
                await client.recv()


async def test_a_port_in_use_is_an_os_error() -> None:
    async with SimExchange(MANUAL) as sim:
        taken = SimExchange(SimSettings(live=False, port=sim.port))
        with pytest.raises(OSError, match="address already in use"):
            await taken.__aenter__()


def test_every_bad_setting_is_told() -> None:
    settings = SimSettings(port=70000, rate=-1.0, ledger_limit=0, symbols=("spot:NOPE",))
    with pytest.raises(ConfigError) as caught:
        SimExchange(settings)
    assert caught.value.problems == (
        "port: 70000, expected 0 to 65535",
        "rate: -1.0, expected trades per second, 0 or more",
        "ledger_limit: 0, expected at least 1",
        'symbols: "spot:NOPE" matches nothing, expected `category:glob` of a simulated symbol',
    )


async def test_an_ipv6_address_stands_in_brackets() -> None:
    sim = SimExchange(SimSettings(host="::1", port=9000, live=False))
    assert (sim.ws_url, sim.rest_url) == ("ws://[::1]:9000/v5/public", "http://[::1]:9000")
