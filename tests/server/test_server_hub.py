"""Joining, fan-out, snapshots and in-progress candles, on fakes."""

import asyncio
import logging

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.messages import History, Since, Subscribe
from tapecast.server.hub import Hub
from tapecast.server.limits import ServerLimits

from .server_fakes import FakeClock, FakeEngine, FakeOutbox, too_slow

EVERYTHING = Subscribe(topic="status")
TRADES = Subscribe(topic="status", types=("trade",))
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def hub(engine: FakeEngine) -> Hub:
    return Hub(engine)


def test_a_subscriber_gets_the_snapshot_and_then_what_follows(engine: FakeEngine, hub: Hub) -> None:
    client = FakeOutbox()
    hub.publish([engine.publish()])
    hub.subscribe(client, EVERYTHING)
    hub.publish([engine.publish(), engine.stats()])
    hub.flush_all()
    assert client.kinds == ["snapshot", "trade", "stats"]
    assert client.seqs == [1, 2, 3]
    assert client.counted == [False, True]


def test_what_is_queued_before_a_join_reaches_only_those_who_were_there(
    engine: FakeEngine, hub: Hub
) -> None:
    early, late = FakeOutbox(), FakeOutbox()
    hub.subscribe(early, EVERYTHING)
    hub.publish([engine.publish(), engine.publish()])
    hub.subscribe(late, EVERYTHING)
    hub.publish([engine.publish()])
    hub.flush_all()
    assert early.seqs == [0, 1, 2, 3]
    assert late.seqs == [2, 3]


STEPS = st.lists(
    st.sampled_from(["publish", "publish late", "flush", "join 0", "join 1", "leave 0", "trades 1"])
)


@given(steps=STEPS, flush_bytes=st.sampled_from([1, 150, 100_000]))
def test_no_interleaving_makes_a_hole_or_a_repeat(steps: list[str], flush_bytes: int) -> None:
    engine = FakeEngine()
    hub = Hub(engine, limits=ServerLimits(flush_bytes=flush_bytes))
    clients = [FakeOutbox(), FakeOutbox()]
    joined: dict[int, int] = {}
    trades: set[int] = set()
    batch = []
    for step in [*steps, "publish"]:
        what, _, whom = step.partition(" ")
        if what == "publish":
            kind = "trade" if engine.seq % 3 else "ohlcv"
            batch.append(engine.publish(kind))
            trades |= {engine.seq} if kind == "trade" else set()
            if whom != "late":
                # "late": the engine is ahead of what the daemon has handed to the hub.
                hub.publish(batch)
                batch = []
        elif what == "flush":
            hub.flush()
        else:
            number = int(whom)
            clients[number].received.clear()
            joined.pop(number, None)
            if what == "leave":
                hub.leave(clients[number])
            else:
                hub.subscribe(clients[number], EVERYTHING if what == "join" else TRADES)
                joined[number] = engine.seq
                clients[number].counted = [what == "trades"]
    hub.flush_all()
    for number, client in enumerate(clients):
        if number not in joined:
            assert client.received == []
            continue
        expected = range(joined[number] + 1, engine.seq + 1)
        assert client.seqs[0] == joined[number]
        filtered = client.counted[0]
        assert client.seqs[1:] == [seq for seq in expected if not filtered or seq in trades]


def test_a_second_subscribe_replaces_the_first(engine: FakeEngine, hub: Hub) -> None:
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    hub.subscribe(client, TRADES)
    hub.publish([engine.stats(), engine.publish()])
    hub.flush_all()
    assert client.kinds == ["snapshot", "snapshot", "trade"]
    assert hub.subscribers == 1


def test_leaving_twice_or_without_a_subscription_does_nothing(hub: Hub) -> None:
    client = FakeOutbox()
    hub.leave(client)
    hub.subscribe(client, EVERYTHING)
    hub.leave(client)
    hub.leave(client)
    assert hub.subscribers == 0


def test_nothing_is_kept_while_nobody_listens(engine: FakeEngine, hub: Hub) -> None:
    hub.publish([engine.publish()])
    assert hub.queued_bytes == 0
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    hub.publish([engine.publish()])
    assert hub.queued_bytes > 0
    hub.leave(client)
    assert hub.queued_bytes == 0


