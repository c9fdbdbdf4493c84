"""One client of the simulated exchange, without its socket: commands in, frames out."""

from __future__ import annotations

from collections import deque
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from tapecast.sim.faults import Hole, NoPong, RefuseSubscribe
from tapecast.sim.protocol import Refusal, is_ping, name_of, subscribed_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from tapecast.sim.injections import Board
    from tapecast.sim.instruments import Category
    from tapecast.sim.protocol import Session

__all__ = ["ABNORMAL", "Connection", "DataFrame", "Ending"]

ABNORMAL: Final = 1006
"""The code of an end without a close frame."""


class DataFrame(NamedTuple):
    """One frame of data, before it is sent to anybody."""

    sent_ms: int
    """When the exchange makes it."""
    topic: str
    """What it is about."""
    symbol: str
    """The same, for options the contract."""
    payload: bytes
    """Its text."""
    trade_ids: tuple[str, ...] = ()
    """Trades in it."""


class Ending(NamedTuple):
    """How the exchange ended a connection."""

    code: int | None
    """Code of the close frame; 1006 for an end without one, `None` for a reset."""
    reason: str = ""
    """Text of the close frame."""


class ConnectionOwner(Protocol):
    """What a connection needs of the exchange."""

    def now_ms(self) -> int:
        """Return the exchange's clock."""

    def subscribed(
        self, connection: Connection, before: AbstractSet[str], after: AbstractSet[str]
    ) -> None:
        """Take note of other subscriptions."""

    def left(self, connection: Connection) -> None:
        """Take note that a connection has ended, from whichever side."""


class Connection:
    """One connection of one client.

    Frames wait in it until they are taken with `pending`, or one by one with `pop`.

    Args:
        number: Its number, from 1 in the order of connecting.
        category: Market of the endpoint.
        session: Its subscriptions.
        owner: The exchange.
        board: The faults.
        max_pending_bytes: How much may wait for it; beyond, it is cut. `None` for no limit.

    Attributes:
        number: The same.
        category: The same.
        ending: How the exchange ended it; `None` as long as it did not.
        on_output: Called when a frame waits or the connection has ended; for sockets.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        *,
        number: int,
        category: Category,
        session: Session,
        owner: ConnectionOwner,
        board: Board,
        max_pending_bytes: int | None = None,
    ) -> None:
        self.number: Final = number
        self.category: Final = category
        self.ending: Ending | None = None
        self.on_output: Callable[[], None] | None = None
        self._session = session
        self._owner = owner
        self._board = board
        self._max_pending_bytes = max_pending_bytes
        self._frames: deque[tuple[int, bytes]] = deque()
        self._pending_bytes = 0
        self._last_ms = 0
        self._open = True

    @property
    def open(self) -> bool:
        """Whether neither side has ended it."""
        return self._open

    @property
    def topics(self) -> AbstractSet[str]:
        """The topics subscribed to at this moment."""
        return self._session.topics

    @property
    def holed(self) -> bool:
        """Whether nothing passes at this moment."""
        return any(self._board.of_connection(Hole, self))

    def receive(self, command: str | bytes) -> None:
        """Carry out one command of the client; its reply, if any, is sent."""
        if not self._open or self.holed:
            return
        now_ms = self._owner.now_ms()
        if self._ignores_pings() and is_ping(command):
            return
        before = frozenset(self._session.topics)
        reply = self._session.receive(
            command, now_ms=now_ms, refusals=self._refusals(command, now_ms)
        )
        if reply:
            self.send(reply, now_ms)
        if self._open:
            self._owner.subscribed(self, before, self._session.topics)

    def ping(self) -> bool:
        """Tell whether a ping of the WebSocket protocol is answered with a pong."""
        return self._open and not self.holed and not self._ignores_pings()

    def send(self, payload: bytes, sent_ms: int) -> None:
        """Queue a frame; a client that lets too much of it wait is cut."""
        if not self._open:
            return
        # What is made later is sent later, whatever the exchange writes into it.
        self._last_ms = max(self._last_ms, sent_ms)
        self._frames.append((self._last_ms, payload))
        self._pending_bytes += len(payload)
        if self._max_pending_bytes is not None and self._pending_bytes > self._max_pending_bytes:
            self.end(Ending(None))
        elif self.on_output is not None:
            self.on_output()

    def pending(self) -> list[bytes]:
        """Take the frames that were sent since the last call, oldest first."""
        return [payload for _, payload in self.pending_timed()]

    def pending_timed(self) -> list[tuple[int, bytes]]:
        """Take the same frames, each with its time, milliseconds that never decrease."""
        taken = list(self._frames)
        self._frames.clear()
        self._pending_bytes = 0
        return taken

    def pop(self) -> bytes | None:
        """Take the oldest frame; `None` if none waits."""
        if not self._frames:
            return None
        _, payload = self._frames.popleft()
        self._pending_bytes -= len(payload)
        return payload

    def end(self, ending: Ending) -> None:
        """End it from the exchange's side; what was sent before can still be taken."""
        if self._open:
            self.ending = ending
            self._leave()
            if self.on_output is not None:
                self.on_output()

    def disconnect(self) -> None:
        """End it from the client's side."""
        if self._open:
            self._leave()

    def _leave(self) -> None:
        self._open = False
        self._owner.left(self)

    def _ignores_pings(self) -> bool:
        return any(self._board.of_connection(NoPong, self))

    def _refusals(self, command: str | bytes, now_ms: int) -> dict[str, Refusal]:
        refusals: dict[str, Refusal] = {}
        for injection in self._board.of_connection(RefuseSubscribe, self):
            fault = injection.fault
            for topic in subscribed_by(command):
                if topic not in refusals and fnmatchcase(name_of(topic), fault.symbols):
                    refusals[topic] = Refusal(fault.form, fault.text)
                    self._board.record(
                        injection, "refused", at_ms=now_ms, connection=self, topic=topic
                    )
        return refusals
