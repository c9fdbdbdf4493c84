"""Which lines there are, and what happens while the exchange cannot say which symbols it has."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tapecast import Engine
from tapecast.bybit import LineConfig, Rest
from tapecast.config import BybitSettings
from tapecast.daemon.exchange import Exchange
from tapecast.daemon.feed import Feed
from tapecast.daemon.intake import Intake
from tapecast.symbols import parse_patterns
from tapecast.telemetry import ThreadRegistry

from .test_daemon_timers import Enough, PlayedClock

REFUSED = {"retCode": 10001, "retMsg": "params error", "result": {}}


class QuietLine:
    """A line that is told what to do and never hears anything."""

    reconnects_total = unknown_frames_total = 1

    def __init__(self, config: LineConfig, _sink: Feed, **_more: object) -> None:
        self.config = config

    async def run(self) -> None:
        await asyncio.Event().wait()


class WatchedClock(PlayedClock):
    """A played clock at whose sleeps a test looks around."""

    def __init__(self, *, sleeps: int) -> None:
        super().__init__(sleeps=sleeps)
        self.on_sleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.on_sleep()
        await super().sleep(seconds)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapecast.daemon.exchange.Line", QuietLine)


def listed(*symbols: str) -> dict[str, Any]:
    rows = [{"symbol": symbol, "status": "Trading"} for symbol in symbols]
    return {"retCode": 0, "retMsg": "OK", "result": {"list": rows, "nextPageCursor": ""}}


@asynccontextmanager
async def rest(answer: Callable[[str], web.Response]) -> AsyncIterator[str]:
    """Answer every question for a category's instruments, and yield the base URL."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request.query["category"])

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
    intake = Intake(engine, lambda _: None, wall_ns=clock.wall_ns)
    feed = Feed(intake, registry=registry, wall_ms=clock.wall_ms)
    exchange = Exchange(
        parse_patterns(symbols.split(",")),
        BybitSettings(
            rest_url=rest_url, ws_url="ws://127.0.0.1:9", max_symbols_per_line=most, lines=1
        ),
        feed=feed,
        rest=Rest(rest_url, sleep=clock.sleep, monotonic_s=clock.monotonic_s),
        clock=clock,
        worker=registry.register("symbols"),
    )
    return exchange, feed


def lines_of(exchange: Exchange) -> list[tuple[str, tuple[str, ...]]]:
    return [(line.config.name, line.config.topics) for line in exchange._lines]


async def run_to_the_last_sleep(exchange: Exchange) -> None:
    async with exchange._rest:
        with pytest.RaisesGroup(Enough):
            await exchange.run()


async def test_an_exchange_that_bars_us_is_left_alone_as_long_as_it_asks() -> None:
    clock = WatchedClock(sleeps=2)
    asked = []

    def bar(category: str) -> web.Response:
        asked.append(category)
        return web.Response(status=403)

    async with rest(bar) as url:
        exchange, _ = exchange_of("linear:*,spot:*", url, clock)
        await run_to_the_last_sleep(exchange)
    assert clock.slept_s == [600.0, 600.0]
    assert asked == ["linear", "linear"]


