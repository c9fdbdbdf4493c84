"""The simulated REST API over HTTP, and the truth for tests in other processes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from tapecast.sim.answers import NoAnswer
from tapecast.sim.websocket import cut, linger

if TYPE_CHECKING:
    from tapecast.sim.desk import Desk
    from tapecast.sim.fault_log import FaultLog
    from tapecast.sim.ledger import Ledger

__all__ = ["LEDGER_PAGE", "rest_routes"]

LEDGER_PAGE: Final = 10_000
"""Most lines of one `/sim` answer; the next page is asked for with `after`."""

_encoder = msgspec.json.Encoder()


def rest_routes(desk: Desk) -> list[web.RouteDef]:
    """Return the HTTP routes of the simulated exchange.

    What begins with `/sim` is no part of the real one. `/sim/ledger?category=&symbol=&after=`
    answers with JSON lines, one executed trade each with its `number`, oldest first, and with the
    header `X-Ledger-Dropped`, the number up to which trades are no longer kept. `/sim/faults`, also
    with `after`, answers with what the faults did in the same manner.
    """

    async def market(request: web.Request) -> web.StreamResponse:
        return await _answer(desk, request)

    async def truth(request: web.Request) -> web.Response:
        return _ledger_page(desk.ledger, request)

    async def faults(request: web.Request) -> web.Response:
        return _fault_page(desk.log, request)

    return [
        web.get("/v5/market/{name}", market),
        web.get("/sim/ledger", truth),
        web.get("/sim/faults", faults),
    ]


async def _answer(desk: Desk, request: web.Request) -> web.StreamResponse:
    try:
        answer = desk.answer(request.path, request.query)
    except NoAnswer as silence:
        injection = silence.injection
        await linger(request, lambda: not injection.over)
    except ConnectionResetError:
        pass
    else:
        return web.Response(
            status=answer.status, body=answer.body, content_type=answer.content_type
        )
    cut(request)
    return web.Response(status=503)


def _ledger_page(ledger: Ledger, request: web.Request) -> web.Response:
    entries = ledger.entries(
        after=_after(request, "a trade"),
        category=request.query.get("category") or None,
        symbol=request.query.get("symbol") or None,
    )
    lines = [
        _encoder.encode({"number": number, **msgspec.structs.asdict(trade)}) + b"\n"
        for number, trade in islice(entries, LEDGER_PAGE)
    ]
    return _lines(lines, "X-Ledger-Dropped", ledger.dropped)


def _fault_page(log: FaultLog, request: web.Request) -> web.Response:
    lines = [
        _encoder.encode({"number": number, **msgspec.structs.asdict(event)}) + b"\n"
        for number, event in islice(log.entries(after=_after(request, "a deed")), LEDGER_PAGE)
    ]
    return _lines(lines, "X-Faults-Dropped", log.dropped)


def _lines(lines: list[bytes], header: str, dropped: int) -> web.Response:
    return web.Response(
        body=b"".join(lines),
        content_type="application/jsonl",
        headers={header: str(dropped)},
    )


def _after(request: web.Request, what: str) -> int:
    after = request.query.get("after") or "0"
    if not (after.isascii() and after.isdigit()):
        raise web.HTTPBadRequest(text=f'after is "{after}", expected a number of {what}')
    return int(after)