@pytest.mark.parametrize("failure", [too_slow(), RuntimeError("broken")])
def test_the_failure_of_one_subscriber_never_reaches_the_others(
    engine: FakeEngine, hub: Hub, failure: Exception
) -> None:
    clients = [FakeOutbox() for _ in range(3)]
    for client in clients:
        hub.subscribe(client, EVERYTHING)
    clients[1].failure = failure
    hub.publish([engine.publish()])
    hub.flush_all()
    clients[1].failure = None
    hub.publish([engine.publish()])
    hub.flush_all()
    assert [client.seqs for client in clients] == [[0, 1, 2], [0], [0, 1, 2]]
    assert hub.subscribers == 2


def test_a_cut_off_subscriber_is_logged_with_its_figures(
    engine: FakeEngine, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    client.failure = too_slow()
    hub.publish([engine.publish()])
    with caplog.at_level(logging.WARNING):
        hub.flush_all()
    assert [record.getMessage() for record in caplog.records] == [
        f"client {client} was cut off: 2000000 bytes are pending, expected at most 1048576"
    ]


def test_a_subscriber_that_fails_on_its_snapshot_is_not_registered(hub: Hub) -> None:
    client = FakeOutbox(failure=too_slow())
    hub.subscribe(client, Subscribe(topic="status", partial_ms=100))
    assert hub.subscribers == 0
    hub.tick(now_s=1.0)


def test_an_overfull_queue_is_written_by_the_publisher_itself(engine: FakeEngine) -> None:
    hub = Hub(engine, limits=ServerLimits(max_queued_bytes=1000))
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    hub.publish([engine.publish() for _ in range(100)])
    assert hub.queued_bytes == 0
    assert client.seqs == list(range(101))


def test_the_id_and_whether_it_was_resumed_are_spliced_into_the_snapshot(hub: Hub) -> None:
    client = FakeOutbox()
    since = Subscribe(topic="status", since=Since(epoch="e-1", seq=0))
    hub.subscribe(client, since, reply_id=msgspec.Raw(b'"a"'))
    hub.subscribe(client, EVERYTHING)
    assert client.received == [
        {
            "topic": "status",
            "type": "snapshot",
            "epoch": "e-1",
            "seq": 0,
            "recovered": False,
            "id": "a",
        },
        {"topic": "status", "type": "snapshot", "epoch": "e-1", "seq": 0},
    ]


def test_one_snapshot_serves_all_who_ask_the_same_at_the_same_seq(
    engine: FakeEngine, hub: Hub
) -> None:
    for _ in range(5):
        hub.subscribe(FakeOutbox(), EVERYTHING)
    assert len(engine.asked) == 1
    hub.subscribe(FakeOutbox(), TRADES)
    hub.subscribe(FakeOutbox(), Subscribe(topic="status", history=History(candles=3)))
    assert len(engine.asked) == 3
    engine.publish()
    hub.subscribe(FakeOutbox(), EVERYTHING)
    assert len(engine.asked) == 4


def test_the_bytes_of_snapshots_that_are_kept_are_bounded(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.server.hub._MAX_CACHED_BYTES", 200)
    for number in range(100):
        hub.subscribe(FakeOutbox(), Subscribe(topic="status", history=History(candles=number)))
        assert sum(map(len, hub._snapshots.values())) <= 200


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (EVERYTHING, {"history": 0, "types": None, "symbols": None}),
        (
            Subscribe(topic="status", history=History(candles=120)),
            {"history": 120, "types": None, "symbols": None},
        ),
        (
            Subscribe(topic="status", history=History(candles=0)),
            {"history": 0, "types": ["stats", "trade", "gap", "upstream"], "symbols": None},
        ),
        (
            Subscribe(topic="status", types=("trade", "stats")),
            {"history": 0, "types": ("stats", "trade"), "symbols": None},
        ),
        (
            Subscribe(topic="status", symbols=("BTC*", "spot:*")),
            {"history": 0, "types": None, "symbols": {"linear:BTCUSDT", "spot:ETHUSDT"}},
        ),
        (
            Subscribe(topic="status", symbols=("X",)),
            {"history": 0, "types": None, "symbols": set()},
        ),
    ],
)
def test_filters_and_history_hold_for_the_snapshot(
    engine: FakeEngine, hub: Hub, command: Subscribe, asked: dict[str, object]
) -> None:
    engine.known = [("linear", "BTCUSDT"), ("linear", "ETHUSDT"), ("spot", "ETHUSDT")]
    hub.subscribe(FakeOutbox(), command)
    assert engine.asked == [asked]


