"""Klines against a slow fold of the same trades."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast.sim.instruments import Category, select_instruments
from tapecast.sim.klines import MINUTE_MS, Kline, KlineBook
from tapecast.sim.market import Market, SimTrade

START_MS = 1_790_000_040_000  # a full minute


def slow_klines(trades: list[SimTrade], interval_ms: int, last_ms: int) -> list[Kline]:
    """Fold trades the long way: one pass over all trades for each kline."""
    klines: list[Kline] = []
    start_ms = trades[0].event_ms // interval_ms * interval_ms
    while start_ms <= last_ms:
        within = [t for t in trades if start_ms <= t.event_ms < start_ms + interval_ms]
        opened = klines[-1].close if klines else Decimal(within[0].price)
        prices = [opened, *(Decimal(t.price) for t in within)]
        klines.append(
            Kline(
                start_ms,
                opened,
                max(prices),
                min(prices),
                prices[-1],
                sum((Decimal(t.size) for t in within), Decimal(0)),
                slow_turnover(within),
            )
        )
        start_ms += interval_ms
    return klines


def slow_turnover(trades: list[SimTrade]) -> Decimal:
    with localcontext(prec=60):
        if not trades or trades[0].category != "inverse":
            return sum((Decimal(t.price) * Decimal(t.size) for t in trades), Decimal(0))
        values = [(Decimal(t.size) / Decimal(t.price)).quantize(Decimal("1e-16")) for t in trades]
        return sum(values, Decimal(0)).quantize(Decimal("1e-8"))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(min_value=0, max_value=10**6),
    symbol=st.sampled_from(
        [("linear", "BTCUSDT"), ("spot", "PEPEUSDT"), ("inverse", "BTCUSD"), ("spot", "LTCUSDT")]
    ),
    interval=st.sampled_from([1, 3, 5, 15]),
)
def test_klines_equal_the_slow_fold(seed: int, symbol: tuple[Category, str], interval: int) -> None:
    # Few enough trades that minutes stay empty.
    instruments = select_instruments([f"{symbol[0]}:{symbol[1]}"])
    market = Market(instruments, seed=seed, start_ms=START_MS, rate=0.03)
    trades = [t for o in market.advance(START_MS + 40 * MINUTE_MS) for t in o.trades]
    if not trades:
        return
    book = KlineBook()
    for trade in trades:
        book.add(trade)
    last_ms = START_MS + 45 * MINUTE_MS
    interval_ms = interval * MINUTE_MS
    folded = list(book.klines(*symbol, interval_ms=interval_ms, first_ms=0, last_ms=last_ms))
    assert folded == slow_klines(trades, interval_ms, last_ms)
    # A page that begins later holds the same klines.
    later_ms = START_MS + 17 * MINUTE_MS + 1
    page = list(book.klines(*symbol, interval_ms=interval_ms, first_ms=later_ms, last_ms=last_ms))
    assert page == [kline for kline in folded if kline.start_ms >= later_ms]


def trade(event_ms: int, price: str, size: str) -> SimTrade:
    return SimTrade("linear", "BTCUSDT", event_ms, "Buy", price, size, "id", 1, "PlusTick")


def test_a_kline_opens_at_the_close_before_it_and_reaches_to_it() -> None:
    book = KlineBook()
    book.add(trade(START_MS, "100.50", "0.010"))
    book.add(trade(START_MS + 2 * MINUTE_MS, "101.00", "0.200"))
    klines = book.klines(
        "linear", "BTCUSDT", interval_ms=MINUTE_MS, first_ms=0, last_ms=START_MS + 2 * MINUTE_MS
    )
    assert [kline.row() for kline in klines] == [
        [str(START_MS), "100.5", "100.5", "100.5", "100.5", "0.01", "1.005"],
        [str(START_MS + MINUTE_MS), "100.5", "100.5", "100.5", "100.5", "0", "0"],
        [str(START_MS + 2 * MINUTE_MS), "100.5", "101", "100.5", "101", "0.2", "20.2"],
    ]


def test_only_the_newest_minutes_are_kept() -> None:
    book = KlineBook(limit=2)
    for minute in range(5):
        book.add(trade(START_MS + minute * MINUTE_MS, f"{100 + minute}", "1"))
    kept = list(
        book.klines(
            "linear", "BTCUSDT", interval_ms=MINUTE_MS, first_ms=0, last_ms=START_MS + 10**6
        )
    )
    assert kept[0].start_ms == START_MS + 3 * MINUTE_MS
    assert (kept[0].open, kept[0].close) == (Decimal(102), Decimal(103))


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_a_symbol_that_never_traded_has_no_klines(category: Category) -> None:
    klines = KlineBook().klines(
        category, "BTCUSDT", interval_ms=MINUTE_MS, first_ms=0, last_ms=START_MS
    )
    assert list(klines) == []
