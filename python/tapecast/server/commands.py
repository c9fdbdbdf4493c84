"""From the text of a frame to a typed command, or to the reason why it is none. No I/O."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tapecast.aliases import MessageType
from tapecast.errors import CommandError
from tapecast.messages import ACTIONS, Command, History, Ping, Since, Subscribe, Unsubscribe
from tapecast.messages.fields import (
    EVENT_TYPES,
    MAX_HISTORY_CANDLES,
    MAX_PARTIAL_MS,
    MIN_PARTIAL_MS,
    SLOW_POLICIES,
    TOPIC,
    ErrorCode,
    SlowPolicy,
)

__all__ = ["Document", "ReplyId", "check_size", "read_command", "read_id", "read_object"]

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"
Document: TypeAlias = Mapping[str, Value]
ReplyId: TypeAlias = Raw | UnsetType
"""A command's `id`, byte for byte as it was sent; unset if it had none that could be read."""

MAX_EXCERPT_CHARACTERS: Final = 64
_VALUE_DECODER: Final[msgspec.json.Decoder[Value]] = msgspec.json.Decoder()
_FIELDS_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])


def check_size(text: str, max_bytes: int) -> None:
    """Raise a `too_large` CommandError if the text is longer than allowed, as UTF-8."""
    size = len(text.encode())
    if size > max_bytes:
        raise CommandError("too_large", f"command has {size} bytes, expected at most {max_bytes}")


def read_object(text: str) -> Document:
    """Return the JSON object that the text holds.

    Raises:
        CommandError: `bad_json` if the text is not JSON, `bad_command` if it is another JSON value.
    """
    try:
        value = _VALUE_DECODER.decode(text)
    except RecursionError:
        raise CommandError(
            "bad_json", "command is nested too deeply, expected one JSON object"
        ) from None
    except (msgspec.DecodeError, ValueError):
        # The library's own words change from version to version, and the client knows what it sent.
        raise CommandError(
            "bad_json", f"command is {_excerpt(text)}, expected one JSON object"
        ) from None
    if not isinstance(value, dict):
        raise _mistake("command", value, "one JSON object")
    return value


def read_id(text: str, document: Document) -> ReplyId:
    """Return the command's `id`, byte for byte, so that a long number comes back as it was.

    Args:
        text: The text of the command.
        document: The object that it holds.

    Raises:
        CommandError: `bad_command` if the `id` is an array or an object.
    """
    if "id" not in document:
        return UNSET
    if isinstance(document["id"], list | dict):
        raise _mistake("id", document["id"], "a string, a number, a boolean or null")
    return _FIELDS_DECODER.decode(text)["id"]


def read_command(document: Document) -> Command:
    """Return the command that a JSON object states.

    Raises:
        CommandError: With one of the contract's codes, if it states none.
    """
    action = _read_action(document)
    fields = ("action", *ACTIONS[action].__struct_fields__)
    for name in document:
        if name not in fields:
            raise CommandError(
                "bad_command", f"{action} has a field {_shown(name)}, expected {_any_of(fields)}"
            )
    if action == "ping":
        if "topic" in document:
            _check_topic(document)
        return Ping()
    _check_topic(document)
    return _read_subscribe(document) if action == "subscribe" else Unsubscribe(topic=TOPIC)


def _read_action(document: Document) -> str:
    """Return what the command asks for."""
    expected = _any_of(f'"{action}"' for action in ACTIONS)
    if "action" not in document:
        raise CommandError("bad_command", f"action is missing, expected {expected}")
    action = document["action"]
    if not isinstance(action, str):
        raise _mistake("action", action, expected)
    if action not in ACTIONS:
        raise _mistake("action", action, expected, code="unknown_action")
    return action


def _check_topic(document: Document) -> None:
    """Raise unless the command names the one topic."""
    if "topic" not in document:
        raise CommandError("bad_command", f'topic is missing, expected "{TOPIC}"')
    topic = document["topic"]
    if topic != TOPIC:
        raise _mistake(
            "topic",
            topic,
            f'"{TOPIC}"',
            code="unknown_topic" if isinstance(topic, str) else "bad_command",
        )


def _read_subscribe(document: Document) -> Subscribe:
    """Return a subscribe command, whose action and topic have been checked."""
    return Subscribe(
        topic=TOPIC,
        types=_read_types(document["types"]) if "types" in document else UNSET,
        symbols=_read_symbols(document["symbols"]) if "symbols" in document else UNSET,
        since=_read_since(document["since"]) if "since" in document else UNSET,
        history=_read_history(document["history"]) if "history" in document else UNSET,
        partial_ms=(
            _read_integer(
                "partial_ms", document["partial_ms"], MIN_PARTIAL_MS, MAX_PARTIAL_MS, unit=" ms"
            )
            if "partial_ms" in document
            else UNSET
        ),
        slow_policy=(
            _read_slow_policy(document["slow_policy"]) if "slow_policy" in document else UNSET
        ),
    )


