"""Trades that were fetched after a gap: read, put in order, judged, and written as frames.

No I/O and no clock. What a page proves rests on one property of it: it is an unbroken run of the
newest trades of its topic, as of some moment that may have passed.

Source: https://bybit-exchange.github.io/docs/v5/market/recent-trade
"""

from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import groupby, pairwise
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec

from tapecast.aliases import Category
from tapecast.bybit.rows import Column, Price, read_rows
from tapecast.errors import FeedError
from tapecast.frames import TOPIC_PREFIX

__all__ = [
    "MAX_FRAME_TRADES",
    "Page",
    "Proof",
    "Trade",
    "Verdict",
    "frames_of",
    "judge",
    "read_page",
]

MAX_FRAME_TRADES: Final = 1024
"""Most trades that the exchange puts into one frame."""

_MAX_EVENT_MS: Final = 4_102_444_800_000  # 2100-01-01

_Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\A[!-~]+\Z")]
_Symbol: TypeAlias = Annotated[
    str, msgspec.Meta(min_length=1, max_length=32, pattern=r"\A[^\s\x00-\x1f\x7f]+\Z")
]
_Time: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=_MAX_EVENT_MS)]
_Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Side: TypeAlias = Literal["Buy", "Sell"]


class Trade(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "trade_id": "execId",
        "taker_side": "side",
        "event_ms": "time",
        "exchange_seq": "seq",
        "is_block": "isBlockTrade",
        "is_rpi": "isRPITrade",
    },
):
    """One trade of a page.

    Attributes:
        symbol: The symbol; of options the contract.
        trade_id: The exchange's id, the same as over WebSocket.
        event_ms: When it was matched, in milliseconds since the epoch.
        price: The price, as it was written.
        size: The size, as it was written.
        taker_side: The taker's side.
        exchange_seq: The exchange's sequence; trades of one order share it.
        is_block: Whether it is a block trade.
        is_rpi: Whether it is one of retail price improvement; options do not say.
    """

    symbol: _Symbol
    trade_id: _Id
    event_ms: _Time
    price: Price
    size: Price
    taker_side: _Side
    exchange_seq: _Seq
    is_block: bool
    is_rpi: bool = False


_DECODER: Final = msgspec.json.Decoder(list[Trade], strict=False)

_COLUMNS: Final = (
    Column("symbol", "symbol", _Symbol, "1 to 32 characters without white space"),
    Column("execId", "id", _Id, "1 to 64 visible ASCII characters"),
    Column("time", "time", _Time, f"whole milliseconds from 0 to {_MAX_EVENT_MS - 1}"),
    Column("price", "price", Price, "a positive decimal"),
    Column("size", "size", Price, "a positive decimal"),
    Column("side", "taker side", _Side, '"Buy" or "Sell"'),
    Column("seq", "exchange sequence", _Seq, "a whole number below 2^63"),
    Column("isBlockTrade", "block trade flag", bool, "true or false"),
    Column("isRPITrade", "RPI flag", bool, "true or false", is_optional=True),
)


class Page(NamedTuple):
    """The newest trades of a topic.

    Attributes:
        category: The category.
        topic: The symbol; for options, the base coin.
        trades: The trades, oldest first, those of one order in its order.
        is_ordered: Whether they came newest first, as they should.
    """

    category: Category
    topic: str
    trades: list[Trade]
    is_ordered: bool

    def keys(self) -> list[tuple[str, str, int]]:
        """Return symbol, id and time of each trade: what it is known by."""
        return [(trade.symbol, trade.trade_id, trade.event_ms) for trade in self.trades]


def read_page(rows: bytes, *, category: Category, topic: str, most: int) -> Page:
    """Read the rows of a page.

    Args:
        rows: The page's rows as JSON, as the exchange sent them: newest first.
        category: The category that was asked for.
        topic: The symbol, or the base coin of options, that was asked for.
        most: How many rows there may be.

    Raises:
        FeedError: If a row is no trade of this topic, or if there are too many.
    """
    trades = read_rows(_DECODER, rows, _COLUMNS, subject="trade", most=most)
    for symbol in dict.fromkeys(trade.symbol for trade in trades):
        if category == "option":
            fits, expected = symbol.startswith(f"{topic}-"), f"{topic}-…"
        else:
            fits, expected = symbol == topic, topic
        if not fits:
            raise FeedError(f'trade symbol is "{symbol}", expected "{expected}" as was asked for')
    # Within one millisecond the exchange may write orders as it likes: nothing rests on it.
    is_ordered = all(newer.event_ms >= older.event_ms for newer, older in pairwise(trades))
    trades.reverse()
    trades.sort(key=_order_of)
    return Page(category, topic, trades, is_ordered)


