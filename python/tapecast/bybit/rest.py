"""The exchange's public REST interface: what may be subscribed."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from tapecast.aliases import Category
from tapecast.errors import FeedError

__all__ = ["Rest"]

_PAGE: Final = 1000
_TRIES: Final = 4
_TIMEOUT_S: Final = 10.0
_RETRY_S: Final = 0.5
_EXCERPT_CHARS: Final = 64
_TRANSIENT_CODES: Final = frozenset({10000, 10002, 10006, 10016})
_TRANSIENT_STATUS: Final = 500


class _Envelope(msgspec.Struct):
    """What every reply is wrapped in; errors come with HTTP 200."""

    retCode: int  # noqa: N815 -- the exchange's spelling
    retMsg: str = ""  # noqa: N815
    result: dict[str, Any] = msgspec.field(default_factory=dict)


_DECODE: Final = msgspec.json.Decoder(_Envelope)


class _TransientError(FeedError):
    """Worth another try."""


class Rest:
    """A client of one REST host, as an asynchronous context manager.

    Args:
        base_url: Such as `https://api.bybit.com`.
        proxy: Proxy to connect through; the system's variables are ignored.
    """

    def __init__(self, base_url: str, *, proxy: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._proxy = proxy
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

    async def instruments(self, category: Category, base_coin: str = "") -> list[dict[str, Any]]:
        """Return the rows of every instrument that trades, over all pages.

        Args:
            category: The category.
            base_coin: For options, the coin; the exchange takes BTC where none is given.

        Raises:
            FeedError: If the exchange refuses, or does not answer in several tries.
        """
        query = {"category": category, "status": "Trading"}
        if category != "spot":
            query["limit"] = str(_PAGE)
        if base_coin:
            query["baseCoin"] = base_coin
        return [row async for row in self._rows("/v5/market/instruments-info", query)]

    async def _rows(self, path: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        cursor = ""
        while True:
            result = await self._get(path, query, cursor)
            for row in result.get("list") or []:
                yield row
            following = result.get("nextPageCursor") or ""
            if not following or following == cursor:
                return
            cursor = following

    async def _get(self, path: str, query: dict[str, str], cursor: str) -> dict[str, Any]:
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._get_once(path, query, cursor)
            except (_TransientError, aiohttp.ClientError, TimeoutError) as error:
                if attempt == _TRIES:
                    text = f"GET {path} failed {_TRIES} times, last: {error or 'timed out'}"
                    raise FeedError(text) from error
            await asyncio.sleep(_RETRY_S * 2**attempt)
        raise AssertionError

    async def _get_once(self, path: str, query: dict[str, str], cursor: str) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("REST client is not open, expected to be within its context")
        url = aiohttp.client.URL(self._base_url + path).with_query(query)
        if cursor:
            # The cursor comes encoded already.
            url = aiohttp.client.URL(f"{url}&cursor={cursor}", encoded=True)
        async with self._session.get(url, proxy=self._proxy, allow_redirects=False) as response:
            body = await response.read()
        if response.status >= _TRANSIENT_STATUS:
            raise _TransientError(f"HTTP {response.status}")
        if response.status != 200:  # noqa: PLR2004 -- HTTP's own number
            raise FeedError(f"GET {path} was answered HTTP {response.status}, expected 200")
        try:
            envelope = _DECODE.decode(body)
        except msgspec.DecodeError as error:
            found = body[:_EXCERPT_CHARS].decode(errors="replace")
            raise _TransientError(f"body begins {found!r}, expected a JSON envelope") from error
        if envelope.retCode in _TRANSIENT_CODES:
            raise _TransientError(f"{envelope.retCode} {envelope.retMsg}")
        if envelope.retCode:
            text = f"GET {path} was refused: {envelope.retCode} {envelope.retMsg}"
            raise FeedError(text)
        return envelope.result