def _read_types(value: Value) -> tuple[MessageType, ...]:
    """Return the types of messages that the client asks for."""
    known: dict[str, MessageType] = {name: name for name in EVENT_TYPES}
    expected = _any_of(f'"{name}"' for name in known)
    types = []
    for place, name in _read_strings("types", value, "message types"):
        if name not in known:
            raise _mistake(place, name, expected, code="unknown_type")
        types.append(known[name])
    return tuple(types)


def _read_symbols(value: Value) -> tuple[str, ...]:
    """Return the patterns of symbols that the client asks for."""
    patterns = []
    for place, pattern in _read_strings("symbols", value, "symbols or patterns"):
        if not pattern:
            raise _mistake(place, pattern, 'a symbol or a pattern such as "BTC*"')
        patterns.append(pattern)
    return tuple(patterns)


def _read_since(value: Value) -> Since:
    """Return where the client wants to resume."""
    fields = _read_fields("since", value, ("epoch", "seq"))
    epoch, seq = fields["epoch"], fields["seq"]
    if not isinstance(epoch, str):
        raise _mistake("since.epoch", epoch, "a string")
    return Since(epoch=epoch, seq=_read_integer("since.seq", seq, 0, None))


def _read_slow_policy(value: Value) -> SlowPolicy:
    """Return what the client wants to become of messages that it is too slow for."""
    for policy in SLOW_POLICIES:
        if value == policy:
            return policy
    raise _mistake("slow_policy", value, _any_of(f'"{policy}"' for policy in SLOW_POLICIES))


def _read_history(value: Value) -> History:
    """Return how much of the past the client asks for."""
    fields = _read_fields("history", value, ("candles",))
    return History(
        candles=_read_integer("history.candles", fields["candles"], 0, MAX_HISTORY_CANDLES)
    )


def _read_strings(place: str, value: Value, what: str) -> list[tuple[str, str]]:
    """Return the strings of a non-empty array, each with its place."""
    if not isinstance(value, list):
        raise _mistake(place, value, f"an array of {what}")
    if not value:
        raise CommandError("bad_command", f"{place} is empty, expected at least one of the {what}")
    strings = []
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise _mistake(f"{place}[{index}]", item, "a string")
        strings.append((f"{place}[{index}]", item))
    return strings


def _read_fields(place: str, value: Value, names: tuple[str, ...]) -> Document:
    """Return an object that has exactly these fields."""
    if not isinstance(value, dict):
        raise _mistake(place, value, f"an object with {' and '.join(names)}")
    for name in names:
        if name not in value:
            raise CommandError(
                "bad_command", f"{place}.{name} is missing, expected {' and '.join(names)}"
            )
    for name in value:
        if name not in names:
            raise CommandError(
                "bad_command", f"{place} has a field {_shown(name)}, expected {' and '.join(names)}"
            )
    return value


def _read_integer(place: str, value: Value, least: int, most: int | None, *, unit: str = "") -> int:
    """Return an integer within the bounds."""
    expected = (
        f"an integer of at least {least}"
        if most is None
        else f"an integer from {least} to {most}{unit}"
    )
    # JSON's true is an instance of int in Python.
    if not isinstance(value, int) or isinstance(value, bool):
        raise _mistake(place, value, expected)
    if value < least or (most is not None and value > most):
        raise _mistake(place, value, expected)
    return value


def _mistake(
    place: str, value: Value, expected: str, *, code: ErrorCode = "bad_command"
) -> CommandError:
    """Return the error for a value that stands where something else was expected."""
    return CommandError(code, f"{place} is {_shown(value)}, expected {expected}")


def _shown(value: Value) -> str:
    """Return a value as an error text shows it: JSON, and arrays and objects by name."""
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    return _cut(msgspec.json.encode(value).decode())


def _excerpt(text: str) -> str:
    """Return text that is not JSON as an error text shows it, its control characters visible."""
    # Tools that send what is typed send the line end too, which is not what is wrong with it.
    text = text.strip(" \t\r\n")
    return _cut(msgspec.json.encode(text).decode()) if text else "empty"


def _cut(shown: str) -> str:
    """Return the text, shortened to what an error text may quote."""
    return (
        shown
        if len(shown) <= MAX_EXCERPT_CHARACTERS
        else shown[: MAX_EXCERPT_CHARACTERS - 3] + "..."
    )


def _any_of(names: Iterable[str]) -> str:
    """Return the names as a list in words: `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
