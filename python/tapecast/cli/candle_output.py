"""Candles as a table, as CSV and as JSON lines, on stdout; every digit of them."""

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from tapecast import Engine
from tapecast.batch import candle_messages

__all__ = ["Style", "print_candles"]

Style = Literal["table", "csv", "jsonl"]

_WIDE: Final = 1_000
"""Columns that a table may have: a terminal may break its lines, but no digit is ever cut off."""

_TEXTS: Final = frozenset({"category", "symbol", "time"})


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
    table = Table(box=None, pad_edge=False)
    columns = ["time", *(name for name in names if name not in {"start_ms", "end_ms", "closed"})]
    for column in [*columns, ""]:
        table.add_column(column, no_wrap=True, justify="left" if column in _TEXTS else "right")
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        start = datetime.fromtimestamp(int(cells["start_ms"]) / 1000, UTC)
        cells["time"] = f"{start:%Y-%m-%d %H:%M}"
        remark = "" if cells["closed"] == "true" else "in progress"
        table.add_row(*(cells[column] for column in columns), remark)
    if table.row_count:
        Console(width=_WIDE, highlight=False).print(table)
    else:
        click.echo("no candles: the files hold no trades", err=True)
