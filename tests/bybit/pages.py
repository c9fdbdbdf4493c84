"""Pages of recent trades as tests make them."""

import json
from collections.abc import Iterable
from typing import Any, Final

from tapecast.aliases import Category
from tapecast.bybit.backfill import Page, read_page

START_MS: Final = 1_790_000_040_000


def trade_row(at: int = 0, number: int = 0, **fields: object) -> dict[str, Any]:
    """Return a trade as REST tells it, `at` milliseconds after `START_MS`."""
    base = {"execId": f"t{number}", "symbol": "BTCUSDT", "price": "80681.90", "size": "0.010"}
    base |= {"side": "Sell", "time": str(START_MS + at), "seq": str(1000 + at)}
    return {**base, "isBlockTrade": False, "isRPITrade": False, **fields}


def page_of(
    rows: Iterable[dict[str, Any]], *, category: Category = "linear", topic: str = "BTCUSDT"
) -> Page:
    """Read rows, newest first."""
    body = json.dumps(list(rows)).encode()
    return read_page(body, category=category, topic=topic, most=1000)


def page_at(*times: int) -> Page:
    """Return a page of trades at these times after `START_MS`, which are given oldest first."""
    rows = [trade_row(at, number) for number, at in enumerate(times)]
    return page_of(reversed(rows))
