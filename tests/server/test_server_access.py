"""Who may connect: origins, tokens, addresses, and what may be served to everyone."""

import ipaddress
import json

import pytest
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request

from tapecast.errors import ConfigError
from tapecast.server import Access, check_exposure
from tapecast.server.access import address_key

from .server_fakes import Serve, Served, receive

TOKEN = "a-token+of/16=characters"  # noqa: S105 -- a test's


def request(path: str = "/ws/status", **headers: str) -> Request:
    return Request(path, Headers(**headers))


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("h.example:8848", "http://h.example:8848", True),
        ("h.example:8848", "https://h.example:8848", True),
        ("H.example:8848", "http://h.EXAMPLE:8848", True),
        ("h.example", "https://h.example", True),
        ("h.example:443", "https://h.example", True),
        ("h.example", "http://h.example:80", True),
        ("127.0.0.1:8848", "http://127.0.0.1:8848", True),
        ("[::1]:8848", "http://[::1]:8848", True),
        ("h.example:8848", "http://h.example", False),
        ("h.example:8848", "http://h.example:8849", False),
        ("h.example", "https://h.example.evil.example", False),
        ("h.example", "https://evil.example", False),
        ("h.example", "https://h.example@evil.example", False),
        ("h.example", "https://user@h.example", False),
        ("h.example", "https://h.example/path", False),
        ("h.example", "https://h.example:99999", False),
        ("h.example", "file://h.example", False),
        ("h.example", "null", False),
        ("h.example", "", False),
        ("h.example", "https://dash.example", True),
        ("h.example", "https://dash.example:444", False),
        ("h.example", "http://dash.example", False),
        ("h.example", "http://dev.example:3000", True),
    ],
)
def test_a_page_may_connect_to_its_own_host_or_if_it_is_allowed(
    host: str, origin: str, *, allowed: bool
) -> None:
    access = Access(allowed_origins=("https://dash.example/", "http://dev.example:3000"))
    assert access.allows_origin(request(Host=host, Origin=origin)) is allowed


def test_who_sends_no_origin_may_connect_and_who_sends_two_may_not() -> None:
    assert Access().allows_origin(request(Host="h"))
    two = request(Host="h", Origin="http://h")
    two.headers["Origin"] = "http://h"
    assert not Access().allows_origin(two)


@pytest.mark.parametrize(
    ("path", "authorization", "allowed"),
    [
        ("/ws/status", f"Bearer {TOKEN}", True),
        ("/ws/status", f"bearer  {TOKEN} ", True),
        ("/ws/status?token=a-token%2Bof/16%3Dcharacters", None, True),
        ("/ws/status?x=1&token=a-token%2Bof/16=characters", "Basic x", True),
        ("/ws/status?token=wrong", f"Bearer {TOKEN}", True),
        ("/ws/status", None, False),
        ("/ws/status", TOKEN, False),
        ("/ws/status", f"Basic {TOKEN}", False),
        ("/ws/status", f"Bearer {TOKEN}x", False),
        ("/ws/status", "Bearer \xff", False),
        ("/ws/status?token=", None, False),
        ("/ws/status?token=%ff", None, False),
        ("/ws/status?TOKEN=a-token%2Bof/16%3Dcharacters", None, False),
    ],
)
def test_the_token_stands_in_the_header_or_in_the_query(
    path: str, authorization: str | None, *, allowed: bool
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    assert Access(token=TOKEN).allows_token(request(path, **headers)) is allowed
    assert Access().allows_token(request(path, **headers))


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(Access(token=TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "::ffff:127.0.0.1"])
def test_who_listens_for_this_host_alone_needs_no_token(host: str) -> None:
    check_exposure(host, token=None, allow_public=False)


@pytest.mark.parametrize(
    "host", [str(ipaddress.IPv4Address(0)), "::", "192.0.2.1", "h.example", "::ffff:192.0.2.1"]
)
def test_who_listens_for_others_needs_a_token_or_must_say_so(host: str) -> None:
    check_exposure(host, token=TOKEN, allow_public=False)
    check_exposure(host, token=None, allow_public=True)
    with pytest.raises(ConfigError) as refused:
        check_exposure(host, token=None, allow_public=False)
    expected = f'host: "{host}", expected a loopback address, a token or allow_public'
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("127.5.5.5", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("", None),
        ("a socket", "a socket"),
    ],
)
def test_addresses_count_by_what_one_client_has_of_them(host: str, key: str | None) -> None:
    assert address_key(host) == key


async def refused(served: Served, **headers: str) -> tuple[int, dict[str, str], dict[str, str]]:
    """Return the status, the body and the headers that a handshake gets."""
    url = f"ws://127.0.0.1:{served.listener.port}/ws/status"
    with pytest.raises(InvalidStatus) as failed:
        async with connect(url, additional_headers=headers, proxy=None):
            pass
    response = failed.value.response
    return (
        response.status_code,
        json.loads(response.body or b""),
        dict(response.headers.raw_items()),
    )


async def test_a_page_of_another_host_gets_403_before_the_upgrade(serve: Serve) -> None:
    async with serve() as served:
        status, body, _ = await refused(served, Origin="https://evil.example")
        assert status == 403
        message = "origin is that of another host, expected this one or one of allowed_origins"
        assert body == {"error": "forbidden", "message": message}
        url = f"ws://127.0.0.1:{served.listener.port}/ws/status"
        own = f"http://127.0.0.1:{served.listener.port}"
        async with connect(url, additional_headers={"Origin": own}, proxy=None) as client:
            await client.send('{"action":"ping"}')
            assert (await receive(client))["type"] == "pong"


async def test_without_the_token_there_is_401_and_health_stays_open(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serve(access=Access(token=TOKEN)) as served:
        status, body, headers = await refused(served, Authorization="Bearer wrong")
        assert status == 401
        message = 'token is missing or wrong, expected "Authorization: Bearer" or "?token="'
        assert body == {"error": "unauthorized", "message": message}
        assert headers["WWW-Authenticate"] == "Bearer"
        reader, writer = await served.raw()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()
        url = f"ws://127.0.0.1:{served.listener.port}/ws/status"
        sent = {"Authorization": f"Bearer {TOKEN}"}
        async with connect(url, additional_headers=sent, proxy=None):
            pass
        query = TOKEN.replace("+", "%2B")
        async with connect(f"{url}?token={query}", proxy=None):
            pass
    assert TOKEN not in caplog.text
    assert "%2Bof" not in caplog.text
