"""Exchange frames as the tests make them, and what they must come to."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from tapecast import Engine
from tapecast.messages import Ohlcv, Trade, TradeCounts
from tests.reference import MINUTE_MS, RefCandle, RefTrade, plain, plain_double

Category: TypeAlias = Literal["linear", "inverse", "spot", "option"]
START_MS = 1_790_000_040_000
"""The first millisecond of a minute in September 2026."""
LATER_NS = (START_MS + 3_600_000) * 1_000_000
"""A time of receipt that no trade of the tests lies ahead of."""


def trade_item(at: int = 0, **fields: object) -> dict[str, Any]:
    """Return a trade as it stands in a frame, `at` milliseconds after `START_MS`."""
    base = {"T": START_MS + at, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "100", "i": "1"}
    return base | {"BT": False, "RPI": False, "seq": 1} | fields


def frame_of(items: Iterable[dict[str, Any]], topic: str = "BTCUSDT") -> bytes:
    """Return a frame with these trades, made at the time of the newest."""
    data = list(items)
    ts = max((item["T"] for item in data if isinstance(item.get("T"), int)), default=START_MS)
    frame = {"topic": f"publicTrade.{topic}", "type": "snapshot", "ts": ts, "data": data}
    return json.dumps(frame, separators=(",", ":")).encode()


def feed(engine: Engine, *items: dict[str, Any], category: Category = "linear") -> list[str]:
    """Feed one frame of one symbol and return the types of what it publishes."""
    topic = items[0]["s"].split("-", maxsplit=1)[0] if category == "option" else items[0]["s"]
    batch = engine.feed(frame_of(items, topic), received_ns=LATER_NS, category=category)
    return [message.type for message in batch]


def iso(time_ms: int) -> str:
    """Return a time as the wire has it."""
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03}Z"


def expected_trade(trade: RefTrade, seq: int, number: int) -> Trade:
    """Return the message of a trade, the `number`-th published one."""
    return Trade(
        seq=seq,
        symbol=trade.symbol,
        category=trade.category,  # type: ignore[arg-type] # one of the four
        side=trade.side,  # type: ignore[arg-type] # one of the two
        price=trade.price,
        volume=trade.size,
        timestamp=trade.event_ms,
        timestamp_iso=iso(trade.event_ms),
        trade_id=trade.trade_id,
        message_counts=TradeCounts(trade_messages=number),
    )


def candle_text(category: str, symbol: str, candle: RefCandle) -> str:
    """Return the console line of a candle."""
    prices = [("open", candle.open), ("high", candle.high), ("low", candle.low)]
    prices += [("close", candle.close), ("volume", candle.volume)]
    words = [iso(candle.start_ms + MINUTE_MS), "ohlcv", f"{category}:{symbol}", "1m"]
    words += [f"{name} {plain(value)}" for name, value in prices]
    if candle.vwap is not None:
        words.append(f"vwap {plain_double(candle.vwap)}")
    words.append(f"trades {candle.trades}")
    if candle.revision:
        words.append(f"revision {candle.revision}")
    if not candle.closed:
        words.append("in progress")
    elif not candle.complete:
        words.append("incomplete")
    return " ".join(words)


def expected_ohlcv(category: str, symbol: str, candle: RefCandle, seq: int) -> Ohlcv:
    """Return the message of a candle."""
    return Ohlcv(
        seq=seq,
        exchange="bybit",
        symbol=symbol,
        category=category,  # type: ignore[arg-type] # one of the four
        timeframe="1m",
        start=candle.start_ms,
        timestamp=candle.start_ms + MINUTE_MS,
        timestamp_iso=iso(candle.start_ms + MINUTE_MS),
        open=candle.open,
        high=candle.high,
        low=candle.low,
        close=candle.close,
        volume=candle.volume,
        turnover=candle.turnover,
        buy_volume=candle.buy_volume,
        trades=candle.trades,
        vwap=candle.vwap,
        closed=candle.closed,
        complete=candle.complete,
        revision=candle.revision,
        source="trades",
        verified=None,
        text=candle_text(category, symbol, candle),
    )


def candle_row(category: str, symbol: str, candle: RefCandle) -> tuple[Any, ...]:
    """Return a candle as a row of `Engine.candles(exact=True)`, without its VWAP."""
    numbers = [candle.open, candle.high, candle.low, candle.close]
    numbers += [candle.volume, candle.turnover, candle.buy_volume]
    return (
        *(category, symbol, candle.start_ms, candle.start_ms + MINUTE_MS),
        *map(plain, numbers),
        *(candle.trades, candle.closed, candle.complete, candle.revision),
    )


def exact_rows(engine: Engine) -> list[tuple[Any, ...]]:
    """Return the engine's candles as tuples, without their VWAP."""
    rows = engine.candles(exact=True)
    names = [name for name in rows.dtype.names or () if name != "vwap"]
    return [tuple(row) for row in rows[names].tolist()]


def market_rows(engine: Engine) -> list[tuple[Any, ...]]:
    """Return what the engine's candles say of the market: all but the number of revisions."""
    return sorted(row[:-1] for row in exact_rows(engine))


def by_topic(
    trades: Sequence[tuple[Category, str, dict[str, Any]]],
) -> list[tuple[Category, str, list[dict[str, Any]]]]:
    """Group trades of several topics into frames, in the order of their first ones."""
    groups: dict[tuple[Category, str], list[dict[str, Any]]] = {}
    for category, topic, item in trades:
        groups.setdefault((category, topic), []).append(item)
    return [(category, topic, items) for (category, topic), items in groups.items()]
