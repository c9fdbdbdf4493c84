"""`tapecast demo`."""

from pathlib import Path
from typing import Final

import click

from tapecast.cli.options import chosen, config_option, setting_options
from tapecast.daemon import run_demo, run_until_signal
from tapecast.sim import SimSettings

__all__ = ["command"]

_LEDGER_TRADES: Final = 20_000
"""Trades that the exchange of a demo keeps: enough to look into, and flat in memory soon."""


@click.command(short_help="Run the daemon against the simulated exchange.")
@config_option
@click.option("--rate", type=float, default=50.0, show_default=True, help="Mean trades per second.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same market.")
@click.option(
    "--sim-port", type=int, default=0, metavar="PORT", help="The exchange's port. [default: any]"
)
@setting_options
def command(
    *, config: Path | None, rate: float, seed: int, sim_port: int, **flags: str | None
) -> None:
    """Run the daemon against an exchange that never was, in one process, over real sockets.

    Takes every setting of `serve`; the exchange's URLs are the simulated one's, and all that it
    lists is wanted unless --symbols is given.

    \b
    Then, in another terminal:
      npx wscat -c ws://127.0.0.1:8848/ws/status
      > {"action":"subscribe","topic":"status"}
    """  # noqa: D301 -- click wants the character itself
    sim = SimSettings(port=sim_port, rate=rate, seed=seed, ledger_limit=_LEDGER_TRADES)
    run_until_signal(lambda stop: run_demo(stop, sim=sim, flags=chosen(flags), config=config))
