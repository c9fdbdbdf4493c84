"""`tapecast sim`."""

import asyncio

import click

from tapecast.daemon import run_until_signal
from tapecast.sim import SimExchange, SimSettings
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
def command(*, host: str, port: int, rate: float, seed: int, symbols: str | None) -> None:
    """Run an exchange that never was: Bybit's public WebSocket and REST interfaces on one port.

    Its ledger of every trade is at /sim/ledger, as JSON lines.

    \b
    Example, in two terminals:
      tapecast sim --rate 500
      tapecast serve --bybit-ws-url ws://127.0.0.1:8850/v5/public \\
                     --bybit-rest-url http://127.0.0.1:8850 --symbols 'linear:*USDT'
    """  # noqa: D301 -- click wants the character itself
    chosen = None if symbols is None else tuple(symbols.split(","))
    settings = SimSettings(host=host, port=port, rate=rate, seed=seed, symbols=chosen)
    settings.instruments()

    def ready(exchange: SimExchange) -> None:
        click.echo(f"WebSocket {exchange.ws_url}/CATEGORY", err=True)
        click.echo(f"REST      {exchange.rest_url}/v5/market/…", err=True)
        click.echo(f"ledger    {exchange.rest_url}/sim/ledger", err=True)

    async def main(stop: asyncio.Event) -> None:
        await run_sim(settings, on_ready=ready, stop=stop)

    run_until_signal(main)
