"""What a client has asked for, as the hub keeps it."""

from dataclasses import dataclass

from msgspec import UNSET

from tapecast.messages import Subscribe
from tapecast.server.commands import ReplyId
from tapecast.server.filter import Filter

__all__ = ["Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client has asked for.

    Attributes:
        chosen: Types and symbols.
        history: Closed candles per symbol of a snapshot; None for the newest alone.
        partial_ms: Least time between two in-progress candles of one symbol; None for none.
        reply_id: The command's `id`.
        is_resuming: Whether it asked for what it has missed.
    """

    chosen: Filter
    history: int | None
    partial_ms: int | None
    reply_id: ReplyId
    is_resuming: bool

    @classmethod
    def of(cls, command: Subscribe, reply_id: ReplyId) -> "Wish":
        """Return what a command asks for."""
        return cls(
            chosen=Filter(
                None if command.types is UNSET else command.types,
                None if command.symbols is UNSET else command.symbols,
            ),
            history=None if command.history is UNSET else command.history.candles,
            partial_ms=None if command.partial_ms is UNSET else command.partial_ms,
            reply_id=reply_id,
            is_resuming=command.since is not UNSET,
        )
