"""How the exchange's REST interface is asked: connections, pace, tries, and the envelope."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from tapecast.bybit.failures import FORBIDDEN
from tapecast.bybit.throttle import Throttle
from tapecast.errors import FeedError, FeedForbidden

__all__ = ["MAX_BODY_BYTES", "Transport"]

MAX_BODY_BYTES: Final = 16 << 20
"""Far above the longest listing: 1,000 instruments of about a kilobyte."""

_TRIES: Final = 4
_TIMEOUT_S: Final = 10.0
_FIRST_RETRY_S: Final = 1.0
_TOO_MANY_WAIT_S: Final = 1.0
_EXCERPT_CHARS: Final = 64
_AT_ONCE: Final = 8

_TOO_MANY: Final = 10006
_TRANSIENT_CODES: Final = frozenset({10000, 10002, _TOO_MANY, 10016})
"""Time-out, clocks apart, too many visits, fault of the server.

Source: https://bybit-exchange.github.io/docs/v5/error
"""


class _Envelope(msgspec.Struct):
    """What every reply is wrapped in; errors come with HTTP 200."""

    retCode: int  # noqa: N815 -- the exchange's spelling
    retMsg: str | None = None  # noqa: N815
    result: msgspec.Raw = msgspec.Raw(b"null")


_DECODER: Final = msgspec.json.Decoder(_Envelope)


class _TransientError(FeedError):
    """Worth another try."""


class _BarredError(FeedForbidden):
    """Not even asked: the exchange bars this address.

    Attributes:
        wait_s: How long it still does, in seconds.
    """

    def __init__(self, request: str, status: int, wait_s: float) -> None:
        super().__init__(request, status)
        self.wait_s = wait_s

    def __str__(self) -> str:
        """Return the request, the status that barred it, and for how long."""
        return f"{self.request} waits: HTTP {self.status} bars it for another {self.wait_s:.0f} s"


class Transport:
    """Asks one REST host.

    All requests share one pace, and all of them stop while the exchange bars the address.

    Args:
        base_url: Such as `https://api.bybit.com`.
        proxy: Proxy to connect through; the system's variables are ignored.
        forbidden_wait_s: How long nothing is asked after HTTP 403 or 429.
        throttle: The pace of requests.
        sleep: Waits for its turn and between tries, in seconds.
        monotonic_s: A clock that never jumps, in seconds.

    Attributes:
        requests_total: Requests that were sent.
        errors_total: Those that brought nothing of use.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        base_url: str,
        *,
        proxy: str | None = None,
        forbidden_wait_s: float = 600.0,
        throttle: Throttle | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests_total = 0
        self.errors_total = 0
        self._base_url = base_url.rstrip("/")
        self._proxy = proxy
        self._forbidden_wait_s = forbidden_wait_s
        self._throttle = throttle or Throttle()
        self._sleep = sleep
        self._monotonic_s = monotonic_s
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # Until when nothing is asked, and the status that said so.
        self._barred_s = float("-inf")
        self._barred_status = 0

    async def open(self) -> None:
        """Open the connection pool."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        self._session = aiohttp.ClientSession(trust_env=False, timeout=timeout)

    async def close(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self,
        path: str,
        query: dict[str, str],
        *,
        cursor: str = "",
        within_s: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> msgspec.Raw:
        """Return the `result` of a query, as JSON.

        Args:
            path: Such as `/v5/market/time`.
            query: Its parameters.
            cursor: Where a page begins, encoded as the exchange sent it.
            within_s: How long all tries and waits may take together, in seconds.
            max_bytes: The longest body that is read.

        Raises:
            FeedForbidden: If the exchange bars this address for a while.
            FeedError: If it refuses otherwise, or does not answer in several tries or in time.
        """
        url = URL(self._base_url + path).with_query(query)
        if cursor:
            # The cursor comes encoded already.
            url = URL(f"{url}&cursor={cursor}", encoded=True)
        failures: list[Exception] = []
        if within_s is None:
            return await self._try(url, max_bytes, failures)
        try:
            async with asyncio.timeout(within_s):
                return await self._try(url, max_bytes, failures)
        except TimeoutError as error:
            self.errors_total += 1
            last = f", last: {failures[-1]}" if failures else ""
            raise FeedError(f"GET {path} had no answer within {within_s:.1f} s{last}") from error

    async def _try(self, url: URL, max_bytes: int, failures: list[Exception]) -> msgspec.Raw:
        """Ask several times, and keep what failed."""
        for tried in range(_TRIES):
            if tried:
                await self._sleep(_FIRST_RETRY_S * 2 ** (tried - 1))
            try:
                async with self._turns:
                    return await self._ask(url, max_bytes)
            except (_TransientError, aiohttp.ClientError) as error:
                failures.append(error)
        failure = failures[-1]
        raise FeedError(f"GET {url.path} failed {_TRIES} times, last: {failure}") from failure

    async def _ask(self, url: URL, max_bytes: int) -> msgspec.Raw:
        """Ask once, as soon as the pace allows it."""
        wait_s = self._throttle.take(self._monotonic_s())
        if wait_s > 0:
            await self._sleep(wait_s)
        barred_for_s = self._barred_s - self._monotonic_s()
        if barred_for_s > 0:
            raise _BarredError(f"GET {url.path}", self._barred_status, barred_for_s)
        self.requests_total += 1
        try:
            return self._open(url.path, await self._fetch(url, max_bytes))
        except (FeedError, aiohttp.ClientError):
            self.errors_total += 1
            raise

    async def _fetch(self, url: URL, max_bytes: int) -> bytes:
        """Return the body of an answer."""
        if self._session is None:
            raise RuntimeError("REST client is not open, expected to be within its context")
        request = f"GET {url.path}"
        try:
            async with self._session.get(url, proxy=self._proxy, allow_redirects=False) as response:
                status = response.status
                if status in FORBIDDEN:
                    self._bar(status)
                    raise FeedForbidden(request, status)
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise _TransientError(f"HTTP {status}")
                if status != HTTPStatus.OK:
                    raise FeedError(f"{request} was answered HTTP {status}, expected 200")
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > max_bytes:
                        raise FeedError(
                            f"{request} was answered with a longer body, "
                            f"expected at most {max_bytes} bytes"
                        )
                return bytes(body)
        except TimeoutError as error:
            raise _TransientError(f"no answer within {_TIMEOUT_S:g} s") from error

    def _bar(self, status: int) -> None:
        """Let nobody ask for a while: asking goes on being refused, and makes it last longer."""
        self._barred_s = self._monotonic_s() + self._forbidden_wait_s
        self._barred_status = status

    def _open(self, path: str, body: bytes) -> msgspec.Raw:
        """Return what is in a reply's envelope."""
        try:
            envelope = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # A gateway's page in place of the exchange's answer.
            found = body[:_EXCERPT_CHARS].decode(errors="replace")
            raise _TransientError(f'body begins "{found}", expected a JSON envelope') from error
        if envelope.retCode == _TOO_MANY:
            self._throttle.hold(self._monotonic_s() + _TOO_MANY_WAIT_S)
        if envelope.retCode in _TRANSIENT_CODES:
            raise _TransientError(f"{envelope.retCode} {envelope.retMsg}")
        if envelope.retCode:
            raise FeedError(f"GET {path} was refused: {envelope.retCode} {envelope.retMsg}")
        return envelope.result
