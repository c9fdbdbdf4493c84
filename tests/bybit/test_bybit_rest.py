"""The REST client against the simulated exchange and against servers that misbehave."""

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tapecast.aliases import Category
from tapecast.bybit import Rest
from tapecast.errors import FeedError
from tapecast.sim.exchange import SimExchange, SimSettings
from tapecast.symbols import CATEGORIES
from tests.bybit.rest_server import LIMIT_S, Server, Waits, refused, rows, serving

PATH = "/v5/market/instruments-info"


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("page_size", [1, 2, 1000])
async def test_all_pages_of_a_category_are_read(category: Category, page_size: int) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(SimSettings(live=False)) as sim,
        Rest(sim.rest_url, page_size=page_size) as rest,
    ):
        found = [row["symbol"] for row in await rest.instruments(category)]
        listed = [
            one.symbol
            for one in SimSettings().instruments()
            if one.category == category
            and one.status == "Trading"
            and (category != "option" or "BTC" in one.symbol)
        ]
        assert sorted(found) == sorted(listed)
        assert len(found) > 1 or category != "linear"


async def test_a_cursor_is_sent_back_as_it_came() -> None:
    server = Server(rows("A", cursor="first%3DA%26last%3DA"), rows("B", cursor=""))
    async with serving(server, page_size=1) as rest:
        assert await rest.instruments("linear") == [{"symbol": "A"}, {"symbol": "B"}]
    query = f"{PATH}?category=linear&status=Trading&limit=1"
    assert server.asked == [query, f"{query}&cursor=first%3DA%26last%3DA"]


async def test_a_cursor_that_comes_again_ends_the_list() -> None:
    server = Server(rows("A", cursor="x"), rows("B", cursor="y"), rows("C", cursor="x"))
    async with serving(server) as rest:
        assert len(await rest.instruments("linear")) == 3


async def test_spot_is_asked_for_without_a_limit_and_options_by_their_coin() -> None:
    server = Server(rows("A"), rows("B"))
    async with serving(server) as rest:
        await rest.instruments("spot")
        await rest.instruments("option", "ETH")
    assert server.asked == [
        f"{PATH}?category=spot&status=Trading",
        f"{PATH}?category=option&status=Trading&limit=1000&baseCoin=ETH",
    ]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: web.Response(status=500),
        lambda: web.Response(status=502, text="<html>bad gateway</html>"),
        lambda: web.Response(text="<html>hello</html>", content_type="text/html"),
        lambda: web.Response(body=b'{"retCode":0,"retMsg":"\xff"}'),
        lambda: refused(10006, "Too many visits!"),
        lambda: refused(10016, None, {}),
    ],
)
async def test_a_passing_failure_is_tried_again(bad: Callable[[], web.Response]) -> None:
    waits = Waits()
    async with serving(Server(bad(), bad(), rows("A")), waits) as rest:
        assert await rest.instruments("spot") == [{"symbol": "A"}]
    assert waits.waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("bad", "last"),
    [
        (lambda: web.Response(status=503), "HTTP 503"),
        (lambda: refused(10006, "Too many visits!"), "10006 Too many visits!"),
        (
            lambda: web.Response(text="<html>" + "x" * 100),
            f'body begins "<html>{"x" * 58}", expected a JSON envelope',
        ),
    ],
)
async def test_a_failure_that_stays_is_an_error_after_four_tries(
    bad: Callable[[], web.Response], last: str
) -> None:
    waits = Waits()
    server = Server(*(bad() for _ in range(5)))
    async with serving(server, waits) as rest:
        with pytest.raises(FeedError) as caught:
            await rest.instruments("spot")
    assert str(caught.value) == f"GET {PATH} failed 4 times, last: {last}"
    assert (waits.waits, len(server.asked)) == ([1.0, 2.0, 4.0], 4)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (lambda: web.Response(status=403), "was answered HTTP 403, expected 200"),
        (lambda: web.Response(status=429), "was answered HTTP 429, expected 200"),
        (
            lambda: web.Response(status=302, headers={"Location": PATH}),
            "was answered HTTP 302, expected 200",
        ),
        (
            lambda: refused(10001, "params error: category invalid", {"list": []}),
            "was refused: 10001 params error: category invalid",
        ),
        (
            lambda: refused(0, "OK", {}),
            "was answered without a list of rows: Object missing required field `list`",
        ),
        (
            lambda: refused(0, "OK", {"list": [1]}),
            "was answered without a list of rows: Expected `object`, got `int` - at `$.list[0]`",
        ),
    ],
)
async def test_a_refusal_is_an_error_at_once(bad: Callable[[], web.Response], text: str) -> None:
    waits = Waits()
    server = Server(bad(), rows("A"))
    async with serving(server, waits) as rest:
        with pytest.raises(FeedError) as caught:
            await rest.instruments("spot")
    assert str(caught.value) == f"GET {PATH} {text}"
    assert (waits.waits, len(server.asked)) == ([], 1)


async def test_a_host_that_refuses_connections_is_an_error_after_four_tries() -> None:
    waits = Waits()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with asyncio.timeout(LIMIT_S), Rest(url, sleep=waits) as rest:
            start = re.escape(f"GET {PATH} failed 4 times, last: Cannot connect to host 127.0.0.1")
            with pytest.raises(FeedError, match=start):
                await rest.instruments("spot")
    assert waits.waits == [1.0, 2.0, 4.0]


async def test_an_answer_that_never_comes_is_an_error_after_four_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_self: object, *_args: object, **_kwargs: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(aiohttp.ClientSession, "_request", never)
    async with Rest("http://127.0.0.1", sleep=Waits()) as rest:
        with pytest.raises(FeedError) as caught:
            await rest.instruments("spot")
    assert str(caught.value) == f"GET {PATH} failed 4 times, last: no answer within 10 s"


async def test_system_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(Server(rows("A"))) as rest:
        assert await rest.instruments("spot") == [{"symbol": "A"}]


async def test_the_proxy_of_the_settings_is_used() -> None:
    proxy = Server(rows("A"))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with asyncio.timeout(LIMIT_S), Rest("http://api.invalid", proxy=url) as rest:
            assert await rest.instruments("spot") == [{"symbol": "A"}]
    finally:
        await runner.cleanup()
    assert proxy.asked == [f"http://api.invalid{PATH}?category=spot&status=Trading"]


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError) as caught:
        await Rest("http://127.0.0.1").instruments("spot")
    assert str(caught.value) == "REST client is not open, expected to be within its context"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_replies_of_the_documentation_are_read(shared_data: Path, number: int) -> None:
    path = shared_data / "bybit_docs_samples" / f"rest_instruments_{number}.json"
    sample = web.Response(body=path.read_bytes(), content_type="application/json")
    async with serving(Server(sample, rows())) as rest:
        assert all(row["symbol"] for row in await rest.instruments("linear"))
