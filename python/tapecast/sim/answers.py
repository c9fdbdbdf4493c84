"""Answers of the simulated REST API as bytes, with the faults applied; no sockets, no clock."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from tapecast.sim.faults import (
    Fault,
    KlineStale,
    KlineWrong,
    Maintenance,
    RestCode,
    RestHtml,
    RestShuffled,
    RestStale,
    RestStatus,
    RestTimeout,
    RestWindow,
)
from tapecast.sim.klines import MINUTE_MS
from tapecast.sim.queries import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tapecast.sim.injections import Board, Injection
    from tapecast.sim.instruments import Category
    from tapecast.sim.klines import Kline
    from tapecast.sim.queries import MarketData

__all__ = ["Answer", "Answers", "NoAnswer"]

_FaultT = TypeVar("_FaultT", bound=Fault)

RECENT: Final = "/v5/market/recent-trade"
KLINE: Final = "/v5/market/kline"

_FIELDS: Final = ("start", "open", "high", "low", "close", "volume", "turnover")
_HTML: Final = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)

_encoder = msgspec.json.Encoder()


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"


class NoAnswer(TimeoutError):  # noqa: N818 -- what happens
    """A query that is not answered; as a `TimeoutError` it is what the client makes of it.

    Attributes:
        injection: The fault.
    """

    def __init__(self, path: str, injection: Injection[RestTimeout]) -> None:
        super().__init__(f"no answer to {path}")
        self.injection = injection


class Answers:
    """The REST API.

    Args:
        data: What it knows.
        board: The faults.
    """

    def __init__(self, data: MarketData, board: Board) -> None:
        self._data = data
        self._board = board
        self._asked = 0

    def answer(self, path: str, query: Mapping[str, str], *, now_ms: int) -> Answer:
        """Answer one query.

        Args:
            path: Path of the URL, such as `/v5/market/kline`.
            query: Parameters of the URL.
            now_ms: The exchange's clock.

        Raises:
            ConnectionResetError: During maintenance.
            NoAnswer: If the query is not answered.
        """
        self._asked += 1
        if not self._board.quiet:
            failed = self._failed(path, query, now_ms)
            if failed is not None:
                return failed
        ask = self._endpoint(path)
        if ask is None:
            return Answer(404, b"404: Not Found", "text/plain")
        try:
            result = ask(query, now_ms)
        except Refusal as refusal:
            return _refused(refusal.code, refusal.text, now_ms)
        return Answer(200, _envelope(result, now_ms))

    def kline_row(self, category: Category, symbol: str, kline: Kline, *, over: str) -> list[str]:
        """Return the row of a minute as it is shown over `rest` or `websocket`."""
        query = {"category": category, "symbol": symbol}
        row = kline.row()
        self._falsify([row], query, over)
        return row

    def _endpoint(self, path: str) -> Callable[[Mapping[str, str], int], dict[str, Any]] | None:
        endpoints: dict[str, Callable[[Mapping[str, str], int], dict[str, Any]]] = {
            "/v5/market/time": _time,
            "/v5/market/instruments-info": lambda query, _: self._data.instruments_info(query),
            RECENT: self._recent_trade,
            KLINE: self._kline,
        }
        return endpoints.get(path)

    def _failed(self, path: str, query: Mapping[str, str], now_ms: int) -> Answer | None:
        for reset in self._active(Maintenance, path, query):
            self._record(reset, path, now_ms)
            raise ConnectionResetError(f"{path} was reset")
        for silent in self._active(RestTimeout, path, query):
            self._board.record(silent, "unanswered", at_ms=now_ms, topic=path)
            raise NoAnswer(path, silent)
        for status in self._active(RestStatus, path, query):
            self._record(status, path, now_ms)
            return Answer(status.fault.status, b"", "text/plain")
        for html in self._active(RestHtml, path, query):
            self._record(html, path, now_ms)
            return Answer(html.fault.status, _HTML, "text/html")
        for code in self._active(RestCode, path, query):
            self._record(code, path, now_ms)
            return _refused(code.fault.code, code.fault.text, now_ms)
        return None

    def _recent_trade(self, query: Mapping[str, str], now_ms: int) -> dict[str, Any]:
        as_of_ms: int | None = None
        for stale in self._active(RestStale, RECENT, query):
            as_of_ms = now_ms - stale.fault.by_ms
            self._record(stale, RECENT, now_ms)
        result = self._data.recent_trade(query, as_of_ms=as_of_ms)
        for window in self._active(RestWindow, RECENT, query):
            del result["list"][window.fault.trades :]
            self._record(window, RECENT, now_ms)
        self._shuffle(result["list"], RECENT, query, now_ms)
        return result

    def _kline(self, query: Mapping[str, str], now_ms: int) -> dict[str, Any]:
        as_of_ms: int | None = None
        for stale in self._active(KlineStale, KLINE, query):
            as_of_ms = now_ms - stale.fault.by_ms
            self._record(stale, KLINE, now_ms)
        if as_of_ms is None:
            result = self._data.kline(query, now_ms=now_ms)
        else:
            result = self._data.kline(query, now_ms=as_of_ms, stale=True)
        if query.get("interval") == "1":
            self._falsify(result["list"], query, "rest")
        self._shuffle(result["list"], KLINE, query, now_ms)
        return result

    def _falsify(self, rows: list[list[str]], query: Mapping[str, str], over: str) -> None:
        for wrong in self._active(KlineWrong, KLINE, query):
            fault = wrong.fault
            begun_ms = wrong.begin_ms // MINUTE_MS * MINUTE_MS
            minute_ms = begun_ms if fault.minute_ms is None else fault.minute_ms
            if fault.over not in {"both", over}:
                continue
            place = _FIELDS.index(fault.field)
            for row in rows:
                if row[0] == str(minute_ms):
                    row[place] = f"{Decimal(row[place]) + Decimal(fault.by):f}"
                    self._record(wrong, KLINE, minute_ms)

    def _shuffle(self, rows: list[Any], path: str, query: Mapping[str, str], now_ms: int) -> None:
        for shuffled in self._active(RestShuffled, path, query):
            self._board.rng(shuffled, self._asked).shuffle(rows)
            self._record(shuffled, path, now_ms)

    def _active(
        self, kind: type[_FaultT], path: str, query: Mapping[str, str]
    ) -> Iterator[Injection[_FaultT]]:
        return self._board.of_query(kind, path, query, self._asked)

    def _record(self, injection: Injection[Fault], path: str, now_ms: int) -> None:
        self._board.record(injection, "altered", at_ms=now_ms, topic=path)


def _time(_query: Mapping[str, str], now_ms: int) -> dict[str, Any]:
    return {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}


def _refused(code: int, text: str, now_ms: int) -> Answer:
    empty = {"category": "", "list": [], "nextPageCursor": ""}
    return Answer(200, _envelope(empty, now_ms, code=code, text=text))


def _envelope(result: dict[str, Any], now_ms: int, *, code: int = 0, text: str = "OK") -> bytes:
    return _encoder.encode(
        {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": now_ms}
    )
