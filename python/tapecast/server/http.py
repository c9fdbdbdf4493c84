"""Answers to HTTP requests on the stream's port: one path upgrades, all else gets JSON."""

import http
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tapecast.server.access import Access
from tapecast.server.admission import Admission
from tapecast.server.interfaces import Clock, EngineView, ServerCounts

__all__ = ["HEALTH_PATH", "READY_PATH", "STREAM_PATH", "Reports", "Routes"]

STREAM_PATH: Final = "/ws/status"
HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
_METHODS: Final = {
    STREAM_PATH: ("GET",),
    HEALTH_PATH: ("GET", "HEAD"),
    READY_PATH: ("GET", "HEAD"),
}
_JSON: Final = "application/json"
_CLOSING: Final = "server is shutting down"


def _nothing_more() -> dict[str, object]:
    return {}


def _nothing_wrong() -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Reports:
    """What others say of the daemon.

    Attributes:
        health: Returns further members of the answer of `/healthz`, as JSON has them.
        readiness: Returns why the daemon is not ready to serve; nothing if it is.
    """

    health: Callable[[], Mapping[str, object]] = _nothing_more
    readiness: Callable[[], list[str]] = _nothing_wrong


class Routes:
    """Decides what each request gets, before the WebSocket handshake.

    A request with a body never gets here: the library ends such a connection without an answer.

    Args:
        engine: What health tells of.
        admission: Who is let in.
        counts: The totals to count in.
        clients: Returns the number of open WebSocket connections.
        clock: Monotonic seconds.
        access: Who may connect.
        reports: What others say of the daemon.

    Attributes:
        is_closing: Whether nobody is let in any more.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        engine: EngineView,
        *,
        admission: Admission,
        counts: ServerCounts,
        clients: Callable[[], int],
        clock: Clock,
        access: Access,
        reports: Reports,
    ) -> None:
        self.is_closing = False
        self._engine = engine
        self._admission = admission
        self._counts = counts
        self._clients = clients
        self._clock = clock
        self._access = access
        self._reports = reports

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the answer to a plain request; None lets the WebSocket handshake go on."""
        path = request.path.partition("?")[0]
        methods = _METHODS.get(path)
        if methods is None:
            return connection.respond(
                http.HTTPStatus.NOT_FOUND,
                f'path is "{path}", expected "{STREAM_PATH}", "{HEALTH_PATH}" or "{READY_PATH}"',
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
        if path == READY_PATH:
            return self._ready(connection)
        return self._check_upgrade(connection, request) or self._admit(connection)

    def process_response(
        self, _connection: ServerConnection, request: Request, response: Response
    ) -> None:
        """Finish every answer but the upgrade: JSON, never cached, no body for HEAD."""
        if response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            return
        is_error = response.status_code >= http.HTTPStatus.BAD_REQUEST
        if is_error and response.headers.get("Content-Type") != _JSON:
            error = http.HTTPStatus(response.status_code).phrase.lower().replace(" ", "_")
            _set_json(response, {"error": error, "message": bytes(response.body).decode().strip()})
        response.headers["Cache-Control"] = "no-store"
        if request.method == "HEAD":
            response.body = b""

    def _health(self, connection: ServerConnection) -> Response:
        """Return that the server works, and how far it is."""
        response = connection.respond(http.HTTPStatus.OK, "")
        engine = self._engine
        own = {"status": "ok", "epoch": engine.epoch, "seq": engine.seq, "clients": self._clients()}
        _set_json(response, {**own, **self._reports.health()})
        return response

    def _ready(self, connection: ServerConnection) -> Response:
        """Return whether clients should come here, and if not, why."""
        reasons = [_CLOSING] if self.is_closing else self._reports.readiness()
        if reasons:
            response = connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "")
            _set_json(response, {"status": "not_ready", "reasons": reasons})
        else:
            response = connection.respond(http.HTTPStatus.OK, "")
            _set_json(response, {"status": "ready"})
        return response

    def _check_upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return None for a request of who may have the stream."""
        upgrades = ",".join(request.headers.get_all("Upgrade")).lower().split(",")
        if "websocket" not in (upgrade.strip() for upgrade in upgrades):
            response = connection.respond(
                http.HTTPStatus.UPGRADE_REQUIRED,
                'request has no "Upgrade: websocket", expected a WebSocket handshake',
            )
            response.headers["Upgrade"] = "websocket"
            return response
        if not self._access.allows_origin(request):
            return connection.respond(
                http.HTTPStatus.FORBIDDEN,
                "origin is that of another host, expected this one or one of allowed_origins",
            )
        if not self._access.allows_token(request):
            response = connection.respond(
                http.HTTPStatus.UNAUTHORIZED,
                'token is missing or wrong, expected "Authorization: Bearer" or "?token="',
            )
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None

    def _admit(self, connection: ServerConnection) -> Response | None:
        """Return None for a client for which there is a place."""
        address = connection.remote_address
        host = address[0] if address else ""
        problem = (
            _CLOSING
            if self.is_closing
            else self._admission.admit(connection, host, now_s=self._clock.monotonic_s())
        )
        if problem is None:
            return None
        self._counts.rejected_clients += 1
        response = connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, problem)
        response.headers["Retry-After"] = str(self._admission.retry_after_s)
        return response


def _set_json(response: Response, body: Mapping[str, object]) -> None:
    """Replace the body of a response by JSON, and the headers that speak of it."""
    response.body = msgspec.json.encode(body)
    for name, value in (
        ("Content-Type", _JSON),
        ("Content-Length", str(len(response.body))),
    ):
        del response.headers[name]
        response.headers[name] = value
