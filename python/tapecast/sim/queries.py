"""Answers of the simulated REST API as plain values: query in, `result` out; no I/O, no clock.

Source: https://bybit-exchange.github.io/docs/v5/market/instrument, `/kline` and `/recent-trade`;
limits and errors as observed on the real exchange. What is only assumed says so.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from tapecast.sim.instruments import CATEGORIES
from tapecast.sim.klines import MINUTE_MS, refolded
from tapecast.sim.listing import instrument_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapecast.sim.book import SimTrade
    from tapecast.sim.instruments import Category, Instrument
    from tapecast.sim.klines import KlineBook
    from tapecast.sim.ledger import Ledger

__all__ = ["MarketData", "Refusal"]

_PARAMS_ERROR: Final = 10001

_STATUSES: Final = ("PreLaunch", "Trading", "Delivering", "Closed")

# Weeks and months are left out: nothing here lives that long.
_INTERVALS_MS: Final = {
    **{str(m): m * MINUTE_MS for m in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": 1440 * MINUTE_MS,
}


class Refusal(Exception):  # noqa: N818 -- an answer of the exchange, which comes with HTTP 200
    """A query that the exchange refuses.

    Attributes:
        code: The exchange's number, `retCode`.
        text: The exchange's text, `retMsg`.
    """

    def __init__(self, text: str, code: int = _PARAMS_ERROR) -> None:
        super().__init__(text, code)
        self.code = code
        self.text = text


class MarketData:
    """What the public market endpoints know.

    Args:
        instruments: Everything that is listed.
        ledger: Executed trades.
        klines: The same trades, folded.
    """

    def __init__(
        self, instruments: Sequence[Instrument], *, ledger: Ledger, klines: KlineBook
    ) -> None:
        self._instruments = sorted(instruments, key=lambda one: one.symbol)
        self._ledger = ledger
        self._klines = klines

    def instruments_info(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer `/v5/market/instruments-info`.

        Raises:
            Refusal: If the category, the symbol, the status, the limit or the cursor is not a
            valid one.
        """
        category = _category(query)
        listed = self._listed(category, query)
        if category == "spot":
            return {"category": category, "list": [instrument_row(one) for one in listed]}
        after = _after(query.get("cursor", ""))
        remaining = [one for one in listed if one.symbol > after]
        page = remaining[: _number(query, "limit", default=500, most=1000)]
        cursor = ""
        if len(page) < len(remaining):
            ends = {"first": page[0].symbol, "last": page[-1].symbol}
            # The exchange sends it encoded already, ready for the next query.
            cursor = quote(urlencode(ends), safe="")
        rows = [instrument_row(one) for one in page]
        if category == "option":
            return {"category": category, "nextPageCursor": cursor, "list": rows}
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    def recent_trade(
        self, query: Mapping[str, str], *, as_of_ms: int | None = None
    ) -> dict[str, Any]:
        """Answer `/v5/market/recent-trade`: newest first, on spot at most 60, elsewhere 1,000.

        Args:
            query: Parameters of the URL.
            as_of_ms: Leaves out what was traded later.

        Raises:
            Refusal: If the category, the symbol or the limit is not a valid one.
        """
        category = _category(query)
        most, default = (60, 60) if category == "spot" else (1000, 500)
        limit = _number(query, "limit", default=default, most=most)
        if category == "option" and "symbol" not in query:
            trades = self._recent_options(query.get("baseCoin", "BTC"))
        else:
            trades = self._ledger.recent(category, self._symbol(category, query))
        if as_of_ms is not None:
            trades = [trade for trade in trades if trade.event_ms <= as_of_ms]
        return {"category": category, "list": [_trade_row(trade) for trade in trades[:limit]]}

    def kline(
        self, query: Mapping[str, str], *, now_ms: int, stale: bool = False
    ) -> dict[str, Any]:
        """Answer `/v5/market/kline`: newest first, the newest one may be open.

        `start` and `end` are both inclusive and both mean start times. A query with a start and no
        end looks forward from it (assumed), any other looks back.

        Args:
            query: Parameters of the URL.
            now_ms: Klines that start later are left out.
            stale: Whether trades behind `now_ms` are left out of the kline that was open then.

        Raises:
            Refusal: If any parameter is not a valid one; options have no klines.
        """
        category = _category(query, default="linear")
        if category == "option":
            raise Refusal("params error: category invalid")
        symbol = self._symbol(category, query)
        interval_ms = _INTERVALS_MS.get(query.get("interval", ""))
        if interval_ms is None:
            raise Refusal("params error: interval invalid")
        limit = _number(query, "limit", default=200, most=1000)
        first_ms = _time(query, "start", default=0)
        last_ms = min(_time(query, "end", default=now_ms), now_ms)
        if "start" in query and "end" not in query:
            begin_ms = -(-first_ms // interval_ms) * interval_ms
            last_ms = min(last_ms, begin_ms + (limit - 1) * interval_ms)
        # Never fold more than one page: a clock that was set far ahead leaves endless flat minutes
        # behind.
        first_ms = max(first_ms, last_ms // interval_ms * interval_ms - (limit - 1) * interval_ms)
        klines = self._klines.klines(
            category, symbol, interval_ms=interval_ms, first_ms=first_ms, last_ms=last_ms
        )
        rows: deque[list[str]] = deque()
        for kline in klines:
            shown = kline
            if stale and kline.start_ms + interval_ms > now_ms:
                trades = self._ledger.between(
                    category, symbol, from_ms=kline.start_ms, until_ms=now_ms
                )
                shown = refolded(kline, trades)
            rows.appendleft(shown.row())
        return {"symbol": symbol, "category": category, "list": list(rows)}

    def _listed(self, category: Category, query: Mapping[str, str]) -> list[Instrument]:
        listed = [one for one in self._instruments if one.category == category]
        symbol, base_coin = query.get("symbol"), query.get("baseCoin")
        if symbol:
            listed = [one for one in listed if one.symbol == symbol]
            if not listed and category != "spot":
                raise Refusal("params error: symbol invalid")
            return listed
        status = query.get("status", "Trading")
        if status not in _STATUSES:
            raise Refusal("params error: status invalid")
        if category == "option" and not base_coin:
            base_coin = "BTC"
        return [
            one
            for one in listed
            if one.status == status and (not base_coin or one.base_coin == base_coin)
        ]

    def _symbol(self, category: Category, query: Mapping[str, str]) -> str:
        symbol = query.get("symbol", "")
        if not any(one.category == category and one.symbol == symbol for one in self._instruments):
            raise Refusal("params error: symbol invalid")
        return symbol

    def _recent_options(self, base_coin: str) -> list[SimTrade]:
        trades = [
            trade
            for one in self._instruments
            if one.category == "option" and one.base_coin == base_coin
            for trade in self._ledger.recent("option", one.symbol)
        ]
        return sorted(trades, key=lambda trade: (trade.event_ms, trade.exchange_seq), reverse=True)


def _category(query: Mapping[str, str], default: str = "") -> Category:
    asked = query.get("category", default)
    for category in CATEGORIES:
        if category == asked:
            return category
    raise Refusal("params error: category invalid")


def _number(query: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    """Return a count from the query; one above the maximum means the maximum (assumed)."""
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise Refusal(f"params error: {name} invalid")
    return min(int(text), most)


def _time(query: Mapping[str, str], name: str, *, default: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise Refusal(f"params error: {name} invalid")
    return int(text)


def _after(cursor: str) -> str:
    """Return the last symbol of the page before; the client may have encoded the cursor again."""
    if not cursor:
        return ""
    last = parse_qs(unquote(cursor)).get("last")
    if last is None:
        raise Refusal("params error: cursor invalid")
    return last[0]


def _trade_row(trade: SimTrade) -> dict[str, Any]:
    row: dict[str, Any] = {
        "execId": trade.trade_id,
        "symbol": trade.symbol,
        "price": trade.price,
        "size": trade.size,
        "side": trade.taker_side,
        "time": str(trade.event_ms),
        "isBlockTrade": trade.block_trade,
        "isRPITrade": trade.rpi,
    }
    if trade.category == "option":
        row |= {
            "mP": trade.mark_price,
            "iP": trade.index_price,
            "mIv": trade.mark_iv,
            "iv": trade.iv,
        }
    row["seq"] = str(trade.exchange_seq)
    return row
