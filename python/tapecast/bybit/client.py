"""One upstream connection: a line, kept alive for ever."""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tapecast.aliases import Category
from tapecast.bybit.backoff import Backoff, ConnectBudget
from tapecast.bybit.protocol import (
    Accepted,
    Broken,
    Event,
    Rejected,
    Send,
    Session,
    Timing,
    Unanswered,
    is_trade_frame,
    name_of,
    topic_of,
)
from tapecast.errors import FeedStale

__all__ = ["Clock", "Line", "LineConfig", "LineSink", "SystemClock"]

_LOGGER = logging.getLogger(__name__)

_MAX_FRAME_BYTES: Final = 2 << 20
"""Far above the largest message: 1024 trades of about 180 bytes."""

_CLOSE_TIMEOUT_S: Final = 1.0
_SEND_TIMEOUT_S: Final = 5.0

_TICK_S: Final = 1.0
"""Most between two looks at what is due: a reply may bring that forward."""

_SETTLED_S: Final = 60.0
"""A connection that lived so long was a good one: its end is followed by a quick retry.

One that was cut sooner counts as a failure like any other, even if it was subscribed: an exchange
that cuts every line after some seconds must not be connected to a few times a second.
"""

_POLICY_VIOLATION: Final = 1008
_POLICY_WAIT_S: Final = 30.0
_TLS_WAIT_S: Final = 10.0
_FORBIDDEN: Final = frozenset({403, 429})


class Clock(Protocol):
    """Where a line reads time, and how it waits."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


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


class _LostError(Exception):
    """The connection is of no use any more, and must be cut without a word.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
                reason, at_least_s = await self._live_once()
                if self._has_settled():
                    self._backoff.reset()
                self.reconnects_total += 1
                self._sink.on_state(self, "reconnecting", reason)
                await self._clock.sleep(self._backoff.next_s(at_least_s=at_least_s))
        finally:
            self._lose()
            self._sink.on_state(self, "closed", "")

    def _has_settled(self) -> bool:
        # Time that was spent on connecting does not count.
        since_s = self._connected_s
        return since_s is not None and self._clock.monotonic_s() - since_s >= _SETTLED_S

    async def _live_once(self) -> tuple[str, float]:
        """Connect and stay until that is over; return why, and what to wait at least."""
        config = self.config
        self._connected_s = None
        try:
            await self._connect_and_converse()
        except _LostError as lost:
            return lost.reason, 0.0
        except ConnectionClosed as closed:
            return _describe_close(closed)
        except InvalidStatus as error:
            status = error.response.status_code
            wait_s = config.forbidden_wait_s if status in _FORBIDDEN else 0.0
            return f"cannot connect: HTTP {status}", wait_s
        except InvalidHandshake as error:
            return f"cannot connect: {error}", 0.0
        except ssl.SSLError as error:
            return _describe_tls(error), _TLS_WAIT_S
        except TimeoutError:
            return f"cannot connect: no connection within {config.open_timeout_s:g} s", 0.0
        except OSError as error:
            return f"cannot connect: {error}", 0.0
        except Exception as error:
            # Whatever the other side made of the handshake or a frame, a line goes on.
            _LOGGER.exception("line %s failed", config.name)
            return f"{type(error).__name__}: {error}", 0.0
        raise AssertionError("a conversation ended without a reason")

    async def _connect_and_converse(self) -> None:
        connection = await self._open()
        try:
            self._connected_s = self._clock.monotonic_s()
            self._sink.on_state(self, "connected", "")
            await self._converse(connection)
        except _LostError:
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
        tasks = (
            asyncio.create_task(self._receive(connection, session), name=f"{config.name}-receiver"),
            asyncio.create_task(
                self._keep(connection, session, opening), name=f"{config.name}-keeper"
            ),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
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
                self._sink.on_frame(self, frame, received_ns)
            else:
                await self._carry_out(connection, session.receive(frame, now_s))

    async def _keep(
        self, connection: ClientConnection, session: Session, opening: Sequence[Event]
    ) -> None:
        """Subscribe, then do what is due by time: pings, refused topics, the end of a dead line."""
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
                    raise _LostError(str(error))

    def _lose(self) -> None:
        if self._covered:
            covered, self._covered = list(self._covered), {}
            self._sink.on_lost(self, covered, self._alive_ms)


async def _send(connection: ClientConnection, payload: bytes) -> None:
    """Send a text frame; a peer that takes nothing must not hold up who looks after the line."""
    try:
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await connection.send(payload, text=True)
    except TimeoutError:
        raise _LostError(f"a frame could not be sent within {_SEND_TIMEOUT_S:g} s") from None


async def _hang_up(connection: ClientConnection) -> None:
    """Close politely, in bounded time, whether or not the other side answers."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection.close()
    except TimeoutError:
        pass
    finally:
        connection.transport.abort()


def _describe_close(closed: ConnectionClosed) -> tuple[str, float]:
    """Return who ended a connection and why, and what to wait at least."""
    theirs, ours = closed.rcvd, closed.sent
    if theirs is not None and (ours is None or closed.rcvd_then_sent):
        wait_s = _POLICY_WAIT_S if theirs.code == _POLICY_VIOLATION else 0.0
        return f"closed by the exchange: {theirs.code} {theirs.reason}".rstrip(), wait_s
    if ours is not None:
        return f"closed by us: {ours.code} {ours.reason}".rstrip(), 0.0
    return "connection lost without a close frame", 0.0


def _describe_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: certificate was refused: {error.verify_message}"
    return f"tls: {(error.reason or str(error)).replace('_', ' ').lower()}"
