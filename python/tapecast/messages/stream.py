"""Messages: what the server sends."""

from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from tapecast.aliases import Category
from tapecast.messages.fields import (
    Count,
    Durability,
    ErrorCode,
    IsoTime,
    JsonScalar,
    Milliseconds,
    NonEmpty,
    Seq,
    Topic,
    UpstreamState,
)
from tapecast.messages.figures import Audit, Delay, LineStatus, RejectedSymbol, ThreadStatus

__all__ = [
    "Bye",
    "ErrorReply",
    "GapClient",
    "GapUpstream",
    "Message",
    "Ohlcv",
    "Pong",
    "Resumed",
    "ServerMessage",
    "Snapshot",
    "Stats",
    "Trade",
    "TradeCounts",
    "Unsubscribed",
    "Upstream",
]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all messages share.

    Attributes:
        topic: Always `status`.
    """

    exact_fields: ClassVar[tuple[str, ...]] = ()
    topic: Topic = "status"


def _check_positive(**numbers: Decimal) -> None:
    """Raise unless every number is above zero."""
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} is {number}, expected a positive number")


class TradeCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The running count inside a trade.

    Attributes:
        trade_messages: Trades processed up to and including this one.
    """

    trade_messages: Annotated[int, Meta(ge=1)]


class Trade(Message, frozen=True, kw_only=True):
    """One public trade of the exchange.

    Attributes:
        type: Always `trade`.
        seq: Our number of this message.
        symbol: The exchange's symbol, such as `BTCUSDT`.
        category: The exchange's market that the symbol belongs to.
        side: The taker's side.
        price: Price in quote units, exact.
        volume: Size in base units, exact.
        timestamp: The exchange's match time in milliseconds.
        timestamp_iso: The same as text.
        trade_id: The exchange's own identifier.
        message_counts: The running count of trades.
    """

    exact_fields: ClassVar[tuple[str, ...]] = ("price", "volume")
    type: Literal["trade"] = "trade"
    seq: Seq
    symbol: NonEmpty
    category: Category
    side: Literal["Buy", "Sell"]
    price: Decimal
    volume: Decimal
    timestamp: Milliseconds
    timestamp_iso: IsoTime
    trade_id: NonEmpty
    message_counts: TradeCounts

    def __post_init__(self) -> None:
        """Hold that a trade has a price and a size."""
        _check_positive(price=self.price, volume=self.volume)


class Ohlcv(Message, frozen=True, kw_only=True):
    """One candle of one symbol.

    Attributes:
        type: Always `ohlcv`.
        seq: Our number of this message; of an in-progress candle, the last number published before
            it.
        exchange: Always `bybit`.
        symbol: The exchange's symbol.
        category: The exchange's market that the symbol belongs to.
        timeframe: Length of the window, always `1m`.
        start: Start of the window in milliseconds.
        timestamp: Close time of the window in milliseconds.
        timestamp_iso: The same as text.
        open: Price of the first trade (or the previous close, by setting), exact.
        high: Highest price, exact.
        low: Lowest price, exact.
        close: Price of the last trade, exact.
        volume: Sum of sizes in base units, exact.
        turnover: Sum of price times size in quote units, exact.
        buy_volume: Part of the volume whose taker bought, exact; null exactly where the source is
            `kline`.
        trades: Number of trades; null exactly where the source is `kline`.
        vwap: Turnover divided by volume, the nearest double; null where the volume is 0.
        closed: Whether the window is final; false for an in-progress candle.
        complete: Whether the minute was seen whole.
        revision: How often a closed candle was published again.
        source: What the candle was made of: streamed trades, also fetched ones, or the exchange's
            own candle because trades are missing.
        verified: Whether it equals the exchange's own candle; null where that is not known.
        text: The line that the daemon prints for it.
    """

    exact_fields: ClassVar[tuple[str, ...]] = (
        *("open", "high", "low", "close"),
        *("volume", "turnover", "buy_volume"),
    )
    type: Literal["ohlcv"] = "ohlcv"
    seq: Seq
    exchange: Literal["bybit"]
    symbol: NonEmpty
    category: Category
    timeframe: Literal["1m"]
    start: Milliseconds
    timestamp: Milliseconds
    timestamp_iso: IsoTime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal
    buy_volume: Decimal | None
    trades: Count | None
    vwap: float | None
    closed: bool
    complete: bool
    revision: Count
    source: Literal["trades", "backfill", "kline"]
    verified: bool | None
    text: NonEmpty

    def __post_init__(self) -> None:
        """Hold that a candle has prices, and VWAP and trades exactly if they can be known."""
        _check_positive(open=self.open, high=self.high, low=self.low, close=self.close)
        if (self.vwap is None) != (self.volume == 0):
            raise ValueError(
                f"vwap is {self.vwap} at volume {self.volume}, expected null exactly at volume 0"
            )
        for name, value in (("trades", self.trades), ("buy_volume", self.buy_volume)):
            if (value is None) != (self.source == "kline"):
                raise ValueError(
                    f"{name} is {value} at source {self.source}, expected null exactly at kline"
                )


