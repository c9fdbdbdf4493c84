"""The whole stream, from the exchange's sockets to a client's, against the ledger of the truth."""

from collections import defaultdict
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest

from tapecast.messages import (
    GapUpstream,
    Ohlcv,
    ServerMessage,
    Snapshot,
    Stats,
    Trade,
    Upstream,
)
from tapecast.sim.book import SimTrade

from .harness import BEGIN_MS, MINUTE_MS, START_MS, running, subscriber

if TYPE_CHECKING:
    from tapecast.aliases import Category

ALL_CATEGORIES = "linear:*USDT,spot:*USDT,inverse:*USD,option:BTC,option:ETH"
FIRST_OF_EACH = (
    *(("linear", "SOLUSDT"), ("spot", "XRPUSDT")),
    *(("inverse", "BTCUSD"), ("option", "BTC"), ("option", "ETH")),
)


def of(trade: SimTrade | Trade) -> tuple[object, ...]:
    """Return what the ledger and the stream must say alike of a trade."""
    if isinstance(trade, SimTrade):
        numbers = Decimal(trade.price), Decimal(trade.size)
        side, time_ms = trade.taker_side, trade.event_ms
    else:
        numbers, side, time_ms = (trade.price, trade.volume), trade.side, trade.timestamp
    return trade.category, trade.symbol, side, *numbers, time_ms, trade.trade_id


def is_wanted(trade: SimTrade) -> bool:
    """Return whether `ALL_CATEGORIES` names the symbol of a trade."""
    ends = {"linear": "USDT", "spot": "USDT", "inverse": "USD", "option": "USDT"}
    return trade.symbol.endswith(ends[trade.category])


async def test_every_trade_of_the_ledger_is_streamed_once_and_in_order() -> None:
    async with running(symbols=ALL_CATEGORIES) as run, subscriber(run.url) as client:
        await run.subscribed(*FIRST_OF_EACH)
        assert isinstance(await client.read(), Snapshot)
        wanted = [one for one in run.sim.step(2_000) if is_wanted(one)]
        await client.until(lambda _: len(client.all(Trade)) >= len(wanted))
    streamed = client.all(Trade)
    assert len(streamed) == len(wanted)
    for category in ("linear", "spot", "inverse", "option"):
        assert [of(trade) for trade in streamed if trade.category == category] == [
            of(trade) for trade in wanted if trade.category == category
        ]
    counts = [trade.message_counts.trade_messages for trade in streamed]
    assert counts == list(range(1, 1 + len(counts)))


async def test_every_symbol_that_traded_in_a_closed_minute_has_the_ledgers_candle() -> None:
    async with running(symbols="linear:*USDT,spot:*USDT") as run, subscriber(run.url) as client:
        await run.subscribed(("linear", "SOLUSDT"), ("spot", "XRPUSDT"))
        run.clock.set(START_MS + MINUTE_MS + 5_000)
        executed = run.sim.step(1_500, at_ms=START_MS + MINUTE_MS + 4_000)
        ledger: defaultdict[tuple[str, str], list[SimTrade]] = defaultdict(list)
        for trade in executed:
            if is_wanted(trade) and trade.category in {"linear", "spot"}:
                ledger[trade.category, trade.symbol].append(trade)
        wanted = sum(map(len, ledger.values()))
        await client.until(lambda _: len(client.all(Trade)) >= wanted)
        run.clock.set(START_MS + 2 * MINUTE_MS + 1_000)
        await client.until(lambda _: len(client.all(Ohlcv)) >= len(ledger))
        printed = [line for line in run.console if " ohlcv " in line]
    candles = client.all(Ohlcv)
    assert {(candle.category, candle.symbol) for candle in candles} == ledger.keys()
    for candle in candles:
        trades = ledger[candle.category, candle.symbol]
        prices = [Decimal(trade.price) for trade in trades]
        sizes = [Decimal(trade.size) for trade in trades]
        assert (candle.start, candle.timestamp) == (START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS)
        assert (candle.open, candle.high, candle.low, candle.close) == (
            *(prices[0], max(prices)),
            *(min(prices), prices[-1]),
        )
        assert (candle.volume, candle.trades) == (sum(sizes), len(trades))
        turnover = sum(price * size for price, size in zip(prices, sizes, strict=True))
        assert (candle.turnover, candle.closed, candle.complete) == (turnover, True, True)
    assert printed == [candle.text for candle in candles]


async def test_the_snapshot_comes_first_and_the_stream_goes_on_without_a_hole() -> None:
    bitcoin: Final = ("linear", "BTCUSDT")
    async with running() as run, subscriber(run.url) as early:
        await run.subscribed(bitcoin)
        run.sim.step(150, symbol=bitcoin)
        await early.until(lambda _: len(early.all(Trade)) >= 150)
        async with subscriber(run.url) as late:
            snapshot = await late.read()
            run.sim.step(100, symbol=bitcoin)
            await late.until(lambda _: len(late.all(Trade)) >= 100)
    assert isinstance(snapshot, Snapshot)
    assert snapshot.epoch
    assert snapshot.trades == tuple(early.all(Trade)[50:150])
    streamed = [message.seq for message in late.messages[1:] if isinstance(message, Trade | Stats)]
    assert len(streamed) == len(late.messages) - 1
    assert streamed == list(range(snapshot.seq + 1, snapshot.seq + 1 + len(streamed)))


