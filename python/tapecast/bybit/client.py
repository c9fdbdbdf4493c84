"""One upstream connection: a line, kept alive for ever."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from websockets.exceptions import ConnectionClosed

from tapecast.aliases import Category
from tapecast.bybit.backoff import Backoff, ConnectBudget
from tapecast.bybit.connection import Connection, Opener, Target, WebSockets, hang_up
from tapecast.bybit.events import (
    Accepted,
    Broken,
    Closed,
    Doubted,
    Event,
    Probe,
    Rejected,
    Send,
    Timing,
    Unanswered,
)
from tapecast.bybit.failures import RENEWED, Failure, LostError, RenewedError, describe
from tapecast.bybit.liveness import Traffic
from tapecast.bybit.protocol import Session
from tapecast.bybit.sink import LineSink
from tapecast.bybit.topics import is_kline_topic, name_of, topic_of
from tapecast.clocks import SystemClock
from tapecast.errors import FeedStale
from tapecast.frames import frame_ts_ms, is_trade_frame

__all__ = ["Clock", "Line", "LineConfig"]

_LOGGER = logging.getLogger(__name__)

_SEND_TIMEOUT_S: Final = 5.0

_MAX_LAG_MS: Final = 60_000

_TICK_S: Final = 1.0
"""Most between two looks at what is due: a reply may bring that forward."""

_OVERSLEPT_S: Final = 0.25
_YIELDS: Final = 4
"""A process that was busy or stopped for longer than that reads what has come meanwhile before it
calls a line silent: so many turns of the loop do."""

_SETTLED_S: Final = 10.0
"""A connection that lived so long was a good one: its end is followed by a quick retry.

One that was cut sooner counts as a failure like any other, even if it was subscribed: an exchange
that cuts every line after some seconds must not be connected to a few times a second.
"""

_PLACE_PATIENCE: Final = 0.25
"""A line of the next place waits so much longer for silent topics: siblings, which are silent
together when the market is, are not cut together."""


class Clock(Protocol):
    """Where a line reads time, and how it waits."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


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
        place: Its number among the lines of the same topics, from 0: it takes the address of that
            number, and waits longer for silent topics, so that siblings do not fail together.
        audit: Whether it also carries the exchange's own candles; there are none for options.
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
    place: int = 0
    audit: bool = False


