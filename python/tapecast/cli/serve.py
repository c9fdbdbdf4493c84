"""`tapecast serve`."""

import math
from pathlib import Path

import click
from click.core import ParameterSource

from tapecast.aliases import Category
from tapecast.cli.options import CATEGORIES, chosen, config_option, setting_options
from tapecast.config import load
from tapecast.daemon import ReplaySettings, run, run_until_signal
from tapecast.recording import Recording

__all__ = ["command"]


class _Speed(click.ParamType[float]):
    """A factor above zero, or `max`."""

    name = "speed"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the factor; infinity for `max`."""
        if isinstance(value, float):
            return value
        if value == "max":
            return math.inf
        try:
            factor = float(str(value))
        except ValueError:
            factor = 0.0
        if not 0 < factor < math.inf:
            self.fail(f'speed is "{value}", expected a number above 0 or "max"', param, ctx)
        return factor


@click.command(short_help="Run the daemon.")
@click.argument("more", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@config_option
@click.option(
    "--replay",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Play recorded frames in place of the exchange (one raw frame a line; plain, gzip or "
    "Zstandard), then end; further files may follow, and are played in their order.",
)
@click.option(
    "--speed",
    type=_Speed(),
    default=1.0,
    metavar="N|max",
    help="With --replay: recorded seconds that pass in one; max goes as fast as clients read. "
    "[default: 1]",
)
@click.option(
    "--category",
    type=CATEGORIES,
    default="linear",
    show_default=True,
    help="With --replay: what the recorded frames carry.",
)
@click.option(
    "--wait-clients",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="With --replay: begin once so many clients have subscribed. [default: 0]",
)
@setting_options
def command(  # noqa: PLR0913 -- one parameter an option
    *,
    more: tuple[Path, ...],
    config: Path | None,
    replay: tuple[Path, ...],
    speed: float,
    category: Category,
    wait_clients: int,
    **flags: str | None,
) -> None:
    """Run the daemon: the exchange on one side, ws://HOST:PORT/ws/status on the other.

    Settings come from a TOML file, TAPECAST_… variables and flags, the later before the earlier.
    Candles and statistics are printed on stdout, logs on stderr. SIGINT and SIGTERM end it.

    \b
    Examples:
      tapecast serve --symbols BTCUSDT,ETHUSDT
      tapecast serve --symbols 'linear:*USDT,spot:BTC*' --port 9000
      tapecast serve --config tapecast.toml
      tapecast serve --speed 10 --replay monday.jsonl.zst tuesday.jsonl.zst
    """  # noqa: D301 -- click wants the character itself
    if not replay:
        _refuse_given("speed", "category", "wait_clients", "more")
    settings = load(config, chosen(flags))
    recorded = None
    if replay:
        recorded = ReplaySettings(
            recordings=tuple(Recording(path) for path in (*replay, *more)),
            category=category,
            speed=None if speed == math.inf else speed,
            wait_clients=wait_clients,
        )
    run_until_signal(lambda stop: run(settings, stop=stop, replay=recorded))


def _refuse_given(*names: str) -> None:
    """Raise click.UsageError if any of these was given, which mean something in a replay alone."""
    context = click.get_current_context()
    given = [
        "FILE" if name == "more" else f"--{name.replace('_', '-')}"
        for name in names
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        verb = "is" if len(given) == 1 else "are"
        raise click.UsageError(f"{', '.join(given)} {verb} given without --replay", context)
