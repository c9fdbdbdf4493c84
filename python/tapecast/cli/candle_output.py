"""Candles as a table, as CSV and as JSON lines, on stdout; every digit of them."""

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal

import click
import numpy as np

from tapecast import Engine
from tapecast.batch import candle_messages

__all__ = ["Style", "print_candles"]

Style = Literal["table", "csv", "jsonl"]

_TEXTS: Final = frozenset({"category", "symbol", "time", ""})
"""Columns that stand on the left; numbers stand on the right."""


def print_candles(engine: Engine, style: Style) -> None:
    """Print every candle that an engine knows, by symbol and then oldest first."""
    if style == "jsonl":
        for message in candle_messages(engine):
            click.echo(message)
    elif style == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        columns, rows = _rows(engine)
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        _print_table(engine)


def _rows(engine: Engine) -> tuple[tuple[str, ...], Iterator[list[str]]]:
    """Return the names of the columns of exact candles, and their texts."""
    candles = engine.candles(exact=True)
    columns = candles.dtype.names or ()
    return columns, ([_text(value) for value in row] for row in candles.tolist())


def _text(value: object) -> str:
    """Return one value as CSV has it: plain numbers, `true` and `false`, nothing for no VWAP."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if np.isnan(value) else np.format_float_positional(value, trim="-")
    return str(value)


def _print_table(engine: Engine) -> None:
    names, rows = _rows(engine)
    columns = ["time", *(name for name in names if name not in {"start_ms", "end_ms", "closed"})]
    table = [[*columns, ""]]
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        start = datetime.fromtimestamp(int(cells["start_ms"]) / 1000, UTC)
        cells["time"] = f"{start:%Y-%m-%d %H:%M}"
        remark = "" if cells["closed"] == "true" else "in progress"
        table.append([*(cells[column] for column in columns), remark])
    if len(table) == 1:
        return
    # A terminal may break the lines, but no digit is ever cut off.
    widths = [max(map(len, texts)) for texts in zip(*table, strict=True)]
    shifts = [str.ljust if column in _TEXTS else str.rjust for column in [*columns, ""]]
    for texts in table:
        cells_of_row = zip(shifts, texts, widths, strict=True)
        click.echo("  ".join(shift(text, width) for shift, text, width in cells_of_row).rstrip())