class Line:
    """One upstream connection, connected again whenever it is lost.

    Args:
        config: What it is to do.
        sink: Who is told.
        clock: Time.
        budget: Connects shared with the other lines.
        chance: Where jitter comes from.
        opener: Opens its connections; over the network by default.

    Attributes:
        config: What it is to do.
        reconnects_total: Times that it was lost or could not be had, and was tried again.
        renewals_total: Times that it was replaced because `renew` was called.
        frames_total: Trade frames that it brought.
        closes: Ends of connections and of attempts to connect, by `Failure.kind`: of few kinds.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        config: LineConfig,
        sink: LineSink,
        *,
        clock: Clock | None = None,
        budget: ConnectBudget | None = None,
        chance: random.Random | None = None,
        opener: Opener | None = None,
    ) -> None:
        self.config = config
        self.reconnects_total = 0
        self.renewals_total = 0
        self.frames_total = 0
        self.closes: Counter[str] = Counter()
        self._sink = sink
        self._clock = clock or SystemClock()
        self._budget = budget or ConnectBudget()
        self._opener = opener or WebSockets()
        self._backoff = Backoff(
            base_s=config.backoff_base_s,
            cap_s=config.backoff_cap_s,
            random=chance or random.Random(),  # noqa: S311 -- jitter, no secret
        )
        self._traffic = Traffic(
            config.topics,
            stale_after_s=config.timing.stale_after_s,
            patience=1 + config.place * _PLACE_PATIENCE,
        )
        # Attempts since the last connection that failed to bring one.
        self._misses = 0
        # Of earlier connections; the present one counts its own.
        self._unknown_before = 0
        self._bad_klines_before = 0
        self._session: Session | None = None
        # What is received at present, and the wall clock when the last frame was read.
        self._covered: dict[str, None] = {}
        self._alive_ms = 0
        # The last trade frame, with when it was read: how late we read is asked at the end alone.
        self._last_frame: tuple[bytes, int] | None = None
        # When the last connection was established, monotonic and wall; none if it was not.
        self._connected_s: float | None = None
        self._connected_ms = 0
        # Fails when its connection is to be replaced; none while there is no connection.
        self._renewal: asyncio.Future[None] | None = None
        # Symbols whose candles are refused, and connections that are being closed.
        self._without_klines: set[str] = set()
        self._farewells: set[asyncio.Task[None]] = set()

    @property
    def unknown_frames_total(self) -> int:
        """Frames that were neither trades nor anything that the protocol knows."""
        return self._unknown_before + (self._session.unknown_total if self._session else 0)

    @property
    def bad_klines_total(self) -> int:
        """Messages of candles that could not be read."""
        return self._bad_klines_before + (self._session.bad_klines_total if self._session else 0)

    @property
    def connected_since_ms(self) -> int | None:
        """The wall clock when its connection was established; `None` if there is none."""
        return None if self._session is None else self._connected_ms

    @property
    def age_s(self) -> float | None:
        """How long its connection has lived; `None` if there is none."""
        if self._session is None or self._connected_s is None:
            return None
        return self._clock.monotonic_s() - self._connected_s

    @property
    def lag_ms(self) -> int | None:
        """How long after it was made its last trade frame was read; `None` before the first.

        It compares two clocks and may be negative.
        """
        if self._last_frame is None:
            return None
        frame, read_ms = self._last_frame
        ts_ms = frame_ts_ms(frame)
        return None if ts_ms is None else read_ms - ts_ms

    def heard_s(self, topic: str) -> float | None:
        """Return when its last trade frame of a topic came, monotonic; `None` if none did."""
        return self._traffic.heard_s(topic)

    def is_covering(self, topics: Sequence[str]) -> bool:
        """Return whether all of these topics are received."""
        return all(topic in self._covered for topic in topics)

    def suspect(self, topic: str) -> None:
        """Subscribe a topic anew within a second, of which others bring what this line does not.

        The second time within ten minutes of one connection, the connection is given up.
        """
        if self._session is not None:
            self._session.suspect(topic)

    def renew(self, reason: str) -> None:
        """Close the connection and connect anew at once; without one there is nothing to do.

        It does not count as a failure, but as a connect of the budget.
        """
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_exception(RenewedError(reason))

    async def run(self) -> None:
        """Connect, subscribe and receive, for ever: it ends by being cancelled alone."""
        self._sink.on_state(self, "connecting", "")
        try:
            while True:
                wait_s = self._budget.take(self._clock.monotonic_s())
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
                failure = await self._live_once()
                self.closes[failure.kind] += 1
                if self._has_settled():
                    self._backoff.reset()
                if failure.kind == RENEWED:
                    self.renewals_total += 1
                    self._sink.on_state(self, "reconnecting", failure.reason)
                    continue
                self.reconnects_total += 1
                self._sink.on_state(self, "reconnecting", failure.reason)
                await self._clock.sleep(self._backoff.next_s(at_least_s=failure.wait_s))
        finally:
            self._lose()
            self._sink.on_state(self, "closed", "")
            if self._farewells:
                await asyncio.wait(self._farewells)

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
                failure = Failure(f"{type(error).__name__}: {error}", "error")
            return failure
        raise AssertionError("a conversation ended without a reason")

    async def _connect_and_converse(self) -> None:
        connection = await self._open()
        try:
            self._connected_s = self._clock.monotonic_s()
            self._connected_ms = self._clock.wall_ns() // 1_000_000
            self._sink.on_state(self, "connected", "")
            await self._converse(connection)
        except LostError:
            # A dead peer cannot shake hands: no close frame, no waiting.
            connection.abort()
            raise
        except RenewedError:
            # The new connection does not wait for the end of the old one.
            farewell = asyncio.create_task(hang_up(connection), name=f"{self.config.name}-farewell")
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)
            raise
        except BaseException:
            # Told before the farewell: what is lost does not wait for it.
            self._lose()
            await hang_up(connection)
            raise
        finally:
            self._lose()

    async def _open(self) -> Connection:
        config = self.config
        target = Target(config.url, config.proxy, config.place + self._misses)
        self._misses += 1
        async with asyncio.timeout(config.open_timeout_s):
            connection = await self._opener(target, self._on_bytes)
        self._misses = 0
        return connection

    def _on_bytes(self) -> None:
        if self._session is not None:
            self._session.alive(self._clock.monotonic_s())

    async def _converse(self, connection: Connection) -> None:
        """Receive and keep the connection up until either of both fails, which ends the other."""
        config = self.config
        session = Session(
            config.name,
            config.category,
            [topic_of(name) for name in config.topics],
            config.timing,
            traffic=self._traffic,
            audit=config.audit,
        )
        self._session = session
        renewal = self._renewal = asyncio.get_running_loop().create_future()
        opening = session.open(self._clock.monotonic_s())
        receiver = asyncio.create_task(
            self._receive(connection, session), name=f"{config.name}-receiver"
        )
        keeper = asyncio.create_task(
            self._keep(connection, session, opening), name=f"{config.name}-keeper"
        )
        parts = (receiver, keeper, renewal)
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:
                if part in done:
                    part.result()
            # The keeper left a closed connection: there may be frames to read yet.
            await receiver
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._renewal = None
            self._unknown_before += session.unknown_total
            self._bad_klines_before += session.bad_klines_total
            self._session = None

    async def _receive(self, connection: Connection, session: Session) -> None:
        while True:
            frame = await connection.recv(decode=False)
            received_ns = self._clock.wall_ns()
            self._alive_ms = received_ns // 1_000_000
            now_s = self._clock.monotonic_s()
            if is_trade_frame(frame):
                session.hear(frame, now_s)
                self.frames_total += 1
                self._last_frame = frame, self._alive_ms
                self._sink.on_frame(self, frame, received_ns)
            else:
                await self._carry_out(connection, session.receive(frame, now_s))

    async def _keep(
        self, connection: Connection, session: Session, opening: Sequence[Event]
    ) -> None:
        """Subscribe, then do what is due by time: pings, refused topics, the end of a dead line.

        It returns when the connection is closed, and raises whatever else ends it.
        """
        # The receiver says why it was closed, after the frames that came before that.
        with suppress(ConnectionClosed):
            await self._carry_out(connection, opening)
            while True:
                due_s = session.next_due_s - self._clock.monotonic_s()
                await self._pause(min(max(0.0, due_s), _TICK_S))
                await self._carry_out(connection, session.tick(self._clock.monotonic_s()))

    async def _pause(self, seconds: float) -> None:
        until_s = self._clock.monotonic_s() + seconds
        await self._clock.sleep(seconds)
        if self._clock.monotonic_s() - until_s >= _OVERSLEPT_S:
            for _ in range(_YIELDS):
                await self._clock.sleep(0)

    async def _carry_out(self, connection: Connection, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Send(payload):
                    await _within(connection.send(payload, text=True), _SEND_TIMEOUT_S)
                case Probe():
                    await _within(connection.ping(), self.config.timing.silence_abort_s)
                case Broken(error, kind):
                    if isinstance(error, FeedStale):
                        self._sink.on_state(self, "stale", str(error))
                    raise LostError(str(error), kind)
                case _:
                    self._tell(event)

    def _tell(self, event: Event) -> None:
        match event:
            case Accepted(topics):
                names = [name_of(topic) for topic in topics]
                self._covered.update(dict.fromkeys(names))
                self._sink.on_subscribed(self, names, self._clock.wall_ns() // 1_000_000)
            case Doubted(topics, heard_s):
                self._doubt([name_of(topic) for topic in topics], heard_s)
            case Rejected(topic, reason):
                self._reject(topic, reason)
            case Closed(klines):
                self._sink.on_klines(self, klines)
            case Unanswered():
                _LOGGER.warning("line %s: pings are unanswered, data comes", self.config.name)

    def _reject(self, topic: str, reason: str) -> None:
        name = name_of(topic)
        if not is_kline_topic(topic):
            self._sink.on_rejected(self, name, reason)
        elif name not in self._without_klines:
            self._without_klines.add(name)
            _LOGGER.warning("line %s: no candles of %s: %s", self.config.name, name, reason)

    def _doubt(self, names: Sequence[str], heard_s: float) -> None:
        """Count topics as lost since they were heard last, though the line lives."""
        silent_ms = round((self._clock.monotonic_s() - heard_s) * 1000)
        at_ms = self._clock.wall_ns() // 1_000_000 - silent_ms - self._late_ms()
        lost = [name for name in names if name in self._covered]
        for name in lost:
            del self._covered[name]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            _LOGGER.warning("line %s subscribes %s%s anew", self.config.name, lost[0], more)
            self._sink.on_lost(self, lost, at_ms)

    def _lose(self) -> None:
        if self._covered:
            covered, self._covered = list(self._covered), {}
            self._sink.on_lost(self, covered, self._alive_ms - self._late_ms())
        self._last_frame = None

    def _late_ms(self) -> int:
        """Return how late the last trade frame was read: what came after it was read as late.

        Frames that wait in a buffer while the process is busy are read long after the exchange has
        made them, and perhaps after it has cut the line.
        """
        lag_ms = self.lag_ms
        # Beyond a minute it is the clocks that differ.
        return lag_ms if lag_ms is not None and 0 < lag_ms <= _MAX_LAG_MS else 0


async def _within(sending: Coroutine[object, object, object], seconds: float) -> None:
    """Send something; a peer that takes nothing must not hold up who looks after the line."""
    try:
        async with asyncio.timeout(seconds):
            await sending
    except TimeoutError:
        raise LostError(f"a frame could not be sent within {seconds:g} s") from None
