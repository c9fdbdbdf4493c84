"""The Rust extension: decoding, aggregation, counting and encoding.

Everything here is synchronous, does no I/O and reads no clock: time comes in as an argument. An
engine belongs to one thread at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, final

from tapecast.aliases import Category, KeptCandle, MessageType, Rows
from tapecast.errors import DecodeError

__all__ = [
    "Batch",
    "Block",
    "Engine",
    "Latency",
    "Layout",
    "Message",
    "Selection",
    "__version__",
    "decode_trades",
    "encode_record",
    "read_records",
]

__version__: str

@final
class Message:
    """One message to be published; immutable."""

    @property
    def type(self) -> MessageType:
        """The message's `type` on the wire."""
    @property
    def category(self) -> Category | None:
        """Category of its symbol; `None` for messages about no symbol."""
    @property
    def symbol(self) -> str | None:
        """Its symbol (of a gap: the topic); `None` for messages about no symbol."""
    @property
    def seq(self) -> int:
        """Its number: one more than the message before; in progress: that of the last one."""
    @property
    def payload(self) -> bytes:
        """One finished JSON object as UTF-8."""
    @property
    def frame(self) -> bytes:
        """The payload as a finished WebSocket text frame, unmasked."""
    @property
    def text(self) -> str | None:
        """The console line of stats and candles, without a line end; `None` for the others."""

@final
class Batch:
    """What one call publishes: an immutable sequence of messages in the order of their numbers."""

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """Return the messages of several batches, one after the other, as one."""

    def select(self, selection: Selection, *, after_seq: int = 0) -> Batch:
        """Return the messages that a selection wants and whose number is above `after_seq`.

        Raises whatever the selection's `matches` raises.
        """

    @property
    def frames(self) -> bytes:
        """All messages as finished WebSocket text frames, unmasked, one after the other."""
    @property
    def frames_bytes(self) -> int:
        """How many bytes the frames have."""
    @property
    def fresh_trades(self) -> int:
        """How many trades of the frames were new; none where messages were selected."""
    @property
    def repeated_trades(self) -> int:
        """How many trades of the frames were known already; none where messages were selected."""
    @property
    def late_trades(self) -> int:
        """How many trades of the frames came too late; none where messages were selected."""
    @property
    def texts(self) -> list[str]:
        """The console lines of its stats and candles, without line ends."""
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Message: ...
    def __iter__(self) -> Iterator[Message]: ...

@final
class Latency:
    """How long something takes: a histogram from one look at it to the next.

    A microsecond is the finest that it tells apart, and above it 1 %.
    """

    def __new__(cls) -> Latency: ...
    def record(self, ns: int, count: int = 1) -> None:
        """Record `count` times of `ns` nanoseconds each.

        Below zero, as clocks that disagree have it, counts as zero, beyond an hour as an hour.
        """

    def take(self) -> tuple[int, int, int, int]:
        """Return count, p50, p99 and maximum in nanoseconds since the last call, and begin anew."""

@final
class Selection:
    """Which messages are wanted; what is known of symbols is remembered.

    Args:
        types: The types wanted; all where `None`.
        matches: Called with type, category and symbol (of a gap: its topic) of messages that are
            about a symbol, once for each symbol and for each topic of gaps; returns whether they
            are wanted. All are where `None`.

    Raises:
        ValueError: If a type is unknown.
    """

    def __new__(
        cls,
        types: Sequence[MessageType] | None = None,
        matches: Callable[[MessageType, Category, str], bool] | None = None,
    ) -> Selection: ...

