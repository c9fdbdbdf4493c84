"""The simulated exchange at full-market load, a process of its own.

`fanout_daemon.py` starts it. It lists as many symbols as it is told, waits until they are all
subscribed and stdin says so, and executes an exact number of trades: at a steady rate, with bursts.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import uvloop

from tapecast.sim import SimExchange, SimSettings
from tapecast.sim.instruments import INSTRUMENTS, Instrument

__all__ = ["main", "schedule"]

SLOT_S: Final = 0.005
"""Trades are executed in slots, which is how they come: the exchange's clock has milliseconds."""

BURST_EVERY_S: Final = 2.0


class WideMarket(SimSettings, frozen=True, kw_only=True):
    """A market of as many linear symbols as wanted, active by Zipf's law.

    Attributes:
        width: How many symbols.
    """

    width: int = 600

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what is listed: the simulator's linear contracts, again and again."""
        models = [one for one in INSTRUMENTS if one.contract_type == "LinearPerpetual"]
        models = [one for one in models if one.weight and one.quote_coin == "USDT"]
        return tuple(self._listed(models[rank % len(models)], rank) for rank in range(self.width))

    def _listed(self, model: Instrument, rank: int) -> Instrument:
        coin = f"{model.base_coin}{rank}"
        return msgspec.structs.replace(
            model, symbol=f"{coin}USDT", base_coin=coin, weight=1 / (rank + 1)
        )


def schedule(per_s: float, seconds: float, burst_per_s: float, burst_s: float) -> Iterator[int]:
    """Yield how many trades each slot has."""
    owed = 0.0
    for slot in range(round(seconds / SLOT_S)):
        # A burst begins in the middle of each period, and never at its end.
        since_s = slot * SLOT_S % BURST_EVERY_S - BURST_EVERY_S / 2
        owed += SLOT_S * (burst_per_s if 0 <= since_s < burst_s else per_s)
        yield int(owed)
        owed -= int(owed)


async def play(exchange: SimExchange, trades: Sequence[int]) -> float:
    """Execute the trades of each slot at its time; return how late the latest slot began."""
    begin_s = time.monotonic()
    late_s = 0.0
    for slot, count in enumerate(trades):
        wait_s = begin_s + slot * SLOT_S - time.monotonic()
        late_s = max(late_s, -wait_s)
        await asyncio.sleep(max(0.0, wait_s))
        if count:
            exchange.step(count, at_ms=time.time_ns() // 1_000_000)
    return late_s


def tell(event: str, **fields: Any) -> None:  # noqa: ANN401 -- JSON
    """Print one line for the bench that has started this process."""
    print(json.dumps({"event": event, **fields}), flush=True)


async def run(options: argparse.Namespace) -> None:
    """Trade once, and stay until stdin ends."""
    trades = list(schedule(options.per_s, options.seconds, options.burst_per_s, options.burst_s))
    settings = WideMarket(
        width=options.symbols, live=False, start_ms=time.time_ns() // 1_000_000, seed=1
    )
    async with SimExchange(settings) as exchange:
        tell("listening", ws_url=exchange.ws_url, rest_url=exchange.rest_url, trades=sum(trades))
        for one in settings.instruments():
            await exchange.wait_subscribed("linear", one.topic)
        tell("subscribed")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.readline)
        late_s = await play(exchange, trades)
        tell("ended", executed=exchange.ledger.total, late_ms=late_s * 1000)
        await loop.run_in_executor(None, sys.stdin.read)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--per-s", type=float, default=5_000.0)
    parser.add_argument("--burst-per-s", type=float, default=50_000.0)
    parser.add_argument("--burst-s", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--core", type=int)
    options = parser.parse_args(arguments)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options))


if __name__ == "__main__":
    main()
