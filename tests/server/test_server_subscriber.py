"""What one subscriber may keep waiting, on a connection that sends as much as the test says."""

from collections.abc import Callable

import pytest
from websockets.frames import CloseCode
from websockets.protocol import State

from tapecast._core import Batch
from tapecast.errors import SlowConsumerError
from tapecast.messages.fields import SlowPolicy
from tapecast.server.interfaces import ServerCounts
from tapecast.server.limits import ServerLimits
from tapecast.server.share import Share, shares_of
from tapecast.server.subscriber import Subscriber
from tapecast.server.wire import text_frame

from .server_fakes import FakeEngine, Wire

LIMITS = ServerLimits(soft_pending_bytes=900, max_pending_bytes=4_000, flush_bytes=600)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def counts() -> ServerCounts:
    return ServerCounts()


@pytest.fixture
def subscriber(wire: Wire, counts: ServerCounts) -> Subscriber:
    return Subscriber(wire.connection(), limits=LIMITS, counts=counts)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def share_of(*batches: Batch) -> Share:
    (share,) = shares_of(Batch.joined(batches), max_bytes=1 << 30)
    return share


def sized(size: int) -> bytes:
    """Return a payload whose frame has this size."""
    return b'"%b"' % (b"x" * (size - (4 if size < 128 else 6)))


def deliver_for_ever(subscriber: Subscriber, publish: Callable[[], Batch]) -> None:
    while True:
        subscriber.deliver(share_of(publish()))


def shown(wire: Wire) -> list[tuple[str, int]]:
    return [(message["type"], message["seq"]) for message in wire.messages()]