def test_in_progress_candles_come_at_most_once_per_symbol_and_interval(
    engine: FakeEngine, hub: Hub
) -> None:
    client = FakeOutbox()
    hub.subscribe(client, Subscribe(topic="status", partial_ms=1000), now_s=10.0)
    times: dict[str, list[float]] = {symbol: [] for symbol in SYMBOLS}
    for tenth in range(100, 200):
        now_s = tenth / 10
        engine.touch("BTCUSDT")
        if tenth % 50 == 0:
            engine.touch("ETHUSDT")
        before = len(client.received)
        hub.tick(now_s=now_s)
        for message in client.received[before:]:
            times[message["symbol"]].append(now_s)
    assert times["BTCUSDT"] == [11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0]
    assert times["ETHUSDT"] == [11.0, 15.0]


def test_a_late_tick_is_not_followed_by_an_early_one(engine: FakeEngine, hub: Hub) -> None:
    client = FakeOutbox()
    hub.subscribe(client, Subscribe(topic="status", partial_ms=1000), now_s=0.0)
    sent = []
    for now_s in (1.9, 2.0, 2.8, 2.95):
        engine.touch("BTCUSDT")
        hub.tick(now_s=now_s)
        sent.append(len(client.received) - 1)
    assert sent == [1, 1, 1, 2]


def test_a_newcomer_gets_every_candle_in_progress_and_members_only_what_changed(
    engine: FakeEngine, hub: Hub
) -> None:
    member, newcomer = FakeOutbox(), FakeOutbox()
    command = Subscribe(topic="status", partial_ms=500)
    hub.subscribe(member, command, now_s=0.0)
    engine.touch("BTCUSDT")
    hub.tick(now_s=0.5)
    hub.subscribe(newcomer, command, now_s=0.6)
    engine.touch("ETHUSDT")
    hub.tick(now_s=1.0)
    engine.touch("BTCUSDT")
    hub.tick(now_s=1.5)
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
    engine.touch("BTCUSDT")
    engine.touch("ETHUSDT")
    hub.tick(now_s=1.0)
    assert [message["symbol"] for message in chosen.received[1:]] == ["ETHUSDT"]
    assert no_candles.kinds == ["snapshot"]
    assert left.kinds == ["snapshot"]


def test_an_in_progress_candle_comes_after_everything_up_to_its_seq(
    engine: FakeEngine, hub: Hub
) -> None:
    client = FakeOutbox()
    hub.subscribe(client, Subscribe(topic="status", partial_ms=100))
    hub.publish([engine.publish(), engine.publish()])
    engine.touch("BTCUSDT")
    hub.tick(now_s=1.0)
    assert client.kinds == ["snapshot", "trade", "trade", "ohlcv"]
    assert client.seqs == [0, 1, 2, 2]


async def test_the_broadcaster_drains_in_portions_and_reports_each() -> None:
    engine = FakeEngine()
    hub = Hub(engine, limits=ServerLimits(flush_bytes=1))
    client, beats, drained = FakeOutbox(), list[int](), asyncio.Event()

    def beat(messages: int) -> None:
        beats.append(messages)
        if messages == 0 and len(beats) > 1:
            drained.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broadcaster = tasks.create_task(hub.run(beat=beat))
        hub.subscribe(client, EVERYTHING)
        hub.publish([engine.publish(), engine.publish(), engine.publish()])
        await drained.wait()
        broadcaster.cancel()
    assert beats == [0, 1, 1, 1, 0]
    assert client.seqs == [0, 1, 2, 3]


async def test_the_ticker_wakes_for_a_new_subscriber_and_sends_when_due() -> None:
    engine, clock = FakeEngine(), FakeClock(now_s=5.0)
    hub, client = Hub(engine), FakeOutbox()
    waiting = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        ticker = tasks.create_task(hub.run_partials(clock, beat=lambda _: waiting.set()))
        await waiting.wait()
        waiting.clear()
        engine.touch("BTCUSDT")
        hub.subscribe(client, Subscribe(topic="status", partial_ms=100), now_s=clock.now_s)
        clock.now_s += 0.1
        while len(client.received) < 2:
            await waiting.wait()
            waiting.clear()
        ticker.cancel()
    assert client.kinds == ["snapshot", "ohlcv"]
