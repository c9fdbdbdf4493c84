"""`tapecast sim`."""

import asyncio

import click

from tapecast.daemon import run_until_signal
from tapecast.sim import SimExchange, SimSettings, script_of
from tapecast.sim import run as run_sim

__all__ = ["command"]


@click.command(short_help="Run the simulated exchange alone.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=int, default=8850, show_default=True, help="Port; 0 takes any free one."
)
@click.option("--rate", type=float, default=50.0, show_default=True, help="Mean trades per second.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same market.")
@click.option(
    "--symbols", metavar="LIST", help="What is listed: CATEGORY:GLOB, separated by commas."
)
@click.option(
    "--faults",
    metavar="FILE",
    help="What goes wrong: a script, TOML or JSON, or `random` for an hour of trouble.",
)
@click.option(
    "--faults-seed", type=int, metavar="N", help="Seed of the faults. [default: the script's, or 0]"
)
@click.option(
    "--proxy-port",
    type=int,
    metavar="PORT",
    help="Port of a TCP proxy in front, for the script's toxics; 0 takes any free one.",
)
def command(  # noqa: PLR0913 -- one for each flag
    *,
    host: str,
    port: int,
    rate: float,
    seed: int,
    symbols: str | None,
    faults: str | None,
    faults_seed: int | None,
    proxy_port: int | None,
) -> None:
    """Run an exchange that never was: Bybit's public WebSocket and REST interfaces on one port.

    Its ledger of every trade is at /sim/ledger, as JSON lines, and what its faults did at
    /sim/faults.

    \b
    Example, in two terminals:
      tapecast sim --rate 500
      tapecast serve --bybit-ws-url ws://127.0.0.1:8850/v5/public \\
                     --bybit-rest-url http://127.0.0.1:8850 --symbols 'linear:*USDT'

    \b
    With faults, one table for each:
      tapecast sim --faults trouble.toml
      [[faults]]
      kind = "drop"
      at_ms = 5000
      category = "linear"
    """  # noqa: D301 -- click wants the character itself
    settings = SimSettings(
        host=host,
        port=port,
        rate=rate,
        seed=seed,
        symbols=None if symbols is None else tuple(symbols.split(",")),
        faults=script_of(faults, seed=faults_seed),
        proxy_port=proxy_port,
    )
    settings.instruments()

    def ready(exchange: SimExchange) -> None:
        click.echo(f"WebSocket {exchange.ws_url}/CATEGORY", err=True)
        click.echo(f"REST      {exchange.rest_url}/v5/market/…", err=True)
        click.echo(f"ledger    {exchange.rest_url}/sim/ledger", err=True)
        if faults is not None:
            click.echo(f"faults    {exchange.rest_url}/sim/faults", err=True)
        if exchange.proxy is not None:
            click.echo(f"proxy     {host}:{exchange.proxy.port}, in front of both", err=True)

    async def main(stop: asyncio.Event) -> None:
        await run_sim(settings, on_ready=ready, stop=stop)

    run_until_signal(main)
