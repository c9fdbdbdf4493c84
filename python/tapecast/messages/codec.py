"""Messages from bytes and to bytes."""

import re
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tapecast.messages.commands import Command
from tapecast.messages.fields import Topic
from tapecast.messages.stream import (
    Bye,
    ErrorReply,
    GapClient,
    GapUpstream,
    Message,
    Ohlcv,
    Pong,
    Resumed,
    ServerMessage,
    Snapshot,
    Stats,
    Trade,
    Unsubscribed,
    Upstream,
)

__all__ = ["decode_message", "encode_message", "snapshot_reply"]

_EXACT_NUMBER = re.compile(rb"(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")


class _Head(msgspec.Struct):
    """Just enough of a message to know its type."""

    topic: Topic
    type: str
    scope: str | UnsetType = UNSET


_HEAD_DECODER = msgspec.json.Decoder(_Head)
_FIELDS_DECODER = msgspec.json.Decoder(dict[str, Raw])
_ITEMS_DECODER = msgspec.json.Decoder(list[dict[str, Raw]])
_ENCODER = msgspec.json.Encoder()
_DECODERS: Final[dict[tuple[str, str | UnsetType], msgspec.json.Decoder[ServerMessage]]] = {
    ("stats", UNSET): msgspec.json.Decoder(Stats),
    ("trade", UNSET): msgspec.json.Decoder(Trade),
    ("ohlcv", UNSET): msgspec.json.Decoder(Ohlcv),
    ("gap", "upstream"): msgspec.json.Decoder(GapUpstream),
    ("gap", "client"): msgspec.json.Decoder(GapClient),
    ("upstream", UNSET): msgspec.json.Decoder(Upstream),
    ("snapshot", UNSET): msgspec.json.Decoder(Snapshot),
    ("resumed", UNSET): msgspec.json.Decoder(Resumed),
    ("unsubscribed", UNSET): msgspec.json.Decoder(Unsubscribed),
    ("pong", UNSET): msgspec.json.Decoder(Pong),
    ("error", UNSET): msgspec.json.Decoder(ErrorReply),
    ("bye", UNSET): msgspec.json.Decoder(Bye),
}


def decode_message(payload: bytes) -> ServerMessage:
    """Read one message of the stream, strictly.

    Everything that the contract promises about one message is checked: the fields, their types and
    ranges, and that prices, sizes and volumes are numbers with neither exponent nor trailing zeros.

    Args:
        payload: One text frame as UTF-8 bytes.

    Raises:
        msgspec.DecodeError: If the payload is not JSON (or, as its subclass
        `msgspec.ValidationError`, if it breaks
            the contract).
    """
    head = _HEAD_DECODER.decode(payload)
    decoder = _DECODERS.get((head.type, head.scope))
    if decoder is None:
        found = head.type if head.scope is UNSET else f"{head.type}/{head.scope}"
        raise msgspec.ValidationError(f'message type is "{found}", expected one of the contract')
    message = decoder.decode(payload)
    _check_fields(type(message), _FIELDS_DECODER.decode(payload))
    return message


def _check_fields(kind: type[Message], fields: dict[str, Raw]) -> None:
    """Raise unless a message names itself and prints its exact numbers as the contract says."""
    # The types have defaults for these, for whoever makes a message.
    for name in ("topic", "type"):
        if name not in fields:
            raise msgspec.ValidationError(f"{name} is missing, expected it in every message")
    numbers = {name: fields[name] for name in kind.exact_fields}
    if kind is Snapshot:
        if "stats" in fields:
            _check_fields(Stats, _FIELDS_DECODER.decode(fields["stats"]))
        for section, item_kind in (("trades", Trade), ("ohlcv", Ohlcv)):
            for item in _ITEMS_DECODER.decode(fields.get(section, b"[]")):
                _check_fields(item_kind, item)
    elif kind is Stats:
        numbers = _FIELDS_DECODER.decode(fields["last_prices"])
    for name, raw in numbers.items():
        # Where null may stand, its type says.
        if bytes(raw) != b"null" and not _EXACT_NUMBER.fullmatch(bytes(raw)):
            raise msgspec.ValidationError(
                f"{name} is {bytes(raw).decode()}, expected a plain decimal number"
            )


def encode_message(message: ServerMessage | Command) -> bytes:
    """Return the message or command as the UTF-8 bytes of one text frame."""
    return _ENCODER.encode(message)


class _ReplyFields(msgspec.Struct, frozen=True):
    """What a snapshot says beyond the engine's own part, as it answers one command."""

    recovered: bool | UnsetType = UNSET
    id: Raw | UnsetType = UNSET


def snapshot_reply(
    snapshot: bytes, *, reply_id: Raw | UnsetType, recovered: bool | UnsetType
) -> bytes:
    """Return a snapshot with the fields that belong to one client's command.

    Args:
        snapshot: A finished JSON object with at least one field; it is shared and stays as it is.
        reply_id: The command's `id` as it was sent.
        recovered: Whether the stream was resumed; unset if the command did not ask for that.
    """
    fields = _ENCODER.encode(_ReplyFields(recovered=recovered, id=reply_id))
    if fields == b"{}":
        return snapshot
    # Splicing costs one copy, where decoding a snapshot of many candles would cost far more.
    return b"%b,%b" % (snapshot[:-1], fields[1:])