@final
class Engine:
    """Exact live aggregation of public trades into candles, counters and messages.

    Each trade counts once, by (category, symbol, trade id), however often and in whatever order it
    arrives. Sums are exact; an overflow refuses the frame.

    Args:
        grace_ms: How long after its end a window still takes trades, in milliseconds.
        revise_window_ms: How long after its end a closed window is still revised by a late trade,
            in milliseconds. Trade ids are remembered as long.
        empty: What a minute without trades publishes: nothing, or a flat candle at the last close
            (as Bybit's klines; a jump of the clock by more than a week is not filled).
        open: What a candle opens at: its first trade, or the close before it, which high and low
            then include (as Bybit's klines).
        include_block_trades: Whether block trades count in candles; they are published as trades
            all the same.
        clock: What closes windows: `advance` ("wall"), or the greatest event time seen ("event",
            for replay and batch).
        primary_category: The category whose symbols stand bare in `last_prices`; the first one fed,
            where `None`.
        epoch: Opaque name of this numbering of messages.
        max_future_ms: How far ahead of the clock an event time may lie, in milliseconds. The clock
            is the greater of the greatest event time seen and `received_ns` ("wall") or the frame's
            own `ts` ("event").
        assume_covered: Whether every symbol counts as received whole from the first trade of its
            category on. If not, candles are incomplete until `cover` says so.
        recent_trades: How many trades a snapshot holds.
        history_candles: How many candles of a symbol are kept after they can no longer be revised.
        max_symbols: How many symbols may be known; a frame with one more is refused.
        max_trade_ids: How many trade ids may be remembered. Beyond it the oldest closed windows are
            given up before their time: their late trades are then counted as late.

    Raises:
        ValueError: If a setting is outside its choices or range; the text names both.
    """

    def __new__(
        cls,
        *,
        grace_ms: int = 1_000,
        revise_window_ms: int = 600_000,
        empty: Literal["skip", "flat"] = "skip",
        open: Literal["first_trade", "previous_close"] = "first_trade",
        include_block_trades: bool = True,
        clock: Literal["wall", "event"] = "wall",
        primary_category: Category | None = None,
        epoch: str = "",
        max_future_ms: int = 60_000,
        assume_covered: bool = True,
        recent_trades: int = 100,
        history_candles: int = 120,
        max_symbols: int = 10_000,
        max_trade_ids: int = 4_000_000,
    ) -> Engine: ...
    def feed(self, frame: bytes, *, received_ns: int, category: Category = "linear") -> Batch:
        """Apply one exchange frame and return what must be published.

        A frame is applied whole or not at all: if any trade in it is malformed, nothing changes but
        the count of bad frames. Trades come in the order of the frame, then closed candles that
        they revised, then (event clock) the candles that they closed.

        Args:
            frame: One text frame as UTF-8 bytes, exactly as received.
            received_ns: Wall clock at receipt, in nanoseconds since the epoch; never chooses a
                window.
            category: What the connection carries; a frame does not say it.

        Raises:
            DecodeError: If the frame is not a well-formed trade message of this category.
            ValueError: If the category is unknown.
        """

    def feed_many(
        self, frames: list[bytes], *, received_ns: int, category: Category = "linear"
    ) -> tuple[Batch, list[tuple[int, DecodeError]]]:
        """Apply many exchange frames in their order, as `feed` would one by one, into one batch.

        Other threads run meanwhile. A malformed frame does not keep the others from being applied.

        Args:
            frames: One text frame each, as UTF-8 bytes.
            received_ns: Wall clock at receipt, in nanoseconds since the epoch.
            category: What the connection carries.

        Returns:
            What must be published, and of every frame that was refused its index and its error.

        Raises:
            ValueError: If the category is unknown; nothing is applied then.
        """

    def absorb(self, block: Block, *, lines: int = 0) -> list[tuple[int, DecodeError]]:
        """Apply the lines of a decoded block, without publishing; other threads run meanwhile.

        For engines whose clock is event time. The candles and counts are those of feeding each
        frame; recent trades are not kept. The minutes of refused frames count as missed.

        Args:
            block: Holds nothing any more afterwards.
            lines: How many lines of the file came before.

        Returns:
            Of every line that was refused its number in the block, from 0, and its error.
        """

    def refuse(self, topic: str | None, ts_ms: int | None, *, category: Category) -> Batch:
        """Take note that a recorded frame was refused: its trades are missing in their minute.

        Publishes gaps, and the closed candles that they touch.

        Args:
            topic: Symbol (for options base coin) of the frame; where `None` or longer than one can
                be, any topic known so far is meant.
            ts_ms: Its own time, in milliseconds since the epoch; where `None`, the greatest time
                seen is meant, and both where they are far apart.
            category: What it carries.

        Raises:
            ValueError: If the category is unknown.
        """

    def advance(self, now_ms: int) -> Batch:
        """Close every window whose end and grace have passed at `now_ms`, oldest first.

        A time before that of an earlier call changes nothing.
        """

    def stats(
        self,
        now_ms: int,
        *,
        interval_ns: int,
        counts: dict[str, int],
        thread_statuses: bytes | None = None,
        rejected_symbols: bytes | None = None,
        latencies: dict[str, Latency] | None = None,
        sections: dict[str, bytes] | None = None,
    ) -> Batch:
        """Publish one stats message.

        Args:
            now_ms: Wall clock, in milliseconds since the epoch.
            interval_ns: Time since the last call, on a monotonic clock; what rates are computed
                over.
            counts: The caller's growing totals by name, beside the engine's own; the same name
                replaces the engine's.
            thread_statuses: A JSON array, spliced in as it is.
            rejected_symbols: A JSON array, spliced in as it is.
            latencies: How long things took, by name, beside the engine's own; each begins anew.
            sections: Further members by name, each JSON that is spliced in as it is.

        Raises:
            ValueError: If one of the arrays is none, or a section is no JSON or has the name of
                another member.
        """

    def upstream(self, now_ms: int, *, line: str, state: str, reason: str = "") -> Batch:
        """Publish a change of an upstream connection."""

    def cover(
        self, at_ms: int, *, category: Category, topics: Sequence[str], settled: bool = True
    ) -> Batch:
        """Take note that these topics (symbols; for options base coins) are whole from `at_ms` on.

        Publishes the gaps that ended by it, `unhealed`, and closed candles that turn out whole.
        Where they are not `settled`, nothing is said of gaps: `heal` or `give_up` must follow.
        """

    def uncover(self, at_ms: int, *, category: Category, topics: Sequence[str]) -> Batch:
        """Take note that from `at_ms` on trades of these topics may be missed.

        Publishes the gaps that began by it, `open`, and closed candles that they make incomplete.
        Topics that are uncovered already stay so without a word.
        """

    def miss(
        self,
        from_ms: int,
        to_ms: int,
        *,
        category: Category,
        topics: Sequence[str] | None,
        settled: bool = True,
    ) -> Batch:
        """Take note that trades of these topics were missed from `from_ms` to `to_ms`.

        The stretch, which `to_ms` is not part of, is over; `uncover` is for one that goes on.
        Topics are any known so far where `None`. Publishes gaps and closed candles that they make
        incomplete. The gaps are `unhealed`; where they are not `settled`, `open` until `heal` or
        `give_up` follows.
        """

    def heal(self, from_ms: int, to_ms: int, *, category: Category, topic: str) -> Batch:
        """Take note that every trade of a topic from `from_ms` to `to_ms` was proven to be known.

        Publishes a gap that is `healed`, and closed candles that are whole by it. Minutes that can
        no longer be revised stay as they are: that part is `unhealed`. Where nothing was missed,
        nothing changes, and what came before the first `cover` never heals.
        """

    def give_up(self, from_ms: int, to_ms: int, *, category: Category, topic: str) -> Batch:
        """Take note that what is missing of a topic from `from_ms` to `to_ms` will not be found.

        Publishes a gap that is `unhealed`, if anything of it was not settled.
        """

    def unsettled(self) -> list[tuple[Category, str, int, int | None]]:
        """Return the gaps that wait for `heal` or `give_up`: category, topic, from_ms and to_ms.

        They come topic by topic, oldest first; to_ms is `None` while the topic is not received.
        """

    def backfill(self, frame: bytes, *, received_ns: int, category: Category) -> Batch:
        """Apply trades that were fetched over REST, in the shape of an exchange frame.

        As `feed`, but they count neither as a frame nor in latencies, and a candle with a fresh one
        has the source `backfill`. What is refused counts as nothing.

        Raises:
            DecodeError: If the frame is not a well-formed trade message of this category.
            ValueError: If the category is unknown.
        """

    def known(self, trades: Sequence[tuple[str, str, int]], *, category: Category) -> list[bool]:
        """Say of trades, each symbol, trade id and event_ms, whether they are remembered."""

    def klines(
        self,
        rows: Sequence[tuple[int, str, str, str, str, str, str]],
        *,
        category: Category,
        symbol: str,
    ) -> Batch:
        """Compare the exchange's own candles of closed minutes with ours.

        A minute that was seen whole, or whose candle equals the exchange's in close, volume and
        turnover (sizes are positive: then nothing was missed, and it is whole), has its candle
        `verified`: true where every field is right by the exchange's rules. By these a candle opens
        at the close before, which high and low include; where that is not known, the exchange's
        open is taken for it. Any other minute takes the exchange's values: its source is `kline`,
        it is not complete, its trades and buy_volume are null. Once it is whole by trades, these
        count again.

        A minute that is not closed yet keeps the row until then. Of minutes that can no longer be
        revised those are published of which no candle is known, if the history has room for them.

        Args:
            rows: start_ms, open, high, low, close, volume and turnover of each, in any order.
                Decimals are exact texts.
            category: What the symbol belongs to.
            symbol: Whose candles they are.

        Raises:
            ValueError: If the category is unknown or a field is none of its kind; nothing changes
                then.
        """

    def partials(self, since: int = 0) -> tuple[int, Batch]:
        """Return the candles in progress that changed since version `since` (0: all).

        Of each symbol the newest. They take no numbers: their `seq` is that of the last published
        message. The first item is the version to ask with next time.
        """

    def snapshot(
        self,
        *,
        history: int = 0,
        types: Sequence[MessageType] | None = None,
        symbols: set[str] | frozenset[str] | None = None,
        in_progress: bool = False,
    ) -> bytes:
        """Return what a client needs to begin with: one JSON object with `epoch` and `seq`.

        Args:
            history: How many closed candles of each symbol; 0 and 1 give the newest.
            types: The types wanted; all where `None`.
            symbols: The symbols wanted, each bare or as `category:SYMBOL`; all where `None`.
            in_progress: Whether candles in progress follow the closed ones of each symbol.
        """

    def checkpoint(self) -> bytes:
        """Return the whole state but the history of candles that can no longer be revised.

        Other threads run meanwhile, which must not use this engine. Equal states give equal bytes.
        """

    @staticmethod
    def restored(
        checkpoint: bytes,
        *,
        grace_ms: int | None = None,
        revise_window_ms: int | None = None,
        empty: Literal["skip", "flat"] | None = None,
        open: Literal["first_trade", "previous_close"] | None = None,
        include_block_trades: bool | None = None,
        clock: Literal["wall", "event"] | None = None,
        primary_category: Category | None = None,
        epoch: str | None = None,
        max_future_ms: int | None = None,
        assume_covered: bool | None = None,
        recent_trades: int | None = None,
        history_candles: int | None = None,
        max_symbols: int | None = None,
        max_trade_ids: int | None = None,
    ) -> Engine:
        """Return the engine that a checkpoint was made of; other threads run meanwhile.

        It goes on as if it had never stopped: the same inputs give the same messages. Settings are
        those of a new engine, and as they were where `None`. The history of candles comes back by
        `recall`.

        Raises:
            ValueError: If the checkpoint is damaged or of another version, or a setting is outside
                its choices or range.
        """

    def restated(self, payload: bytes) -> Batch:
        """Publish a recorded stats message again, in place of `stats`.

        The next rates are those since then.

        Raises:
            ValueError: If it is none, or its number is not the next one; nothing changes then.
        """

    def repeated(self, trades: int) -> Batch:
        """Take note of a frame whose trades were all known, as `feed` did; it publishes nothing."""

    def renumber(self, epoch: str) -> None:
        """Begin a new numbering under a new epoch: the next message has the number 1.

        What was published before has the number 0 in snapshots.
        """

    def recall(self, rows: Sequence[KeptCandle]) -> int:
        """Put closed candles back into the history of their symbols; return how many were taken.

        Passed over are those whose minute is known or may still be revised (of an engine whose
        clock was never moved: any), and those beyond `max_symbols` and `history_candles`.

        Args:
            rows: Category, symbol, start_ms, open, high, low, close, volume, turnover, buy_volume,
                trades, complete, source, verified and revision of each, oldest first. Decimals are
                exact texts.

        Raises:
            ValueError: If a field of a row is none of its kind; nothing is taken then.
        """

    def symbols(self) -> list[tuple[Category, str]]:
        """Return every symbol known, in the order of its first trade."""

    def candles(
        self, symbol: str | None = None, *, category: Category | None = None, exact: bool = False
    ) -> Rows:
        """Return the known closed candles and those in progress, by symbol, oldest first.

        A structured array with the fields `category` (U7), `symbol` (U32), `start_ms`, `end_ms`
        (int64, milliseconds since the epoch), `open`, `high`, `low`, `close`, `volume`, `turnover`,
        `buy_volume` (float64; with `exact` their text, U41), `trades` (int64), `vwap` (float64, NaN
        where volume is 0), `closed`, `complete` (bool), `revision` (int64). Where a candle is the
        exchange's own, `buy_volume` is NaN and `trades` is -1.
        """

    def trades(self, *, exact: bool = False) -> Rows:
        """Return the most recent trades, oldest first.

        Fields as in `decode_trades`, behind `category` (U7).
        """

    @property
    def seq(self) -> int:
        """Number of the last published message; 0 before the first."""
    @property
    def epoch(self) -> str:
        """Name of this numbering of messages."""
    @property
    def event_ms(self) -> int | None:
        """The greatest event time seen, in milliseconds since the epoch."""
    @property
    def audit(self) -> tuple[int, int, str | None]:
        """What comparing with the exchange's candles came to.

        How many candles were equal, how many of minutes seen whole were not, and the largest
        difference of any field as its exact text; `None` where there was none.
        """
    @property
    def counts(self) -> dict[str, int]:
        """The engine's totals by their names on the wire."""