async def test_globs_that_match_nothing_are_tried_again_and_stay_in_sight(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tapecast")
    clock = WatchedClock(sleeps=4)
    async with rest(lambda _: web.json_response(listed("BTCUSDT"))) as url:
        exchange, feed = exchange_of("linear:ZZZ*", url, clock)
        await run_to_the_last_sleep(exchange)
    assert clock.slept_s == [5.0, 15.0, 60.0, 60.0]
    assert feed.rejected == {("linear", "ZZZ*"): "matches no symbol that trades"}
    assert caplog.messages[1:3] == [
        "symbol linear:ZZZ* is rejected: matches no symbol that trades",
        "symbols are listed again in 5 s",
    ]


async def test_a_glob_that_matches_at_last_is_taken_back_and_has_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tapecast")
    clock = WatchedClock(sleeps=4)
    lists = [["BTCUSDT"], ["BTCUSDT"], ["BTCUSDT", "ZZZUSDT"], ["BTCUSDT"]]
    answers = iter(lists)
    async with rest(lambda _: web.json_response(listed(*next(answers)))) as url:
        exchange, feed = exchange_of("linear:ZZZ*,linear:ETHUSDT", url, clock)
        rejected: list[int] = []
        clock.on_sleep = lambda: rejected.append(len(feed.rejected))
        await run_to_the_last_sleep(exchange)
    # Of the last list it is gone again, and so in sight; its line stays.
    assert rejected == [1, 1, 0, 1]
    assert clock.slept_s == [5.0, 15.0, 900.0, 5.0]
    assert lines_of(exchange) == [("linear-1", ("ETHUSDT",)), ("linear-2", ("ZZZUSDT",))]
    assert "symbol linear:ZZZ* is matched now" in caplog.messages


async def test_new_listings_get_new_lines_and_nothing_is_subscribed_twice() -> None:
    clock = WatchedClock(sleeps=3)
    lists = [["AUSDT", "BUSDT"], ["AUSDT", "BUSDT"], ["CUSDT", "AUSDT", "BUSDT", "DUSDT"]]
    answers = iter(lists)
    async with rest(lambda _: web.json_response(listed(*next(answers)))) as url:
        exchange, _ = exchange_of("linear:*,linear:A*,linear:BUSDT,spot:BUSDT", url, clock)
        await run_to_the_last_sleep(exchange)
    assert clock.slept_s == [900.0, 900.0, 900.0]
    assert lines_of(exchange) == [
        ("linear-1", ("BUSDT",)),
        ("spot-1", ("BUSDT",)),
        ("linear-2", ("AUSDT",)),
        ("linear-3", ("CUSDT", "DUSDT")),
    ]


async def test_explicit_symbols_have_their_lines_while_the_listing_fails() -> None:
    clock = WatchedClock(sleeps=4)
    answers = iter([REFUSED, REFUSED, listed("BTCUSDT", "XUSDT"), REFUSED])
    async with rest(lambda _: web.json_response(next(answers))) as url:
        exchange, feed = exchange_of("linear:X*,BTCUSDT,spot:BTCUSDT", url, clock)
        lines: list[int] = []
        clock.on_sleep = lambda: lines.append(len(exchange._lines))
        await run_to_the_last_sleep(exchange)
    assert lines == [2, 2, 3, 3]
    assert clock.slept_s == [5.0, 15.0, 900.0, 5.0]
    assert lines_of(exchange)[2] == ("linear-2", ("XUSDT",))
    assert feed.rejected == {}


async def test_a_category_that_cannot_be_listed_does_not_hold_up_another() -> None:
    clock = WatchedClock(sleeps=2)

    def answer(category: str) -> web.Response:
        return web.json_response(REFUSED if category == "linear" else listed("BTCUSDT"))

    async with rest(answer) as url:
        exchange, _ = exchange_of("linear:*,spot:*", url, clock)
        await run_to_the_last_sleep(exchange)
    assert lines_of(exchange) == [("spot-1", ("BTCUSDT",))]
    assert clock.slept_s == [5.0, 15.0]


async def test_the_worker_is_idle_between_listings_and_failed_after_one_that_failed() -> None:
    clock = WatchedClock(sleeps=3)
    answers = iter([listed("BTCUSDT"), REFUSED, listed("BTCUSDT")])
    async with rest(lambda _: web.json_response(next(answers))) as url:
        exchange, _ = exchange_of("linear:*", url, clock)
        worker = exchange._worker
        seen: list[tuple[str, str | None, int]] = []
        clock.on_sleep = lambda: seen.append(
            (worker.state(clock.now_ns + 10**10), worker.error, worker.restarts_total)
        )
        await run_to_the_last_sleep(exchange)
    refused = "GET /v5/market/instruments-info was refused: 10001 params error"
    assert seen == [("idle", None, 0), ("failed", refused, 0), ("idle", None, 1)]


async def test_without_globs_nothing_is_listed_and_the_listing_is_over() -> None:
    clock = WatchedClock(sleeps=1)
    asked: list[str] = []

    def refuse(category: str) -> web.Response:
        asked.append(category)
        return web.Response(status=403)

    async with rest(refuse) as url:
        exchange, _ = exchange_of("BTCUSDT,option:BTC", url, clock)
        task = asyncio.create_task(exchange.run())
        done, _ = await asyncio.wait([task], timeout=0)
        assert not done
        assert exchange._worker.state(clock.now_ns) == "stopped"
        assert lines_of(exchange) == [("linear-1", ("BTCUSDT",)), ("option-1", ("BTC",))]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (asked, clock.slept_s) == ([], [])


async def test_many_symbols_are_spread_over_several_lines_of_their_category() -> None:
    clock = WatchedClock(sleeps=1)
    names = [f"S{number}USDT" for number in range(7)]
    async with rest(lambda _: web.json_response(listed(*names))) as url:
        exchange, _ = exchange_of("spot:*,linear:S1*,BTCUSDT", url, clock, most=3)
        await run_to_the_last_sleep(exchange)
    assert lines_of(exchange) == [
        ("linear-1", ("BTCUSDT",)),
        ("spot-1", ("S0USDT", "S1USDT", "S2USDT")),
        ("spot-2", ("S3USDT", "S4USDT", "S5USDT")),
        ("spot-3", ("S6USDT",)),
        ("linear-2", ("S1USDT",)),
    ]
    assert {line.config.url for line in exchange._lines} == {
        *("ws://127.0.0.1:9/spot", "ws://127.0.0.1:9/linear"),
    }
    assert exchange.counts() == {"reconnects": 5, "unknown_frames": 5}
