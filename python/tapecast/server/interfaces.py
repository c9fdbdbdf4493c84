"""What the server asks of the engine and of the clock, and what the hub asks of a subscriber."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from tapecast._core import Batch
from tapecast.aliases import MessageType
from tapecast.messages.fields import SlowPolicy
from tapecast.server.share import Share

__all__ = ["Clock", "EngineView", "Outbox", "ServerCounts"]


class EngineView(Protocol):
    """What the server sees of the engine. Nothing here is called from another thread."""

    @property
    def seq(self) -> int:
        """Number of the last published message."""

    @property
    def epoch(self) -> str:
        """Text that changes when the numbering restarts."""

    def snapshot(
        self,
        *,
        history: int = 0,
        types: Sequence[MessageType] | None = None,
        symbols: set[str] | None = None,
    ) -> bytes:
        """Return one finished JSON object that contains everything up to `seq`.

        Args:
            history: Closed candles per symbol; 0 for the newest one alone.
            types: Types of messages to include; None for all.
            symbols: Exact `category:SYMBOL` names to include; None for all.
        """

    def symbols(self) -> Sequence[tuple[str, str]]:
        """Return (category, symbol) of every symbol known so far."""

    def partials(self, since: int = 0) -> tuple[int, Batch]:
        """Return the new version, and the in-progress candles that changed since an old one.

        Args:
            since: The old version; 0 for all candles in progress.
        """


class Clock(Protocol):
    """The two clocks of the daemon."""

    def monotonic_s(self) -> float:
        """Return seconds that never jump, for intervals and rates."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch, for what clients read."""


class Outbox(Protocol):
    """The hub's view of a subscriber.

    What writes raises SlowConsumerError if the subscriber had to be cut off, and any other error if
    it could not be written to; it is not to be used any more then.
    """

    @property
    def window_bits(self) -> int:
        """The window that streamed messages are compressed with for it; 0 for plain ones."""

    @property
    def is_slow(self) -> bool:
        """Whether `relieve` must be called every now and then."""

    @property
    def is_full(self) -> bool:
        """Whether it is on the way to be slow: more than half of what may wait for it does."""

    @property
    def has_room(self) -> bool:
        """Whether more of what it has missed can be written to it: little waits for it."""

    def begin(self, policy: SlowPolicy | None) -> None:
        """Take note of a new subscription.

        Args:
            policy: What it wants to become of messages for which there is no room; None for what
                the server does by itself.
        """

    def end(self) -> None:
        """Write what was withheld, as the subscription is over."""

    def send(self, payload: bytes, *, counted: bool = True) -> None:
        """Send a reply, now, without waiting, in order with the stream.

        Args:
            payload: One finished message.
            counted: Whether these bytes count against the limits. A snapshot's do not: it may be
                larger than the limits by itself.
        """

    def give_back(self, share: Share) -> None:
        """Send what a returning client has missed, which does not count against its limits."""

    def deliver(self, share: Share, *, is_current: bool = False) -> None:
        """Send streamed messages in order, now, without waiting, or what the policy makes of them.

        Args:
            share: The messages; shared between subscribers.
            is_current: Whether they are of use only now, so that a slow subscriber does without.
        """

    def relieve(self, now_s: float) -> None:
        """Write what was withheld if there is room again, or cut off who was too slow for too long.

        Args:
            now_s: Monotonic seconds.
        """


@dataclass(slots=True)
class ServerCounts:
    """Totals of the server since the start, under the names that stats messages give them.

    Attributes:
        sent_messages: Messages handed to clients' sockets, replies and snapshots included.
        dropped_messages: Messages that a slow client did not get: dropped or replaced by newer ones
            on its behalf, or still waiting when it was cut off.
        slow_consumers: Clients that were cut off because too much waited for them.
        rejected_clients: Connections that were answered 503.
        command_errors: Commands that were answered with an error.
    """

    sent_messages: int = 0
    dropped_messages: int = 0
    slow_consumers: int = 0
    rejected_clients: int = 0
    command_errors: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the totals by name, for the engine's stats."""
        return asdict(self)
