"""What one subscriber may keep waiting, on a connection that sends as much as the test says."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from websockets.frames import CloseCode
from websockets.protocol import State

from tapecast.errors import SlowConsumerError
from tapecast.server.interfaces import ServerCounts
from tapecast.server.limits import ServerLimits
from tapecast.server.subscriber import Subscriber

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection


@dataclass
class Wire:
    """A connection whose bytes wait until the test sends them."""

    state: State = State.OPEN
    remote_address: str = "there"
    id: str = "1"
    send_in_progress: None = None
    frames: list[bytes] = field(default_factory=list)
    pending_bytes: int = 0
    aborted: bool = False
    failed: list[tuple[CloseCode, str]] = field(default_factory=list)
    broken: Exception | None = None

    @property
    def protocol(self) -> SimpleNamespace:
        return SimpleNamespace(state=self.state, send_text=self.frames.append, fail=self.fail)

    @property
    def transport(self) -> SimpleNamespace:
        return SimpleNamespace(get_write_buffer_size=lambda: self.pending_bytes, abort=self.abort)

    def fail(self, code: CloseCode, reason: str) -> None:
        self.failed.append((code, reason))

    def abort(self) -> None:
        self.aborted = True

    def send_data(self) -> None:
        if self.broken is not None:
            raise self.broken
        size = len(self.frames[-1])
        self.pending_bytes += size + (2 if size < 126 else 4 if size < 65_536 else 10)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def counts() -> ServerCounts:
    return ServerCounts()


@pytest.fixture
def subscriber(wire: Wire, counts: ServerCounts) -> Subscriber:
    limits = ServerLimits(max_pending_bytes=1000)
    return Subscriber(cast("ServerConnection", wire), limits=limits, counts=counts)


def test_messages_are_written_in_order_and_counted(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber
) -> None:
    subscriber.deliver([b"a", b"b"])
    subscriber.deliver([b"c"])
    assert wire.frames == [b"a", b"b", b"c"]
    assert counts.sent_messages == 3
    assert str(subscriber) == "there 1"


def test_exactly_the_limit_may_wait_and_one_byte_more_may_not(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber
) -> None:
    subscriber.deliver([b"x" * 98] * 10)
    assert subscriber.pending_bytes == 1000
    assert counts.slow_consumers == 0
    wire.pending_bytes -= 250
    with pytest.raises(SlowConsumerError) as cut_off:
        subscriber.deliver([b"x" * 124, b"x" * 123])
    assert str(cut_off.value) == "1001 bytes are pending, expected at most 1000"
    assert wire.aborted
    # The first delivery was not yet sent whole.
    assert (counts.dropped_messages, counts.slow_consumers, counts.sent_messages) == (12, 1, 12)


def test_deliveries_that_were_sent_whole_are_not_dropped(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber
) -> None:
    for _ in range(4):
        subscriber.deliver([b"x" * 98] * 2)
    wire.pending_bytes = 200
    with pytest.raises(SlowConsumerError):
        subscriber.deliver([b"x" * 996])
    assert counts.dropped_messages == 3


def test_a_snapshot_of_any_size_may_wait_beside_the_limit(
    wire: Wire, subscriber: Subscriber
) -> None:
    subscriber.deliver([b"s" * 100_000], counted=False)
    subscriber.deliver([b"x" * 996])
    wire.pending_bytes -= 99_000
    # What is left of the snapshot is still not held against the client.
    assert subscriber.pending_bytes == 1010 + 1000
    with pytest.raises(SlowConsumerError) as cut_off:
        subscriber.deliver([b""])
    assert str(cut_off.value) == "1002 bytes are pending, expected at most 1000"


def test_a_second_snapshot_before_the_first_was_read_is_too_much(
    wire: Wire, subscriber: Subscriber
) -> None:
    subscriber.deliver([b"s" * 1500], counted=False)
    with pytest.raises(SlowConsumerError) as cut_off:
        subscriber.deliver([b"s" * 1500], counted=False)
    assert str(cut_off.value) == "1504 bytes are pending, expected at most 1000"
    assert wire.aborted


def test_nothing_is_sent_on_a_connection_that_is_closing(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber
) -> None:
    wire.state = State.CLOSING
    subscriber.deliver([b"a"])
    assert wire.frames == []
    assert counts.sent_messages == 0


def test_a_connection_that_cannot_be_written_to_is_failed_with_1011_and_aborted_if_need_be(
    wire: Wire, counts: ServerCounts, subscriber: Subscriber
) -> None:
    wire.broken = OSError("gone")
    with pytest.raises(ExceptionGroup, match="skipped broadcast"):
        subscriber.deliver([b"a"])
    assert wire.failed == [(CloseCode.INTERNAL_ERROR, "message could not be sent")]
    assert wire.aborted
    assert counts.sent_messages == 0
