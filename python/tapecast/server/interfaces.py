"""What the server asks of the engine and of the clock, and what the hub asks of a subscriber."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from tapecast.aliases import MessageType

__all__ = ["Clock", "EngineView", "Outbox", "ServerCounts", "StreamMessage"]


class StreamMessage(Protocol):
    """One published message, already encoded."""

    @property
    def type(self) -> str:
        """Type of the message, such as `trade`."""

    @property
    def category(self) -> str | None:
        """Market of the symbol; None if the message has none."""

    @property
    def symbol(self) -> str | None:
        """Symbol; None if the message concerns them all."""

    @property
    def seq(self) -> int:
        """Number of the message; of an in-progress candle, the last number published."""

    @property
    def payload(self) -> bytes:
        """One JSON object as UTF-8 bytes."""


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

    def partials(self, since: int = 0) -> tuple[int, Iterable[StreamMessage]]:
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
    """The hub's view of a subscriber."""

    def deliver(self, payloads: Sequence[bytes], *, counted: bool = True) -> None:
        """Send messages in order, now, without waiting.

        Args:
            payloads: Finished messages; they are shared between subscribers.
            counted: Whether these bytes count against the limit of pending bytes. A snapshot's do
                not: it may be larger than the limit by itself.

        Raises:
            SlowConsumerError: If too much waits for this subscriber; it has been cut off.
        """


@dataclass(slots=True)
class ServerCounts:
    """Totals of the server since the start, under the names that stats messages give them.

    Attributes:
        sent_messages: Messages handed to clients' sockets, replies and snapshots included.
        dropped_messages: Messages of deliveries that were not yet sent whole when their client was
            cut off.
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
