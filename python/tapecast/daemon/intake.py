"""The one way into the engine: changed, put on record, published, in this order.

The engine is deterministic: the same inputs make the same messages, byte for byte, with the same
numbers. So the journal holds inputs, and replaying them brings back what was published.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, Literal, Protocol, TypeAlias, get_args

import msgspec

from tapecast._core import Batch, Engine, Latency
from tapecast.aliases import CATEGORIES, Category
from tapecast.batch import mark_refused
from tapecast.bybit.kline import Kline
from tapecast.errors import DecodeError

__all__ = ["Intake", "Journal", "Kind"]


class Kind(IntEnum):
    """What a record of the journal holds; the numbers are on disk and never change."""

    FRAME = 1
    REPEATED = 2
    BACKFILL = 3
    ADVANCE = 4
    COVER = 5
    UNCOVER = 6
    MISS = 7
    HEAL = 8
    GIVE_UP = 9
    KLINES = 10
    STATS = 11
    UPSTREAM = 12


_METHODS: Final = {
    Kind.REPEATED: "repeated",
    Kind.ADVANCE: "advance",
    Kind.COVER: "cover",
    Kind.UNCOVER: "uncover",
    Kind.MISS: "miss",
    Kind.HEAL: "heal",
    Kind.GIVE_UP: "give_up",
    Kind.KLINES: "klines",
    Kind.UPSTREAM: "upstream",
}
"""The engine's method whose arguments a record holds as JSON; those of other kinds hold bytes."""

Kept: TypeAlias = Literal["ohlcv", "gap"]
_KEPT_TYPES: Final[tuple[Kept, ...]] = get_args(Kept)


class _Verified(msgspec.Struct):
    """What of a candle says whether it is the exchange's."""

    category: Category
    symbol: str
    start: int
    verified: bool | None


_VERIFIED: Final = msgspec.json.Decoder(_Verified)


class Journal(Protocol):
    """Where inputs are put on record."""

    def append(
        self, kind: int, payload: bytes, *, category: int = 0, line: int = 0, received_ns: int = 0
    ) -> None:
        """Write one record before this returns, or give up being durable; never raises."""