async def test_stats_tell_of_counts_prices_workers_and_equal_the_console() -> None:
    async with running(symbols="BTCUSDT,spot:BTCUSDT") as run, subscriber(run.url) as client:
        await run.subscribed(("linear", "BTCUSDT"), ("spot", "BTCUSDT"))
        last = {}
        for category in ("linear", "spot"):
            executed = run.sim.step(20, symbol=(category, "BTCUSDT"))
            last[category] = Decimal(executed[-1].price)
        await client.until(lambda _: len(client.all(Trade)) >= 40)
        stats = await client.find(Stats)
        assert stats.text in run.console
    assert stats.last_prices == {"BTCUSDT": last["linear"], "spot:BTCUSDT": last["spot"]}
    assert stats.message_counts["trade_messages"] == 40
    assert stats.message_counts.keys() == stats.message_rates.keys()
    tasks = ("stats-publisher", "engine-timer", "broadcaster", "partials", "loop-watch")
    states = {status.name: status.state for status in stats.thread_statuses}
    assert states == {
        **dict.fromkeys(("linear-1", "spot-1", "healer", *tasks), "running"),
        "symbols": "stopped",
    }
    stages = ("exchange_to_received", "received_to_published", "published_to_written")
    assert list(stats.latency_ms) == [*stages, "loop_lag"]
    assert stats.latency_ms["received_to_published"].count > 0
    assert stats.latency_ms["published_to_written"].count >= 40


async def test_what_was_missed_is_fetched_and_the_gap_is_healed_by_proof() -> None:
    bitcoin: tuple[Category, str] = ("linear", "BTCUSDT")
    async with running() as run, subscriber(run.url) as client:
        await run.subscribed(bitcoin)
        run.clock.set(BEGIN_MS + 1_000)
        before = run.sim.step(5, at_ms=BEGIN_MS + 1_000, symbol=bitcoin)
        await client.until(lambda _: len(client.all(Trade)) >= 5)
        run.clock.set(BEGIN_MS + 5_000)
        before += run.sim.step(5, at_ms=BEGIN_MS + 5_000, symbol=bitcoin)
        await client.until(lambda _: len(client.all(Trade)) >= 10)
        run.sim.drop_all()
        await client.find(GapUpstream, state="open")
        missed = run.sim.step(10, at_ms=BEGIN_MS + 6_000, symbol=bitcoin)
        run.clock.set(BEGIN_MS + 7_000)
        await client.find(Upstream, state="connected")
        await run.subscribed(bitcoin)
        run.clock.set(BEGIN_MS + 9_000)
        after = run.sim.step(10, at_ms=BEGIN_MS + 9_000, symbol=bitcoin)
        healed = await client.find(GapUpstream, state="healed")
        await client.until(lambda _: len(client.all(Trade)) >= 30)
    assert healed.symbol == "BTCUSDT"
    assert {trade.trade_id for trade in client.all(Trade)} == {
        trade.trade_id for trade in (*before, *missed, *after)
    }


async def test_one_of_two_lines_that_is_lost_costs_nothing() -> None:
    async with running(bybit__lines="2") as run, subscriber(run.url) as client:
        await run.sim.wait_subscribed("linear", "publicTrade.BTCUSDT", 2)
        executed = run.sim.step(20, symbol=("linear", "BTCUSDT"))
        await client.until(lambda _: len(client.all(Trade)) >= 20)
        run.sim.connections_of("linear")[0].disconnect()
        executed += run.sim.step(20, symbol=("linear", "BTCUSDT"))
        await client.find(Upstream, state="reconnecting")
        await client.until(lambda _: len(client.all(Trade)) >= 40)
        stats = await client.find(Stats)
    assert [of(trade) for trade in client.all(Trade)] == [of(trade) for trade in executed]
    assert client.all(GapUpstream) == []
    assert stats.message_counts["duplicate_trades"] >= 20
    assert [line.name for line in stats.lines] == ["linear-1a", "linear-1b"]
    assert sum(line.wins for line in stats.lines) == 40