@final
class Layout:
    """Which column of an archive of trades holds what, read off its header.

    The layouts are those of `public.bybit.com`: `trading/` (futures) and `spot/`.

    Args:
        header: The first line of the file.
        category: What the rows hold; futures or spot, as the columns are.
        symbol: The symbol of every row; a column of symbols goes before it.

    Raises:
        DecodeError: If columns are missing, repeated or unknown, or are those of another category.
        ValueError: If the category is unknown.
    """

    def __new__(cls, header: bytes, *, category: Category, symbol: str | None = None) -> Layout: ...

@final
class Block:
    """A piece of a file of frames or trades, decoded apart from any engine.

    Blocks are decoded on any threads, and then absorbed by one engine in the order of the file.
    """

    def __new__(cls) -> Block: ...
    def decode(
        self,
        head: bytes,
        body: bytes,
        end: int,
        *,
        category: Category,
        layout: Layout | None = None,
    ) -> list[tuple[int, bytes]]:
        """Decode whole lines in place of what the block held; other threads run meanwhile.

        Args:
            head: The beginning of the first line.
            body: What follows it.
            end: Where the last line ends in the body; what stands behind is not looked at.
            category: What the lines hold.
            layout: The columns of an archive; lines are frames where `None`.

        Returns:
            Of every line that is neither blank nor a well-formed trade message its place in the
            block, and its text. Say by `settle` or `pass_over` what each one is.

        Raises:
            ValueError: If the category is unknown.
        """

    def settle(self, item: int, *, topic: str | None, ts_ms: int | None) -> None:
        """Take note that an odd line is a refused frame, and of what topic and time."""

    def pass_over(self, item: int) -> None:
        """Take note that an odd line is no trade message."""

    @property
    def lines(self) -> int:
        """How many lines it held when it was decoded, blank ones included."""
    @property
    def first_ms(self) -> int | None:
        """The smallest time in its first frame with trades, in milliseconds since the epoch."""

