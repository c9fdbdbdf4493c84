"""Commands: what a client sends.

Unknown fields are refused, for a misspelt filter must not silently deliver everything.
"""

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tapecast.aliases import MessageType
from tapecast.messages.fields import (
    MAX_HISTORY_CANDLES,
    MAX_PARTIAL_MS,
    MIN_PARTIAL_MS,
    JsonScalar,
    NonEmpty,
    Seq,
    SlowPolicy,
    Topic,
)

__all__ = ["ACTIONS", "Command", "History", "Ping", "Since", "Subscribe", "Unsubscribe"]


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last message that a returning client has seen.

    Attributes:
        epoch: Epoch of the snapshot from which the client counts.
        seq: Number of the last message that it received.
    """

    epoch: str
    seq: Seq


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of the past the snapshot holds.

    Attributes:
        candles: Closed candles per symbol, at most; 0 for none. Without a history there is the
            newest one.
    """

    candles: Annotated[int, Meta(ge=0, le=MAX_HISTORY_CANDLES)]


class _Command(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", kw_only=True
):
    """What all commands share.

    Attributes:
        id: Any JSON scalar; the reply echoes it.
    """

    id: JsonScalar | UnsetType = UNSET


class Subscribe(_Command, frozen=True, tag="subscribe"):
    """Ask for a snapshot and then the stream; a second one replaces the first.

    Attributes:
        topic: The stream, always `status`.
        types: Types of streamed messages to receive; all without it.
        symbols: Globs of symbols such as `ETH*`, or of `category:SYMBOL` such as `spot:BTC*`; all
            without it.
        since: Where to resume; without it the snapshot starts afresh.
        history: How many closed candles the snapshot holds per symbol; one without it.
        partial_ms: Also send in-progress candles, at most one per symbol and this interval, in
            milliseconds.
        slow_policy: What becomes of messages that the client is too slow for; without it, what the
            server is set to.
    """

    topic: Topic
    types: tuple[MessageType, ...] | UnsetType = UNSET
    symbols: tuple[NonEmpty, ...] | UnsetType = UNSET
    since: Since | UnsetType = UNSET
    history: History | UnsetType = UNSET
    partial_ms: Annotated[int, Meta(ge=MIN_PARTIAL_MS, le=MAX_PARTIAL_MS)] | UnsetType = UNSET
    slow_policy: SlowPolicy | UnsetType = UNSET


class Unsubscribe(_Command, frozen=True, tag="unsubscribe"):
    """Stop the stream and keep the connection.

    Attributes:
        topic: The stream, always `status`.
    """

    topic: Topic


class Ping(_Command, frozen=True, tag="ping"):
    """Ask for a pong.

    Attributes:
        topic: May be given for symmetry; always `status`.
    """

    topic: Topic | UnsetType = UNSET


Command: TypeAlias = Subscribe | Unsubscribe | Ping
ACTIONS: Final[dict[str, type[Command]]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
}