REQUIRED_COUNTS: Final = frozenset(
    {
        *("frames", "trade_messages", "ohlcv_messages", "sent_messages"),
        *(
            "bad_frames",
            "duplicate_trades",
            "late_trades",
            "dropped_messages",
            "reconnects",
            "gaps",
        ),
    }
)
"""The counts that every stats message holds; there may be more."""


class Stats(Message, frozen=True, kw_only=True):
    """The figures of the daemon, once a second.

    Attributes:
        type: Always `stats`.
        seq: Our number of this message.
        timestamp: When it was made, as text.
        text: The line that the daemon prints for it.
        last_prices: Last price by symbol, exact; symbols of all but the primary category as
            `spot:BTCUSDT`.
        message_counts: Totals since the start.
        message_rates: The same keys, per second over the last interval.
        thread_statuses: Every worker of the daemon.
        rejected_symbols: Symbols that the exchange refuses at present.
        latency_ms: How long things took since the last stats, by name.
        lines: Every connection to the exchange; left out where there is none.
        audit: How our candles compare with the exchange's own.
        durability: What a published message outlives: nothing, a crash of the process, a loss of
            power; or `degraded` if it should be on disk and cannot be written there.
    """

    type: Literal["stats"] = "stats"
    seq: Seq
    timestamp: IsoTime
    text: NonEmpty
    last_prices: dict[str, Decimal]
    message_counts: dict[str, Count]
    message_rates: dict[str, float]
    thread_statuses: tuple[ThreadStatus, ...]
    rejected_symbols: tuple[RejectedSymbol, ...]
    latency_ms: dict[str, Delay]
    lines: tuple[LineStatus, ...] | UnsetType = UNSET
    audit: Audit | UnsetType = UNSET
    durability: Durability | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Hold the contract's keys: the required counts, and a rate for each count."""
        _check_positive(**self.last_prices)
        if missing := REQUIRED_COUNTS - self.message_counts.keys():
            raise ValueError(
                f"message_counts has no {', '.join(sorted(missing))}, expected every required count"
            )
        if odd := self.message_counts.keys() ^ self.message_rates.keys():
            raise ValueError(
                f"{', '.join(sorted(odd))} is only in one of message_counts and message_rates"
            )


class GapUpstream(Message, frozen=True, kw_only=True):
    """Trades of a symbol were or may have been missed on the exchange's side.

    Attributes:
        type: Always `gap`.
        scope: Always `upstream`.
        seq: Our number of this message.
        symbol: The exchange's symbol; of options, the base coin.
        category: The exchange's market that the symbol belongs to.
        from_ms: Start of the stretch (`from` on the wire), in milliseconds.
        to_ms: End of the stretch (`to` on the wire), in milliseconds; while it is open, so far.
        state: `open` while trades are being missed, then `healed` or `unhealed`.
    """

    type: Literal["gap"] = "gap"
    scope: Literal["upstream"] = "upstream"
    seq: Seq
    symbol: NonEmpty
    from_ms: Milliseconds = msgspec.field(name="from")
    to_ms: Milliseconds = msgspec.field(name="to")
    state: Literal["open", "healed", "unhealed"]
    category: Category


