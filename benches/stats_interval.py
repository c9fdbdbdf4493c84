"""How regularly a running daemon publishes its stats, each second as the contract says.

`python benches/stats_interval.py ws://127.0.0.1:8848/ws/status --seconds 60`, beside `make demo`.
"""

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence

from websockets.asyncio.client import connect

from tapecast.messages import Stats, decode_message

__all__ = ["deviations_ms", "main"]


async def deviations_ms(url: str, count: int) -> list[float]:
    """Return by how much the time between two stats, as they arrive, differs from a second."""
    arrived_s: list[float] = []
    async with connect(url, compression=None, proxy=None) as connection:
        await connection.send('{"action":"subscribe","topic":"status","types":["stats"]}')
        while len(arrived_s) <= count:
            payload = await connection.recv(decode=False)
            if isinstance(decode_message(payload), Stats):
                arrived_s.append(time.monotonic())
    return [(later - earlier - 1) * 1000 for earlier, later in itertools.pairwise(arrived_s)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8848/ws/status")
    parser.add_argument("--seconds", type=int, default=60)
    chosen = parser.parse_args(arguments)
    sizes = [abs(one) for one in asyncio.run(deviations_ms(chosen.url, chosen.seconds))]
    print(
        f"{len(sizes)} intervals: off a second by {statistics.mean(sizes):.1f} ms in the mean, "
        f"{max(sizes):.1f} ms at most"
    )


if __name__ == "__main__":
    main()
