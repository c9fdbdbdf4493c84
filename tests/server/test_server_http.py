"""What plain HTTP requests on the stream's port get."""

import json

import pytest

from tapecast.server import Reports

from .server_fakes import Serve

PATHS = '"/ws/status", "/healthz" or "/readyz"'
NO_UPGRADE = 'request has no "Upgrade: websocket", expected a WebSocket handshake'
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"


async def ask(
    serve: Serve, request: str, reports: Reports | None = None
) -> tuple[str, dict[str, str], bytes]:
    """Return the status line, the headers and the body that a raw request gets."""
    async with serve(reports=reports) as served:
        reader, writer = await served.raw()
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines) if status else {}
    return status, headers, body


@pytest.mark.parametrize(
    ("request_text", "status", "message"),
    [
        ("GET / HTTP/1.1\r\n", "404 Not Found", f'path is "/", expected {PATHS}'),
        (
            f"GET /ws/status/ HTTP/1.1\r\n{UPGRADE}",
            "404 Not Found",
            f'path is "/ws/status/", expected {PATHS}',
        ),
        ("POST /x HTTP/1.1\r\n", "404 Not Found", f'path is "/x", expected {PATHS}'),
        ("GET /ws/status HTTP/1.1\r\n", "426 Upgrade Required", NO_UPGRADE),
        (
            "GET /ws/status?x=1 HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
            "426 Upgrade Required",
            NO_UPGRADE,
        ),
        (
            f"POST /ws/status HTTP/1.1\r\n{UPGRADE}",
            "405 Method Not Allowed",
            'method is "POST", expected GET',
        ),
        (
            "PUT /readyz HTTP/1.1\r\n",
            "405 Method Not Allowed",
            'method is "PUT", expected GET or HEAD',
        ),
        (
            "DELETE /healthz HTTP/1.1\r\n",
            "405 Method Not Allowed",
            'method is "DELETE", expected GET or HEAD',
        ),
        (
            f"GET /ws/status HTTP/1.1\r\n{UPGRADE}",
            "400 Bad Request",
            "Failed to open a WebSocket connection: missing Sec-WebSocket-Key header.",
        ),
        (
            f"GET /ws/status HTTP/1.0\r\n{UPGRADE}",
            "505 HTTP Version Not Supported",
            "Failed to open a WebSocket connection: unsupported HTTP version: HTTP/1.0.",
        ),
    ],
)
async def test_what_cannot_be_served_is_told_in_json(
    serve: Serve, request_text: str, status: str, message: str
) -> None:
    found, headers, body = await ask(serve, f"{request_text}Host: x\r\n\r\n")
    assert found == f"HTTP/1.1 {status}"
    error = status[4:].lower().replace(" ", "_")
    assert json.loads(body) == {"error": error, "message": message}
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(body))
    assert headers["Cache-Control"] == "no-store"
    assert headers["Connection"] == "close"
    assert "Server" not in headers
    assert headers.get("Upgrade") == ("websocket" if status.startswith("426") else None)
    methods = "GET" if "/ws/status" in request_text else "GET, HEAD"
    assert headers.get("Allow") == (methods if status.startswith("405") else None)


@pytest.mark.parametrize("request_line", ["GET /healthz HTTP/1.1", "GET /healthz?x=1 HTTP/1.0"])
async def test_health_tells_how_far_the_server_is(serve: Serve, request_line: str) -> None:
    status, headers, body = await ask(serve, f"{request_line}\r\nHost: x\r\n\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert json.loads(body) == {"status": "ok", "epoch": "e-1", "seq": 0, "clients": 0}
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"


async def test_health_holds_what_the_daemon_adds(serve: Serve) -> None:
    reports = Reports(health=lambda: {"durability": "process"})
    _, _, body = await ask(serve, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", reports=reports)
    assert json.loads(body)["durability"] == "process"


async def test_ready_says_so_or_why_not(serve: Serve) -> None:
    request = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    status, headers, body = await ask(serve, request)
    assert (status, json.loads(body)) == ("HTTP/1.1 200 OK", {"status": "ready"})
    assert headers["Cache-Control"] == "no-store"
    reports = Reports(readiness=lambda: ["no line is connected", "gaps are being filled"])
    status, headers, body = await ask(serve, request, reports=reports)
    assert status == "HTTP/1.1 503 Service Unavailable"
    reasons = ["no line is connected", "gaps are being filled"]
    assert json.loads(body) == {"status": "not_ready", "reasons": reasons}
    assert headers["Content-Type"] == "application/json"


async def test_head_gets_the_headers_of_get_and_no_body(serve: Serve) -> None:
    status, headers, body = await ask(serve, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == "HTTP/1.1 200 OK"
    length = len('{"status":"ok","epoch":"e-1","seq":0,"clients":0}')
    assert headers["Content-Length"] == str(length)
    assert body == b""


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /ws/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
async def test_a_body_or_another_protocol_ends_the_connection_without_an_answer(
    serve: Serve, request_text: str
) -> None:
    assert await ask(serve, request_text) == ("", {}, b"")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (f"GET /{'x' * 9000} HTTP/1.1\r\n\r\n", "HTTP/1.1 414 Request-URI Too Long"),
        (
            f"GET /healthz HTTP/1.1\r\nX: {'x' * 9000}\r\n\r\n",
            "HTTP/1.1 431 Request Header Fields Too Large",
        ),
    ],
)
async def test_endless_lines_are_refused(serve: Serve, request_text: str, status: str) -> None:
    assert (await ask(serve, request_text))[0] == status
