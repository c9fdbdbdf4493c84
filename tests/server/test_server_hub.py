"""Joining, fan-out, snapshots and slow subscribers, on fakes."""

import asyncio
import logging

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast._core import Batch
from tapecast.messages import History, Since, Subscribe
from tapecast.server.hub import Hub
from tapecast.server.limits import ServerLimits

from .server_fakes import FakeClock, FakeEngine, FakeOutbox, too_slow

EVERYTHING = Subscribe(topic="status")
TRADES = Subscribe(topic="status", types=("trade",))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def hub(engine: FakeEngine) -> Hub:
    return Hub(engine)


def test_a_subscriber_gets_the_snapshot_and_then_what_follows(engine: FakeEngine, hub: Hub) -> None:
    client = FakeOutbox()
    hub.publish(engine.trades())
    hub.subscribe(client, EVERYTHING)
    hub.publish(engine.trades())
    hub.publish(engine.stats())
    hub.flush_all()
    assert client.kinds == ["snapshot", "trade", "stats"]
    assert client.seqs == [1, 2, 3]
    assert client.counted == [False]
    assert client.policies == [None]


def test_what_is_queued_before_a_join_reaches_only_those_who_were_there(
    engine: FakeEngine, hub: Hub
) -> None:
    early, late = FakeOutbox(), FakeOutbox()
    hub.subscribe(early, EVERYTHING)
    hub.publish(engine.trades(2))
    hub.subscribe(late, EVERYTHING)
    hub.publish(engine.trades())
    hub.flush_all()
    assert early.seqs == [0, 1, 2, 3]
    assert late.seqs == [2, 3]


def test_whoever_joins_between_the_publishing_and_the_queueing_misses_nothing(
    engine: FakeEngine, hub: Hub
) -> None:
    early, late = FakeOutbox(), FakeOutbox()
    hub.subscribe(early, EVERYTHING)
    first, second = engine.trades(2), engine.trades(2)
    hub.publish(first)
    hub.subscribe(late, EVERYTHING)
    hub.publish(Batch.joined([second, engine.stats()]))
    hub.flush_all()
    assert early.seqs == [0, 1, 2, 3, 4, 5]
    assert late.seqs == [4, 5]


def test_everything_queued_is_one_write_shared_by_all_of_a_filter(
    engine: FakeEngine, hub: Hub
) -> None:
    clients = [FakeOutbox() for _ in range(4)]
    for client, command in zip(clients, (EVERYTHING, EVERYTHING, TRADES, TRADES), strict=True):
        hub.subscribe(client, command)
    for _ in range(5):
        hub.publish(engine.trades(3))
        hub.publish(engine.stats())
    assert hub.flush() == 20
    assert hub.flush() is None
    assert [len(client.shares) for client in clients] == [1, 1, 1, 1]
    assert clients[0].shares[0] is clients[1].shares[0]
    assert clients[2].shares[0] is clients[3].shares[0]
    assert clients[0].seqs == list(range(21))
    assert clients[2].seqs == [0, *(seq for seq in range(1, 21) if seq % 4)]


def test_compressed_and_plain_clients_of_one_filter_share_nothing_and_get_the_same(
    engine: FakeEngine, hub: Hub
) -> None:
    plain, deflated = FakeOutbox(), FakeOutbox(window_bits=11)
    for client in (plain, deflated):
        hub.subscribe(client, EVERYTHING)
    hub.publish(engine.trades(50))
    hub.flush_all()
    assert plain.received == deflated.received
    assert len(deflated.shares[0].frames) < len(plain.shares[0].frames)


def test_a_large_batch_is_written_in_portions_with_turns_of_the_loop_between(
    engine: FakeEngine,
) -> None:
    hub, client = Hub(engine, limits=ServerLimits(flush_bytes=1_000)), FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    batch = engine.trades(20)
    hub.publish(batch)
    slices = 1
    while not hub.flush():
        slices += 1
    assert client.seqs == list(range(21))
    assert slices == len(client.shares) > 4
    assert all(len(share.frames) <= 1_000 for share in client.shares)


def test_of_small_batches_as_many_are_joined_as_fit_and_none_is_cut(engine: FakeEngine) -> None:
    hub, client = Hub(engine, limits=ServerLimits(flush_bytes=1_000)), FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    for _ in range(10):
        hub.publish(engine.trades())
    hub.flush_all()
    assert [share.count for share in client.shares] == [4, 4, 2]
    assert all(isinstance(share.messages, Batch) for share in client.shares)


