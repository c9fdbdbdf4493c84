"""`tapecast candles`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, Literal

import click
from rich.console import Console
from rich.progress import Progress

from tapecast import Engine
from tapecast.aliases import Category
from tapecast.batch import ANY_MS, apply_frames, batch_engine
from tapecast.cli.candle_output import Style, print_candles
from tapecast.cli.options import CATEGORIES
from tapecast.errors import DecodeError
from tapecast.recording import Recording

__all__ = ["command"]

_SHOWN_BAD_FRAMES: Final = 10
_LONG_BYTES: Final = 4 << 20
_STEP_FRAMES: Final = 1000


@click.command(short_help="Print the candles of recorded frames.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--category",
    type=CATEGORIES,
    default="linear",
    show_default=True,
    help="What the frames carry; they do not say it themselves.",
)
@click.option(
    "--timeframe",
    type=click.Choice(["1m"]),
    default="1m",
    show_default=True,
    help="Length of a candle.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "jsonl"]),
    default="table",
    show_default=True,
    help="How they are printed; jsonl gives the ohlcv messages of the stream.",
)
@click.option(
    "--empty",
    type=click.Choice(["skip", "flat"]),
    default="skip",
    show_default=True,
    help="What an empty minute gives.",
)
@click.option(
    "--open",
    "open_rule",
    type=click.Choice(["first_trade", "previous_close"]),
    default="first_trade",
    show_default=True,
    help="What a candle opens at.",
)
@click.option("--without-block-trades", is_flag=True, help="Leave block trades out.")
@click.option(
    "--revise-window-ms",
    type=click.IntRange(min=0, max=ANY_MS),
    default=ANY_MS,
    metavar="MS",
    help="How late a trade may come, by the times of the frames. [default: any]",
)
@click.pass_context
def command(  # noqa: PLR0913 -- one parameter an option
    ctx: click.Context,
    *,
    files: tuple[Path, ...],
    category: Category,
    timeframe: str,  # noqa: ARG001 -- there is only one so far
    style: Style,
    empty: Literal["skip", "flat"],
    open_rule: Literal["first_trade", "previous_close"],
    without_block_trades: bool,
    revise_window_ms: int,
) -> None:
    """Print the one-minute candles of recorded frames, exact to the last digit.

    FILES hold one raw exchange frame a line; plain, gzip or Zstandard. The minute of the last trade
    is still in progress. Frames that are refused, and trades that come too late for any candle, are
    reported on stderr and left out; the exit code is then 1.

    \b
    Examples:
      tapecast candles day.jsonl.zst
      tapecast candles --category spot --format csv a.jsonl.gz b.jsonl.gz > candles.csv
    """  # noqa: D301 -- click wants the character itself
    engine = batch_engine(
        empty=empty,
        open=open_rule,
        include_block_trades=not without_block_trades,
        revise_window_ms=revise_window_ms,
    )
    foreign = _read(engine, [Recording(path) for path in files], category)
    print_candles(engine, style)
    bad, late = engine.counts["bad_frames"], engine.counts["late_trades"]
    is_empty = not engine.symbols()
    if foreign:
        text = f"{foreign} frames are no public trades of the v5 interface and were passed over"
        click.echo(f"tapecast: {text}", err=True)
    if is_empty:
        click.echo("tapecast: no candles: no trade was read", err=True)
    if bad > _SHOWN_BAD_FRAMES:
        click.echo(f"tapecast: {bad} frames were refused in all", err=True)
    if late:
        click.echo(f"tapecast: {late} trades came too late and are in no candle", err=True)
    ctx.exit(1 if bad or late or (is_empty and foreign) else 0)


def _read(engine: Engine, recordings: Sequence[Recording], category: Category) -> int:
    """Feed all recordings, with a progress bar on a terminal where that takes a while.

    Returns:
        How many frames were passed over that are no answers of the exchange either.
    """
    foreign = 0
    size_bytes = sum(recording.size_bytes for recording in recordings)
    shown = size_bytes >= _LONG_BYTES and sys.stderr.isatty()
    progress = Progress(console=Console(stderr=True), transient=True) if shown else None
    with progress or nullcontext():
        for recording in recordings:

            def report(error: DecodeError, recording: Recording = recording) -> None:
                if engine.counts["bad_frames"] <= _SHOWN_BAD_FRAMES:
                    where = f"{recording.path}:{recording.line}"
                    click.echo(f"tapecast: {where}: frame was refused: {error}", err=True)

            frames = recording if progress is None else _tracked(recording, progress)
            foreign += apply_frames(engine, frames, category=category, on_bad_frame=report)
    return foreign


def _tracked(recording: Recording, progress: Progress) -> Iterator[bytes]:
    task = progress.add_task(recording.path.name, total=recording.size_bytes)
    for number, frame in enumerate(recording):
        if number % _STEP_FRAMES == 0:
            progress.update(task, completed=recording.read_bytes)
        yield frame
    progress.update(task, completed=recording.read_bytes)
