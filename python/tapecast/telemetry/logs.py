"""Logs of the standard library, as lines for a writer that never blocks."""

import logging
import re
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from tapecast.telemetry.writer import LineWriter

__all__ = ["JsonFormatter", "TextFormatter", "logging_to"]

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, ends a line somewhere, or turns the direction of writing."""

_MAX_MESSAGE_CHARS: Final = 8192


def _time_of(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z"


def _message_of(record: logging.LogRecord) -> str:
    """Return a record's message, no longer than a log should have it."""
    message = record.getMessage()
    if len(message) <= _MAX_MESSAGE_CHARS:
        return message
    return f"{message[:_MAX_MESSAGE_CHARS]}… ({len(message)} characters)"


def _visible(text: str) -> str:
    """Return text with its control characters as escapes, tabs and newlines aside."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class TextFormatter(logging.Formatter):
    """`2026-11-24T15:02:40.123Z warning tapecast.bybit.client: message`, on one line.

    A traceback or a stack stands indented below: no line of it looks like a record.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of one record."""
        head = f"{_time_of(record)} {record.levelname.lower()} {record.name}: "
        text = head + _visible(_message_of(record).replace("\n", "\\n"))
        below = [self.formatException(record.exc_info)] if record.exc_info else []
        below += [record.stack_info] if record.stack_info else []
        for block in below:
            text += "\n" + textwrap.indent(_visible(block), "  ", lambda _: True)
        return text


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `time`, `level`, `logger`, `message`, and what else there is.

    That is `exception` and `stack`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON of one record."""
        fields = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        # Names of files may hold surrogates, which JSON as UTF-8 cannot.
        sound = {name: text.encode(errors="replace").decode() for name, text in fields.items()}
        return msgspec.json.encode(sound).decode()


class _Handler(logging.Handler):
    """Hands formatted records to a function; formatting happens in the thread that logs.

    Of a record that cannot be formatted it tells where it was made and why. The standard library
    would print that to stderr itself, and wait for whoever reads there.
    """

    def __init__(self, put: Callable[[str], None]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 -- a bad record must not hurt its author
            line = self.format(_substitute(record, error))
        self._put(line)


def _substitute(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    where = f"{record.filename}:{record.lineno}"
    reason = "".join(traceback.format_exception_only(error)).strip()
    text = f"record of {where} cannot be formatted: {reason}"
    fields = {**record.__dict__, "msg": text, "args": None, "exc_info": None}
    return logging.makeLogRecord(fields)


@contextmanager
def logging_to(
    writer: LineWriter,
    *,
    level: Literal["debug", "info", "warning", "error"],
    style: Literal["text", "json"],
) -> Iterator[None]:
    """Let all logging go to a writer, and give the root logger back as it was.

    Args:
        writer: Takes the lines.
        level: Least level that is written; libraries get at least `warning`.
        style: How a record is written.
    """
    handler = _Handler(writer.put)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root, own = logging.getLogger(), logging.getLogger("tapecast")
    before = root.level, own.level, root.handlers[:]
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    own.setLevel(_LEVELS[level])
    try:
        yield
    finally:
        root.setLevel(before[0])
        own.setLevel(before[1])
        root.handlers[:] = before[2]


_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