def test_messages_are_written_in_order_in_one_write_each_and_counted(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    share = share_of(engine.trades(2))
    subscriber.deliver(share)
    subscriber.send(b'{"type":"pong","seq":0}')
    subscriber.deliver(share_of(engine.trades()))
    assert shown(wire) == [("trade", 1), ("trade", 2), ("pong", 0), ("trade", 3)]
    assert wire.written.startswith(share.frames)
    assert counts.sent_messages == 4
    assert str(subscriber) == "there 1"


def test_the_hard_limit_may_wait_and_one_byte_more_may_not(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber
) -> None:
    for _ in range(40):
        subscriber.send(sized(100))
    assert subscriber.pending_bytes == 4_000
    assert counts.slow_consumers == 0
    wire.drain(250)
    subscriber.send(sized(250))
    with pytest.raises(SlowConsumerError) as cut_off:
        subscriber.send(b"")
    assert str(cut_off.value) == "4002 bytes are pending, expected at most 4000"
    assert wire.aborted
    # Of the third reply one half was not yet sent.
    assert (counts.dropped_messages, counts.slow_consumers, counts.sent_messages) == (40, 1, 42)


def test_over_the_soft_limit_nothing_is_written_until_half_of_it_waits(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    assert subscriber.is_slow
    waiting = wire.pending_bytes
    subscriber.deliver(share_of(engine.trades(2), engine.stats(), engine.trades(1)))
    wire.drain(waiting - 451)
    subscriber.deliver(share_of(engine.stats()))
    assert wire.pending_bytes == 451
    assert subscriber.is_slow
    wire.drain(1)
    subscriber.relieve(1.0)
    assert shown(wire) == [("trade", 1), ("trade", 2), ("trade", 3), ("trade", 4), ("gap", 5)]
    wire.drain()
    subscriber.relieve(2.0)
    wire.drain()
    subscriber.deliver(share_of(engine.trades()))
    assert shown(wire)[5:] == [("stats", 9), ("trade", 10)]
    gap = wire.messages()[4]
    assert (gap["dropped"], gap["from_seq"], gap["to_seq"]) == (4, 5, 8)
    assert (counts.sent_messages, counts.dropped_messages) == (7, 4)


def test_a_client_that_has_caught_up_gets_the_next_share_as_it_is(
    wire: Wire, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    wire.drain()
    subscriber.deliver(share_of(engine.trades()))
    assert shown(wire) == [("trade", seq) for seq in range(1, 6)]
    assert not subscriber.is_slow


def test_what_was_withheld_comes_piece_by_piece_as_there_is_room(
    wire: Wire, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    subscriber.deliver(share_of(*(engine.gap() for _ in range(15))))
    wire.drain()
    written = len(wire.written)
    subscriber.relieve(1.0)
    # One piece, and as that left half of the soft limit free at most, no other.
    assert 450 < wire.pending_bytes <= 600
    subscriber.deliver(share_of(engine.line()))
    assert len(wire.written) == written + wire.pending_bytes
    while subscriber.is_slow:
        wire.drain()
        subscriber.relieve(2.0)
    assert [seq for _, seq in shown(wire)] == list(range(1, 21))


@pytest.mark.parametrize("policy", ["conflate", "drop", "disconnect"])
def test_near_two_seconds_over_the_soft_limit_are_too_long(
    wire: Wire,
    counts: ServerCounts,
    subscriber: Subscriber,
    engine: FakeEngine,
    policy: SlowPolicy,
) -> None:
    subscriber.begin(policy)
    subscriber.deliver(share_of(engine.trades(4)))
    subscriber.relieve(10.0)
    subscriber.deliver(share_of(engine.stats()))
    subscriber.relieve(11.8)
    assert counts.slow_consumers == 0
    waiting = wire.pending_bytes
    with pytest.raises(SlowConsumerError) as cut_off:
        subscriber.relieve(11.95)
    assert str(cut_off.value) == f"{waiting} bytes are pending for 1.9 s, expected at most 900"
    assert wire.aborted
    # Withheld, dropped or written: one way or another it got nothing of all this.
    assert (counts.dropped_messages, counts.slow_consumers) == (5, 1)


def test_time_under_the_soft_limit_is_not_held_against_a_client(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    subscriber.relieve(10.0)
    wire.drain(wire.pending_bytes - 900)
    subscriber.relieve(12.0)
    wire.drain()
    subscriber.deliver(share_of(engine.trades(4)))
    subscriber.relieve(12.1)
    subscriber.relieve(13.9)
    assert counts.slow_consumers == 0


def test_every_time_over_the_soft_limit_counts_by_itself(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    for begin_s in (10.0, 500.0, 4_000.0):
        subscriber.deliver(share_of(engine.trades(4)))
        subscriber.relieve(begin_s)
        wire.drain()
        # It has caught up before anyone with a clock looks again.
        subscriber.deliver(share_of(engine.trades(1)))
        assert not subscriber.is_slow
        wire.drain()
    assert counts.slow_consumers == 0


def test_a_client_that_wants_to_be_cut_off_gets_everything_up_to_the_hard_limit(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.begin("disconnect")
    share = share_of(engine.trades(4))
    subscriber.deliver(share)
    subscriber.deliver(share_of(engine.trades(4)))
    assert subscriber.is_slow
    assert [seq for _, seq in shown(wire)] == list(range(1, 9))
    with pytest.raises(SlowConsumerError):
        deliver_for_ever(subscriber, lambda: engine.trades(4))
    assert wire.pending_bytes < 4_000 + 2 * len(share.frames)
    assert counts.dropped_messages == engine.seq


def test_what_is_withheld_counts_against_the_hard_limit(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    with pytest.raises(SlowConsumerError):
        deliver_for_ever(subscriber, engine.gap)
    assert wire.aborted
    assert wire.pending_bytes < 1_300
    assert counts.dropped_messages == engine.seq


def test_candles_in_progress_are_not_for_slow_clients(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    current = share_of(engine.partials()[1])
    subscriber.deliver(current, is_current=True)
    wire.drain()
    assert len(shown(wire)) == 4
    subscriber.deliver(current, is_current=True)
    assert shown(wire)[4:] == [("ohlcv", 4)]
    assert counts.dropped_messages == 0


@pytest.mark.parametrize("policy", ["conflate", "drop"])
def test_with_the_end_of_a_subscription_all_that_was_withheld_is_written(
    wire: Wire,
    counts: ServerCounts,
    subscriber: Subscriber,
    engine: FakeEngine,
    policy: SlowPolicy,
) -> None:
    subscriber.begin(policy)
    subscriber.deliver(share_of(engine.trades(4)))
    subscriber.deliver(share_of(engine.trades(1), engine.stats()))
    subscriber.end()
    subscriber.send(b'{"type":"unsubscribed","seq":0}')
    last = [("stats", 6)] if policy == "conflate" else []
    assert shown(wire)[4:] == [("gap", 5), *last, ("unsubscribed", 0)]
    assert counts.sent_messages == len(shown(wire))


def test_what_was_withheld_from_a_client_that_has_gone_counts_as_dropped(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    subscriber.deliver(share_of(engine.trades(2), engine.stats(), engine.gap()))
    assert counts.dropped_messages == 2
    wire.state = State.CLOSED
    subscriber.end()
    assert counts.dropped_messages == 4
    assert len(shown(wire)) == 4
    assert not subscriber.is_slow


def test_a_snapshot_of_any_size_may_wait_beside_the_limits(
    wire: Wire, subscriber: Subscriber
) -> None:
    subscriber.send(sized(100_000), counted=False)
    subscriber.send(sized(900))
    assert not subscriber.is_slow
    wire.drain(99_000)
    # What is left of the snapshot is still not held against the client.
    assert subscriber.pending_bytes > 1_900
    subscriber.send(b"")
    assert subscriber.is_slow


def test_a_second_snapshot_before_the_first_was_read_is_too_much(
    wire: Wire, subscriber: Subscriber
) -> None:
    first = text_frame(sized(4_500))
    subscriber.send(sized(4_500), counted=False)
    with pytest.raises(SlowConsumerError) as cut_off:
        subscriber.send(sized(4_500), counted=False)
    assert str(cut_off.value) == f"{len(first)} bytes are pending, expected at most 4000"
    assert wire.aborted


def test_nothing_is_sent_on_a_connection_that_is_closing(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    wire.state = State.CLOSING
    subscriber.deliver(share_of(engine.trades()))
    subscriber.send(b"{}")
    assert wire.written == b""
    assert counts.sent_messages == 0


def test_a_connection_that_cannot_be_written_to_is_failed_with_1011_and_aborted_if_need_be(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber
) -> None:
    wire.broken = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        subscriber.send(b"{}")
    assert wire.failed == [(CloseCode.INTERNAL_ERROR, "message could not be sent")]
    assert wire.aborted
    assert counts.sent_messages == 0


def test_what_is_given_back_is_not_held_against_a_client(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.send(sized(100), counted=False)
    for _ in range(20):
        subscriber.give_back(share_of(engine.trades(4)))
    assert wire.pending_bytes > 4 * LIMITS.max_pending_bytes
    assert not subscriber.is_slow
    subscriber.deliver(share_of(engine.trades()))
    assert not subscriber.is_slow
    assert counts.sent_messages == 82
    # What comes after it is.
    with pytest.raises(SlowConsumerError):
        deliver_for_ever(subscriber, engine.line)


def test_there_is_room_while_little_waits(
    wire: Wire, subscriber: Subscriber, engine: FakeEngine
) -> None:
    rooms = [subscriber.has_room]
    subscriber.give_back(share_of(engine.trades(4)))
    rooms.append(subscriber.has_room)
    wire.drain(wire.pending_bytes - LIMITS.flush_bytes)
    rooms.append(subscriber.has_room)
    assert rooms == [True, False, True]


def test_for_who_is_slow_there_is_no_room(
    wire: Wire, subscriber: Subscriber, engine: FakeEngine
) -> None:
    subscriber.deliver(share_of(engine.trades(4)))
    wire.drain(wire.pending_bytes - LIMITS.flush_bytes)
    assert subscriber.is_slow
    assert not subscriber.has_room