def decode_trades(frame: bytes, *, category: Category | None = None, exact: bool = False) -> Rows:
    """Decode one exchange frame into a structured array of its trades, in its order.

    The fields are `symbol` (U32), `event_ms` (int64, milliseconds since the epoch), `taker_side`
    (U4), `price`, `size` (float64; with `exact` their text, U41), `trade_id` (U64), `exchange_seq`
    (int64, 0 where the frame has none), `is_block`, `is_rpi` (bool).

    Args:
        frame: One text frame as UTF-8 bytes.
        category: By whose rule symbols must fit the topic; by that of any where `None`.
        exact: Whether prices and sizes come as exact text.

    Raises:
        DecodeError: If the frame is not a well-formed trade message.
        ValueError: If the category is unknown.
    """

def encode_record(
    kind: int, category: int, line: int, received_ns: int, payload: bytes, /
) -> bytes:
    """Put one input of an engine into bytes, to be appended to a journal.

    A record is the marker f5 c0 c1 ff, the length of the payload (u32), a CRC-32C over all that
    follows (u32), kind (u8), category (u8), line (u16), received_ns (i64) and payload; little
    endian.

    Args:
        kind: What the payload is; what numbers mean is the caller's affair, here and below.
        category: What it is of.
        line: What it came by.
        received_ns: Wall clock at its receipt, in nanoseconds since the epoch.
        payload: At most 16 MiB.

    Raises:
        ValueError: If the payload is longer.
    """

def read_records(
    data: bytes, offset: int = 0
) -> tuple[list[tuple[int, int, int, int, bytes]], list[tuple[int, int]], int]:
    """Find the whole records in a piece of a journal; other threads run meanwhile.

    Args:
        data: The piece.
        offset: Where in it to begin, in bytes.

    Returns:
        Kind, category, line, received_ns and payload of every whole record, in their order; the
        damaged stretches between them, each from and to which byte; and where the last whole record
        ends: what stands behind it was not written to its end, or is damaged.
    """
