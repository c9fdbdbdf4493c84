"""One upstream connection: a line, kept alive for ever."""

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tapecast.aliases import Category
from tapecast.bybit.backoff import Backoff, ConnectBudget
from tapecast.bybit.failures import Failure, LostError, describe
from tapecast.bybit.protocol import (
    Accepted,
    Broken,
    Event,
    Rejected,
    Send,
    Session,
    Timing,
    Unanswered,
    name_of,
    topic_of,
)
from tapecast.clocks import SystemClock
from tapecast.errors import FeedStale
from tapecast.frames import frame_ts_ms, is_trade_frame

__all__ = ["Clock", "Line", "LineConfig", "LineSink"]

_LOGGER = logging.getLogger(__name__)

_MAX_FRAME_BYTES: Final = 2 << 20
"""Far above the largest message: 1024 trades of about 180 bytes."""

_CLOSE_TIMEOUT_S: Final = 1.0
_SEND_TIMEOUT_S: Final = 5.0

_MAX_LAG_MS: Final = 60_000

_TICK_S: Final = 1.0
"""Most between two looks at what is due: a reply may bring that forward."""

_SETTLED_S: Final = 60.0
"""A connection that lived so long was a good one: its end is followed by a quick retry.

One that was cut sooner counts as a failure like any other, even if it was subscribed: an exchange
that cuts every line after some seconds must not be connected to a few times a second.
"""


class Clock(Protocol):
    """Where a line reads time, and how it waits."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class LineSink(Protocol):
    """Who is told of everything that happens on a line; its methods must not block or raise."""

    def on_frame(self, line: "Line", frame: bytes, received_ns: int) -> None:
        """Take one trade frame, raw, with the wall clock at receipt."""

    def on_state(self, line: "Line", state: str, reason: str) -> None:
        """Take note of `connecting`, `connected`, `stale`, `reconnecting` or `closed`, and why.

        `stale` is followed by `reconnecting`, `closed` by nothing.
        """

    def on_subscribed(self, line: "Line", topics: Sequence[str], at_ms: int) -> None:
        """Take note that these topics (symbols, or base coins) are received from `at_ms` on.

        It is the wall clock when the acknowledgement was read, in milliseconds, so it is not too
        early but for a difference between our clock and the exchange's.
        """

    def on_lost(self, line: "Line", topics: Sequence[str], at_ms: int) -> None:
        """Take note that these topics were received up to `at_ms`, and no longer are.

        It is the wall clock when the last frame was read, in milliseconds. A trade that was on its
        way then, or that our clock is ahead of, has an earlier time and is missed all the same.
        """

    def on_rejected(self, line: "Line", topic: str, reason: str) -> None:
        """Take note that the exchange refused a topic, once more each time that it is asked for.

        `on_subscribed` takes it back.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LineConfig:
    """What one line is to do.

    Attributes:
        name: Its name, such as `linear-1`.
        category: What it carries.
        topics: Symbols, or base coins for options; all distinct.
        url: Where to connect.
        proxy: Proxy to connect through; the system's variables are ignored.
        timing: Intervals of the protocol.
        open_timeout_s: For connecting, from the look-up of the name to the end of the handshake.
        backoff_base_s: Most that the second retry waits; it doubles from there.
        backoff_cap_s: Most that any retry waits.
        forbidden_wait_s: Least that is waited after HTTP 403 or 429.
    """

    name: str
    category: Category
    topics: tuple[str, ...]
    url: str
    proxy: str | None = None
    timing: Timing = field(default_factory=Timing)
    open_timeout_s: float = 5.0
    backoff_base_s: float = 0.5
    backoff_cap_s: float = 30.0
    forbidden_wait_s: float = 600.0


class _Connect(connect):
    """A connect that stays with the host it was given."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Refuse redirects: the exchange has none, so it is somebody else who redirects."""
        return exc


