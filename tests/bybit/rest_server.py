"""A REST server that answers as it is told, and a client of it whose waits pass at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tapecast.bybit import Rest

LIMIT_S = 20.0


class Waits:
    """Waits between tries, which pass at once on a clock of their own."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.now_s = 0.0

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds

    def monotonic_s(self) -> float:
        return self.now_s


class Server:
    """Answers with one reply after another, and keeps what was asked."""

    def __init__(self, *replies: web.Response) -> None:
        self.replies = list(replies)
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        return self.replies.pop(0)


@asynccontextmanager
async def serving(
    server: Server, waits: Waits | None = None, page_size: int = 1000
) -> AsyncIterator[Rest]:
    waits = waits or Waits()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/"
        async with (
            asyncio.timeout(LIMIT_S),
            Rest(url, sleep=waits, monotonic_s=waits.monotonic_s, page_size=page_size) as rest,
        ):
            yield rest
    finally:
        await runner.cleanup()


def rows(*symbols: str, cursor: str | None = None) -> web.Response:
    result: dict[str, Any] = {"list": [{"symbol": symbol} for symbol in symbols]}
    if cursor is not None:
        result["nextPageCursor"] = cursor
    return web.json_response({"retCode": 0, "retMsg": "OK", "result": result})


def refused(code: int, text: str | None, result: object = None) -> web.Response:
    return web.json_response({"retCode": code, "retMsg": text, "result": result})
