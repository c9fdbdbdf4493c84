"""Whatever is published, read, asked for and cut: received and announced is all there was."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import State

from tapecast._core import Batch
from tapecast.messages import Subscribe
from tapecast.messages.fields import SlowPolicy
from tapecast.server.filter import Filter
from tapecast.server.hub import Hub
from tapecast.server.limits import ServerLimits
from tapecast.server.subscriber import Subscriber

from .server_fakes import FakeEngine, Wire

FILTERS: list[dict[str, Any]] = [
    {},
    {"types": ("trade", "stats")},
    {"symbols": ("ETH*",)},
    {"types": ("ohlcv", "gap"), "symbols": ("BTCUSDT",)},
]
POLICIES: tuple[SlowPolicy, ...] = ("conflate", "drop", "disconnect")


def deflate() -> PerMessageDeflate:
    """Return what a connection that negotiated compression has."""
    return PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=11,
        local_max_window_bits=11,
    )


@dataclass(eq=False)
class Client:
    """A subscriber, its wire, and what it has subscribed to, by number of the subscription."""

    wire: Wire
    subscriber: Subscriber
    filters: list[Filter] = field(default_factory=list)
    is_subscribed: bool = False

    def periods(self) -> Iterator[tuple[Filter, list[dict[str, Any]]]]:
        """Yield the messages of each subscription, with the snapshot before them."""
        number = -1
        messages: list[dict[str, Any]] = []
        for message in self.wire.messages():
            if message["type"] == "snapshot":
                if number >= 0:
                    yield self.filters[number], messages
                number, messages = number + 1, []
            messages.append(message)
        if number >= 0:
            yield self.filters[number], messages


class World:
    """A hub with clients whose sockets take what the test says."""

    def __init__(self, limits: ServerLimits) -> None:
        self.engine = FakeEngine()
        self.hub = Hub(self.engine, limits=limits)
        self.published: list[Batch] = []
        self.now_s = 0.0
        wires = [Wire(), Wire(), Wire(extensions=[deflate()])]
        self.clients = [
            Client(wire, Subscriber(wire.connection(), limits=limits, counts=self.hub.counts))
            for wire in wires
        ]

    def publish(self, kind: str, symbol: str, count: int) -> None:
        engine = self.engine
        makers = {
            "trades": lambda: engine.trades(count, symbol),
            "candle": lambda: engine.candle(symbol),
            "revision": lambda: engine.revision(symbol),
            "gap": lambda: engine.gap(symbol),
            "stats": engine.stats,
            "line": engine.line,
        }
        batch = makers[kind]()
        self.published.append(batch)
        self.hub.publish(batch)

    def subscribe(self, number: int, chosen: int, policy: SlowPolicy) -> None:
        client = self.clients[number]
        if client.wire.aborted or client.wire.state is not State.OPEN:
            return
        fields = FILTERS[chosen]
        command = Subscribe(topic="status", slow_policy=policy, partial_ms=100, **fields)
        self.hub.subscribe(client.subscriber, command, now_s=self.now_s)
        client.filters.append(Filter(fields.get("types"), fields.get("symbols")))
        client.is_subscribed = True

    def unsubscribe(self, number: int) -> None:
        self.hub.leave(self.clients[number].subscriber)
        self.clients[number].is_subscribed = False

    def close(self, number: int) -> None:
        self.clients[number].wire.state = State.CLOSED
        self.unsubscribe(number)

    def drain(self, number: int, size: int) -> None:
        self.clients[number].wire.drain(size)

    def flush(self) -> None:
        self.hub.flush()

    def wait(self, tenths: int) -> None:
        self.now_s += tenths / 10
        self.hub.tick(now_s=self.now_s)
        self.hub.relieve(now_s=self.now_s)

    def settle(self) -> None:
        """Let everyone read everything that there is."""
        self.hub.flush_all()
        for _ in range(1_000):
            for client in self.clients:
                client.wire.drain()
            if not any(client.subscriber.is_slow for client in self.clients):
                return
            self.hub.relieve(now_s=self.now_s)
        raise AssertionError("clients never catch up")

    def check(self) -> None:
        for client in self.clients:
            periods = list(client.periods())
            for place, (chosen, messages) in enumerate(periods, start=1):
                is_settled = (
                    place == len(periods) and client.is_subscribed and not client.wire.aborted
                )
                self._check_period(chosen, messages, is_settled=is_settled)
        sent = sum(len(client.wire.messages()) for client in self.clients)
        assert self.hub.counts.sent_messages == sent

    def _check_period(
        self, chosen: Filter, messages: list[dict[str, Any]], *, is_settled: bool
    ) -> None:
        """Check that what a client knows of is a whole stretch of its selection."""
        snapshot, *stream = messages
        numbers = [message["seq"] for message in stream]
        assert numbers == sorted(numbers)
        gaps = [message for message in stream if message.get("scope") == "client"]
        received = [
            message["seq"]
            for message in stream
            if message.get("scope") != "client" and message.get("closed", True)
        ]
        selection = [
            message.seq
            for message in chosen.of(Batch.joined(self.published))
            if message.seq > snapshot["seq"]
        ]
        if not is_settled:
            known_to = max([*received, *(gap["to_seq"] for gap in gaps)], default=0)
            selection = [seq for seq in selection if seq <= known_to]
        missed = sorted(set(selection) - set(received))
        assert len(received) == len(set(received))
        assert set(received) <= set(selection)
        assert sum(gap["dropped"] for gap in gaps) == len(missed)
        for gap in gaps:
            within = [seq for seq in missed if gap["from_seq"] <= seq <= gap["to_seq"]]
            assert (gap["dropped"], gap["from_seq"], gap["to_seq"]) == (
                len(within),
                within[0],
                within[-1],
            )
            assert gap["seq"] == gap["from_seq"]
            event("announced")


NUMBERS = st.integers(0, 2)
PUBLISH = st.tuples(
    st.just("publish"),
    st.sampled_from(["trades", "trades", "candle", "revision", "gap", "stats", "line"]),
    st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    st.integers(1, 9),
)
FLUSH = st.tuples(st.just("flush"))
WAIT = st.tuples(st.just("wait"), st.integers(0, 9))
DRAIN = st.tuples(st.just("drain"), NUMBERS, st.integers(1, 3_000))
SUBSCRIBE = st.tuples(st.just("subscribe"), NUMBERS, st.integers(0, 3), st.sampled_from(POLICIES))
LEAVE = st.tuples(st.sampled_from(["unsubscribe", "close"]), NUMBERS)
# What happens often stands here often.
STEPS = st.one_of(
    *(PUBLISH, PUBLISH, PUBLISH, PUBLISH, FLUSH, FLUSH, FLUSH, FLUSH),
    *(DRAIN, DRAIN, WAIT, SUBSCRIBE, LEAVE),
)


@given(
    steps=st.lists(STEPS, min_size=10, max_size=80),
    soft_bytes=st.sampled_from([300, 1_000]),
    flush_bytes=st.sampled_from([1, 900, 100_000]),
    slice_bytes=st.sampled_from([1, 50_000]),
)
def test_received_and_announced_as_dropped_is_what_was_sent_to_the_selection(
    steps: list[tuple[Any, ...]], soft_bytes: int, flush_bytes: int, slice_bytes: int
) -> None:
    limits = ServerLimits(
        soft_pending_bytes=soft_bytes, max_pending_bytes=12_000, flush_bytes=flush_bytes
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.server.hub._SLICE_COST_BYTES", slice_bytes)
        world = World(limits)
        for number, policy in enumerate(POLICIES):
            world.subscribe(number, 0, policy)
        for name, *arguments in steps:
            getattr(world, name)(*arguments)
        world.settle()
    world.check()
    if world.hub.counts.slow_consumers:
        event("cut off")


@pytest.mark.parametrize("policy", ["conflate", "drop"])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.integers(1, 9), st.sampled_from(["trades", "candle", "stats"])),
            st.tuples(st.integers(100, 3_000), st.just("drain")),
        ),
        max_size=60,
    )
)
def test_the_count_of_dropped_messages_is_what_clients_are_told(
    policy: SlowPolicy, steps: list[tuple[int, str]]
) -> None:
    limits = ServerLimits(soft_pending_bytes=1_000, max_pending_bytes=1 << 30)
    world = World(limits)
    for number in range(3):
        world.subscribe(number, number, policy)
    for count, what in steps:
        if what == "drain":
            world.drain(count % 3, count)
        else:
            world.publish(what, "ETHUSDT" if count % 2 else "BTCUSDT", count)
            world.flush()
    world.settle()
    world.check()
    told = [
        message["dropped"]
        for client in world.clients
        for message in client.wire.messages()
        if message.get("scope") == "client"
    ]
    assert world.hub.counts.dropped_messages == sum(told)
