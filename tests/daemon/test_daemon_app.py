"""The composition: how it starts, ends and fails."""

import asyncio
import socket

import pytest
from aiohttp import web

from tapecast.daemon import Daemon
from tapecast.errors import InternalFault
from tapecast.messages import Stats
from tapecast.telemetry import ThreadRegistry

from .harness import LIMIT_S, SetClock, running, settings_of, subscriber

NOWHERE = {"bybit__ws_url": "ws://127.0.0.1:9", "bybit__rest_url": "http://127.0.0.1:9"}


def make_daemon(**flags: str) -> Daemon:
    clock = SetClock(0)
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    settings = settings_of(**NOWHERE, **flags)
    return Daemon(settings, registry=registry, console=lambda _: None, clock=clock)


async def test_a_port_in_use_is_an_error_that_names_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = make_daemon(port=str(port), symbols="BTCUSDT")
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: address already"):
            await daemon.run(asyncio.Event(), on_ready=lambda _: pytest.fail("it listens"))


async def test_clients_are_served_while_the_exchange_cannot_be_reached() -> None:
    daemon, stop = make_daemon(port="0", symbols="BTCUSDT", bybit__lines="1"), asyncio.Event()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(daemon.run(stop, on_ready=ready.set_result))
    async with asyncio.timeout(LIMIT_S):
        url = f"ws://127.0.0.1:{await ready}/ws/status"
        async with subscriber(url) as client:
            stats = await client.find(Stats)
            while not stats.message_counts["reconnects"]:
                stats = await client.find(Stats)
            (line,) = [one for one in stats.thread_statuses if one.name == "linear-1"]
        stop.set()
        await task
    assert (line.state, line.restarts) == ("starting", stats.message_counts["reconnects"])
    assert line.error is not None
    assert line.error.startswith("cannot connect: ")


async def test_symbols_are_listed_again_while_the_exchange_cannot_list_them() -> None:
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"retCode": 10001, "retMsg": "params error"})

    app = web.Application()
    app.router.add_get("/v5/market/instruments-info", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    rest_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    flags = {"symbols": "linear:*USDT", "bybit__rest_url": rest_url}
    async with running(**flags) as run, subscriber(run.url) as client:  # type: ignore[arg-type]
        stats = await client.find(Stats)
        while len(asked) < 2:
            # Time passes for whoever waits to list them again.
            run.clock.set(run.clock.wall_ms() + 60_000)
            stats = await client.find(Stats)
    await runner.cleanup()
    (worker,) = [one for one in stats.thread_statuses if one.name == "symbols"]
    assert worker.error == "GET /v5/market/instruments-info was refused: 10001 params error"
    assert worker.state in {"starting", "failed"}


async def test_a_worker_that_fails_ends_the_daemon_with_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_now_ms: int) -> None:
        raise ZeroDivisionError("a fault of ours")

    async def break_it() -> None:
        async with running() as run:
            run.daemon._feed.tick = fail  # type: ignore[method-assign, assignment]
            run.clock.set(run.clock.wall_ms() + 1)
            await asyncio.wait([run.task])

    fault = "task engine-timer failed: ZeroDivisionError: a fault of ours"
    with pytest.raises(InternalFault, match=fault):
        await break_it()
    assert fault in caplog.messages


async def test_the_end_closes_clients_and_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with running() as run, subscriber(run.url) as client:
        await client.read()
        run.stop.set()
        await run.task
        await client.connection.wait_closed()
        assert (client.connection.close_code, client.connection.close_reason) == (
            *(1012, "server is shutting down"),
        )
    assert asyncio.all_tasks() == before


def test_every_run_has_an_epoch_of_its_own() -> None:
    assert make_daemon(port="0").engine.epoch != make_daemon(port="0").engine.epoch
