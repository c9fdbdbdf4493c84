"""Recent trades and klines over REST, and what keeps asking within its bounds (U29)."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from tapecast.aliases import Category
from tapecast.bybit import Rest
from tapecast.errors import FeedError, FeedForbidden
from tapecast.sim.exchange import SimExchange, SimSettings
from tapecast.symbols import CATEGORIES
from tests.bybit.pages import START_MS, trade_row
from tests.bybit.rest_server import LIMIT_S, Server, Waits, refused, serving

TRADES = "/v5/market/recent-trade"
KLINES = "/v5/market/kline"
MINUTE_MS = 60_000


def trades(*ids: int) -> web.Response:
    """Return a page of linear trades, newest first."""
    result = {"category": "linear", "list": [trade_row(number, number) for number in ids]}
    return web.json_response({"retCode": 0, "retMsg": "OK", "result": result})


def klines(*minutes: int, symbol: str = "BTCUSDT") -> web.Response:
    numbers = ["100", "102", "99", "101", "5", "500"]
    rows = [[str(START_MS + minute * MINUTE_MS), *numbers] for minute in minutes]
    result = {"symbol": symbol, "category": "linear", "list": rows}
    return web.json_response({"retCode": 0, "retMsg": "OK", "result": result})


@pytest.mark.parametrize(
    ("category", "topic", "query"),
    [
        ("linear", "BTCUSDT", "category=linear&symbol=BTCUSDT&limit=1000"),
        ("inverse", "BTCUSD", "category=inverse&symbol=BTCUSD&limit=1000"),
        ("spot", "BTCUSDT", "category=spot&symbol=BTCUSDT&limit=60"),
        ("option", "BTC", "category=option&baseCoin=BTC&limit=1000"),
    ],
)
async def test_the_longest_page_is_asked_for(category: Category, topic: str, query: str) -> None:
    server = Server(trades())
    async with serving(server) as rest:
        page = await rest.recent_trades(category, topic)
    assert page == (category, topic, [], True)
    assert server.asked == [f"{TRADES}?{query}"]


@pytest.mark.parametrize("category", CATEGORIES)
async def test_recent_trades_are_those_of_the_ledger(category: Category) -> None:
    topic = {"linear": "BTCUSDT", "inverse": "BTCUSD", "spot": "BTCUSDT", "option": "BTC"}[category]
    settings = SimSettings(live=False, start_ms=START_MS, seed=3, rate=200.0)
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(settings) as sim,
        Rest(sim.rest_url) as rest,
    ):
        sim.advance_to(START_MS + 30_000)
        page = await rest.recent_trades(category, topic)
        truth = [
            trade
            for trade in sim.ledger.trades(category)
            if (trade.symbol.partition("-")[0] if category == "option" else trade.symbol) == topic
        ]
    found = [(trade.trade_id, trade.price, trade.size) for trade in page.trades]
    expected = [(trade.trade_id, trade.price, trade.size) for trade in truth]
    assert sorted(found) == sorted(expected[-60:] if category == "spot" else expected[-1000:])
    assert page.is_ordered
    assert found


async def test_klines_are_asked_for_in_pages_and_come_oldest_first() -> None:
    server = Server(klines(1, 0), klines(1000))
    async with serving(server) as rest:
        rows = await rest.klines("linear", "BTCUSDT", START_MS, START_MS + 1000 * MINUTE_MS)
    assert [row.start_ms - START_MS for row in rows] == [0, MINUTE_MS, 1000 * MINUTE_MS]
    head = f"{KLINES}?category=linear&symbol=BTCUSDT&interval=1"
    ends = [START_MS + minute * MINUTE_MS for minute in (0, 999, 1000)]
    assert server.asked == [
        f"{head}&start={ends[0]}&end={ends[1]}&limit=1000",
        f"{head}&start={ends[2]}&end={ends[2]}&limit=1000",
    ]


async def test_klines_of_another_symbol_are_refused() -> None:
    async with serving(Server(klines(0, symbol="ETHUSDT"))) as rest:
        with pytest.raises(FeedError) as caught:
            await rest.klines("linear", "BTCUSDT", START_MS, START_MS)
    assert str(caught.value) == 'klines are of "ETHUSDT", expected "BTCUSDT"'


async def test_pages_of_the_documentation_are_read(shared_data: Path) -> None:
    samples = shared_data / "bybit_docs_samples"
    body = (samples / "rest_recent_trade_1.json").read_bytes()
    async with serving(Server(web.Response(body=body))) as rest:
        page = await rest.recent_trades("spot", "BTCUSDT")
    assert [trade.trade_id for trade in page.trades] == ["2100000000007764263"]


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (lambda: refused(10001, "symbol invalid"), "was refused: 10001 symbol invalid"),
        (lambda: web.Response(status=404), "was answered HTTP 404, expected 200"),
        (
            lambda: refused(0, "OK", {"rows": []}),
            "was answered without a list of rows: Object missing required field `list`",
        ),
        (
            lambda: web.Response(body=b" " * ((2 << 20) + 1)),
            "was answered with a longer body, expected at most 2097152 bytes",
        ),
    ],
)
async def test_what_does_not_pass_is_not_tried_again(
    bad: Callable[[], web.Response], text: str
) -> None:
    server = Server(bad(), trades())
    async with serving(server) as rest:
        with pytest.raises(FeedError) as caught:
            await rest.recent_trades("linear", "BTCUSDT")
        assert rest.counts()["rest_requests"] == 1
    assert str(caught.value) == f"GET {TRADES} {text}"


async def test_requests_and_those_that_brought_nothing_are_counted() -> None:
    server = Server(web.Response(status=502), refused(10006, "Too many visits!"), trades(2, 1))
    async with serving(server) as rest:
        assert len((await rest.recent_trades("linear", "BTCUSDT")).trades) == 2
        assert rest.counts() == {"rest_requests": 3, "rest_errors": 2}


async def test_too_many_visits_hold_everyone() -> None:
    waits: asyncio.Queue[float] = asyncio.Queue()
    gate = asyncio.Event()

    async def wait(seconds: float) -> None:
        waits.put_nowait(seconds)
        await gate.wait()

    server = Server(refused(10006, "Too many visits!"), trades(), trades())
    async with serving(server) as rest, asyncio.TaskGroup() as tasks:
        rest._transport._sleep = wait
        tasks.create_task(rest.recent_trades("linear", "BTCUSDT"))
        until_its_next_try = await waits.get()
        tasks.create_task(rest.recent_trades("linear", "ETHUSDT"))
        until_its_turn = await waits.get()
        gate.set()
    assert (until_its_next_try, until_its_turn) == (1.0, 1.0)


@pytest.mark.parametrize("status", [403, 429])
async def test_a_bar_stops_everyone_until_it_is_over(status: int) -> None:
    waits = Waits()
    server = Server(web.Response(status=status), trades(1))
    async with serving(server, waits) as rest:
        with pytest.raises(FeedForbidden):
            await rest.recent_trades("linear", "BTCUSDT")
        waits.now_s += 599.0
        with pytest.raises(FeedForbidden) as caught:
            await rest.instruments("spot")
        assert str(caught.value) == (
            f"GET /v5/market/instruments-info waits: HTTP {status} bars it for another 1 s"
        )
        assert len(server.asked) == 1
        waits.now_s += 1.0
        assert len((await rest.recent_trades("linear", "BTCUSDT")).trades) == 1


async def test_an_answer_that_does_not_come_in_time_is_an_error() -> None:
    given_up = asyncio.Event()

    class Silent(Server):
        async def handle(self, request: web.Request) -> web.Response:
            await given_up.wait()
            return await super().handle(request)

    async with serving(Silent(trades())) as rest:
        with pytest.raises(FeedError) as caught:
            await rest.recent_trades("linear", "BTCUSDT", within_s=0.2)
        assert rest.counts() == {"rest_requests": 1, "rest_errors": 1}
        given_up.set()
    assert str(caught.value) == f"GET {TRADES} had no answer within 0.2 s"


async def test_tries_that_do_not_fit_into_the_time_end_with_the_last_failure() -> None:
    async def never(_seconds: float) -> None:
        await asyncio.Event().wait()

    server = Server(web.Response(status=503))
    async with serving(server) as rest:
        rest._transport._sleep = never
        with pytest.raises(FeedError) as caught:
            await rest.klines("linear", "BTCUSDT", START_MS, START_MS, within_s=0.5)
    assert str(caught.value) == f"GET {KLINES} had no answer within 0.5 s, last: HTTP 503"


async def test_at_most_eight_requests_are_under_way() -> None:
    gate = asyncio.Event()
    under_way: list[int] = [0]

    class Slow(Server):
        async def handle(self, request: web.Request) -> web.Response:
            under_way.append(under_way[-1] + 1)
            if under_way[-1] == 8:
                gate.set()
            await gate.wait()
            under_way.append(under_way[-1] - 1)
            return await super().handle(request)

    async with serving(Slow(*(trades() for _ in range(20)))) as rest:
        await asyncio.gather(*(rest.recent_trades("linear", "BTCUSDT") for _ in range(20)))
    assert max(under_way) == 8


async def test_a_crowd_of_requests_keeps_to_the_pace() -> None:
    waits = Waits()
    async with serving(Server(*(trades() for _ in range(100))), waits) as rest:
        await asyncio.gather(*(rest.recent_trades("linear", "BTCUSDT") for _ in range(100)))
    # Fifty at once, the others within the second that follows.
    assert waits.now_s >= 0.98