class Line:
    """One upstream connection, connected again whenever it is lost.

    Args:
        config: What it is to do.
        sink: Who is told.
        clock: Time.
        budget: Connects shared with the other lines.
        chance: Where jitter comes from.

    Attributes:
        config: What it is to do.
        reconnects_total: Times that it was lost or could not be had, and was tried again.
    """

    def __init__(
        self,
        config: LineConfig,
        sink: LineSink,
        *,
        clock: Clock | None = None,
        budget: ConnectBudget | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.config = config
        self.reconnects_total = 0
        self._sink = sink
        self._clock = clock or SystemClock()
        self._budget = budget or ConnectBudget()
        self._backoff = Backoff(
            base_s=config.backoff_base_s,
            cap_s=config.backoff_cap_s,
            random=chance or random.Random(),  # noqa: S311 -- jitter, no secret
        )
        # Unknown frames of earlier connections; the present one counts its own.
        self._unknown_before = 0
        self._session: Session | None = None
        # What is received at present, and the wall clock when the last frame was read.
        self._covered: dict[str, None] = {}
        self._alive_ms = 0
        # The last trade frame, with when it was read: how late we read is asked at the end alone.
        self._last_frame: tuple[bytes, int] | None = None
        # When the last connection was established, monotonic; none if it was not.
        self._connected_s: float | None = None

    @property
    def unknown_frames_total(self) -> int:
        """Frames that were neither trades nor anything that the protocol knows."""
        return self._unknown_before + (self._session.unknown_total if self._session else 0)

    async def run(self) -> None:
        """Connect, subscribe and receive, for ever: it ends by being cancelled alone."""
        self._sink.on_state(self, "connecting", "")
        try:
            while True:
                wait_s = self._budget.take(self._clock.monotonic_s())
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
                failure = await self._live_once()
                if self._has_settled():
                    self._backoff.reset()
                self.reconnects_total += 1
                self._sink.on_state(self, "reconnecting", failure.reason)
                await self._clock.sleep(self._backoff.next_s(at_least_s=failure.wait_s))
        finally:
            self._lose()
            self._sink.on_state(self, "closed", "")

    def _has_settled(self) -> bool:
        # Time that was spent on connecting does not count.
        since_s = self._connected_s
        return since_s is not None and self._clock.monotonic_s() - since_s >= _SETTLED_S

    async def _live_once(self) -> Failure:
        """Connect and stay until that is over; return why it is."""
        config = self.config
        self._connected_s = None
        try:
            await self._connect_and_converse()
        except Exception as error:
            failure = describe(
                error,
                open_timeout_s=config.open_timeout_s,
                forbidden_wait_s=config.forbidden_wait_s,
            )
            if failure is None:
                # Whatever the other side made of the handshake or a frame, a line goes on.
                _LOGGER.exception("line %s failed", config.name)
                failure = Failure(f"{type(error).__name__}: {error}")
            return failure
        raise AssertionError("a conversation ended without a reason")

    async def _connect_and_converse(self) -> None:
        connection = await self._open()
        try:
            self._connected_s = self._clock.monotonic_s()
            self._sink.on_state(self, "connected", "")
            await self._converse(connection)
        except LostError:
            # A dead peer cannot shake hands: no close frame, no waiting.
            connection.transport.abort()
            raise
        finally:
            # Told before the farewell: what is lost does not wait for it.
            self._lose()
            await _hang_up(connection)

    async def _open(self) -> ClientConnection:
        return await _Connect(
            self.config.url,
            # Never seen on the exchange's side, and a bomb could be packed into it.
            compression=None,
            # None is no proxy at all: by default the system's variables would be followed.
            proxy=self.config.proxy,
            open_timeout=self.config.open_timeout_s,
            # The exchange has a ping of its own.
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_FRAME_BYTES,
        )

    async def _converse(self, connection: ClientConnection) -> None:
        """Receive and keep the connection up until either of both fails, which ends the other."""
        config = self.config
        topics = [topic_of(name) for name in config.topics]
        session = Session(config.name, config.category, topics, config.timing)
        self._session = session
        opening = session.open(self._clock.monotonic_s())
        receiver = asyncio.create_task(
            self._receive(connection, session), name=f"{config.name}-receiver"
        )
        keeper = asyncio.create_task(
            self._keep(connection, session, opening), name=f"{config.name}-keeper"
        )
        try:
            done, _ = await asyncio.wait({receiver, keeper}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            # The keeper left a closed connection: there may be frames to read yet.
            await receiver
        finally:
            receiver.cancel()
            keeper.cancel()
            await asyncio.gather(receiver, keeper, return_exceptions=True)
            self._unknown_before += session.unknown_total
            self._session = None

    async def _receive(self, connection: ClientConnection, session: Session) -> None:
        while True:
            frame = await connection.recv(decode=False)
            received_ns = self._clock.wall_ns()
            self._alive_ms = received_ns // 1_000_000
            now_s = self._clock.monotonic_s()
            if is_trade_frame(frame):
                session.alive(now_s)
                self._last_frame = frame, self._alive_ms
                self._sink.on_frame(self, frame, received_ns)
            else:
                await self._carry_out(connection, session.receive(frame, now_s))

    async def _keep(
        self, connection: ClientConnection, session: Session, opening: Sequence[Event]
    ) -> None:
        """Subscribe, then do what is due by time: pings, refused topics, the end of a dead line.

        It returns when the connection is closed, and raises whatever else ends it.
        """
        # The receiver says why it was closed, after the frames that came before that.
        with suppress(ConnectionClosed):
            await self._carry_out(connection, opening)
            while True:
                due_s = session.next_due_s - self._clock.monotonic_s()
                await self._clock.sleep(min(max(0.0, due_s), _TICK_S))
                await self._carry_out(connection, session.tick(self._clock.monotonic_s()))

    async def _carry_out(self, connection: ClientConnection, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Send(payload):
                    await _send(connection, payload)
                case Accepted(topics):
                    names = [name_of(topic) for topic in topics]
                    self._covered.update(dict.fromkeys(names))
                    self._sink.on_subscribed(self, names, self._clock.wall_ns() // 1_000_000)
                case Rejected(topic, reason):
                    self._sink.on_rejected(self, name_of(topic), reason)
                case Unanswered():
                    _LOGGER.warning("line %s: pings are unanswered, data comes", self.config.name)
                case Broken(error):
                    if isinstance(error, FeedStale):
                        self._sink.on_state(self, "stale", str(error))
                    raise LostError(str(error))

    def _lose(self) -> None:
        if self._covered:
            covered, self._covered = list(self._covered), {}
            self._sink.on_lost(self, covered, self._alive_ms - self._lag_ms())
        self._last_frame = None

    def _lag_ms(self) -> int:
        """Return how late the last trade frame was read: what came after it was read as late.

        Frames that wait in a buffer while the process is busy are read long after the exchange has
        made them, and perhaps after it has cut the line.
        """
        if self._last_frame is None:
            return 0
        frame, read_ms = self._last_frame
        ts_ms = frame_ts_ms(frame)
        # Beyond a minute it is the clocks that differ.
        lag_ms = 0 if ts_ms is None else read_ms - ts_ms
        return lag_ms if 0 < lag_ms <= _MAX_LAG_MS else 0


async def _send(connection: ClientConnection, payload: bytes) -> None:
    """Send a text frame; a peer that takes nothing must not hold up who looks after the line."""
    try:
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await connection.send(payload, text=True)
    except TimeoutError:
        raise LostError(f"a frame could not be sent within {_SEND_TIMEOUT_S:g} s") from None


async def _hang_up(connection: ClientConnection) -> None:
    """Close politely, in bounded time, whether or not the other side answers."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection.close()
    except TimeoutError:
        pass
    finally:
        connection.transport.abort()