class GapClient(Message, frozen=True, kw_only=True):
    """Messages for this client were dropped because it was too slow.

    Attributes:
        type: Always `gap`.
        scope: Always `client`.
        dropped: Number of messages of its selection, from the first to the last one dropped, that
            it does not get.
        from_seq: Number of the first dropped message.
        to_seq: Number of the last dropped message.
        seq: That of the first dropped message, whose place it takes.
    """

    type: Literal["gap"] = "gap"
    scope: Literal["client"] = "client"
    dropped: Annotated[int, Meta(ge=1)]
    from_seq: Seq
    to_seq: Seq
    seq: Seq


class Upstream(Message, frozen=True, kw_only=True):
    """The state of one connection to the exchange has changed.

    Attributes:
        type: Always `upstream`.
        seq: Our number of this message.
        timestamp: When it changed, as text.
        line: Name of the connection, such as `linear-1`.
        state: Its new state.
        reason: Why it changed.
    """

    type: Literal["upstream"] = "upstream"
    seq: Seq
    timestamp: IsoTime
    line: NonEmpty
    state: UpstreamState
    reason: str


class Snapshot(Message, frozen=True, kw_only=True):
    """What the server knows at the moment of the subscription; a section without data is left out.

    Attributes:
        type: Always `snapshot`.
        epoch: Opaque text that changes when the numbering restarts.
        seq: Number of the last message that the snapshot already contains.
        stats: The latest figures.
        trades: The most recent trades, oldest first, at most 100.
        ohlcv: The newest closed candle of every symbol, or the asked history.
        recovered: False if the command asked to resume and that was not possible.
        id: The command's own `id`.
    """

    type: Literal["snapshot"] = "snapshot"
    epoch: str
    seq: Seq
    stats: Stats | UnsetType = UNSET
    trades: Annotated[tuple[Trade, ...], Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    ohlcv: Annotated[tuple[Ohlcv, ...], Meta(min_length=1)] | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET
    id: JsonScalar | UnsetType = UNSET


class Resumed(Message, frozen=True, kw_only=True):
    """The reply to a subscribe that resumes: what was missed follows, each message once, in order.

    Attributes:
        type: Always `resumed`.
        epoch: The epoch that the client named.
        from_seq: Number after the one that the client named.
        to_seq: Number of the newest message; below `from_seq` if nothing was missed.
        id: The command's own `id`.
    """

    type: Literal["resumed"] = "resumed"
    epoch: str
    from_seq: Seq
    to_seq: Seq
    id: JsonScalar | Raw | UnsetType = UNSET


class Unsubscribed(Message, frozen=True, kw_only=True):
    """The reply to an unsubscribe; nothing is streamed after it.

    Attributes:
        type: Always `unsubscribed`.
        id: The command's own `id`.
    """

    type: Literal["unsubscribed"] = "unsubscribed"
    id: JsonScalar | Raw | UnsetType = UNSET


class Pong(Message, frozen=True, kw_only=True):
    """The reply to a ping.

    Attributes:
        type: Always `pong`.
        timestamp: The server's wall clock in milliseconds.
        id: The command's own `id`.
    """

    type: Literal["pong"] = "pong"
    timestamp: Milliseconds
    id: JsonScalar | Raw | UnsetType = UNSET


class ErrorReply(Message, frozen=True, kw_only=True):
    """The reply to a command that was not carried out; the connection stays.

    Attributes:
        type: Always `error`.
        code: What kind of mistake it is.
        message: What was found and what was expected.
        id: The command's own `id`, if it could be read.
    """

    type: Literal["error"] = "error"
    code: ErrorCode
    message: NonEmpty
    id: JsonScalar | Raw | UnsetType = UNSET


class Bye(Message, frozen=True, kw_only=True):
    """The server shuts down; the connection closes with code 1012.

    Attributes:
        type: Always `bye`.
        retry_ms: When this client should come back, in milliseconds from now; each is told a time
            of its own.
    """

    type: Literal["bye"] = "bye"
    retry_ms: Milliseconds


ServerMessage: TypeAlias = (
    Stats
    | Trade
    | Ohlcv
    | GapUpstream
    | GapClient
    | Upstream
    | Snapshot
    | Resumed
    | Unsubscribed
    | Pong
    | ErrorReply
    | Bye
)
