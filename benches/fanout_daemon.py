"""The whole daemon at full-market load: exchange, `tapecast serve`, a hundred counting clients.

`python benches/fanout_daemon.py` runs `tapecast serve` on one core, and the simulated exchange and
the clients on another: once at a steady rate, once with bursts. It fails unless every client has
read every trade that the exchange's ledger holds, in order.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from websockets.asyncio.client import connect

# The benches are no package: their folder is where they find each other.
sys.path.insert(0, str(Path(__file__).parent))
from fanout import DEFAULT_CORES, machine
from fanout_run import Plan, build, client, cpu_s, process, read_event, rss_bytes

__all__ = ["DaemonLoad", "main", "run"]

HERE: Final = Path(__file__).parent
LISTENING: Final = re.compile(rb"listening on ws://127\.0\.0\.1:(\d+)/")
SUBSCRIBE_STATS: Final = '{"action":"subscribe","topic":"status","types":["stats"]}'

Figures: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DaemonLoad:
    """What the exchange trades, and for whom.

    Attributes:
        symbols: Symbols that are listed and traded.
        per_s: Trades a second.
        burst_per_s: Trades a second in a burst.
        burst_s: Length of the burst that comes every two seconds; 0 for none.
        seconds: How long it trades.
        clients: Clients of the daemon.
        cores: The daemon's and everything else's core; None leaves that to the system.
    """

    symbols: int = 600
    per_s: float = 5_000
    burst_per_s: float = 50_000
    burst_s: float = 0
    seconds: float = 10
    clients: int = 100
    cores: tuple[int, int] | None = None


def _exchange_command(load: DaemonLoad) -> list[str]:
    options = {
        "symbols": load.symbols,
        "per-s": load.per_s,
        "burst-per-s": load.burst_per_s,
        "burst-s": load.burst_s,
        "seconds": load.seconds,
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, str(HERE / "fanout_exchange.py"), *flags]


@contextmanager
def _daemon(
    exchange: dict[str, Any], core: int | None
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `tapecast serve`; yield its process and its port."""
    urls = ["--bybit-ws-url", exchange["ws_url"], "--bybit-rest-url", exchange["rest_url"]]
    command = [sys.executable, "-m", "tapecast", "serve", "--port", "0", "--symbols"]
    with subprocess.Popen(  # noqa: S603 -- our own program
        [*command, "linear:*USDT", *urls], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as daemon:
        try:
            if core is not None:
                os.sched_setaffinity(daemon.pid, {core})
            yield daemon, _port(daemon)
        finally:
            daemon.kill()


def _port(daemon: subprocess.Popen[bytes]) -> int:
    assert daemon.stderr is not None
    said = []
    for line in daemon.stderr:
        if found := LISTENING.search(line):
            return int(found[1])
        said.append(line.decode())
    raise AssertionError(f"daemon has ended: {''.join(said)}")


async def _stats(port: int) -> dict[str, Any]:
    """Return the daemon's next stats."""
    url = f"ws://127.0.0.1:{port}/ws/status"
    async with asyncio.timeout(10), connect(url, compression=None, proxy=None) as connection:
        await connection.send(SUBSCRIBE_STATS)
        while (message := json.loads(await connection.recv()))["type"] != "stats":
            pass
    found: dict[str, Any] = message
    return found


def run(load: DaemonLoad) -> Figures:
    """Trade, and return what the clients and the daemon say of it.

    Raises:
        AssertionError: If any client has not read every trade of the exchange's ledger, in order.
    """
    core, other = load.cores or (None, None)
    plan = Plan(clients=load.clients, seconds=load.seconds, cores=load.cores, grace_s=20)
    with process(_exchange_command(load), other, limit_s=plan.limit_s) as exchange:
        assert exchange.stdin is not None
        listening = read_event(exchange, "listening")
        more = ["--stamp-wall-ms", "timestamp", "--messages", str(listening["trades"])]
        with _daemon(listening, core) as (daemon, port):
            read_event(exchange, "subscribed")
            with client(plan, port, [*more, "--tell-begun"]) as (clients, result):
                read_event(clients, "begun")
                begun_cpu_s = cpu_s(daemon.pid)
                exchange.stdin.write(b"begin\n")
                exchange.stdin.flush()
                ended = read_event(exchange, "ended")
                counted = result()
            used_cpu_s = cpu_s(daemon.pid) - begun_cpu_s
            stats = asyncio.run(_stats(port))
            peak_bytes = rss_bytes(daemon.pid, "VmHWM")
    _check(load, counted, stats, listening["trades"], ended["executed"])
    latency = counted["latency_ns"]
    figures = {
        "trades": ended["executed"],
        "exchange late, ms": ended["late_ms"],
        **{f"{name}, ms": latency[name] / 1e6 for name in ("p50", "p99", "p999", "max")},
        "daemon CPU, s": used_cpu_s,
        "daemon memory, MiB": peak_bytes / 2**20,
    }
    # What the daemon itself measures, which leaves out the exchange and the clients.
    return {**figures, "latency_ms": stats.get("latency_ms")}


def _check(
    load: DaemonLoad, counted: dict[str, Any], stats: dict[str, Any], planned: int, executed: int
) -> None:
    assert executed == planned, f"exchange executed {executed} trades, expected {planned}"
    wrong = [
        one
        for one in counted["clients"]
        if one["messages"] != planned or one["missing"] or one["repeated"] or one["announced"]
    ]
    announced = sum(one["announced"] for one in wrong)
    closed = sum(one["closed_ns"] is not None for one in wrong)
    assert not wrong, (
        f"{planned} trades, {len(wrong)} clients have not read them all: {announced} announced as "
        f"dropped, {closed} clients cut off; {wrong[:2]}"
    )
    assert len(counted["clients"]) == load.clients
    counts = stats["message_counts"]
    assert counts["trade_messages"] == planned, counts
    lost = {name: counts[name] for name in ("bad_frames", "duplicate_trades", "dropped_messages")}
    assert not any(lost.values()), counts


def table(phases: dict[str, list[Figures]]) -> str:
    """Return the figures in Markdown."""
    names = [name for name in next(iter(phases.values()))[0] if name != "latency_ms"]
    lines = [f"| load | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    for phase, runs in phases.items():
        columns = [[run[name] for run in runs] for name in names]
        cells = [
            f"{statistics.median(values):,.1f} [{min(values):,.1f}..{max(values):,.1f}]"
            for values in columns
        ]
        lines.append(f"| {phase} | {' | '.join(cells)} |")
        lines += [f"<!-- latency_ms of {phase}: {run['latency_ms']} -->" for run in runs[-1:]]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--symbols", type=int, default=600)
    parser.add_argument("--per-s", type=float, default=5_000.0)
    parser.add_argument("--burst-per-s", type=float, default=50_000.0)
    parser.add_argument("--burst-s", type=float, default=0.1)
    parser.add_argument("--phases", default="steady,bursts", help="of %(default)s")
    parser.add_argument("--any-core", action="store_true", help="pin nothing")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    build()
    load = DaemonLoad(
        symbols=options.symbols,
        per_s=options.per_s,
        burst_per_s=options.burst_per_s,
        seconds=options.seconds,
        clients=options.clients,
        cores=None if options.any_core else DEFAULT_CORES,
    )
    every = {"steady": load, "bursts": replace(load, burst_s=options.burst_s)}
    loads = {name: every[name] for name in options.phases.split(",")}
    phases: dict[str, list[Figures]] = {name: [] for name in loads}
    for _ in range(options.runs):
        for name, one in loads.items():
            phases[name].append(run(one))
    if options.json:
        print(json.dumps({**machine(), "phases": phases}))
        return
    print(table(phases))
    print(f"\n{'; '.join(f'{name} {value}' for name, value in machine().items())}")


if __name__ == "__main__":
    main()