def _order_of(trade: Trade) -> tuple[int, int, str]:
    """Return what trades of one order share, in the exchange's order."""
    return trade.event_ms, trade.exchange_seq, trade.symbol


class Verdict(Enum):
    """What a page says of a gap."""

    PROVEN = "proven"
    """Every trade of the gap is on the page."""

    NO_BEFORE = "no_before"
    """It does not reach back to what is known from before the gap, and no later one will."""

    NO_AFTER = "no_after"
    """It does not reach to what is known from after the gap; a later one may."""

    CONTRADICTION = "contradiction"
    """It is not in the order that it should have: nothing can rest on it, not even a close."""


class Proof(NamedTuple):
    """What follows from a page for a gap.

    Attributes:
        verdict: What it says.
        whole_ms: Up to when every trade since the beginning of the gap is on the page, the moment
            excluded; a later page that overlaps this one goes on from there.
    """

    verdict: Verdict
    whole_ms: int


def judge(page: Page, known: Sequence[bool], from_ms: int, to_ms: int) -> Proof:
    """Say whether a page holds every trade of a gap.

    Once its trades are applied, and if the page is what it should be, the gap is filled where it is
    proven. The times of the trades that bound it must lie beyond the gap: trades of the very same
    millisecond may be cut off at the page's end, or come later.

    Args:
        page: The page.
        known: Of each of its trades, whether it was known before the page was applied.
        from_ms: Where the gap begins, in milliseconds since the epoch.
        to_ms: Where it ends; not part of it.
    """
    if not page.is_ordered:
        return Proof(Verdict.CONTRADICTION, from_ms)
    times = [trade.event_ms for trade, is_known in zip(page.trades, known, strict=True) if is_known]
    has_before = bool(times) and times[0] < from_ms
    if has_before and times[-1] >= to_ms:
        return Proof(Verdict.PROVEN, to_ms)
    newest_ms = page.trades[-1].event_ms if page.trades else from_ms - 1
    if has_before:
        return Proof(Verdict.NO_AFTER, min(max(from_ms, newest_ms), to_ms))
    # A page that ends before the gap is an old one: the next may bring what is known. One that
    # reaches into it has all that came just before, and a later page only has less of that.
    verdict = Verdict.NO_BEFORE if newest_ms >= from_ms else Verdict.NO_AFTER
    return Proof(verdict, from_ms)


def frames_of(
    page: Page, known: Sequence[bool], *, since_ms: int = 0, most: int = MAX_FRAME_TRADES
) -> list[bytes]:
    """Write the trades of a page that are not known yet as frames of the exchange, oldest first.

    Trades of one order are told apart by their place in its frame. So an order of which some trades
    are known has a frame of its own, whole, as the exchange would have sent it; and so has the
    newest one, of which a later page may bring more.

    Args:
        page: The page.
        known: Of each of its trades, whether it is known.
        since_ms: Trades from before are left out.
        most: Most trades of one frame, 1,024 at most.
    """
    frames: list[bytes] = []
    pending: list[Trade] = []

    def flush() -> None:
        frames.extend(_encode(page, trades) for trades in _split(pending, most))
        pending.clear()

    marked = zip(page.trades, known, strict=True)
    for key, group in groupby(marked, key=lambda item: _order_of(item[0])):
        members = list(group)
        are_known = [is_known for _, is_known in members]
        if key[0] < since_ms or all(are_known):
            continue
        order = [trade for trade, _ in members]
        is_alone = any(are_known) or order[-1] is page.trades[-1]
        if is_alone or len(pending) + len(order) > most:
            flush()
        pending += order
        if is_alone:
            flush()
    flush()
    return frames


def _split(trades: list[Trade], most: int) -> Iterator[list[Trade]]:
    for first in range(0, len(trades), most):
        yield trades[first : first + most]


def _encode(page: Page, trades: Sequence[Trade]) -> bytes:
    """Write a frame; one spelling does for all categories, whose own differ in order alone."""
    frame = {
        "topic": TOPIC_PREFIX + page.topic,
        "type": "snapshot",
        "ts": trades[-1].event_ms,
        "data": [
            {
                "T": trade.event_ms,
                "s": trade.symbol,
                "S": trade.taker_side,
                "v": trade.size,
                "p": trade.price,
                "i": trade.trade_id,
                "BT": trade.is_block,
                "RPI": trade.is_rpi,
                "seq": trade.exchange_seq,
            }
            for trade in trades
        ],
    }
    return msgspec.json.encode(frame)
