"""The exchange's public REST interface: what may be subscribed, the last trades, and candles."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from tapecast.aliases import Category
from tapecast.bybit.backfill import Page, read_page
from tapecast.bybit.kline import Kline
from tapecast.bybit.kline_rows import MINUTE_MS, read_kline_rows
from tapecast.bybit.transport import Transport
from tapecast.errors import FeedError

__all__ = ["MAX_PAGE_SIZE", "Rest"]

_T = TypeVar("_T")

MAX_PAGE_SIZE: Final = 1000
"""Most rows that the exchange sends in one page of instruments, trades or klines."""

_MAX_SPOT_TRADES: Final = 60
"""Most trades of a spot page.

Source: https://bybit-exchange.github.io/docs/v5/market/recent-trade
"""

_MAX_MARKET_BYTES: Final = 2 << 20
"""Several times the longest page of trades or klines: to read one must not hold up the stream."""


class _Instruments(msgspec.Struct):
    """A part of a list, and where the next one begins; spot has no `nextPageCursor`."""

    rows: list[dict[str, Any]] = msgspec.field(name="list")
    cursor: str = msgspec.field(name="nextPageCursor", default="")


class _Rows(msgspec.Struct):
    """Rows that are read one by one."""

    rows: msgspec.Raw = msgspec.field(name="list")
    symbol: str = ""


_INSTRUMENTS: Final = msgspec.json.Decoder(_Instruments)
_ROWS: Final = msgspec.json.Decoder(_Rows)


class Rest:
    """A client of one REST host, as an asynchronous context manager; one is for all who ask.

    Args:
        base_url: Such as `https://api.bybit.com`.
        proxy: Proxy to connect through; the system's variables are ignored.
        forbidden_wait_s: How long nothing is asked after HTTP 403 or 429.
        page_size: Instruments that are asked for at once.
        sleep: Waits for its turn and between tries, in seconds.
        monotonic_s: A clock that never jumps, in seconds.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        base_url: str,
        *,
        proxy: str | None = None,
        forbidden_wait_s: float = 600.0,
        page_size: int = MAX_PAGE_SIZE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._page_size = page_size
        self._turn = asyncio.Lock()
        self._transport = Transport(
            base_url,
            proxy=proxy,
            forbidden_wait_s=forbidden_wait_s,
            sleep=sleep,
            monotonic_s=monotonic_s,
        )

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection pool."""
        await self._transport.close()

    def counts(self) -> dict[str, int]:
        """Return the totals of requests, and of those that brought nothing of use."""
        transport = self._transport
        return {"rest_requests": transport.requests_total, "rest_errors": transport.errors_total}

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
        return [row async for row in self._instruments("/v5/market/instruments-info", query)]

    async def recent_trades(
        self, category: Category, topic: str, *, within_s: float | None = None
    ) -> Page:
        """Return the newest trades of a topic: up to 60 of spot, 1,000 of the others.

        Args:
            category: The category.
            topic: The symbol; for options, the base coin.
            within_s: How long all tries and waits may take together, in seconds.

        Raises:
            FeedForbidden: If the exchange bars this address for a while.
            FeedError: If it refuses otherwise, does not answer in several tries or in time, or
                answers with a row that is no trade of this topic.
        """
        limit = _MAX_SPOT_TRADES if category == "spot" else MAX_PAGE_SIZE
        name = "baseCoin" if category == "option" else "symbol"
        query = {"category": category, name: topic, "limit": str(limit)}
        rows = await self._rows("/v5/market/recent-trade", query, within_s)
        return read_page(rows.rows, category=category, topic=topic, most=limit)

    async def klines(
        self,
        category: Category,
        symbol: str,
        start_ms: int,
        end_ms: int,
        *,
        within_s: float | None = None,
    ) -> list[Kline]:
        """Return the exchange's candles of minutes, oldest first; the newest one may be open.

        Args:
            category: The category; options have no klines.
            symbol: The symbol.
            start_ms: Start of the first minute.
            end_ms: Start of the last one.
            within_s: How long all tries and waits of 1,000 of them may take, in seconds.

        Raises:
            FeedForbidden: If the exchange bars this address for a while.
            FeedError: If it refuses otherwise, does not answer in several tries or in time, or
                answers with a row that is no such candle.
        """
        klines: list[Kline] = []
        for first_ms in range(start_ms, end_ms + 1, MAX_PAGE_SIZE * MINUTE_MS):
            last_ms = min(end_ms, first_ms + (MAX_PAGE_SIZE - 1) * MINUTE_MS)
            query = {"category": category, "symbol": symbol, "interval": "1"}
            query |= {"start": str(first_ms), "end": str(last_ms), "limit": str(MAX_PAGE_SIZE)}
            answer = await self._rows("/v5/market/kline", query, within_s)
            if answer.symbol != symbol:
                raise FeedError(f'klines are of "{answer.symbol}", expected "{symbol}"')
            klines += read_kline_rows(
                answer.rows, symbol=symbol, first_ms=first_ms, last_ms=last_ms, most=MAX_PAGE_SIZE
            )
        return klines

    async def _instruments(self, path: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        cursor = ""
        seen = {cursor}
        while True:
            result = await self._transport.get(path, query, cursor=cursor)
            page = _decoded(_INSTRUMENTS, path, result)
            for row in page.rows:
                yield row
            cursor = page.cursor
            # A cursor that comes again would go round for ever.
            if cursor in seen:
                return
            seen.add(cursor)

    async def _rows(self, path: str, query: dict[str, str], within_s: float | None) -> _Rows:
        result = await self._transport.get(
            path, query, within_s=within_s, max_bytes=_MAX_MARKET_BYTES
        )
        # A page takes the loop two milliseconds: of many that come at once, one at each round.
        async with self._turn:
            await asyncio.sleep(0)
        return _decoded(_ROWS, path, result)


def _decoded(decoder: msgspec.json.Decoder[_T], path: str, result: msgspec.Raw) -> _T:
    try:
        return decoder.decode(result)
    except msgspec.ValidationError as error:
        raise FeedError(f"GET {path} was answered without a list of rows: {error}") from error
