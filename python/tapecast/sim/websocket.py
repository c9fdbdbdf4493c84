"""The sockets of the simulated exchange: what its desk sends is written, what comes in is told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp import ClientConnectionResetError, WSMsgType, web

from tapecast.sim.connection import ABNORMAL
from tapecast.sim.desk import HandshakeFailed
from tapecast.sim.faults import RefuseHandshake, StallHandshake
from tapecast.sim.instruments import CATEGORIES
from tapecast.sim.sockets import reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapecast.sim.connection import Connection
    from tapecast.sim.desk import Desk

__all__ = ["WebSocketDoor", "cut", "linger"]

_MAX_COMMAND_BYTES: Final = 1 << 20
_CLOSE_TIMEOUT_S: Final = 1.0
_LOOK_S: Final = 0.05


class _Writer:
    """Writes what is sent to one client, in a task of its own: a slow client stalls nobody."""

    def __init__(
        self, connection: Connection, request: web.Request, socket: web.WebSocketResponse
    ) -> None:
        self._connection = connection
        self._request = request
        self._socket = socket
        self._filled = asyncio.Event()
        connection.on_output = self._wake

    async def write(self) -> None:
        """Write frames until either side has ended the connection."""
        with contextlib.suppress(ClientConnectionResetError):
            while True:
                await self._filled.wait()
                self._filled.clear()
                while (payload := self._connection.pop()) is not None:
                    await self._socket.send_frame(payload, WSMsgType.TEXT)
                ending = self._connection.ending
                if ending is not None:
                    if ending.code is not None:
                        await self._close(ending.code, ending.reason)
                    return

    def _wake(self) -> None:
        ending = self._connection.ending
        if ending is not None and ending.code is None:
            # As a dying server does: no close frame, and what waits is not sent.
            cut(self._request)
        self._filled.set()

    async def _close(self, code: int, reason: str) -> None:
        if code == ABNORMAL:
            if self._request.transport is not None:
                self._request.transport.close()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode())
        cut(self._request)


class WebSocketDoor:
    """The WebSocket endpoints.

    Args:
        desk: What clients speak to.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client from its upgrade to its end."""
        category = next(one for one in CATEGORIES if one == request.match_info["category"])
        try:
            self._desk.admit(category)
        except HandshakeFailed as failure:
            return await self._refuse(request, failure)
        # Pings and close frames are answered here, or not: faults decide.
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=_MAX_COMMAND_BYTES, autoping=False, autoclose=False
        )
        await socket.prepare(request)
        try:
            connection = self._desk.connect(category)
        except HandshakeFailed:
            cut(request)
            return socket
        writer = asyncio.create_task(_Writer(connection, request, socket).write())
        try:
            await self._converse(connection, request, socket)
            if connection.ending is not None:
                await asyncio.wait((writer,), timeout=2 * _CLOSE_TIMEOUT_S)
        finally:
            connection.disconnect()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _converse(
        self, connection: Connection, request: web.Request, socket: web.WebSocketResponse
    ) -> None:
        while True:
            message = await socket.receive()
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                connection.receive(message.data)
            elif message.type is WSMsgType.PING:
                if connection.ping():
                    await socket.pong(message.data)
            elif message.type is WSMsgType.CLOSE:
                # In a hole the client waits for an answer as long as it likes.
                await linger(request, lambda: connection.holed)
                if connection.open:
                    await socket.close(drain=False)
                return
            elif message.type is not WSMsgType.PONG:
                return

    async def _refuse(self, request: web.Request, failure: HandshakeFailed) -> web.StreamResponse:
        fault = failure.injection.fault
        if isinstance(fault, RefuseHandshake):
            headers = {"Location": fault.location} if fault.status < 400 else {}  # noqa: PLR2004
            return web.Response(status=fault.status, headers=headers)
        if isinstance(fault, StallHandshake):
            await linger(request, lambda: not failure.injection.over)
        cut(request)
        return web.Response(status=503)


def cut(request: web.BaseRequest) -> None:
    """Cut a connection: a reset, and nothing more is sent."""
    if request.transport is not None:
        reset(request.transport)


async def linger(request: web.BaseRequest, wanted: Callable[[], bool]) -> None:
    """Leave a client waiting as long as it is wanted and the client stays."""
    while wanted() and (transport := request.transport) and not transport.is_closing():  # noqa: ASYNC110
        # There is no event for a client that leaves while its request is handled.
        await asyncio.sleep(_LOOK_S)
