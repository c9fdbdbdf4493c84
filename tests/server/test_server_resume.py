"""Clients that come back get what they missed, each message once and in order, or a snapshot."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast._core import Batch
from tapecast.messages import Since, Subscribe
from tapecast.server.filter import Filter
from tapecast.server.hub import Hub
from tapecast.server.limits import ServerLimits

from .server_fakes import FakeClock, FakeEngine, FakeOutbox, too_slow

COMMANDS = (
    Subscribe(topic="status"),
    Subscribe(topic="status", types=("trade",)),
    Subscribe(topic="status", symbols=("ETH*",)),
    Subscribe(topic="status", types=("ohlcv", "stats"), symbols=("BTCUSDT",), partial_ms=1000),
    Subscribe(topic="status", types=("upstream",)),
)
EVERYTHING, TRADES = COMMANDS[:2]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def hub(engine: FakeEngine) -> Hub:
    return Hub(engine)


def resuming(command: Subscribe, seq: int, epoch: str = "e-1") -> Subscribe:
    return msgspec.structs.replace(command, since=Since(epoch=epoch, seq=seq))


def publish(hub: Hub, *batches: Batch) -> None:
    for batch in batches:
        hub.publish(batch)


def give_back_all(hub: Hub) -> None:
    while hub.resumes.give_back(now_s=0.0):
        pass


def test_a_client_that_comes_back_gets_what_it_missed_and_then_what_follows(
    engine: FakeEngine, hub: Hub
) -> None:
    publish(hub, engine.trades(3), engine.stats(), engine.candle())
    client = FakeOutbox()
    hub.subscribe(client, resuming(EVERYTHING, 2), reply_id=msgspec.Raw(b'"a"'))
    assert hub.subscribers == 1
    give_back_all(hub)
    publish(hub, engine.trades(2))
    hub.flush_all()
    assert client.received[0] == {
        "topic": "status",
        "type": "resumed",
        "epoch": "e-1",
        "from_seq": 3,
        "to_seq": 6,
        "id": "a",
    }
    assert client.counted == [False]
    assert client.seqs_after_reply == [3, 4, 5, 6, 7, 8]
    assert hub.subscribers == 1


def test_a_client_that_missed_nothing_is_told_so_and_gets_what_follows(
    engine: FakeEngine, hub: Hub
) -> None:
    publish(hub, engine.trades(3))
    client = FakeOutbox()
    hub.subscribe(client, resuming(EVERYTHING, 3))
    assert (client.received[0]["from_seq"], client.received[0]["to_seq"]) == (4, 3)
    publish(hub, engine.trades())
    hub.flush_all()
    assert client.seqs_after_reply == [4]


def test_with_nothing_published_yet_the_newest_is_what_the_engine_says(
    engine: FakeEngine, hub: Hub
) -> None:
    engine.trades(5)
    client = FakeOutbox()
    hub.subscribe(client, resuming(EVERYTHING, 5))
    assert client.received[0]["type"] == "resumed"
    publish(hub, engine.trades())
    hub.flush_all()
    assert client.seqs_after_reply == [6]


@pytest.mark.parametrize(("epoch", "seq"), [("e-0", 3), ("e-1", 8), ("e-1", 1), ("", 7)])
def test_who_cannot_resume_gets_a_snapshot_that_says_so(
    engine: FakeEngine, epoch: str, seq: int
) -> None:
    hub = Hub(engine, limits=ServerLimits(resume_max_messages=5))
    for _ in range(7):
        publish(hub, engine.trades())
    client = FakeOutbox()
    hub.subscribe(client, resuming(EVERYTHING, seq, epoch))
    assert client.received == [
        {"topic": "status", "type": "snapshot", "epoch": "e-1", "seq": 7, "recovered": False}
    ]


def test_what_was_published_before_a_restart_can_be_recalled(engine: FakeEngine, hub: Hub) -> None:
    before = engine.trades(4)
    hub.recall(before, at_s=-30.0)
    hub.recall(Batch.joined([]), at_s=-30.0)
    assert hub.queued_bytes == 0
    publish(hub, engine.trades(2))
    client = FakeOutbox()
    hub.subscribe(client, resuming(EVERYTHING, 1))
    give_back_all(hub)
    assert client.seqs_after_reply == [2, 3, 4, 5, 6]


def test_what_is_still_queued_is_not_given_twice(engine: FakeEngine, hub: Hub) -> None:
    other, client = FakeOutbox(), FakeOutbox()
    hub.subscribe(other, EVERYTHING)
    publish(hub, engine.trades(3))
    hub.subscribe(client, resuming(EVERYTHING, 1))
    give_back_all(hub)
    publish(hub, engine.trades(2))
    hub.flush_all()
    assert client.seqs_after_reply == [2, 3, 4, 5]


def test_what_was_missed_is_made_once_for_all_who_ask_for_the_same(
    engine: FakeEngine, hub: Hub
) -> None:
    publish(hub, engine.trades(2_000), engine.stats(), engine.trades(2_000))
    clients = [FakeOutbox() for _ in range(6)]
    for client in clients[:3]:
        hub.subscribe(client, resuming(EVERYTHING, 5))
    for client in clients[3:]:
        hub.subscribe(client, resuming(TRADES, 5))
    give_back_all(hub)
    for same in (clients[:3], clients[3:]):
        assert len(same[0].shares) > 4
        assert all(len(share.frames) <= 65_536 for share in same[0].shares)
        for client in same[1:]:
            shares = zip(client.shares, same[0].shares, strict=True)
            assert all(share is other for share, other in shares)
    assert clients[0].seqs_after_reply == list(range(6, 4_002))
    assert clients[3].seqs_after_reply == [seq for seq in range(6, 4_002) if seq != 2_001]


def test_what_is_made_is_kept_within_bounds_and_no_longer_than_needed(
    engine: FakeEngine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.server.missed._MAX_CACHED_BYTES", 100_000)
    for _ in range(100):
        publish(hub, engine.trades(100))
    for seq in range(10):
        hub.subscribe(FakeOutbox(), resuming(EVERYTHING, seq))
    missed = hub.resumes._missed
    while hub.resumes.give_back(now_s=0.0):
        assert missed._cached_bytes <= 160_000
    assert missed._cached == {}


def test_compressed_clients_get_the_same(engine: FakeEngine, hub: Hub) -> None:
    publish(hub, engine.trades(500), engine.stats())
    plain, deflated = FakeOutbox(), FakeOutbox(window_bits=11)
    for client in (plain, deflated):
        hub.subscribe(client, resuming(EVERYTHING, 3))
    give_back_all(hub)
    assert plain.received == deflated.received
    assert len(deflated.shares[0].frames) < len(plain.shares[0].frames)


def test_who_has_no_room_waits_without_holding_up_the_others(engine: FakeEngine, hub: Hub) -> None:
    publish(hub, engine.trades(3))
    full, client, live = FakeOutbox(has_room=False), FakeOutbox(), FakeOutbox()
    hub.subscribe(live, EVERYTHING)
    for returning in (full, client):
        hub.subscribe(returning, resuming(EVERYTHING, 0))
    give_back_all(hub)
    publish(hub, engine.trades())
    hub.flush_all()
    assert full.seqs_after_reply == []
    assert client.seqs_after_reply == [1, 2, 3, 4]
    assert live.seqs == [3, 4]
    full.has_room = True
    give_back_all(hub)
    publish(hub, engine.trades())
    hub.flush_all()
    assert full.seqs_after_reply == [1, 2, 3, 4, 5]


def test_who_reads_more_slowly_than_the_ring_forgets_gets_a_snapshot_for_the_rest(
    engine: FakeEngine,
) -> None:
    hub = Hub(engine, limits=ServerLimits(resume_max_messages=64))
    publish(hub, *(engine.trades() for _ in range(10)))
    client = FakeOutbox()
    hub.subscribe(client, resuming(EVERYTHING, 5), reply_id=msgspec.Raw(b"7"))
    hub.resumes.give_back(now_s=0.0)
    client.has_room = False
    publish(hub, *(engine.trades() for _ in range(100)))
    client.has_room = True
    give_back_all(hub)
    publish(hub, engine.trades())
    hub.flush_all()
    assert client.kinds == ["resumed", "trade", "snapshot", "trade"]
    assert client.seqs_after_reply == [6, 110, 111]
    assert client.received[2]["recovered"] is False
    assert client.received[2]["id"] == 7


def test_a_slice_is_bounded_and_everyone_gets_a_turn(
    engine: FakeEngine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapecast.server.resume._SLICE_COST_BYTES", 1)
    publish(hub, *(engine.trades(400) for _ in range(3)))
    clients = [FakeOutbox() for _ in range(3)]
    for client in clients:
        hub.subscribe(client, resuming(EVERYTHING, 0))
    for _ in range(3):
        hub.resumes.give_back(now_s=0.0)
    assert [len(client.shares) for client in clients] == [1, 1, 1]


def test_the_failure_of_a_returning_client_never_reaches_the_others(
    engine: FakeEngine, hub: Hub
) -> None:
    publish(hub, engine.trades(3))
    broken, client, refused = FakeOutbox(), FakeOutbox(), FakeOutbox(failure=too_slow())
    for returning in (broken, client, refused):
        hub.subscribe(returning, resuming(EVERYTHING, 0))
    broken.failure = RuntimeError("broken")
    give_back_all(hub)
    assert client.seqs_after_reply == [1, 2, 3]
    assert hub.subscribers == 1


def test_who_leaves_or_asks_for_something_else_gets_nothing_more_of_it(
    engine: FakeEngine, hub: Hub
) -> None:
    publish(hub, engine.trades(3))
    left, other = FakeOutbox(), FakeOutbox()
    for client in (left, other):
        hub.subscribe(client, resuming(EVERYTHING, 0))
    hub.leave(left)
    hub.subscribe(other, TRADES)
    give_back_all(hub)
    assert left.kinds == ["resumed"]
    assert other.kinds == ["resumed", "snapshot"]
    assert (left.ended, other.ended) == (1, 1)
    assert hub.subscribers == 1


def test_in_progress_candles_begin_when_everything_missed_was_given(
    engine: FakeEngine, hub: Hub
) -> None:
    publish(hub, engine.trades(2))
    client = FakeOutbox(has_room=False)
    hub.subscribe(client, resuming(COMMANDS[3], 1), now_s=0.0)
    hub.tick(now_s=5.0)
    hub.flush_all()
    client.has_room = True
    hub.resumes.give_back(now_s=6.0)
    hub.tick(now_s=6.5)
    hub.flush_all()
    assert client.kinds == ["resumed"]
    hub.tick(now_s=7.0)
    hub.flush_all()
    assert [message.get("closed") for message in client.received] == [None, False]


def test_a_resume_costs_what_was_missed(engine: FakeEngine, hub: Hub) -> None:
    publish(hub, *(engine.trades(100) for _ in range(100)))
    cost_bytes = hub.subscribe(FakeOutbox(), resuming(TRADES, 0))
    client = FakeOutbox()
    reply_bytes = hub.subscribe(client, resuming(TRADES, 10_000))
    assert reply_bytes < 100
    # Without regard to what the filter leaves of it.
    assert hub._ring.bytes < cost_bytes < hub._ring.bytes + 100


async def test_the_broadcaster_gives_back_and_waits_for_room(engine: FakeEngine, hub: Hub) -> None:
    publish(hub, engine.trades(3))
    full, client = FakeOutbox(has_room=False), FakeOutbox()
    for returning in (full, client):
        hub.subscribe(returning, resuming(EVERYTHING, 0))
    broadcaster = asyncio.create_task(hub.run(FakeClock()))
    async with asyncio.timeout(10):
        while not client.shares:  # noqa: ASYNC110 -- turns of the loop, no time
            await asyncio.sleep(0)
        full.has_room = True
        while not full.shares:  # noqa: ASYNC110 -- it looks again by itself
            await asyncio.sleep(0.001)
    broadcaster.cancel()
    await asyncio.gather(broadcaster, return_exceptions=True)
    assert full.seqs_after_reply == client.seqs_after_reply == [1, 2, 3]


@dataclass
class Client:
    """A client that stitches together what it receives, over any number of connections."""

    command: Subscribe
    outbox: FakeOutbox | None = None
    # The number from which it counts, and everything streamed since.
    from_seq: int = -1
    stitched: list[int] = field(default_factory=list)
    read: int = 0

    @property
    def seq(self) -> int:
        """The number of the last message that it knows of."""
        return max([self.from_seq, *self.stitched[-1:]])

    def take_in(self) -> None:
        """Read what has been received; a snapshot begins anew."""
        if self.outbox is None:
            return
        for message in self.outbox.received[self.read :]:
            if message["type"] == "snapshot":
                self.from_seq, self.stitched = message["seq"], []
            elif message["type"] != "resumed" and message.get("closed") is not False:
                self.stitched.append(message["seq"])
        self.read = len(self.outbox.received)

    def drop(self, hub: Hub) -> None:
        """Lose the connection, with what was received until now."""
        self.take_in()
        if self.outbox is not None:
            hub.leave(self.outbox)
        self.outbox, self.read = None, 0

    def join(self, hub: Hub, *, resumes: bool, now_s: float) -> None:
        """Connect and subscribe, or resume."""
        self.drop(hub)
        self.outbox = FakeOutbox(window_bits=11 if self.command.partial_ms else 0)
        command = resuming(self.command, self.seq) if resumes and self.seq >= 0 else self.command
        hub.subscribe(self.outbox, command, now_s=now_s)


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["trades", "ether", "candle", "stats", "line", "late"]),
        st.sampled_from(["flush", "give back", "give back", "tick"]),
        st.tuples(
            st.sampled_from(["join", "resume", "resume", "resume", "drop", "full", "room"]),
            st.integers(0, len(COMMANDS) - 1),
        ),
    ),
    min_size=10,
    max_size=60,
)


def made(engine: FakeEngine, step: str) -> Batch:
    """Publish what a step says."""
    makers: dict[str, Any] = {
        "ether": lambda: engine.trades(2, "ETHUSDT"),
        "candle": engine.candle,
        "stats": engine.stats,
        "line": engine.line,
    }
    batch: Batch = makers.get(step, lambda: engine.trades(3))()
    return batch


def wanted(command: Subscribe, published: Iterable[Batch], after_seq: int) -> list[int]:
    """Return the numbers that a client must have after one from which it counts."""
    chosen = Filter(command.types or None, command.symbols or None)
    return [
        message.seq
        for batch in published
        for message in chosen.of(batch)
        if message.seq > after_seq
    ]


class World:
    """A hub, some clients, and everything that was published."""

    def __init__(self, limits: ServerLimits) -> None:
        self.engine = FakeEngine()
        self.hub = Hub(self.engine, limits=limits)
        self.clients = [Client(command) for command in COMMANDS]
        self.published: list[Batch] = []
        self.late: list[Batch] = []
        self.now_s = 0.0

    def do(self, step: str | tuple[str, int]) -> None:
        self.now_s += 0.7
        if isinstance(step, tuple):
            self.act(step[0], self.clients[step[1]])
        elif step == "flush":
            self.hub.flush()
        elif step == "give back":
            self.hub.resumes.give_back(now_s=self.now_s)
        elif step == "tick":
            self.hub.tick(now_s=self.now_s)
        else:
            self.late.append(made(self.engine, step))
            if step != "late":
                # "late": the engine is ahead of what the daemon has handed to the hub.
                publish(self.hub, *self.late)
                self.published += self.late
                self.late.clear()

    def act(self, action: str, client: Client) -> None:
        if action in ("join", "resume"):
            client.join(self.hub, resumes=action == "resume", now_s=self.now_s)
        elif action == "drop":
            client.drop(self.hub)
        elif client.outbox is not None:
            client.outbox.has_room = action == "room"

    def finish(self) -> None:
        """Let everyone come back once more, and receive everything."""
        for client in self.clients:
            if client.seq >= 0:
                self.act("resume", client)
        self.do("give back")
        for client in self.clients:
            self.act("room", client)
        for step in ("trades", "ether", "give back", "candle"):
            self.do(step)
        give_back_all(self.hub)
        self.do("trades")
        self.hub.flush_all()
        for client in self.clients:
            client.take_in()


@settings(max_examples=300)
@given(
    steps=STEPS,
    flush_bytes=st.sampled_from([1, 600, 100_000]),
    slice_bytes=st.sampled_from([1, 2_000, 1 << 20]),
    kept=st.sampled_from([3, 20, 10_000]),
)
def test_no_interleaving_makes_a_hole_or_a_repeat_for_any_filter(
    steps: list[str | tuple[str, int]], flush_bytes: int, slice_bytes: int, kept: int
) -> None:
    world = World(ServerLimits(flush_bytes=flush_bytes, resume_max_messages=kept))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.server.hub._SLICE_COST_BYTES", slice_bytes)
        patch.setattr("tapecast.server.resume._SLICE_COST_BYTES", slice_bytes)
        for step in steps:
            world.do(step)
        world.finish()
    for client in world.clients:
        if client.outbox is not None:
            assert client.stitched == wanted(client.command, world.published, client.from_seq)
