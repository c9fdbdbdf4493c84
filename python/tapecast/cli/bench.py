"""`tapecast bench`."""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as Grid

from tapecast.bench import (
    Machine,
    Report,
    Table,
    WrongResultError,
    measure_engine,
    measure_fanout,
    versions,
)
from tapecast.bench.corpus import frames as corpus_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["command"]

_FRAMES_A_SECOND: Final = 1_000
_MOST_FRAMES: Final = 50_000
_FEWEST_FRAMES: Final = 200


@click.command(short_help="Measure this machine.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=3_600),
    default=30.0,
    show_default=True,
    help="Time to measure for, half of it each for the engine and the fan-out.",
)
@click.option(
    "--clients",
    type=click.IntRange(min=1, max=5_000),
    default=100,
    show_default=True,
    help="Clients that receive everything.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in place of tables.")
@click.pass_context
def command(ctx: click.Context, *, seconds: float, clients: int, as_json: bool) -> None:
    """Measure how fast this machine turns frames into candles and sends messages to clients.

    The same frames, made from a fixed seed, go to everybody in turns: to the engine, to the JSON
    libraries that are installed, to the stream's server and to `broadcast` of websockets. What they
    compute and deliver is checked; the exit code is 1 if any of it is wrong.

    \b
    Examples:
      tapecast bench
      tapecast bench --seconds 5 --json > here.json
    """  # noqa: D301 -- click wants the character itself
    try:
        report = _measure(seconds, clients)
    except WrongResultError as error:
        click.echo(f"tapecast: {error}", err=True)
        ctx.exit(1)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print(report)


def _measure(seconds: float, clients: int) -> Report:
    count = int(min(_MOST_FRAMES, max(_FEWEST_FRAMES, seconds * _FRAMES_A_SECOND)))
    with _progress() as doing:
        made = []
        done = doing("making the frames")
        for number, one in enumerate(corpus_frames(count), start=1):
            made.append(one)
            done(number / count)
        frames, trades = [frame for frame, _ in made], sum(held for _, held in made)
        done = doing("frames to candles")
        engine = measure_engine(frames, trades, seconds=seconds / 2, on_progress=done)
        done = doing("messages to clients")
        fanout = measure_fanout(frames, clients=clients, seconds=seconds / 2, on_progress=done)
    return Report(machine=Machine.here(), versions=versions(), engine=engine, fanout=fanout)


@contextmanager
def _progress() -> "Iterator[Callable[[str], Callable[[float], None]]]":
    """Give a function that begins a step: a bar on a terminal, else a line on stderr."""
    if not sys.stderr.isatty():

        def say(step: str) -> Callable[[float], None]:
            click.echo(f"{step} …", err=True)
            return lambda _share: None

        yield say
        return
    with Progress(console=Console(stderr=True), transient=True) as bars:

        def begin(step: str) -> Callable[[float], None]:
            bar = bars.add_task(step, total=1.0)
            return lambda share: bars.update(bar, completed=share)

        yield begin


def _print(report: Report) -> None:
    console = Console(highlight=False)
    console.print(f"{report.at:%Y-%m-%d %H:%M} UTC, {report.machine}", soft_wrap=True)
    named = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    console.print(named, soft_wrap=True)
    for table in (report.engine, report.fanout):
        console.print()
        console.print(f"{table.task}:", soft_wrap=True)
        console.print(_grid(table))


def _grid(table: Table) -> Grid:
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("contender", no_wrap=True)
    for heading in (f"k {table.unit}", "lowest", "highest", "runs", "CPU µs", "ratio"):
        grid.add_column(heading, justify="right")
    first = table.rates[0].median
    for rate in table.rates:
        thousands = (f"{value / 1e3:,.0f}" for value in (rate.median, rate.lowest, rate.highest))
        rest = (str(rate.runs), f"{rate.cpu_us:.2f}", f"{rate.median / first:.2f}")
        grid.add_row(rate.name, *thousands, *rest)
    return grid
