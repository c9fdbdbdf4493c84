"""Pages of recent trades, fetched and applied."""

import asyncio
from typing import Final, NamedTuple

from tapecast.aliases import Category
from tapecast.bybit.backfill import Page, Verdict, frames_of, judge
from tapecast.daemon.books import Books, Market
from tapecast.errors import DecodeError, FeedError

__all__ = ["Applied", "Pages"]

_FRAME_TRADES: Final = 256
"""Trades that are applied at once: the stream goes on between two such frames."""


class Applied(NamedTuple):
    """A page of which all that is of use was applied.

    Attributes:
        page: The page.
        known: Of each of its trades, whether it was known before.
        kept: Of each, whether it is known now.
    """

    page: Page
    known: list[bool]
    kept: list[bool]

    def judge(self, from_ms: int, to_ms: int) -> tuple[Verdict, int]:
        """Say whether a gap is filled, and up to when it is, as `tapecast.bybit.judge` does.

        Trades that were not taken, as those are that came too late, prove nothing.
        """
        verdict, whole_ms = judge(self.page, self.known, from_ms, to_ms)
        trades = zip(self.page.trades, self.kept, strict=True)
        refused = [
            trade.event_ms
            for trade, is_kept in trades
            if not is_kept and from_ms <= trade.event_ms < whole_ms
        ]
        if refused:
            return Verdict.NO_BEFORE, from_ms
        return verdict, whole_ms


class Pages:
    """Fetches pages of recent trades and applies what is new in them, one page after the other.

    Args:
        books: Takes the trades.
        market: Where pages come from.
    """

    def __init__(self, books: Books, market: Market) -> None:
        self._books = books
        self._market = market
        self._turn = asyncio.Lock()

    async def apply(
        self, category: Category, topic: str, *, since_ms: int, within_s: float
    ) -> Applied:
        """Fetch the newest trades of a topic and apply those that are not known.

        Applying them is right whatever they prove: each counts once, by its id. But of a page that
        is in no order nothing is: trades of one order are told apart by their place alone, and the
        last one is where a minute closes.

        Args:
            category: The category.
            topic: The symbol; for options, the base coin.
            since_ms: Trades from before are none of our business.
            within_s: How long fetching may take, in seconds.

        Raises:
            FeedError: If the page cannot be had or is in no order, or if its trades are refused.
        """
        page = await self._market.recent_trades(category, topic, within_s=within_s)
        if not page.is_ordered:
            raise FeedError(
                f"trades of {category}:{topic} are in no order, expected the newest first"
            )
        async with self._turn:
            await asyncio.sleep(0)
            known = self._books.known(category, page.keys())
            for frame in frames_of(page, known, since_ms=since_ms, most=_FRAME_TRADES):
                await asyncio.sleep(0)
                try:
                    self._books.backfill(category, frame)
                except DecodeError as error:
                    raise FeedError(
                        f"trades of {category}:{topic} were refused: {error}"
                    ) from error
            await asyncio.sleep(0)
            return Applied(page, known, self._books.known(category, page.keys()))
