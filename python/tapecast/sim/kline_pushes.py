"""Minutes over WebSocket: the open one each second while it trades, and once when it has closed.

Source: https://bybit-exchange.github.io/docs/v5/websocket/public/kline
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tapecast.sim.connection import DataFrame
from tapecast.sim.klines import MINUTE_MS
from tapecast.sim.protocol import KLINE_PREFIX, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tapecast.sim.instruments import Category
    from tapecast.sim.klines import Kline, KlineBook
    from tapecast.sim.market import Order

__all__ = ["PUSH_MS", "KlinePushes"]

PUSH_MS: Final = 1000
"""How often an open minute is sent, if it has traded since; the exchange says 1 to 60 seconds."""

_encoder = msgspec.json.Encoder()


class KlinePushes:
    """The frames of minutes.

    Args:
        klines: The minutes.
        row_of: Returns the row of a minute as it is shown to clients.
    """

    def __init__(
        self, klines: KlineBook, *, row_of: Callable[[Category, str, Kline], list[str]]
    ) -> None:
        self._klines = klines
        self._row_of = row_of
        self._last_ms: dict[tuple[Category, str], int] = {}
        self._traded: set[tuple[Category, str]] = set()

    def add(self, order: Order) -> None:
        """Take note that a symbol has traded."""
        last = order.trades[-1]
        self._last_ms[last.category, last.symbol] = last.event_ms
        self._traded.add((last.category, last.symbol))

    def due(
        self, now_ms: int, topics: Iterable[tuple[Category, str]]
    ) -> Iterator[tuple[Category, DataFrame]]:
        """Yield the frames of one full second.

        Args:
            now_ms: The second; everything before it was traded already.
            topics: What is subscribed to.
        """
        traded, self._traded = self._traded, set()
        minute_ended = now_ms % MINUTE_MS == 0
        for category, topic in topics:
            place = (category, name_of(topic))
            # Observed: options accept the topic and send nothing.
            if (
                category == "option"
                or not topic.startswith(KLINE_PREFIX)
                or place not in self._last_ms
            ):
                continue
            if minute_ended or place in traded:
                start_ms = (now_ms - 1) // MINUTE_MS * MINUTE_MS
                yield category, self._frame(place, start_ms, now_ms, closed=minute_ended)

    def _frame(
        self, place: tuple[Category, str], start_ms: int, now_ms: int, *, closed: bool
    ) -> DataFrame:
        category, symbol = place
        kline = next(
            self._klines.klines(
                category, symbol, interval_ms=MINUTE_MS, first_ms=start_ms, last_ms=start_ms
            )
        )
        texts = self._row_of(category, symbol, kline)[1:]
        opened, high, low, close, volume, turnover = texts
        row: dict[str, Any] = {
            "start": start_ms,
            "end": start_ms + MINUTE_MS - 1,
            "interval": "1",
            "open": opened,
            "close": close,
            "high": high,
            "low": low,
            "volume": volume,
            "turnover": turnover,
            "confirm": closed,
            "timestamp": self._last_ms[place],
        }
        topic = KLINE_PREFIX + symbol
        frame = {"topic": topic, "data": [row], "ts": now_ms, "type": "snapshot"}
        return DataFrame(now_ms, topic, symbol, _encoder.encode(frame))
