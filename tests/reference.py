"""The slow, obvious reference: frames to candles with `json`, `Decimal` and nothing clever.

Written from the contract alone (docs/candles.md). It keeps every trade for ever and folds all of
them again after every step; what the engine publishes must equal it, number for number.
"""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any, NoReturn

__all__ = [
    "MINUTE_MS",
    "RefCandle",
    "RefEngine",
    "RefSettings",
    "RefTrade",
    "Refused",
    "parse_frame",
    "plain",
    "plain_double",
]

MINUTE_MS = 60_000
MAX_EVENT_MS = 4_102_444_800_000
_WIDE = Context(prec=500, rounding=ROUND_HALF_EVEN)
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
Key = tuple[str, str, int]
"""Category, symbol and start of a window."""


class Refused(ValueError):  # noqa: N818 -- a verdict, not a failure
    """A frame of which nothing may be applied."""


@dataclass(frozen=True)
class RefTrade:
    """One trade of a frame."""

    category: str
    symbol: str
    event_ms: int
    side: str
    price: Decimal
    size: Decimal
    trade_id: str
    seq: int
    position: int
    is_block: bool
    is_rpi: bool

    @property
    def start_ms(self) -> int:
        return self.event_ms // MINUTE_MS * MINUTE_MS

    @property
    def order(self) -> tuple[int, int, int, int, bool, Decimal]:
        """The exchange's order; trades of several frames may tie in the first three.

        Then the number counts, where the id is one, and then the price: it rises while a taker
        buys, and falls while one sells.
        """
        is_number = self.trade_id.isascii() and self.trade_id.isdigit()
        number = int(self.trade_id) if is_number and self.trade_id[0] != "0" else 0
        number = number if number < 2**64 else 0
        sells = self.side == "Sell"
        price = self.price.copy_negate() if sells else self.price
        return (self.event_ms, self.seq, self.position, number, sells, price)


