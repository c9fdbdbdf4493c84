"""The exchange's public REST interface: what may be subscribed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
from yarl import URL

from tapecast.aliases import Category
from tapecast.bybit.failures import FORBIDDEN
from tapecast.errors import FeedError, FeedForbidden

__all__ = ["MAX_PAGE_SIZE", "Rest"]

MAX_PAGE_SIZE: Final = 1000
"""Most rows that the exchange sends in one page of instruments."""

_TRIES: Final = 4
_TIMEOUT_S: Final = 10.0
_FIRST_RETRY_S: Final = 1.0
_EXCERPT_CHARS: Final = 64

_TRANSIENT_CODES: Final = frozenset({10000, 10002, 10006, 10016})
"""Time-out, clocks apart, too many visits, fault of the server.

Source: https://bybit-exchange.github.io/docs/v5/error
"""


class _Envelope(msgspec.Struct):
    """What every reply is wrapped in; errors come with HTTP 200."""

    retCode: int  # noqa: N815 -- the exchange's spelling
    retMsg: str | None = None  # noqa: N815
    result: dict[str, Any] | None = None


class _Page(msgspec.Struct):
    """A part of a list, and where the next one begins; spot has no `nextPageCursor`."""

    rows: list[dict[str, Any]] = msgspec.field(name="list")
    cursor: str = msgspec.field(name="nextPageCursor", default="")


_DECODER: Final = msgspec.json.Decoder(_Envelope)


class _TransientError(FeedError):
    """Worth another try."""


class Rest:
    """A client of one REST host, as an asynchronous context manager.

    Args:
        base_url: Such as `https://api.bybit.com`.
        proxy: Proxy to connect through; the system's variables are ignored.
        page_size: Rows that are asked for at once.
        sleep: Waits between tries, in seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        proxy: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._proxy = proxy
        self._page_size = page_size
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        self._session = aiohttp.ClientSession(trust_env=False, timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def instruments(self, category: Category, base_coin: str = "") -> list[dict[str, Any]]:
        """Return the rows of every instrument that trades, over all pages.

        Args:
            category: The category.
            base_coin: For options, the coin; the exchange takes BTC where none is given.

        Raises:
            FeedForbidden: If the exchange bars this address for a while.
            FeedError: If it refuses otherwise, or does not answer in several tries.
        """
        query = {"category": category, "status": "Trading"}
        if category != "spot":
            # Spot knows no pages and sends everything at once.
            query["limit"] = str(self._page_size)
        if base_coin:
            query["baseCoin"] = base_coin
        return [row async for row in self._rows("/v5/market/instruments-info", query)]

    async def _rows(self, path: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        cursor = ""
        seen = {cursor}
        while True:
            page = await self._get(path, query, cursor)
            for row in page.rows:
                yield row
            cursor = page.cursor
            # A cursor that comes again would go round for ever.
            if cursor in seen:
                return
            seen.add(cursor)

    async def _get(self, path: str, query: dict[str, str], cursor: str) -> _Page:
        failure: Exception | None = None
        for tried in range(_TRIES):
            if tried:
                await self._sleep(_FIRST_RETRY_S * 2 ** (tried - 1))
            try:
                return await self._get_once(path, query, cursor)
            except TimeoutError as error:
                failure = _TransientError(f"no answer within {_TIMEOUT_S:g} s")
                failure.__cause__ = error
            except (_TransientError, aiohttp.ClientError) as error:
                failure = error
        raise FeedError(f"GET {path} failed {_TRIES} times, last: {failure}") from failure

    async def _get_once(self, path: str, query: dict[str, str], cursor: str) -> _Page:
        if self._session is None:
            raise RuntimeError("REST client is not open, expected to be within its context")
        url = URL(self._base_url + path).with_query(query)
        if cursor:
            # The cursor comes encoded already.
            url = URL(f"{url}&cursor={cursor}", encoded=True)
        async with self._session.get(url, proxy=self._proxy, allow_redirects=False) as response:
            body = await response.read()
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _TransientError(f"HTTP {response.status}")
        if response.status in FORBIDDEN:
            raise FeedForbidden(f"GET {path}", response.status)
        if response.status != HTTPStatus.OK:
            raise FeedError(f"GET {path} was answered HTTP {response.status}, expected 200")
        return _page(path, body)


def _page(path: str, body: bytes) -> _Page:
    """Return what is in a reply's envelope."""
    try:
        envelope = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A gateway's page in place of the exchange's answer.
        found = body[:_EXCERPT_CHARS].decode(errors="replace")
        raise _TransientError(f'body begins "{found}", expected a JSON envelope') from error
    if envelope.retCode in _TRANSIENT_CODES:
        raise _TransientError(f"{envelope.retCode} {envelope.retMsg}")
    if envelope.retCode:
        raise FeedError(f"GET {path} was refused: {envelope.retCode} {envelope.retMsg}")
    try:
        return msgspec.convert(envelope.result, _Page)
    except msgspec.ValidationError as error:
        raise FeedError(f"GET {path} was answered without a list of rows: {error}") from error
