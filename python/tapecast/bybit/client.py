"""One upstream connection: a line, kept alive for ever."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

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
    is_trade_frame,
    name_of,
    topic_of,
)

__all__ = ["Clock", "Line", "LineConfig", "LineSink", "SystemClock"]

_LOGGER = logging.getLogger(__name__)

_MAX_FRAME_BYTES: Final = 2 << 20
_CLOSE_TIMEOUT_S: Final = 1.0
_POLICY_WAIT_S: Final = 30.0
_SETTLED_S: Final = 60.0
_POLICY_VIOLATION: Final = 1008
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
        """Take note: `connecting`, `connected`, `reconnecting`, `stale` or `closed`."""

    def on_subscribed(self, line: "Line", topics: Sequence[str], at_ms: int) -> None:
        """Take note that these topics (symbols, or base coins) are received from now on."""

    def on_lost(self, line: "Line", topics: Sequence[str], at_ms: int) -> None:
        """Take note that these topics were received up to `at_ms` at least, and no longer are."""

    def on_rejected(self, line: "Line", topic: str, reason: str) -> None:
        """Take note that the exchange refused a topic; `on_subscribed` takes it back."""


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
        open_timeout_s: For connecting, handshake included.
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
        self.unknown_frames_total = 0
        self._sink = sink
        self._clock = clock or SystemClock()
        self._budget = budget or ConnectBudget()
        self._backoff = Backoff(
            base_s=config.backoff_base_s,
            cap_s=config.backoff_cap_s,
            random=chance or random.Random(),  # noqa: S311 -- jitter, no secret
        )
        self._covered: dict[str, None] = {}
        self._alive_ms = 0
        self._end = ""

    async def run(self) -> None:
        """Connect, subscribe and receive, for ever: it ends by being cancelled alone."""
        self._sink.on_state(self, "connecting", "")
        try:
            while True:
                wait_s = self._budget.take(self._clock.monotonic_s())
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
                started_s = self._clock.monotonic_s()
                reason, at_least_s = await self._live_once()
                self._lose()
                if self._clock.monotonic_s() - started_s >= _SETTLED_S:
                    self._backoff.reset()
                self.reconnects_total += 1
                self._sink.on_state(self, "reconnecting", reason)
                await self._clock.sleep(self._backoff.next_s(at_least_s=at_least_s))
        finally:
            self._lose()
            self._sink.on_state(self, "closed", "")

    async def _live_once(self) -> tuple[str, float]:
        """Connect and stay until the connection is lost; return why, and how long to wait at least."""
        connection: ClientConnection | None = None
        try:
            connection = await self._open()
            self._sink.on_state(self, "connected", "")
            return await self._converse(connection)
        except InvalidStatus as error:
            status = error.response.status_code
            wait_s = self.config.forbidden_wait_s if status in _FORBIDDEN else 0.0
            return f"HTTP {status} on connecting", wait_s
        except ConnectionClosed as error:
            return self._closed(error)
        except TimeoutError:
            return f"no connection within {self.config.open_timeout_s:g} s", 0.0
        except OSError as error:
            return f"cannot connect: {error}", 0.0
        except Exception as error:
            # Whatever the other side made of the handshake or a frame, a line goes on.
            _LOGGER.exception("line %s failed", self.config.name)
            return f"{type(error).__name__}: {error}", 0.0
        finally:
            if connection is not None:
                await self._hang_up(connection)

    async def _open(self) -> ClientConnection:
        return await _Connect(
            self.config.url,
            compression=None,
            proxy=self.config.proxy,
            open_timeout=self.config.open_timeout_s,
            # The exchange has a ping of its own.
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_FRAME_BYTES,
        )

    async def _hang_up(self, connection: ClientConnection) -> None:
        """Close politely, in bounded time, whether or not the other side answers."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await connection.close()
        except TimeoutError:
            connection.transport.abort()

    def _closed(self, error: ConnectionClosed) -> tuple[str, float]:
        if self._end:
            return self._end, 0.0
        close = error.rcvd
        if close is None:
            return "connection lost without a close frame", 0.0
        wait_s = _POLICY_WAIT_S if close.code == _POLICY_VIOLATION else 0.0
        return f"closed by the exchange: {close.code} {close.reason}".rstrip(), wait_s

    async def _converse(self, connection: ClientConnection) -> tuple[str, float]:
        config = self.config
        self._end = ""
        topics = [topic_of(name) for name in config.topics]
        session = Session(config.name, config.category, topics, config.timing)
        await self._carry_out(connection, session.open(self._clock.monotonic_s()))
        keeper = asyncio.create_task(self._keep(connection, session), name=f"{config.name}-keeper")
        try:
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
        finally:
            self.unknown_frames_total += session.unknown_total
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self, connection: ClientConnection, session: Session) -> None:
        """Do what is due by time: pings, refused topics, the end of a dead connection."""
        while True:
            await self._clock.sleep(max(0.0, session.next_due_s - self._clock.monotonic_s()))
            await self._carry_out(connection, session.tick(self._clock.monotonic_s()))

    async def _carry_out(self, connection: ClientConnection, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Send(payload):
                    await connection.send(payload, text=True)
                case Accepted(topics):
                    names = [name_of(topic) for topic in topics]
                    self._covered.update(dict.fromkeys(names))
                    self._sink.on_subscribed(self, names, self._clock.wall_ns() // 1_000_000)
                case Rejected(topic, reason):
                    self._sink.on_rejected(self, name_of(topic), reason)
                case Broken(error):
                    self._end = str(error)
                    self._sink.on_state(self, "stale", self._end)
                    # A dead peer cannot shake hands: no close frame, no waiting.
                    connection.transport.abort()

    def _lose(self) -> None:
        if self._covered:
            covered, self._covered = list(self._covered), {}
            self._sink.on_lost(self, covered, self._alive_ms)
