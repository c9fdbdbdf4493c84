"""Answers to HTTP requests on the stream's port: one path upgrades, all else gets JSON."""

import http
from collections.abc import Callable
from typing import Final

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tapecast.server.interfaces import EngineView, ServerCounts
from tapecast.server.limits import ServerLimits

__all__ = ["HEALTH_PATH", "STREAM_PATH", "Routes"]

STREAM_PATH: Final = "/ws/status"
HEALTH_PATH: Final = "/healthz"
_METHODS: Final = {STREAM_PATH: ("GET",), HEALTH_PATH: ("GET", "HEAD")}


class Routes:
    """Decides what each request gets, before the WebSocket handshake.

    A request with a body never gets here: the library ends such a connection without an answer.

    Args:
        engine: What health tells of.
        limits: The server's limits.
        counts: The totals to count in.
        clients: Returns the number of open WebSocket connections.
    """

    def __init__(
        self,
        engine: EngineView,
        *,
        limits: ServerLimits,
        counts: ServerCounts,
        clients: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._counts = counts
        self._clients = clients

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the answer to a plain request; None lets the WebSocket handshake go on."""
        path = request.path.partition("?")[0]
        methods = _METHODS.get(path)
        if methods is None:
            return connection.respond(
                http.HTTPStatus.NOT_FOUND,
                f'path is "{path}", expected "{STREAM_PATH}" or "{HEALTH_PATH}"',
            )
        if request.method not in methods:
            response = connection.respond(
                http.HTTPStatus.METHOD_NOT_ALLOWED,
                f'method is "{request.method}", expected {" or ".join(methods)}',
            )
            response.headers["Allow"] = ", ".join(methods)
            return response
        if path == HEALTH_PATH:
            return self._health(connection)
        return self._admit(connection, request)

    def process_response(
        self, _connection: ServerConnection, request: Request, response: Response
    ) -> None:
        """Finish every answer but the upgrade: JSON, never cached, no body for HEAD."""
        if response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            return
        if response.status_code >= http.HTTPStatus.BAD_REQUEST:
            error = http.HTTPStatus(response.status_code).phrase.lower().replace(" ", "_")
            _set_json(response, {"error": error, "message": bytes(response.body).decode().strip()})
        response.headers["Cache-Control"] = "no-store"
        if request.method == "HEAD":
            response.body = b""

    def _health(self, connection: ServerConnection) -> Response:
        """Return that the server works, and how far it is."""
        response = connection.respond(http.HTTPStatus.OK, "")
        engine = self._engine
        _set_json(
            response,
            {"status": "ok", "epoch": engine.epoch, "seq": engine.seq, "clients": self._clients()},
        )
        return response

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return None for a client that may have the stream."""
        upgrades = ",".join(request.headers.get_all("Upgrade")).lower().split(",")
        if "websocket" not in (upgrade.strip() for upgrade in upgrades):
            response = connection.respond(
                http.HTTPStatus.UPGRADE_REQUIRED,
                'request has no "Upgrade: websocket", expected a WebSocket handshake',
            )
            response.headers["Upgrade"] = "websocket"
            return response
        if self._clients() >= self._limits.max_clients:
            self._counts.rejected_clients += 1
            response = connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._clients()} clients are connected, "
                f"expected at most {self._limits.max_clients}",
            )
            response.headers["Retry-After"] = str(self._limits.retry_after_s)
            return response
        return None


def _set_json(response: Response, body: dict[str, str | int]) -> None:
    """Replace the body of a response by JSON, and the headers that speak of it."""
    response.body = msgspec.json.encode(body)
    for name, value in (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(response.body))),
    ):
        del response.headers[name]
        response.headers[name] = value
