"""Rows of REST answers: checked at once, and what is wrong with one said in words.

No I/O and no clock.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from tapecast.errors import FeedError

__all__ = ["Amount", "Column", "Price", "read_rows"]

_T = TypeVar("_T")

_MAX_CHARS: Final = 64
_NUMBER: Final = r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?\Z"

Price: TypeAlias = Annotated[
    str, msgspec.Meta(max_length=_MAX_CHARS, pattern=rf"\A(?=[0.]*[1-9]){_NUMBER}")
]
"""The text of a positive decimal."""

Amount: TypeAlias = Annotated[str, msgspec.Meta(max_length=_MAX_CHARS, pattern=rf"\A{_NUMBER}")]
"""The text of a decimal that may be zero."""


class Column(NamedTuple):
    """A value of every row.

    Attributes:
        key: Its key, or its place in rows that are lists.
        name: What it is called.
        type: What it must be.
        expected: The same in words.
        is_optional: Whether it may be missing.
    """

    key: str | int
    name: str
    type: Any
    expected: str
    is_optional: bool = False


def read_rows(
    decoder: msgspec.json.Decoder[list[_T]],
    rows: bytes,
    columns: Sequence[Column],
    *,
    subject: str,
    most: int,
) -> list[_T]:
    """Return the rows of an answer, all of them or none.

    Args:
        decoder: Makes them of JSON.
        rows: The JSON.
        columns: What the decoder expects, in words.
        subject: What a row is.
        most: How many rows there may be.

    Raises:
        FeedError: If a row is not as it should be, or if there are too many.
    """
    try:
        read = decoder.decode(rows)
    except msgspec.ValidationError as error:
        fault = next(_faults(msgspec.json.decode(rows), columns, subject), str(error))
        raise FeedError(fault) from error
    if len(read) > most:
        raise FeedError(f"page has {len(read)} rows, expected at most {most}")
    return read


def _faults(rows: object, columns: Sequence[Column], subject: str) -> Iterator[str]:
    """Yield what is wrong, the first row first."""
    if not isinstance(rows, list):
        yield f"page is {_shown(rows)}, expected a list of rows"
        return
    for number, row in enumerate(rows):
        values = dict(enumerate(row)) if isinstance(row, list) else row
        if isinstance(values, dict):
            faults = [_fault(values, column) for column in columns]
        else:
            faults = [f"is {_shown(row)}, expected a row of values"]
        yield from (f"{subject} {fault} (row {number})" for fault in faults if fault)


def _fault(values: dict[str | int, Any], column: Column) -> str:
    if column.key not in values:
        missing = f"is without {column.name}, expected {column.expected}"
        return "" if column.is_optional else missing
    value = values[column.key]
    try:
        msgspec.convert(value, column.type, strict=False)
    except msgspec.ValidationError:
        return f"{column.name} is {_shown(value)}, expected {column.expected}"
    return ""


def _shown(value: object) -> str:
    """Return a value as JSON, shortened."""
    return msgspec.json.encode(value).decode()[:_MAX_CHARS]
