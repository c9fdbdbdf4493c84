"""Candles and gaps, as rows of the store and as they are published."""

import msgspec

from tapecast.store import CandleRow

MINUTE_MS = 60_000


def row(at: int = 0, *, symbol: str = "BTCUSDT", revision: int = 0, **changes: object) -> CandleRow:
    """Return a candle of a minute, counted from a round time."""
    candle = CandleRow(
        category="linear",
        symbol=symbol,
        start_ms=1_700_000_040_000 + at * MINUTE_MS,
        open="100.1",
        high="100.50",
        low="0.000000012345678901234567890",
        close="100.3",
        volume="123456789012345678901234.5",
        turnover="100",
        buy_volume="0",
        trades=7,
        complete=True,
        source="trades",
        verified=None,
        revision=revision,
    )
    return candle._replace(**changes)  # type: ignore[arg-type]


def ohlcv(at: int = 0, **changes: object) -> bytes:
    """Return a published candle."""
    start_ms = 1_700_000_040_000 + at * MINUTE_MS
    fields: dict[str, object] = {
        "topic": "status",
        "type": "ohlcv",
        "seq": 9,
        "exchange": "bybit",
        "symbol": "BTCUSDT",
        "category": "linear",
        "timeframe": "1m",
        "start": start_ms,
        "timestamp": start_ms + MINUTE_MS,
        "timestamp_iso": "2023-11-14T22:15:00.000Z",
        "open": msgspec.Raw(b"0.00000001"),
        "high": msgspec.Raw(b"12345678901234567890.123456789"),
        "low": msgspec.Raw(b"0.00000001"),
        "close": msgspec.Raw(b"2"),
        "volume": msgspec.Raw(b"0.1"),
        "turnover": msgspec.Raw(b"0.2"),
        "buy_volume": msgspec.Raw(b"0"),
        "trades": 3,
        "vwap": 2.0,
        "closed": True,
        "complete": True,
        "revision": 1,
        "source": "trades",
        "verified": None,
        "text": "a line",
    }
    return msgspec.json.encode(fields | changes)


def gap(state: str, to_ms: int = 2000) -> bytes:
    return msgspec.json.encode(
        {
            "topic": "status",
            "type": "gap",
            "scope": "upstream",
            "seq": 1,
            "symbol": "BTCUSDT",
            "from": 1000,
            "to": to_ms,
            "state": state,
            "category": "linear",
        }
    )