async def test_a_lost_line_says_so_and_is_back_and_subscribed_by_itself() -> None:
    async with running(bybit__backfill="false") as run, subscriber(run.url) as client:
        await run.subscribed(("linear", "BTCUSDT"))
        run.clock.set(BEGIN_MS + 5_000)
        run.sim.step(10, symbol=("linear", "BTCUSDT"))
        await client.until(lambda _: len(client.all(Trade)) >= 10)
        assert run.sim.drop_all() == 1
        opened = await client.find(GapUpstream, state="open")
        run.clock.set(BEGIN_MS + 8_000)
        lost = await client.find(Upstream, state="reconnecting")
        ended = await client.find(GapUpstream, state="unhealed")
        after = run.sim.step(10, symbol=("linear", "BTCUSDT"))
        await client.until(lambda _: len(client.all(Trade)) >= 20)
        run.clock.set(START_MS + MINUTE_MS + 1_000)
        candle = await client.find(Ohlcv)
        stats = await client.find(Stats)
    assert lost.reason == "connection lost without a close frame"
    assert opened.symbol == ended.symbol == "BTCUSDT"
    assert BEGIN_MS <= opened.from_ms < BEGIN_MS + 5_000 < BEGIN_MS + 8_000 < ended.to_ms
    assert [of(trade) for trade in client.all(Trade)[10:]] == [of(trade) for trade in after]
    assert (candle.complete, candle.trades) == (False, 20)
    assert (stats.message_counts["reconnects"], stats.message_counts["gaps"]) == (1, 1)


async def test_a_symbol_that_the_exchange_refuses_stays_in_sight_and_harms_no_other() -> None:
    symbols = "BTCUSDT,NOPEUSDT,ETHUSDT,spot:NOPEUSDT,spot:BTCUSDT,linear:ZZZ*"
    async with running(symbols=symbols) as run, subscriber(run.url) as client:
        await run.subscribed(("linear", "BTCUSDT"), ("linear", "ETHUSDT"), ("spot", "BTCUSDT"))
        stats = await client.find(Stats)
        while len(stats.rejected_symbols) < 3:
            stats = await client.find(Stats)
    assert {(one.category, one.symbol, one.reason) for one in stats.rejected_symbols} == {
        ("linear", "NOPEUSDT", "error:handler not found,topic:publicTrade.NOPEUSDT"),
        ("spot", "NOPEUSDT", "Invalid symbol :[publicTrade.NOPEUSDT]"),
        ("linear", "ZZZ*", "matches no symbol that trades"),
    }


async def test_filters_history_and_candles_in_progress_reach_one_client_alone() -> None:
    async with running(symbols="BTCUSDT,ETHUSDT") as run:
        await run.subscribed(("linear", "BTCUSDT"), ("linear", "ETHUSDT"))
        async with (
            subscriber(run.url) as plain,
            subscriber(
                run.url,
                '{"action":"subscribe","topic":"status","types":["ohlcv"],"symbols":["ETH*"],'
                '"history":{"candles":5},"partial_ms":100}',
            ) as filtered,
        ):
            await filtered.read()
            for symbol in ("BTCUSDT", "ETHUSDT"):
                run.sim.step(10, symbol=("linear", symbol))
            partial = await filtered.find(Ohlcv)
            await plain.until(lambda _: len(plain.all(Trade)) >= 20)
    assert (partial.symbol, partial.closed) == ("ETHUSDT", False)
    assert {type(message) for message in filtered.messages} == {Snapshot, Ohlcv}
    assert {candle.symbol for candle in filtered.all(Ohlcv)} == {"ETHUSDT"}
    assert not [candle for candle in plain.all(Ohlcv) if not candle.closed]


@pytest.mark.parametrize(("empty", "candles"), [("skip", 3), ("flat", 4)])
async def test_klines_of_the_exchange_are_met_with_its_own_rules(empty: str, candles: int) -> None:
    rules = running(candles__open="previous_close", candles__empty=empty)
    async with rules as run, subscriber(run.url) as client:
        await run.subscribed(("linear", "BTCUSDT"))
        for minute, wanted in ((1, 30), (2, 60), (4, 90)):
            moment_ms = START_MS + minute * MINUTE_MS + 30_000
            run.clock.set(moment_ms)
            run.sim.step(30, at_ms=moment_ms, symbol=("linear", "BTCUSDT"))
            await client.until(partial(has_trades, wanted))
        run.clock.set(START_MS + 5 * MINUTE_MS + 1_000)
        await client.until(lambda _: len(client.all(Ohlcv)) >= candles)
        klines = await klines_of(run.sim.rest_url)
    for candle in client.all(Ohlcv):
        prices = [candle.open, candle.high, candle.low, candle.close]
        assert [*prices, candle.volume, candle.turnover] == klines[candle.start]


def has_trades(wanted: int, messages: list[ServerMessage]) -> bool:
    return sum(isinstance(message, Trade) for message in messages) >= wanted


async def klines_of(rest_url: str) -> dict[int, list[Decimal]]:
    """Return the exchange's own klines by start, as it prints them."""
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": "1"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{rest_url}/v5/market/kline", params=query) as response,
    ):
        rows = (await response.json())["result"]["list"]
    return {int(row[0]): [Decimal(text) for text in row[1:]] for row in rows}
