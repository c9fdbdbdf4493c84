"""The registry of subscribers and the fan-out of everything published, into their outboxes."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from msgspec import UNSET

from tapecast.aliases import MessageType
from tapecast.errors import SlowConsumerError
from tapecast.messages import Subscribe
from tapecast.messages.codec import snapshot_reply
from tapecast.messages.fields import EVENT_TYPES
from tapecast.server.commands import ReplyId
from tapecast.server.filter import Filter
from tapecast.server.interfaces import Clock, EngineView, Outbox, ServerCounts, StreamMessage
from tapecast.server.limits import ServerLimits
from tapecast.server.partials import PartialSchedule

__all__ = ["Hub"]

_LOGGER = logging.getLogger(__name__)
_MAX_CACHED_BYTES = 16 << 20


@dataclass(slots=True, eq=False)
class _Group:
    """The subscribers that share one filter, so that it runs once for them all.

    Attributes:
        filter: What the group lets through.
        joined: The `seq` that each member's snapshot contains, by member, in order of joining.
    """

    filter: Filter
    joined: dict[Outbox, int] = field(default_factory=dict)


def _no_beat(_messages: int) -> None:
    """Report to nobody."""


class Hub:
    """Gives each subscriber its share of what is published: in order, no hole, no repeat.

    Everything runs on one event loop. `publish` only queues; `run` (the broadcaster) drains the
    queue in portions so that sockets get their turn in between. A subscriber joins with a snapshot
    up to some `seq` and receives only what comes after it, whatever is still queued at that moment.

    Args:
        engine: Where snapshots and in-progress candles come from.
        limits: The server's limits.

    Attributes:
        engine: The same.
        limits: The same.
        counts: The totals of everything that the server does.
    """

    def __init__(self, engine: EngineView, *, limits: ServerLimits | None = None) -> None:
        self.counts = ServerCounts()
        self.engine = engine
        self.limits = limits or ServerLimits()
        self._groups: dict[object, _Group] = {}
        self._group_of: dict[Outbox, _Group] = {}
        self._queue: deque[tuple[StreamMessage, bytes]] = deque()
        self._queued_bytes = 0
        self._queued = asyncio.Event()
        self._partials = PartialSchedule()
        self._partials_changed = asyncio.Event()
        self._snapshots: dict[object, bytes] = {}
        self._snapshots_bytes = 0
        self._snapshots_seq = -1

    @property
    def subscribers(self) -> int:
        """Number of subscribers at present."""
        return len(self._group_of)

    @property
    def queued_bytes(self) -> int:
        """Bytes that are published and not yet handed to subscribers."""
        return self._queued_bytes

    # What the daemon calls.

    def publish(self, batch: Iterable[StreamMessage]) -> None:
        """Queue what the engine has published; never raises for a subscriber's sake.

        Args:
            batch: Messages in the order of `seq`.
        """
        if not self._group_of:
            # Whoever joins later finds all of it in the snapshot.
            return
        for message in batch:
            payload = message.payload
            self._queue.append((message, payload))
            self._queued_bytes += len(payload)
        if self._queued_bytes > self.limits.max_queued_bytes:
            self.flush_all()
        elif self._queue:
            self._queued.set()

    async def run(self, *, beat: Callable[[int], None] = _no_beat) -> None:
        """Hand on what is published until cancelled: the broadcaster.

        Args:
            beat: Called with the number of messages after each portion, and with 0 before each
                wait.
        """
        while True:
            beat(0)
            await self._queued.wait()
            self._queued.clear()
            while flushed := self.flush():
                beat(flushed)
                # One turn of the loop lets the transports write; a burst must not look like a slow
                # consumer.
                await asyncio.sleep(0)

    async def run_partials(self, clock: Clock, *, beat: Callable[[int], None] = _no_beat) -> None:
        """Send in-progress candles whenever they are due, until cancelled.

        Args:
            clock: Where monotonic seconds come from.
            beat: Called with 0 before each wait.
        """
        while True:
            beat(0)
            due_s = self._partials.next_due_s
            delay_s = None if due_s is None else max(0.0, due_s - clock.monotonic_s())
            try:
                async with asyncio.timeout(delay_s):
                    await self._partials_changed.wait()
                self._partials_changed.clear()
            except TimeoutError:
                self.tick(now_s=clock.monotonic_s())

    # What the listener calls.

    def subscribe(
        self, outbox: Outbox, command: Subscribe, *, reply_id: ReplyId = UNSET, now_s: float = 0.0
    ) -> int:
        """Send a snapshot and then everything after it; replaces an earlier subscription.

        Args:
            outbox: The subscriber.
            command: What it asked for.
            reply_id: The command's `id`, for the snapshot.
            now_s: Monotonic seconds, from which the first in-progress candles are a whole interval
                away.

        Returns:
            Bytes of the snapshot, which is what a subscribe costs.
        """
        self.leave(outbox)
        chosen = Filter(
            None if command.types is UNSET else command.types,
            None if command.symbols is UNSET else command.symbols,
        )
        # Nothing is awaited between the snapshot and the registration, so no message is published
        # between them.
        snapshot = self._snapshot(
            chosen, None if command.history is UNSET else command.history.candles
        )
        recovered = UNSET if command.since is UNSET else False
        reply = snapshot_reply(snapshot, reply_id=reply_id, recovered=recovered)
        if not self._deliver(outbox, [reply], counted=False):
            return len(reply)
        group = self._groups.setdefault(chosen.key, _Group(chosen))
        group.joined[outbox] = self.engine.seq
        self._group_of[outbox] = group
        if command.partial_ms is not UNSET:
            self._partials.add(outbox, command.partial_ms, now_s=now_s)
            self._partials_changed.set()
        return len(reply)

    def leave(self, outbox: Outbox) -> None:
        """Stop a subscriber's stream; nothing happens if it has none."""
        group = self._group_of.pop(outbox, None)
        if group is None:
            return
        del group.joined[outbox]
        if not group.joined:
            del self._groups[group.filter.key]
        self._partials.remove(outbox)
        if not self._group_of:
            self._queue.clear()
            self._queued_bytes = 0

    def reply(self, outbox: Outbox, payload: bytes) -> None:
        """Send one reply to one subscriber, in order with its stream."""
        self._deliver(outbox, [payload])

    # The fan-out.

    def flush(self) -> int:
        """Hand the oldest portion of what is queued to its subscribers.

        Returns:
            The number of messages taken from the queue; 0 once it is empty.
        """
        portion: list[tuple[StreamMessage, bytes]] = []
        size = 0
        while self._queue and size < self.limits.flush_bytes:
            portion.append(self._queue.popleft())
            size += len(portion[-1][1])
        self._queued_bytes -= size
        if portion:
            payloads = [payload for _, payload in portion]
            for group in list(self._groups.values()):
                self._flush_group(group, portion, payloads)
        return len(portion)

    def flush_all(self) -> None:
        """Hand everything that is queued to its subscribers."""
        while self.flush():
            pass

    def _flush_group(
        self, group: _Group, portion: list[tuple[StreamMessage, bytes]], payloads: list[bytes]
    ) -> None:
        """Hand one portion to the subscribers of one group."""
        if not group.filter.passes_all:
            portion = [item for item in portion if group.filter.passes(item[0])]
            payloads = [payload for _, payload in portion]
        if not portion:
            return
        first_seq = portion[0][0].seq
        for outbox, joined_seq in list(group.joined.items()):
            if joined_seq < first_seq:
                self._deliver(outbox, payloads)
            elif own := [payload for message, payload in portion if message.seq > joined_seq]:
                self._deliver(outbox, own)

    def tick(self, *, now_s: float) -> None:
        """Send the in-progress candles that are due.

        Args:
            now_s: Monotonic seconds.
        """
        for group in self._partials.due(now_s):
            # An in-progress candle speaks of everything up to its `seq`, so that must be on its way
            # first.
            self.flush_all()
            since, newcomers, members = group.version, list(group.newcomers), list(group.members)
            if members:
                group.version = self._send_partials(members, since)
            if newcomers:
                group.version = self._send_partials(newcomers, 0)
                group.promote()

    def _send_partials(self, outboxes: Sequence[Outbox], since: int) -> int:
        """Send the in-progress candles that changed after a version; return the new version."""
        version, batch = self.engine.partials(since)
        candles = [(message, message.payload) for message in batch]
        for outbox in outboxes:
            group = self._group_of.get(outbox)
            if group is None:
                continue
            passing = [payload for message, payload in candles if group.filter.passes(message)]
            if passing:
                self._deliver(outbox, passing)
        return version

    def _deliver(self, outbox: Outbox, payloads: Sequence[bytes], *, counted: bool = True) -> bool:
        """Write to one subscriber and forget it if that fails; the others never notice.

        Returns:
            Whether it is still a subscriber to write to.
        """
        try:
            outbox.deliver(payloads, counted=counted)
        except SlowConsumerError as error:
            _LOGGER.warning("client %s was cut off: %s", outbox, error)
        except Exception:
            _LOGGER.exception("client %s was cut off: it could not be written to", outbox)
        else:
            return True
        self.leave(outbox)
        return False

    def _snapshot(self, chosen: Filter, history: int | None) -> bytes:
        """Return the snapshot for a filter and history; made once for all who ask at one `seq`."""
        if self._snapshots_seq != self.engine.seq:
            self._forget_snapshots()
            self._snapshots_seq = self.engine.seq
        key = (chosen.key, history)
        snapshot = self._snapshots.get(key)
        if snapshot is None:
            snapshot = self.engine.snapshot(
                history=history or 0, types=_sections(chosen, history), symbols=self._names(chosen)
            )
            if self._snapshots_bytes + len(snapshot) > _MAX_CACHED_BYTES:
                self._forget_snapshots()
            self._snapshots[key] = snapshot
            self._snapshots_bytes += len(snapshot)
        return snapshot

    def _forget_snapshots(self) -> None:
        self._snapshots.clear()
        self._snapshots_bytes = 0

    def _names(self, chosen: Filter) -> set[str] | None:
        """Return the known symbols that a filter lets through, as `category:SYMBOL`."""
        if not chosen.filters_symbols:
            return None
        return {
            f"{category}:{symbol}"
            for category, symbol in self.engine.symbols()
            if chosen.matches(category, symbol)
        }


def _sections(chosen: Filter, history: int | None) -> Sequence[MessageType] | None:
    """Return the types that a snapshot may hold; None for all."""
    if history != 0:
        return chosen.types
    # The engine takes a history of 0 as "the newest candle", but who asked for 0 candles wants
    # none.
    return [name for name in chosen.types or EVENT_TYPES if name != "ohlcv"]
