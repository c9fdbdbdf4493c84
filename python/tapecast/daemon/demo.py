"""The daemon against the simulated exchange, both in one process, over real sockets."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tapecast.config import Settings, load
from tapecast.daemon.app import run
from tapecast.errors import ConfigError
from tapecast.sim import SimExchange, SimSettings

__all__ = ["DEMO_SYMBOLS", "run_demo"]

DEMO_SYMBOLS = "linear:*USDT,spot:*USDT,inverse:*USD,option:BTC,option:ETH"


async def run_demo(
    stop: asyncio.Event,
    *,
    sim: SimSettings,
    flags: dict[tuple[str, ...], str],
    config: Path | None = None,
) -> None:
    """Run both until `stop` is set.

    Args:
        stop: Ends them.
        sim: What is simulated, and where it listens.
        flags: Texts of flags by the path of their setting, as in `config.load`.
        config: A settings file; none where `None`.

    Raises:
        ConfigError: Every problem of the settings.
        OSError: If an address cannot be listened on.
    """
    _check(sim, lambda: load(config, flags))
    async with SimExchange(sim) as exchange:
        settings = load(
            config,
            {
                ("symbols",): DEMO_SYMBOLS,
                **flags,
                ("bybit", "ws_url"): exchange.ws_url,
                ("bybit", "rest_url"): exchange.rest_url,
            },
        )
        await run(settings, stop=stop)


def _check(sim: SimSettings, read: Callable[[], Settings]) -> None:
    """Raise every problem of both sides, before anything listens."""
    problems: list[str] = []
    for check in (sim.instruments, read):
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