def test_between_slices_clients_join_and_leave_and_none_has_a_hole_or_a_repeat(
    engine: FakeEngine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.server.hub._SLICE_COST_BYTES", 1)
    clients = [FakeOutbox() for _ in range(6)]
    for client in clients[:4]:
        hub.subscribe(client, EVERYTHING)
    hub.publish(engine.trades(2))
    while not clients[0].seqs[1:]:
        assert hub.flush() == 0
    hub.leave(clients[1])
    hub.subscribe(clients[2], EVERYTHING)
    hub.subscribe(clients[0], TRADES)
    hub.subscribe(clients[4], EVERYTHING)
    hub.publish(engine.trades(1))
    hub.flush_all()
    seqs = [client.seqs for client in clients]
    assert seqs == [[0, 1, 2, 2, 3], [0], [0, 2, 3], [0, 1, 2, 3], [2, 3], []]


def test_each_portion_is_reported_once_after_its_last_write(engine: FakeEngine) -> None:
    reports = []

    def report(published_ns: int, messages: int) -> None:
        reports.append((published_ns, messages, [len(client.seqs) for client in clients]))

    hub, clients = Hub(engine, on_written=report), [FakeOutbox(), FakeOutbox()]
    for client in clients:
        hub.subscribe(client, EVERYTHING)
    hub.publish(engine.trades(2), published_ns=70)
    hub.publish(engine.trades(1), published_ns=80)
    hub.flush_all()
    hub.publish(engine.trades(1), published_ns=90)
    hub.flush_all()
    assert reports == [(70, 3, [4, 4]), (90, 1, [5, 5])]


STEPS = st.lists(
    st.sampled_from(
        ["trades", "candle", "late", "flush", "join 0", "join 1", "leave 0", "trades only 1"]
    )
)


@given(steps=STEPS, flush_bytes=st.sampled_from([1, 600, 100_000]), slice_bytes=st.integers(1, 99))
def test_no_interleaving_makes_a_hole_or_a_repeat(
    steps: list[str], flush_bytes: int, slice_bytes: int
) -> None:
    engine = FakeEngine()
    hub = Hub(engine, limits=ServerLimits(flush_bytes=flush_bytes))
    clients = [FakeOutbox(), FakeOutbox()]
    joined: dict[int, tuple[int, bool]] = {}
    kinds: dict[int, str] = {}
    late: list[Batch] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.server.hub._SLICE_COST_BYTES", slice_bytes)
        for step in [*steps, "trades"]:
            if step in ("trades", "candle", "late"):
                batch = engine.candle() if step == "candle" else engine.trades(2)
                kinds |= {message.seq: message.type for message in batch}
                late.append(batch)
                if step != "late":
                    # "late": the engine is ahead of what the daemon has handed to the hub.
                    while late:
                        hub.publish(late.pop(0))
            elif step == "flush":
                hub.flush()
            else:
                number = int(step[-1])
                clients[number].received.clear()
                joined.pop(number, None)
                if step.startswith("leave"):
                    hub.leave(clients[number])
                else:
                    hub.subscribe(clients[number], EVERYTHING if step[0] == "j" else TRADES)
                    joined[number] = engine.seq, step[0] != "j"
        hub.flush_all()
    for number, client in enumerate(clients):
        if number not in joined:
            assert client.received == []
            continue
        joined_seq, filtered = joined[number]
        wanted = range(joined_seq + 1, engine.seq + 1)
        expected = [seq for seq in wanted if not filtered or kinds[seq] == "trade"]
        assert client.seqs == [joined_seq, *expected]


def test_a_second_subscribe_replaces_the_first(engine: FakeEngine, hub: Hub) -> None:
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    hub.subscribe(client, TRADES)
    hub.publish(Batch.joined([engine.stats(), engine.trades()]))
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
    hub.publish(engine.trades())
    assert hub.queued_bytes == 0
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    hub.publish(engine.trades())
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
    hub.publish(engine.trades())
    hub.flush_all()
    clients[1].failure = None
    hub.publish(engine.trades())
    hub.flush_all()
    assert [client.seqs for client in clients] == [[0, 1, 2], [0], [0, 1, 2]]
    assert hub.subscribers == 2


def test_a_cut_off_subscriber_is_logged_with_its_figures(
    engine: FakeEngine, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    client.failure = too_slow()
    hub.publish(engine.trades())
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
    hub.flush_all()


def test_an_overfull_queue_is_written_by_the_publisher_itself(engine: FakeEngine) -> None:
    hub = Hub(engine, limits=ServerLimits(max_queued_bytes=1000))
    client = FakeOutbox()
    hub.subscribe(client, EVERYTHING)
    for _ in range(100):
        hub.publish(engine.trades())
    assert hub.queued_bytes <= 1_000
    hub.flush_all()
    assert client.seqs == list(range(101))


def test_the_id_and_whether_it_was_resumed_are_spliced_into_the_snapshot(hub: Hub) -> None:
    client = FakeOutbox()
    since = Subscribe(topic="status", since=Since(epoch="e-0", seq=0))
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
    engine.trades()
    hub.subscribe(FakeOutbox(), EVERYTHING)
    assert len(engine.asked) == 4


def test_the_bytes_of_snapshots_that_are_kept_are_bounded(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.server.snapshots._MAX_CACHED_BYTES", 500)
    for number in range(100):
        hub.subscribe(FakeOutbox(), Subscribe(topic="status", history=History(candles=number)))
        assert sum(map(len, hub._snapshots._cached.values())) <= 500
    assert len(hub._snapshots._cached) > 1


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
    engine.trades(1, "BTCUSDT")
    engine.trades(1, "ETHUSDT")
    engine.trades(1, "ETHUSDT", "spot")
    hub.subscribe(FakeOutbox(), command)
    assert engine.asked == [asked]


async def test_the_broadcaster_drains_in_portions_and_reports_each() -> None:
    engine = FakeEngine()
    hub = Hub(engine, limits=ServerLimits(flush_bytes=1))
    client, beats, drained = FakeOutbox(), list[int](), asyncio.Event()

    def beat(messages: int) -> None:
        beats.append(messages)
        if messages == 0 and len(beats) > 1:
            drained.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broadcaster = tasks.create_task(hub.run(FakeClock(), beat=beat))
        hub.subscribe(client, EVERYTHING)
        for _ in range(3):
            hub.publish(engine.trades())
        await drained.wait()
        broadcaster.cancel()
    assert beats == [0, 1, 1, 1, 0]
    assert client.seqs == [0, 1, 2, 3]


async def test_a_burst_waits_a_moment_for_a_client_that_has_no_room() -> None:
    engine, clock, client = FakeEngine(), FakeClock(), FakeOutbox()
    hub = Hub(engine, limits=ServerLimits(flush_bytes=1))
    first, second = asyncio.Event(), asyncio.Event()

    def beat(_messages: int) -> None:
        if 1 in client.seqs:
            first.set()
        if 3 in client.seqs:
            second.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broadcaster = tasks.create_task(hub.run(clock, beat=beat))
        hub.subscribe(client, EVERYTHING)
        client.is_full = True
        for _ in range(3):
            hub.publish(engine.trades())
        await first.wait()
        # However often the loop turns, what is left waits in the hub.
        for _ in range(100):
            await asyncio.sleep(0)
        assert client.seqs == [0, 1]
        assert hub.queued_bytes > 0
        client.is_full = False
        await second.wait()
        broadcaster.cancel()
    assert client.seqs == [0, 1, 2, 3]


async def test_a_client_that_makes_no_room_is_not_waited_for_for_ever() -> None:
    engine, client, written = FakeEngine(), FakeOutbox(is_full=True), asyncio.Event()
    hub = Hub(engine, limits=ServerLimits(flush_bytes=1))

    def beat(_messages: int) -> None:
        if 4 in client.seqs:
            written.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broadcaster = tasks.create_task(hub.run(FakeClock(), beat=beat))
        hub.subscribe(client, EVERYTHING)
        for _ in range(4):
            hub.publish(engine.trades())
        await written.wait()
        broadcaster.cancel()
    assert client.seqs == [0, 1, 2, 3, 4]


def test_slow_subscribers_are_looked_after_until_they_are_not_slow_or_leave(
    engine: FakeEngine, hub: Hub
) -> None:
    clients = [FakeOutbox(is_slow=True) for _ in range(3)]
    for client in clients:
        hub.subscribe(client, EVERYTHING)
    hub.relieve(now_s=1.0)
    clients[0].is_slow = False
    hub.leave(clients[1])
    hub.relieve(now_s=2.0)
    hub.publish(engine.trades())
    hub.flush_all()
    hub.relieve(now_s=3.0)
    assert [client.relieved_s for client in clients] == [[1.0, 2.0], [1.0], [1.0, 2.0, 3.0]]
    assert [client.ended for client in clients] == [0, 1, 0]


async def test_the_broadcaster_looks_after_slow_subscribers_of_an_idle_stream() -> None:
    hub, clock, client = Hub(FakeEngine()), FakeClock(now_s=7.0), FakeOutbox(is_slow=True)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broadcaster = tasks.create_task(hub.run(clock))
        hub.subscribe(client, Subscribe(topic="status", slow_policy="drop"))
        while not client.relieved_s:  # noqa: ASYNC110 -- of two tasks' turns, no time passes
            await asyncio.sleep(0)
        broadcaster.cancel()
    assert client.relieved_s[0] == 7.0
    assert client.policies == ["drop"]
