"""The registry of subscribers and the fan-out of everything published, into their outboxes."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec import UNSET

from tapecast._core import Batch
from tapecast.errors import SlowConsumerError
from tapecast.messages import Subscribe
from tapecast.messages.codec import snapshot_reply
from tapecast.server.commands import ReplyId
from tapecast.server.groups import Group, Groups
from tapecast.server.interfaces import Clock, EngineView, Outbox, ServerCounts
from tapecast.server.limits import ServerLimits
from tapecast.server.partials import PartialSchedule
from tapecast.server.patience import MOMENT_S, Patience
from tapecast.server.resume import DEFLATE_COST, WRITE_COST_BYTES, Resumes
from tapecast.server.ring import Ring
from tapecast.server.share import Share, shares_of
from tapecast.server.snapshots import Snapshots
from tapecast.server.wish import Wish

__all__ = ["Hub"]

_LOGGER = logging.getLogger(__name__)

_RELIEVE_S: Final = 0.05
"""How often slow subscribers are looked at."""

_SLICE_COST_BYTES: Final = 2 << 20
"""The loop is held up for one or two milliseconds by so many bytes."""
_ROOM_S: Final = 0.005
"""How often returning clients are looked at that have no room."""
_NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class _Queued:
    """What waits for the broadcaster.

    Attributes:
        batch: Messages in the order of `seq`.
        published_ns: When they were published, as the publisher's clock has it.
        receivers: Who gets them; None for everyone.
    """

    batch: Batch
    published_ns: int = 0
    receivers: dict[Outbox, None] | None = None


def _no_beat(_messages: int) -> None:
    """Report to nobody."""


def _not_measured(_published_ns: int, _messages: int) -> None:
    """Measure nothing."""


class Hub:
    """Gives each subscriber its share of what is published: in order, no hole, no repeat.

    Everything runs on one event loop. `publish` only queues; `run` (the broadcaster) joins what was
    queued meanwhile and writes it in portions, and to slices of the subscribers, so that sockets
    get their turn in between. A subscriber joins with a snapshot up to some `seq` and receives only
    what comes after it, whatever is still queued at that moment. One that comes back joins when it
    has been given everything up to the newest `seq`, or with a snapshot if that is kept no longer.

    Args:
        engine: Where snapshots and in-progress candles come from.
        limits: The server's limits.
        on_written: Called after the last write of each portion, with the `published_ns` of what is
            oldest in it and the number of its messages.

    Attributes:
        engine: The same.
        limits: The same.
        resumes: Those who come back and have not joined yet.
        counts: The totals of everything that the server does.
    """

    def __init__(
        self,
        engine: EngineView,
        *,
        limits: ServerLimits | None = None,
        on_written: Callable[[int, int], None] | None = None,
    ) -> None:
        self.counts = ServerCounts()
        self.engine = engine
        self.limits = limits or ServerLimits()
        self._on_written = on_written or _not_measured
        self._groups = Groups()
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._awake = asyncio.Event()
        # What is being written of a portion, if that has begun.
        self._writing: Iterator[int] | None = None
        self._receivers: dict[Outbox, None] | None = None
        self._slow: set[Outbox] = set()
        self._relieved_s = -math.inf
        self._patience = Patience()
        self._partials = PartialSchedule()
        self._partials_changed = asyncio.Event()
        self._snapshots = Snapshots(engine)
        self._ring = Ring(
            lambda: engine.epoch,
            max_messages=self.limits.resume_max_messages,
            max_bytes=self.limits.resume_max_bytes,
            max_age_s=self.limits.resume_max_age_s,
            page_bytes=self.limits.flush_bytes,
        )
        self.resumes = Resumes(self._ring, engine, limits=self.limits, registry=self)

    @property
    def subscribers(self) -> int:
        """Number of subscribers at present."""
        return len(self._groups) + len(self.resumes)

    @property
    def queued_bytes(self) -> int:
        """Bytes that are published and not yet handed to subscribers."""
        return self._queued_bytes

    # What the daemon calls.

    def publish(self, batch: Batch, *, published_ns: int = 0) -> None:
        """Queue what the engine has published; never raises for a subscriber's sake.

        Args:
            batch: Messages in the order of `seq`.
            published_ns: Now, on a monotonic clock.
        """
        if not len(batch):
            return
        self._ring.append(batch, at_s=published_ns / _NS_PER_S)
        # Without subscribers whoever joins later finds all of it in the snapshot or in the ring.
        if len(self._groups):
            self._enqueue(_Queued(batch, published_ns))

    def recall(self, batch: Batch, *, at_s: float) -> None:
        """Keep for clients that come back what was published before a restart.

        Args:
            batch: Messages in the order of `seq`, after everything recalled before.
            at_s: When they were published, on the clock of `publish`, in seconds.
        """
        if len(batch):
            self._ring.append(batch, at_s=at_s)

    async def run(self, clock: Clock, *, beat: Callable[[int], None] = _no_beat) -> None:
        """Hand on what is published until cancelled: the broadcaster.

        Args:
            clock: Where monotonic seconds come from.
            beat: Called with the number of messages after each portion, and with 0 before each
                wait.
        """
        while True:
            beat(0)
            await self._until_awake(clock)
            while True:
                flushed = self.flush()
                if self.resumes:
                    given_back = self.resumes.give_back(now_s=clock.monotonic_s())
                    if flushed is None and not given_back:
                        break
                elif flushed is None:
                    break
                if flushed:
                    beat(flushed)
                    # Most of the time there is nobody to look after, and the clock is left alone.
                    if self._slow and clock.monotonic_s() - self._relieved_s >= _RELIEVE_S:
                        self.relieve(now_s=clock.monotonic_s())
                # One turn of the loop lets the transports write; a burst must not look like a slow
                # consumer.
                await asyncio.sleep(0)
                if flushed:
                    await self._until_room()

    async def _until_awake(self, clock: Clock) -> None:
        """Wait until something is queued, or somebody must be looked after."""
        wait_s = _ROOM_S if self.resumes else _RELIEVE_S if self._slow else None
        try:
            async with asyncio.timeout(wait_s):
                await self._awake.wait()
        except TimeoutError:
            now_s = clock.monotonic_s()
            if not self.resumes or now_s - self._relieved_s >= _RELIEVE_S:
                self.relieve(now_s=now_s)
        self._awake.clear()

    async def _until_room(self) -> None:
        """Wait, while more than a portion is queued, for clients that may yet make room.

        With less than that there is no burst: whoever is full then reads too slowly.
        """
        # No transport tells that there is room again.
        while self._waits_for_room():  # noqa: ASYNC110
            await asyncio.sleep(MOMENT_S)

    def _waits_for_room(self) -> bool:
        is_behind = self._queued_bytes > self.limits.flush_bytes
        return self._patience.waits_for(self._groups.members, is_behind=is_behind)

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
        """Send a snapshot, or what was missed, and then what follows; replaces what was before.

        Args:
            outbox: The subscriber.
            command: What it asked for.
            reply_id: The command's `id`, for the reply.
            now_s: Monotonic seconds, from which the first in-progress candles are a whole interval
                away.

        Returns:
            Bytes of the snapshot or of everything that was missed, which is what a subscribe costs.
        """
        self.leave(outbox)
        wish = Wish.of(command, reply_id)
        outbox.begin(None if command.slow_policy is UNSET else command.slow_policy)
        # Nothing is awaited between the reply and the registration, so no message is published
        # between them.
        if command.since is not UNSET and self.resumes.can_resume(command.since):
            self._awake.set()
            return self.resumes.resume(outbox, wish, command.since, now_s=now_s)
        return self.begin(outbox, wish, now_s=now_s)

    # What `Resumes` calls.

    def attempt(self, outbox: Outbox, action: Callable[[], None]) -> bool:
        """Do something with one subscriber, and forget it if that fails.

        Returns:
            Whether it is still a subscriber to write to.
        """
        try:
            action()
        except Exception as error:  # noqa: BLE001 -- it is logged
            self._lose(outbox, error)
            return False
        self._watch(outbox)
        return True

    def begin(self, outbox: Outbox, wish: Wish, *, now_s: float) -> int:
        """Send a snapshot and then everything after it."""
        snapshot = self._snapshots.get(wish.chosen, wish.history)
        recovered = False if wish.is_resuming else UNSET
        reply = snapshot_reply(snapshot, reply_id=wish.reply_id, recovered=recovered)
        if self.attempt(outbox, partial(outbox.send, reply, counted=False)):
            self.join(outbox, wish, self.engine.seq, now_s=now_s)
        return len(reply)

    def join(self, outbox: Outbox, wish: Wish, seq: int, *, now_s: float) -> None:
        """Let a subscriber that has everything up to a number get what follows."""
        self._groups.join(outbox, wish.chosen, seq)
        if wish.partial_ms is not None:
            self._partials.add(outbox, wish.partial_ms, now_s=now_s)
            self._partials_changed.set()

    def leave(self, outbox: Outbox) -> None:
        """End a subscriber's stream; nothing happens if it has none."""
        has_stream = self.has_stream(outbox)
        self._forget(outbox)
        if has_stream:
            self.attempt(outbox, outbox.end)

    def has_stream(self, outbox: Outbox) -> bool:
        """Return whether a subscriber has a stream that has not ended."""
        return outbox in self._groups or outbox in self.resumes

    def reply(self, outbox: Outbox, payload: bytes) -> None:
        """Send one reply to one subscriber, in order with its stream."""
        self.attempt(outbox, partial(outbox.send, payload))

    # The fan-out.

    def flush(self) -> int | None:
        """Write the next slice: the oldest portion of what is queued, to some of its subscribers.

        Returns:
            The number of messages of a portion that is now written to all, 0 if it is not yet, and
            None if there was nothing to do.
        """
        if self._writing is None:
            if not self._queue:
                return None
            self._writing = self._write_portion()
        written = next(self._writing)
        if written:
            self._writing = None
        return written

    def flush_all(self) -> None:
        """Hand everything that is queued to its subscribers."""
        while self.flush() is not None:
            pass

    def relieve(self, *, now_s: float) -> None:
        """Write to slow subscribers what was withheld from them, or cut them off.

        Args:
            now_s: Monotonic seconds.
        """
        self._relieved_s = now_s
        for outbox in list(self._slow):
            self.attempt(outbox, partial(outbox.relieve, now_s))

    def tick(self, *, now_s: float) -> None:
        """Queue the in-progress candles that are due, behind everything that they speak of.

        Args:
            now_s: Monotonic seconds.
        """
        for group in self._partials.due(now_s):
            since, newcomers, members = group.version, list(group.newcomers), list(group.members)
            if members:
                group.version = self._queue_partials(members, since)
            if newcomers:
                group.version = self._queue_partials(newcomers, 0)
                group.promote()

    def _queue_partials(self, outboxes: Sequence[Outbox], since: int) -> int:
        """Queue the in-progress candles that changed after a version; return the new version."""
        version, batch = self.engine.partials(since)
        if len(batch):
            self._enqueue(_Queued(batch, receivers=dict.fromkeys(outboxes)))
        return version

    def _unqueue_partials(self, outbox: Outbox) -> None:
        """Keep in-progress candles that wait from a subscriber that has not asked for them now."""
        for receivers in (self._receivers, *(queued.receivers for queued in self._queue)):
            if receivers is not None:
                receivers.pop(outbox, None)

    def _enqueue(self, queued: _Queued) -> None:
        self._queue.append(queued)
        self._queued_bytes += queued.batch.frames_bytes
        while self._queued_bytes > self.limits.max_queued_bytes:
            self.flush()
        self._awake.set()

    def _write_portion(self) -> Iterator[int]:
        """Write the oldest portion; yield 0 after each slice, and its messages after the last."""
        queued = self._take_portion()
        batch = Batch.joined([one.batch for one in queued])
        receivers = self._receivers = queued[0].receivers
        cost_bytes = 0
        for step_bytes in self._write(batch, receivers):
            cost_bytes += step_bytes
            if cost_bytes >= _SLICE_COST_BYTES:
                cost_bytes = 0
                yield 0
        if receivers is None:
            self._on_written(queued[0].published_ns, len(batch))
        yield len(batch)

    def _take_portion(self) -> list[_Queued]:
        """Take from the queue what is written at once: a batch, and what fits with it."""
        portion = [self._queue.popleft()]
        size = portion[0].batch.frames_bytes
        while self._queue and portion[0].receivers is self._queue[0].receivers is None:
            more = self._queue[0].batch.frames_bytes
            if size + more > self.limits.flush_bytes:
                break
            portion.append(self._queue.popleft())
            size += more
        self._queued_bytes -= size
        return portion

    def _write(self, batch: Batch, receivers: dict[Outbox, None] | None) -> Iterator[int]:
        """Write a portion; yield after each step what it cost, in bytes.

        Whoever joins in between has the portion in the snapshot, also who was a member before: the
        number of the snapshot tells.
        """
        for group, members in self._groups.receiving(receivers):
            shares = shares_of(
                group.filter.of(batch),
                max_bytes=self.limits.flush_bytes,
                window_bits=group.window_bits,
            )
            yield WRITE_COST_BYTES
            for number, share in enumerate(shares):
                # Between two shares of one subscriber its transport must have its turn.
                yield _SLICE_COST_BYTES if number else _making_cost(share, group)
                yield from self._write_share(share, group, members, receivers)

    def _write_share(
        self,
        share: Share,
        group: Group,
        members: Iterable[Outbox],
        receivers: dict[Outbox, None] | None,
    ) -> Iterator[int]:
        """Write a share to some members of its group."""
        is_current = receivers is not None
        later: dict[int, Share | None] = {}
        for outbox in list(members):
            joined_seq = group.joined.get(outbox)
            # Who has left meanwhile is no receiver any more, whether or not it has come back.
            if joined_seq is None or (receivers is not None and outbox not in receivers):
                continue
            own: Share | None = share
            if joined_seq >= share.first_seq and not (is_current and joined_seq == share.first_seq):
                if joined_seq not in later:
                    later[joined_seq] = share.after(joined_seq)
                own = later[joined_seq]
            if own is not None:
                self._deliver(outbox, own, is_current=is_current)
                yield len(own.frames) + WRITE_COST_BYTES

    def _deliver(self, outbox: Outbox, share: Share, *, is_current: bool) -> None:
        """Write a share to one subscriber, and forget it if that fails; the others never notice."""
        try:
            outbox.deliver(share, is_current=is_current)
        except Exception as error:  # noqa: BLE001 -- it is logged
            self._lose(outbox, error)
        else:
            if outbox.is_slow or self._slow:
                self._watch(outbox)

    def _watch(self, outbox: Outbox) -> None:
        """Look after a subscriber as long as it is slow."""
        if not outbox.is_slow:
            self._slow.discard(outbox)
        elif outbox not in self._slow:
            self._slow.add(outbox)
            # Its time begins with the next look, which is due.
            self._relieved_s = -math.inf
            self._awake.set()

    def _lose(self, outbox: Outbox, error: Exception) -> None:
        """Log why a subscriber is lost, and forget it."""
        if isinstance(error, SlowConsumerError):
            _LOGGER.warning("client %s was cut off: %s", outbox, error)
        else:
            _LOGGER.error(
                "client %s was cut off: it could not be written to", outbox, exc_info=error
            )
        self._forget(outbox)

    def _forget(self, outbox: Outbox) -> None:
        """Take a subscriber out of everything, as far as it is in it."""
        self._slow.discard(outbox)
        self.resumes.remove(outbox)
        if not self._groups.leave(outbox):
            return
        if self._partials.remove(outbox):
            self._unqueue_partials(outbox)
        if not len(self._groups):
            self._queue.clear()
            self._queued_bytes = 0
            self._writing = None


def _making_cost(share: Share, group: Group) -> int:
    """Return what it cost to make a share."""
    return len(share.frames) * DEFLATE_COST if group.window_bits else 0
