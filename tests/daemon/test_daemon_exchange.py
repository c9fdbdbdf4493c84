"""Which lines there are, and what happens while the exchange cannot say which symbols it has."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tapecast import Engine
from tapecast.config import BybitSettings
from tapecast.daemon.exchange import Exchange
from tapecast.daemon.feed import Feed
from tapecast.symbols import parse_patterns
from tapecast.telemetry import ThreadRegistry

from .test_daemon_timers import Enough, PlayedClock


def listed(*symbols: str) -> dict[str, Any]:
    rows = [{"symbol": symbol, "status": "Trading"} for symbol in symbols]
    return {"retCode": 0, "retMsg": "OK", "result": {"list": rows, "nextPageCursor": ""}}


@asynccontextmanager
async def rest(answer: Callable[[], web.Response]) -> AsyncIterator[str]:
    """Serve one answer to every question for instruments, and yield the base URL."""

    async def handle(_request: web.Request) -> web.Response:
        return answer()

    app = web.Application()
    app.router.add_get("/v5/market/instruments-info", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def exchange_of(
    symbols: str, rest_url: str, clock: PlayedClock, *, most: int = 200
) -> tuple[Exchange, Feed]:
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    engine = Engine(assume_covered=False)
    feed = Feed(engine, lambda _: None, registry=registry, wall_ms=clock.wall_ms)
    exchange = Exchange(
        parse_patterns(symbols.split(",")),
        BybitSettings(rest_url=rest_url, ws_url="ws://127.0.0.1:9", max_symbols_per_line=most),
        feed=feed,
        clock=clock,
        worker=registry.register("symbols"),
    )
    return exchange, feed


async def test_an_exchange_that_bars_us_is_left_alone_as_long_as_it_asks() -> None:
    clock = PlayedClock(sleeps=2)
    async with rest(lambda: web.Response(status=403)) as url:
        exchange, _ = exchange_of("linear:*", url, clock)
        with pytest.raises(Enough):
            await exchange.run()
    assert clock.slept_s == [600.0, 600.0]


async def test_globs_that_match_nothing_are_tried_again_and_stay_in_sight(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tapecast")
    clock = PlayedClock(sleeps=4)
    async with rest(lambda: web.json_response(listed("BTCUSDT"))) as url:
        exchange, feed = exchange_of("linear:ZZZ*", url, clock)
        with pytest.raises(Enough):
            await exchange.run()
    assert clock.slept_s == [5.0, 15.0, 60.0, 60.0]
    assert feed.rejected == {("linear", "ZZZ*"): "matches no symbol that trades"}
    assert caplog.messages[1:3] == [
        "symbol linear:ZZZ* is rejected: matches no symbol that trades",
        "symbols are listed again in 5 s",
    ]


async def test_many_symbols_are_spread_over_several_lines_of_their_category() -> None:
    clock = PlayedClock(sleeps=1)
    names = [f"S{number}USDT" for number in range(7)]
    async with rest(lambda: web.json_response(listed(*names))) as url:
        exchange, _ = exchange_of("spot:*,linear:S1*,BTCUSDT", url, clock, most=3)
        with pytest.raises(BaseExceptionGroup):
            # The first line that waits to connect ends the test.
            await exchange.run()
    planned = [(line.config.name, line.config.topics) for line in exchange._lines]
    assert planned == [
        ("spot-1", ("S0USDT", "S1USDT", "S2USDT")),
        ("spot-2", ("S3USDT", "S4USDT", "S5USDT")),
        ("spot-3", ("S6USDT",)),
        ("linear-1", ("S1USDT", "BTCUSDT")),
    ]
    assert {line.config.url for line in exchange._lines} == {
        *("ws://127.0.0.1:9/spot", "ws://127.0.0.1:9/linear"),
    }
    assert exchange.counts()["reconnects"] <= len(planned)
