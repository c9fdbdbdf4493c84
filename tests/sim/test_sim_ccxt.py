"""Proof that the simulated exchange speaks Bybit's language: ccxt, changed only in its URLs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import cycle
from typing import Any

import ccxt.pro as ccxt
import pytest

from tapecast.sim.exchange import SimExchange, SimSettings
from tapecast.sim.instruments import CATEGORIES, INSTRUMENTS, Category
from tapecast.sim.klines import MINUTE_MS
from tapecast.sim.market import Odds, SimTrade

START_MS = 1_790_000_000_000
LIMIT_S = 60.0

MANUAL = SimSettings(live=False, start_ms=START_MS, seed=3, rate=400.0)

# Every order matches as many trades as it may: one `step` of up to 30 is one frame, and ccxt wakes
# its watcher once a frame.
ONE_FRAME_A_STEP = SimSettings(
    live=False,
    start_ms=START_MS,
    seed=3,
    odds=Odds(next_match=1.0, sweep=0.0, block_trade=0.0, rpi=0.1),
)
SIZES = (1, 2, 30, 7, 1, 1, 13)


@asynccontextmanager
async def bybit(sim: SimExchange) -> AsyncIterator[Any]:
    """Open ccxt's own Bybit client with other URLs and nothing else changed."""
    exchange = ccxt.bybit()
    exchange.urls["api"]["public"] = sim.rest_url
    exchange.urls["api"]["ws"]["public"] = {
        category: f"{sim.ws_url}/{category}" for category in CATEGORIES
    }
    try:
        yield exchange
    finally:
        await exchange.close()


def told(trades: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what ccxt understood, prices and sizes from the texts that it keeps."""
    return [
        (
            one["id"],
            one["timestamp"],
            one["side"],
            Decimal(str(one["price"])),
            Decimal(str(one["amount"])),
        )
        for one in trades
    ]


def true(trades: list[SimTrade]) -> list[tuple[Any, ...]]:
    return [
        (t.trade_id, t.event_ms, t.taker_side.lower(), Decimal(t.price), Decimal(t.size))
        for t in trades
    ]


@pytest.mark.parametrize(
    ("category", "symbol", "unified"),
    [
        ("linear", "BTCUSDT", "BTC/USDT:USDT"),
        ("linear", "1000PEPEUSDT", "1000PEPE/USDT:USDT"),
        ("spot", "BTCUSDT", "BTC/USDT"),
        ("inverse", "BTCUSD", "BTC/USD:BTC"),
    ],
)
async def test_watch_trades_receives_exactly_the_trades_of_the_ledger(
    category: Category, symbol: str, unified: str
) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(ONE_FRAME_A_STEP) as sim,
        bybit(sim) as exchange,
    ):
        received: list[dict[str, Any]] = []
        watching = asyncio.create_task(exchange.watch_trades(unified))
        await sim.wait_subscribed(category, f"publicTrade.{symbol}")
        for moment_ms, size in zip(range(START_MS, START_MS + 100), cycle(SIZES), strict=False):
            sim.step(size, at_ms=moment_ms, symbol=(category, symbol))
            received += await watching
            watching = asyncio.create_task(exchange.watch_trades(unified))
        watching.cancel()
        assert told(received) == true(sim.ledger.trades(category, symbol))
        assert {one["symbol"] for one in received} == {unified}


async def test_watch_trades_for_symbols_receives_exactly_the_trades_of_all_of_them() -> None:
    symbols = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT", "BTCUSDC": "BTC/USDC"}
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(ONE_FRAME_A_STEP) as sim,
        bybit(sim) as exchange,
    ):
        received: list[dict[str, Any]] = []
        watched = list(symbols.values())
        watching = asyncio.create_task(exchange.watch_trades_for_symbols(watched))
        for symbol in symbols:
            await sim.wait_subscribed("spot", f"publicTrade.{symbol}")
        for moment_ms, size, symbol in zip(
            range(START_MS, START_MS + 60), cycle(SIZES), cycle(symbols), strict=False
        ):
            sim.step(size, at_ms=moment_ms, symbol=("spot", symbol))
            received += await watching
            watching = asyncio.create_task(exchange.watch_trades_for_symbols(watched))
        watching.cancel()
        assert told(received) == true(list(sim.ledger))
        assert [one["symbol"] for one in received] == [symbols[t.symbol] for t in sim.ledger]


async def test_ccxt_reads_every_listed_instrument() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim, bybit(sim) as exchange:
        markets = await exchange.load_markets()
        read = {(one["id"], one["info"]["status"]) for one in markets.values()}
        assert read == {(one.symbol, one.status) for one in INSTRUMENTS}
        assert len(markets) == len(INSTRUMENTS)
        assert markets["BTC/USDT:USDT"]["precision"] == {"amount": 0.001, "price": 0.1}


async def test_ccxt_reads_recent_trades_and_klines() -> None:
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim, bybit(sim) as exchange:
        sim.advance_to(START_MS + 3 * MINUTE_MS)
        recent = await exchange.fetch_trades("BTC/USDT:USDT", limit=100)
        # ccxt sorts by time, and leaves trades of one millisecond newest first.
        newest = sim.ledger.trades("linear", "BTCUSDT")[-100:]
        assert sorted(told(recent)) == sorted(true(newest))
        klines = await exchange.fetch_ohlcv("ETH/USDT:USDT", "1m")
        trades = sim.ledger.trades("linear", "ETHUSDT")
        assert [row[0] for row in klines] == sorted(
            {t.event_ms // MINUTE_MS * MINUTE_MS for t in trades}
        )
        assert sum(Decimal(str(row[5])) for row in klines) == sum(Decimal(t.size) for t in trades)
        assert await exchange.fetch_time() == START_MS + 3 * MINUTE_MS


async def test_ccxt_is_told_of_a_symbol_that_the_exchange_refuses() -> None:
    settings = SimSettings(live=False, symbols=("linear:BTCUSDT",))
    async with asyncio.timeout(LIMIT_S), SimExchange(settings) as sim, bybit(sim) as exchange:
        await exchange.load_markets()
        # The delisting that a client with an old list of markets runs into.
        exchange.markets["BTC/USDT:USDT"]["id"] = "GONEUSDT"
        with pytest.raises(ccxt.ExchangeError) as caught:
            await exchange.watch_trades("BTC/USDT:USDT")
        assert str(caught.value) == "bybit error:handler not found,topic:publicTrade.GONEUSDT"