class Intake:
    """Changes the engine, puts the change on record, and publishes what comes of it.

    Args:
        engine: What is changed, by nobody else.
        publish: Takes what the engine publishes.
        wall_ns: The wall clock, in nanoseconds since the epoch.
        journal: Where inputs are put on record; nowhere where `None`.
        keep: Takes the payloads of candles and gaps, by their type, for the store.
        on_mismatch: Told category, symbol and start of candles that turn out to differ from the
            exchange's.

    Attributes:
        engine: The same; for looking at.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        engine: Engine,
        publish: Callable[[Batch], None],
        *,
        wall_ns: Callable[[], int],
        journal: Journal | None = None,
        keep: Callable[[Kept, Sequence[bytes]], None] | None = None,
        on_mismatch: Callable[[Category, str, int], None] | None = None,
    ) -> None:
        self.engine: Final = engine
        self._publish = publish
        self._wall_ns = wall_ns
        self._journal = journal
        self._keep = keep
        self._on_mismatch = on_mismatch
        self._mismatched = 0

    # Trades.

    def frame(self, frame: bytes, *, received_ns: int, category: Category, line: int = 0) -> Batch:
        """Apply one frame of the exchange and return what was published.

        Args:
            frame: As it was received.
            received_ns: Wall clock at receipt.
            category: What its line carries.
            line: Number of the line.

        Raises:
            DecodeError: If it was refused; that is on record too.
        """
        try:
            batch = self.engine.feed(frame, received_ns=received_ns, category=category)
        except DecodeError:
            self._record(Kind.FRAME, frame, category, line, received_ns)
            raise
        if batch.repeated_trades and not (batch.fresh_trades or batch.late_trades):
            # Of the copy that a second line brings, only the number of its trades is news.
            self._record(Kind.REPEATED, _packed(batch.repeated_trades), category, line, received_ns)
            return batch
        self._record(Kind.FRAME, frame, category, line, received_ns)
        # Only revised candles have a text; most frames have trades alone.
        if batch.texts:
            self._store(batch)
        self._publish(batch)
        return batch

    def backfill(self, category: Category, frame: bytes) -> None:
        """Apply trades that were fetched, in the shape of an exchange frame.

        Raises:
            DecodeError: If they are refused; nothing is changed then.
        """
        now_ns = self._wall_ns()
        batch = self.engine.backfill(frame, received_ns=now_ns, category=category)
        self._record(Kind.BACKFILL, frame, category, 0, now_ns)
        self._send(batch)

    def refuse(self, frame: bytes, *, category: Category) -> None:
        """Take note that a recorded frame was refused; for replays, which no journal records."""
        self._send(mark_refused(self.engine, frame, category=category))

    # Time, coverage and lines.

    def advance(self, now_ms: int) -> None:
        """Close every window whose time has come."""
        self._change(Kind.ADVANCE, now_ms)

    def upstream(self, now_ms: int, *, line: str, state: str, reason: str) -> None:
        """Tell a change of a line."""
        self._change(Kind.UPSTREAM, now_ms, line=line, state=state, reason=reason)

    def cover(
        self, at_ms: int, *, category: Category, topics: Sequence[str], settled: bool
    ) -> None:
        """Take note that topics are received from a time on.

        Args:
            at_ms: That time.
            category: Their category.
            topics: Symbols, or base coins of options.
            settled: Whether nobody fills the gaps that end by it.
        """
        self._change(Kind.COVER, at_ms, category=category, topics=list(topics), settled=settled)

    def uncover(self, at_ms: int, *, category: Category, topics: Sequence[str]) -> None:
        """Take note that topics are not received from a time on."""
        self._change(Kind.UNCOVER, at_ms, category=category, topics=list(topics))

    def miss(
        self, from_ms: int, to_ms: int, *, category: Category, topics: Sequence[str], settled: bool
    ) -> None:
        """Take note that topics were not received in a stretch that is over."""
        self._change(
            Kind.MISS, from_ms, to_ms, category=category, topics=list(topics), settled=settled
        )

    # Gaps and the exchange's own candles.

    def known(self, category: Category, trades: Sequence[tuple[str, str, int]]) -> list[bool]:
        """Say of (symbol, trade id, event time in milliseconds) whether each is remembered."""
        return self.engine.known(trades, category=category)

    def unsettled(self) -> list[tuple[Category, str, int, int | None]]:
        """Return the gaps that are to be healed or given up."""
        return self.engine.unsettled()

    def symbols_of(self, category: Category, topic: str) -> list[str]:
        """Return the symbols that a topic was seen to have: itself, or the contracts of a coin."""
        if category != "option":
            return [topic]
        names = (symbol for known, symbol in self.engine.symbols() if known == "option")
        return [name for name in names if name.partition("-")[0] == topic]

    def heal(self, category: Category, topic: str, from_ms: int, to_ms: int) -> None:
        """Take note that a gap was proven to be filled."""
        self._change(Kind.HEAL, from_ms, to_ms, category=category, topic=topic)

    def give_up(self, category: Category, topic: str, from_ms: int, to_ms: int) -> None:
        """Take note that a gap cannot be proven to be filled."""
        self._change(Kind.GIVE_UP, from_ms, to_ms, category=category, topic=topic)

    def klines(self, category: Category, symbol: str, rows: Sequence[Kline]) -> None:
        """Compare closed candles with the exchange's, or take those where trades were missed."""
        texts = [tuple(row[1:]) for row in rows]
        self._change(Kind.KLINES, texts, category=category, symbol=symbol)

    # Stats.

    def stats(  # noqa: PLR0913 -- those of the engine's
        self,
        now_ms: int,
        *,
        interval_ns: int,
        counts: dict[str, int],
        thread_statuses: bytes,
        rejected_symbols: bytes,
        latencies: dict[str, Latency],
        sections: dict[str, bytes],
    ) -> None:
        """Publish the stats of this moment; the arguments are those of `Engine.stats`."""
        batch = self.engine.stats(
            now_ms,
            interval_ns=interval_ns,
            counts=counts,
            thread_statuses=thread_statuses,
            rejected_symbols=rejected_symbols,
            latencies=latencies,
            sections=sections,
        )
        # What they were made of is of that moment alone, so that they themselves are on record.
        self._record(Kind.STATS, batch[0].payload, "linear", 0, self._wall_ns())
        self._publish(batch)

    # The journal.

    def replay(self, kind: int, category: int, received_ns: int, payload: bytes) -> Batch:
        """Apply one record again and return what was published then.

        Raises:
            ValueError: If the record is none of ours.
        """
        batch = self._replay(Kind(kind), CATEGORIES[category], received_ns, payload)
        self._store(batch)
        return batch

    def _replay(self, kind: Kind, category: Category, received_ns: int, payload: bytes) -> Batch:
        match kind:
            case Kind.FRAME:
                try:
                    return self.engine.feed(payload, received_ns=received_ns, category=category)
                except DecodeError:
                    # It was refused then, too, and that is counted.
                    return Batch.joined([])
            case Kind.BACKFILL:
                return self.engine.backfill(payload, received_ns=received_ns, category=category)
            case Kind.STATS:
                return self.engine.restated(payload)
        args, kwargs = msgspec.json.decode(payload)
        if kind is Kind.KLINES:
            args = [[tuple(row) for row in args[0]]]
        batch: Batch = getattr(self.engine, _METHODS[kind])(*args, **kwargs)
        return batch

    def _change(self, kind: Kind, *args: object, **kwargs: object) -> None:
        batch = getattr(self.engine, _METHODS[kind])(*args, **kwargs)
        self._record(kind, _packed(*args, **kwargs), "linear", 0, self._wall_ns())
        self._send(batch)

    def _record(
        self, kind: Kind, payload: bytes, category: Category, line: int, received_ns: int
    ) -> None:
        if self._journal is not None:
            self._journal.append(
                kind,
                payload,
                category=CATEGORIES.index(category),
                line=line,
                received_ns=received_ns,
            )

    def _send(self, batch: Batch) -> None:
        if len(batch):
            self._store(batch)
            self._publish(batch)
            self._tell_mismatches(batch)

    def _tell_mismatches(self, batch: Batch) -> None:
        """Point out candles that differ from the exchange's, if there are more than before."""
        mismatched = self.engine.audit[1]
        if mismatched == self._mismatched or self._on_mismatch is None:
            return
        self._mismatched = mismatched
        for message in batch:
            if message.type == "ohlcv":
                candle = _VERIFIED.decode(message.payload)
                if candle.verified is False:
                    self._on_mismatch(candle.category, candle.symbol, candle.start)

    def _store(self, batch: Batch) -> None:
        """Hand candles and gaps to the store."""
        if self._keep is None:
            return
        for kind in _KEPT_TYPES:
            payloads = [message.payload for message in batch if message.type == kind]
            if payloads:
                self._keep(kind, payloads)


def _packed(*args: object, **kwargs: object) -> bytes:
    """Return the arguments of one of the engine's methods as a record holds them."""
    return msgspec.json.encode((args, kwargs))
