"""`tapecast candles`."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click
from rich.console import Console
from rich.progress import Progress

from tapecast import Engine
from tapecast.aliases import Category
from tapecast.batch import ANY_MS, batch_engine
from tapecast.cli.candle_output import Style, print_candles
from tapecast.cli.options import CATEGORIES
from tapecast.errors import DecodeError, RecordingDamaged
from tapecast.files import Watcher, all_cores, apply_files
from tapecast.recording import Recording

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["command"]

_SHOWN_BAD_FRAMES: Final = 10
_LONG_BYTES: Final = 4 << 20


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
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many threads decode. [default: all cores]",
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
    jobs: int | None,
) -> None:
    """Print the one-minute candles of recorded frames, exact to the last digit.

    FILES hold one raw exchange frame a line, or are the exchange's archives of trades
    (public.bybit.com, CSV); plain, gzip or Zstandard. The minute of the last trade is still in
    progress. Frames and rows that are refused, trades that come too late for any candle, and where
    a damaged file ends, are reported on stderr and left out; the exit code is then 1.

    \b
    Examples:
      tapecast candles day.jsonl.zst
      tapecast candles --category spot --format csv a.jsonl.gz b.jsonl.gz > candles.csv
      tapecast candles --category spot BTCUSDT_2026-09-01.csv.gz
    """  # noqa: D301 -- click wants the character itself
    engine = batch_engine(
        empty=empty,
        open=open_rule,
        include_block_trades=not without_block_trades,
        revise_window_ms=revise_window_ms,
    )
    reading = _Reading(engine, [Recording(path) for path in files], category)
    foreign = reading.run(all_cores() if jobs is None else jobs)
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
    ctx.exit(1 if bad or late or reading.is_damaged or (is_empty and foreign) else 0)


class _Reading:
    """Applies all files, with a progress bar on a terminal where that takes a while.

    Attributes:
        is_damaged: Whether a file could not be read to its end.
    """

    def __init__(self, engine: Engine, recordings: Sequence[Recording], category: Category) -> None:
        self.is_damaged = False
        self._shown = 0
        self._engine = engine
        self._recordings = recordings
        self._category = category
        size_bytes = sum(recording.size_bytes for recording in recordings)
        shown = size_bytes >= _LONG_BYTES and sys.stderr.isatty()
        self._bar = Progress(console=Console(stderr=True), transient=True) if shown else None
        self._tasks: dict[Recording, TaskID] = {}

    def run(self, jobs: int) -> int:
        """Return how many lines were passed over that are no answers of the exchange either."""
        watcher = Watcher(
            bad_line=self._on_bad_line, damage=self._on_damage, progress=self._on_progress
        )
        with self._bar or nullcontext():
            return apply_files(
                self._engine,
                self._recordings,
                category=self._category,
                jobs=jobs,
                watcher=watcher,
            )

    def _on_bad_line(self, path: Path, line: int, error: DecodeError) -> None:
        self._shown += 1
        if self._shown <= _SHOWN_BAD_FRAMES:
            click.echo(f"tapecast: {path}:{line}: frame was refused: {error}", err=True)

    def _on_damage(self, damage: RecordingDamaged) -> None:
        self.is_damaged = True
        click.echo(f"tapecast: {damage}", err=True)

    def _on_progress(self, recording: Recording, read_bytes: int) -> None:
        if self._bar is None:
            return
        if recording not in self._tasks:
            name, size_bytes = recording.path.name, recording.size_bytes
            self._tasks[recording] = self._bar.add_task(name, total=size_bytes)
        self._bar.update(self._tasks[recording], completed=read_bytes)