@dataclass(frozen=True)
class RefCandle:
    """One candle as it must be published."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = Decimal(0)
    turnover: Decimal = Decimal(0)
    buy_volume: Decimal = Decimal(0)
    trades: int = 0
    closed: bool = True
    complete: bool = False
    revision: int = 0

    @property
    def vwap(self) -> float | None:
        """The double nearest to the exact quotient: division of big integers rounds once."""
        return float(Fraction(self.turnover) / Fraction(self.volume)) if self.volume else None


def plain(number: Decimal) -> str:
    """Return every digit of a number without exponent and trailing zeros."""
    return format(number.normalize(_WIDE), "f")


def plain_double(number: float) -> str:
    """Return the shortest text of a double without an exponent."""
    return plain(Decimal(repr(number)))


def _refuse(text: str) -> NoReturn:
    raise Refused(text)


def _positive(text: object) -> Decimal:
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise Refused(f"{text!r} is no decimal")
    exponent = re.split("[eE]", text)[1:]
    if exponent and abs(int(exponent[0])) > 64:
        raise Refused(f"{text!r} has too large an exponent")
    number = _WIDE.create_decimal(text).normalize(_WIDE)
    digits = len(plain(number).replace(".", "").lstrip("0"))
    scale = max(0, -int(number.as_tuple().exponent))
    if number <= 0 or digits > 19 or scale > 18:
        raise Refused(f"{text!r} is out of range")
    return number


def _whole(value: object, below: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
        raise Refused(f"{value!r} is no whole number below {below}")
    return value


def _flag(value: object) -> bool:
    return value if isinstance(value, bool) else _refuse(f"{value!r} is no flag")


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _symbol(text: object) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= 32:
        raise Refused(f"{text!r} is no symbol")
    if any(_is_control(character) or character.isspace() for character in text):
        raise Refused(f"{text!r} is no symbol")
    return text


def _trade_id(text: object) -> str:
    if not isinstance(text, str) or not 1 <= len(text.encode()) <= 64:
        raise Refused(f"{text!r} is no id")
    if any(map(_is_control, text)):
        raise Refused(f"{text!r} is no id")
    return text


def _has_lone_surrogate(value: object) -> bool:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return any(0xD800 <= ord(character) < 0xE000 for character in text)


def _parse_trade(item: object, position: int, topic: str, category: str) -> RefTrade:
    if not isinstance(item, dict):
        raise Refused("a trade is no object")
    try:
        symbol = _symbol(item["s"])
        fits = symbol.startswith(f"{topic}-") if category == "option" else symbol == topic
        if not fits:
            raise Refused(f"{symbol} does not fit {topic}")
        if item["S"] not in {"Buy", "Sell"}:
            raise Refused(f"{item['S']!r} is no side")
        return RefTrade(
            category=category,
            symbol=symbol,
            event_ms=_whole(item["T"], MAX_EVENT_MS),
            side=item["S"],
            price=_positive(item["p"]),
            size=_positive(item["v"]),
            trade_id=_trade_id(item["i"]),
            seq=_whole(item.get("seq", 0), 2**64),
            position=position,
            is_block=_flag(item.get("BT", False)),
            is_rpi=_flag(item.get("RPI", False)),
        )
    except (KeyError, TypeError) as error:
        raise Refused(f"trade without {error}") from error


def parse_frame(frame: bytes, category: str) -> list[RefTrade]:
    """Return the trades of a frame, or raise `Refused`."""
    try:
        whole = json.loads(frame.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse)
    except ValueError as error:
        raise Refused(str(error)) from error
    if not isinstance(whole, dict) or _has_lone_surrogate(whole):
        raise Refused("no JSON object")
    topic = whole.get("topic")
    if not isinstance(topic, str) or not topic.startswith("publicTrade.") or len(topic) == 12:
        raise Refused(f"topic {topic!r}")
    if "ts" in whole:
        _whole(whole["ts"], MAX_EVENT_MS)
    data = whole.get("data")
    if not isinstance(data, list):
        raise Refused("no array of trades")
    return [_parse_trade(item, at, topic[12:], category) for at, item in enumerate(data)]


@dataclass(frozen=True)
class RefSettings:
    """The settings of `Engine` that shape candles."""

    grace_ms: int = 1_000
    revise_window_ms: int = 600_000
    empty: str = "skip"
    open: str = "first_trade"
    include_block_trades: bool = True
    clock: str = "wall"
    assume_covered: bool = True

    def as_arguments(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass
class RefEngine:
    """What `Engine` must do, one step at a time.

    `steps` return the published things in their order: a `RefTrade`, or a (key, `RefCandle`).
    """

    settings: RefSettings
    trades: list[RefTrade] = field(default_factory=list)
    symbols: list[tuple[str, str]] = field(default_factory=list)
    now_ms: int | None = None
    late: int = 0
    duplicates: int = 0
    frames: int = 0
    bad_frames: int = 0
    candles_published: int = 0
    published: dict[Key, RefCandle] = field(default_factory=dict)
    missed: dict[tuple[str, str], list[list[int | None]]] = field(default_factory=dict)

    # The clock's three consequences.

    @property
    def closed_until_ms(self) -> int:
        if self.now_ms is None:
            return -(10**18)
        return (self.now_ms - self.settings.grace_ms) // MINUTE_MS * MINUTE_MS

    @property
    def evicted_until_ms(self) -> int:
        if self.now_ms is None:
            return -(10**18)
        until = (self.now_ms - self.settings.revise_window_ms) // MINUTE_MS * MINUTE_MS
        return min(until, self.closed_until_ms)

    def _move_clock(self, now_ms: int) -> None:
        self.now_ms = now_ms if self.now_ms is None else max(self.now_ms, now_ms)

    # Steps.

    def feed(self, frame: bytes, category: str) -> list[RefTrade | tuple[Key, RefCandle]]:
        self.frames += 1
        try:
            arrived = parse_frame(frame, category)
        except Refused:
            self.bad_frames += 1
            raise
        names = dict.fromkeys((trade.category, trade.symbol) for trade in arrived)
        self.symbols += [name for name in names if name not in self.symbols]
        fresh = []
        known = {(t.category, t.symbol, t.trade_id) for t in self.trades}
        for trade in arrived:
            identity = (trade.category, trade.symbol, trade.trade_id)
            if trade.start_ms < self.evicted_until_ms:
                self.late += 1
            elif identity in known:
                self.duplicates += 1
            else:
                known.add(identity)
                fresh.append(trade)
        self.trades += fresh
        news = list(self._publish())
        if self.settings.clock == "event" and self.trades:
            self._move_clock(max(trade.event_ms for trade in self.trades))
            news += self._publish()
        return [*fresh, *news]

    def advance(self, now_ms: int) -> list[tuple[Key, RefCandle]]:
        self._move_clock(now_ms)
        return list(self._publish())

    def uncover(self, category: str, topic: str, at_ms: int) -> list[tuple[Key, RefCandle]]:
        stretches = self._missed(category, topic)
        if not stretches or stretches[-1][1] is not None:
            stretches.append([at_ms, None])
        # What is known to have been missed earlier was missed, whatever was said before.
        stretches[-1][0] = min(at_ms, stretches[-1][0] or 0)
        return list(self._publish())

    def cover(self, category: str, topic: str, at_ms: int) -> list[tuple[Key, RefCandle]]:
        stretches = self._missed(category, topic)
        if stretches and stretches[-1][1] is None:
            stretches[-1][1] = max(at_ms, stretches[-1][0] or 0)
        return list(self._publish())

    def _missed(self, category: str, topic: str) -> list[list[int | None]]:
        never: list[list[int | None]] = [] if self.settings.assume_covered else [[-(10**18), None]]
        return self.missed.setdefault((category, topic), never)

    # What must be known now.

    def _publish(self) -> Iterator[tuple[Key, RefCandle]]:
        """Publish what is new of closed candles, oldest first, then by symbol."""
        news = []
        for at, (category, symbol) in enumerate(self.symbols):
            for candle in self._closed(category, symbol):
                key = (category, symbol, candle.start_ms)
                known = self.published.get(key)
                if candle.start_ms < self.evicted_until_ms and known is not None:
                    continue
                if known == dataclasses.replace(candle, revision=known.revision if known else 0):
                    continue
                revision = known.revision + 1 if known else 0
                self.published[key] = dataclasses.replace(candle, revision=revision)
                news.append((candle.start_ms, at, key))
        self.candles_published += len(news)
        for _, _, key in sorted(news):
            yield key, self.published[key]

    def _counting(self, category: str, symbol: str) -> dict[int, list[RefTrade]]:
        """Return the trades that count, by window and in the exchange's order."""
        windows: dict[int, list[RefTrade]] = {}
        for trade in self.trades:
            if (trade.category, trade.symbol) == (category, symbol) and (
                self.settings.include_block_trades or not trade.is_block
            ):
                windows.setdefault(trade.start_ms, []).append(trade)
        return {
            start: sorted(windows[start], key=lambda trade: trade.order)
            for start in sorted(windows)
        }

    def _closed(self, category: str, symbol: str) -> Iterator[RefCandle]:
        for candle in self._all(category, symbol):
            if candle.start_ms < self.closed_until_ms:
                complete = self._is_complete(category, symbol, candle.start_ms)
                yield dataclasses.replace(candle, complete=complete)

    def in_progress(self, category: str, symbol: str) -> list[RefCandle]:
        return [
            dataclasses.replace(candle, closed=False)
            for candle in self._all(category, symbol)
            if candle.start_ms >= self.closed_until_ms
        ]

    def _all(self, category: str, symbol: str) -> Iterator[RefCandle]:
        windows = self._counting(category, symbol)
        starts = list(windows)
        if starts and self.settings.empty == "flat":
            closed = range(starts[0], max(self.closed_until_ms, starts[0]), MINUTE_MS)
            starts = sorted({*starts, *closed})
        previous = None
        for start in starts:
            candle = self._fold(start, windows.get(start, []), previous)
            previous = candle.close
            yield candle

    def _fold(self, start: int, trades: list[RefTrade], previous: Decimal | None) -> RefCandle:
        if not trades:
            assert previous is not None
            return RefCandle(start, previous, previous, previous, previous)
        seeded = self.settings.open == "previous_close" and previous is not None
        opening = previous if seeded and previous is not None else trades[0].price
        prices = [opening, *(trade.price for trade in trades)]
        return RefCandle(
            start_ms=start,
            open=opening,
            high=max(prices),
            low=min(prices),
            close=trades[-1].price,
            volume=_sum(trade.size for trade in trades),
            turnover=_sum(_WIDE.multiply(trade.price, trade.size) for trade in trades),
            buy_volume=_sum(trade.size for trade in trades if trade.side == "Buy"),
            trades=len(trades),
        )

    def _is_complete(self, category: str, symbol: str, start: int) -> bool:
        if self.settings.assume_covered:
            first = min(trade.event_ms for trade in self.trades if trade.category == category)
            if start < first:
                return False
        topic = symbol.split("-", maxsplit=1)[0] if category == "option" else symbol
        end = start + MINUTE_MS
        for since, until in self._missed(category, topic):
            assert since is not None
            last = 10**18 if until is None else max(until, since + 1)
            if since < end and last > start:
                return False
        return True

    def last_prices(self) -> dict[tuple[str, str], Decimal]:
        """Return the price of the last trade of each symbol by the exchange's order."""
        ordered = sorted(self.trades, key=lambda trade: trade.order)
        return {(trade.category, trade.symbol): trade.price for trade in ordered}


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = _WIDE.add(total, number)
    return total
