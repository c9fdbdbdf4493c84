"""The example session of the specification, whole: snapshot, stats, trades and a closed minute."""

import asyncio
from collections import defaultdict
from decimal import Decimal

import pytest

from tapecast.messages import Ohlcv, Snapshot, Stats, Trade, decode_message
from tapecast.sim.book import SimTrade
from tests.daemon.harness import MINUTE_MS, START_MS, Running, running

from . import foreign
from .test_demo import check_fields
from .test_foreign_clients import SUBSCRIBE

SYMBOLS = "linear:BTCUSDT,linear:ETHUSDT,linear:SOLUSDT,spot:BTCUSDT,inverse:BTCUSD,option:BTC"
CARRIED = (
    *(("linear", "BTCUSDT"), ("linear", "ETHUSDT"), ("linear", "SOLUSDT")),
    *(("spot", "BTCUSDT"), ("inverse", "BTCUSD"), ("option", "BTC")),
)


def play_minute(run: Running) -> list[SimTrade]:
    """Let every wanted symbol trade in the minute after the start, and return what it traded."""
    run.clock.set(START_MS + MINUTE_MS + 1_000)
    executed: list[SimTrade] = []
    for category, symbol in CARRIED:
        contract = "BTC-26MAR27-80000-C-USDT" if category == "option" else symbol
        moment_ms = START_MS + MINUTE_MS + 1_000 + len(executed)
        executed += run.sim.step(40, at_ms=moment_ms, symbol=(category, contract))  # type: ignore[arg-type]
    return executed


@pytest.mark.parametrize("name", foreign.NAMES)
async def test_a_foreign_client_sees_a_minute_of_the_market_whole(name: str) -> None:
    async with running(symbols=SYMBOLS) as run:
        await run.subscribed(*CARRIED)
        async with foreign.run(name, run.url) as client:
            await client.type(SUBSCRIBE)
            payloads = [await client.message()]
            ledger = play_minute(run)
            while sum(b'"type":"trade"' in payload[:40] for payload in payloads) < len(ledger):
                payloads.append(await client.message())
            run.clock.set(START_MS + 2 * MINUTE_MS + 1_000)
            symbols = {(trade.category, trade.symbol) for trade in ledger}
            while sum(b'"type":"ohlcv"' in payload[:40] for payload in payloads) < len(symbols):
                payloads.append(await client.message())
            while not isinstance(decode_message(payloads[-1]), Stats):
                payloads.append(await client.message())
        console = set(run.console)
    check_fields(payloads)
    messages = [decode_message(payload) for payload in payloads]
    assert isinstance(messages[0], Snapshot)
    assert {type(message) for message in messages[1:]} == {Stats, Trade, Ohlcv}
    trades = [message for message in messages if isinstance(message, Trade)]
    for category in {trade.category for trade in ledger}:
        assert [trade.trade_id for trade in trades if trade.category == category] == [
            trade.trade_id for trade in ledger if trade.category == category
        ]
    candles = [message for message in messages if isinstance(message, Ohlcv)]
    volumes: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for trade in ledger:
        volumes[trade.category, trade.symbol] += Decimal(trade.size)
    assert {(one.category, one.symbol): one.volume for one in candles} == volumes
    assert all(candle.timestamp == START_MS + 2 * MINUTE_MS for candle in candles)
    assert {one.text for one in messages if isinstance(one, Stats | Ohlcv)} <= console


async def test_ten_clients_of_both_kinds_see_the_same_stream() -> None:
    async with running() as run:
        await run.subscribed(("linear", "BTCUSDT"))

        async def watch(name: str) -> list[bytes]:
            async with foreign.run(name, run.url) as client:
                await client.type(SUBSCRIBE)
                await client.message()
                joined.release()
                return [await client.message() for _ in range(150)]

        joined = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(watch(name)) for name in foreign.NAMES * 5]
            for _ in watching:
                await joined.acquire()
            run.sim.step(400, symbol=("linear", "BTCUSDT"))
    streams = [task.result() for task in watching]
    # Whoever joined before others saw some more stats before the trades.
    begin = [next(at for at, one in enumerate(stream) if b'"trade"' in one) for stream in streams]
    together = min(len(stream) - at for stream, at in zip(streams, begin, strict=True))
    same = {tuple(stream[at : at + together]) for stream, at in zip(streams, begin, strict=True)}
    assert len(same) == 1
