"""In-progress candles: when they come, to whom, and where in the stream."""

import asyncio

import pytest

from tapecast.messages import Subscribe
from tapecast.server.hub import Hub

from .server_fakes import FakeClock, FakeEngine, FakeOutbox

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def hub(engine: FakeEngine) -> Hub:
    return Hub(engine)


def test_in_progress_candles_come_at_most_once_per_symbol_and_interval(
    engine: FakeEngine, hub: Hub
) -> None:
    client = FakeOutbox()
    hub.subscribe(client, Subscribe(topic="status", partial_ms=1000), now_s=10.0)
    times: dict[str, list[float]] = {symbol: [] for symbol in SYMBOLS}
    for tenth in range(100, 200):
        now_s = tenth / 10
        engine.trades()
        if tenth % 50 == 0:
            engine.trades(symbol="ETHUSDT")
        before = len(client.received)
        hub.tick(now_s=now_s)
        hub.flush_all()
        for message in client.received[before:]:
            times[message["symbol"]].append(now_s)
    assert times["BTCUSDT"] == [11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0]
    assert times["ETHUSDT"] == [11.0, 15.0]


def test_a_late_tick_is_not_followed_by_an_early_one(engine: FakeEngine, hub: Hub) -> None:
    client = FakeOutbox()
    hub.subscribe(client, Subscribe(topic="status", partial_ms=1000), now_s=0.0)
    sent = []
    for now_s in (1.9, 2.0, 2.8, 2.95):
        engine.trades()
        hub.tick(now_s=now_s)
        hub.flush_all()
        sent.append(len(client.received) - 1)
    assert sent == [1, 1, 1, 2]


def test_a_newcomer_gets_every_candle_in_progress_and_members_only_what_changed(
    engine: FakeEngine, hub: Hub
) -> None:
    member, newcomer = FakeOutbox(), FakeOutbox()
    command = Subscribe(topic="status", partial_ms=500)
    hub.subscribe(member, command, now_s=0.0)
    engine.trades()
    hub.tick(now_s=0.5)
    hub.flush_all()
    hub.subscribe(newcomer, command, now_s=0.6)
    engine.trades(symbol="ETHUSDT")
    hub.tick(now_s=1.0)
    hub.flush_all()
    engine.trades()
    hub.tick(now_s=1.5)
    hub.flush_all()
    symbols = [
        [message.get("symbol") for message in client.received[1:]] for client in (member, newcomer)
    ]
    assert symbols == [["BTCUSDT", "ETHUSDT", "BTCUSDT"], ["BTCUSDT", "ETHUSDT", "BTCUSDT"]]


def test_in_progress_candles_follow_the_filter_and_end_with_the_subscription(
    engine: FakeEngine, hub: Hub
) -> None:
    chosen, no_candles, left = FakeOutbox(), FakeOutbox(), FakeOutbox()
    hub.subscribe(chosen, Subscribe(topic="status", symbols=("ETH*",), partial_ms=100))
    hub.subscribe(no_candles, Subscribe(topic="status", types=("trade",), partial_ms=100))
    hub.subscribe(left, Subscribe(topic="status", partial_ms=100))
    hub.leave(left)
    engine.trades()
    engine.trades(symbol="ETHUSDT")
    hub.tick(now_s=1.0)
    hub.flush_all()
    assert [message["symbol"] for message in chosen.received[1:]] == ["ETHUSDT"]
    assert no_candles.kinds == ["snapshot"]
    assert left.kinds == ["snapshot"]


def test_who_asks_for_them_no_longer_gets_none_that_wait(engine: FakeEngine, hub: Hub) -> None:
    client, other = FakeOutbox(), FakeOutbox()
    hub.subscribe(other, Subscribe(topic="status"))
    hub.subscribe(client, Subscribe(topic="status", partial_ms=100))
    engine.trades()
    hub.tick(now_s=1.0)
    hub.subscribe(client, Subscribe(topic="status"))
    hub.flush_all()
    assert client.kinds == ["snapshot", "snapshot"]


def test_an_in_progress_candle_comes_after_everything_up_to_its_seq(
    engine: FakeEngine, hub: Hub
) -> None:
    client = FakeOutbox()
    hub.subscribe(client, Subscribe(topic="status", partial_ms=100))
    hub.publish(engine.trades(2))
    hub.tick(now_s=1.0)
    hub.publish(engine.trades())
    hub.flush_all()
    assert client.kinds == ["snapshot", "trade", "trade", "ohlcv", "trade"]
    assert client.seqs == [0, 1, 2, 2, 3]
    assert client.current == [False, True, False]


async def test_the_ticker_wakes_for_a_new_subscriber_and_sends_when_due() -> None:
    engine, clock = FakeEngine(), FakeClock(now_s=5.0)
    hub, client = Hub(engine), FakeOutbox()
    waiting = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        ticker = tasks.create_task(hub.run_partials(clock, beat=lambda _: waiting.set()))
        await waiting.wait()
        waiting.clear()
        engine.trades()
        hub.subscribe(client, Subscribe(topic="status", partial_ms=100), now_s=clock.now_s)
        clock.now_s += 0.1
        while len(client.received) < 2:
            await waiting.wait()
            waiting.clear()
            hub.flush_all()
        ticker.cancel()
    assert client.kinds == ["snapshot", "ohlcv"]


def test_candles_in_progress_never_reach_who_has_joined_after_them(
    engine: FakeEngine, hub: Hub
) -> None:
    first, second = FakeOutbox(), FakeOutbox()
    command = Subscribe(topic="status", partial_ms=100)
    for client in (first, second):
        hub.subscribe(client, command)
    engine.trades()
    hub.tick(now_s=1.0)
    engine.trades()
    hub.subscribe(second, command, now_s=1.0)
    hub.flush_all()
    assert first.kinds == ["snapshot", "ohlcv"]
    assert second.kinds == ["snapshot", "snapshot"]
