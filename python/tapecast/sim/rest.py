"""The simulated REST API over HTTP, and the ledger for tests in other processes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from tapecast.sim.queries import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapecast.sim.ledger import Ledger
    from tapecast.sim.queries import MarketData

__all__ = ["LEDGER_PAGE", "rest_routes"]

LEDGER_PAGE: Final = 10_000
"""Most trades of one `/sim/ledger` answer; the next page is asked for with `after`."""

_encoder = msgspec.json.Encoder()


def rest_routes(
    data: MarketData, *, ledger: Ledger, now_ms: Callable[[], int]
) -> list[web.RouteDef]:
    """Return the HTTP routes of the simulated exchange.

    `/sim/ledger?category=&symbol=&after=` is no part of the real one: it answers with JSON lines,
    one executed trade each with its `number`, oldest first, and with the header
    `X-Ledger-Dropped`, the number up to which trades are no longer kept.
    """

    async def time(_request: web.Request) -> web.Response:
        moment_ms = now_ms()
        seconds = {"timeSecond": str(moment_ms // 1000), "timeNano": str(moment_ms * 1_000_000)}
        return _answer(seconds, moment_ms)

    async def instruments_info(request: web.Request) -> web.Response:
        return _attempt(lambda: data.instruments_info(request.query), now_ms())

    async def recent_trade(request: web.Request) -> web.Response:
        return _attempt(lambda: data.recent_trade(request.query), now_ms())

    async def kline(request: web.Request) -> web.Response:
        moment_ms = now_ms()
        return _attempt(lambda: data.kline(request.query, now_ms=moment_ms), moment_ms)

    async def truth(request: web.Request) -> web.Response:
        return _ledger_page(ledger, request)

    return [
        web.get("/v5/market/time", time),
        web.get("/v5/market/instruments-info", instruments_info),
        web.get("/v5/market/recent-trade", recent_trade),
        web.get("/v5/market/kline", kline),
        web.get("/sim/ledger", truth),
    ]


def _attempt(query: Callable[[], dict[str, Any]], moment_ms: int) -> web.Response:
    try:
        return _answer(query(), moment_ms)
    except Refusal as refusal:
        empty = {"category": "", "list": [], "nextPageCursor": ""}
        return _answer(empty, moment_ms, code=refusal.code, text=refusal.text)


def _answer(
    result: dict[str, Any], moment_ms: int, *, code: int = 0, text: str = "OK"
) -> web.Response:
    envelope = {
        "retCode": code,
        "retMsg": text,
        "result": result,
        "retExtInfo": {},
        "time": moment_ms,
    }
    return web.Response(body=_encoder.encode(envelope), content_type="application/json")


def _ledger_page(ledger: Ledger, request: web.Request) -> web.Response:
    after = request.query.get("after") or "0"
    if not (after.isascii() and after.isdigit()):
        raise web.HTTPBadRequest(text=f'after is "{after}", expected a number of a trade')
    entries = ledger.entries(
        after=int(after),
        category=request.query.get("category") or None,
        symbol=request.query.get("symbol") or None,
    )
    lines = [
        _encoder.encode({"number": number, **msgspec.structs.asdict(trade)}) + b"\n"
        for number, trade in islice(entries, LEDGER_PAGE)
    ]
    return web.Response(
        body=b"".join(lines),
        content_type="application/jsonl",
        headers={"X-Ledger-Dropped": str(ledger.dropped)},
    )
