"""Fan-out to many clients: tapecast's server beside `websockets.broadcast` and a `send()` loop.

`python benches/fanout.py` runs every load, contenders in turns, the server on one core and the
clients on another, and prints a table of each in Markdown. A run in which any client has not read
exactly what was published ends the bench.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

# The benches are no package: their folder is where they find each other.
sys.path.insert(0, str(Path(__file__).parent))
from fanout_loads import COMPARED, LOADS, Figures, Load
from fanout_run import Contender, build

from tapecast import __version__

__all__ = ["main", "measure"]

Runs: TypeAlias = dict[Contender, list[Figures]]

DEFAULT_CORES: Final = (0, 1)


def measure(load: Load, runs: int) -> Runs:
    """Return the figures of every run, contenders taking turns."""
    found: Runs = {contender: [] for contender in load.contenders}
    for _ in range(runs):
        for contender in load.contenders:
            found[contender].append(load.measure(contender, load.plan_of(contender)))
    return found


def _medians(found: Runs) -> dict[Contender, Figures]:
    return {
        contender: {name: statistics.median(values) for name, values in _columns(runs).items()}
        for contender, runs in found.items()
    }


def _columns(runs: Sequence[Figures]) -> dict[str, list[float]]:
    """Return the values of all runs by figure; some runs may lack one."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: [run[name] for run in runs if name in run] for name in names}


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cell(values: Sequence[float], base: float | None) -> str:
    """Return median, spread, and the ratio to the baseline."""
    median = statistics.median(values)
    text = f"{_shown(median)} [{_shown(min(values))}..{_shown(max(values))}]"
    return text if not base else f"{text} {median / base:.2f}x"


def table(load: Load, found: Runs) -> str:
    """Return one load's table in Markdown; ratios are to the first contender of the same run."""
    columns = {contender: _columns(runs) for contender, runs in found.items()}
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    medians = _medians(found)
    first = load.contenders[0]
    lines = [
        f"### {load.title}",
        "",
        f"| contender | {' | '.join(names)} |",
        "|---|" + "--:|" * len(names),
    ]
    for contender, column in columns.items():
        cells = [
            _cell(
                column[name],
                medians[first].get(name) if contender != first and name in COMPARED else None,
            )
            if name in column
            else "-"
            for name in names
        ]
        lines.append(f"| {contender.name} | {' | '.join(cells)} |")
    for target in load.targets:
        met = target.is_met(medians, load.subject)
        verdict = {None: "not measured", True: "met", False: "missed"}[met]
        lines += ["", f"Target of {load.subject.name}: {target}: {verdict}."]
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Return where and with what it was measured."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return {
        "date": datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{len(models)} x {models[0] if models else platform.machine()}",
        "system": platform.release(),
        "tapecast": __version__,
        "CPython": platform.python_version(),
        **{name: version(name) for name in ("websockets", "uvloop")},
    }


def as_json(found: Mapping[str, Runs]) -> dict[str, Any]:
    """Return every figure of every run."""
    loads = {
        name: {contender.name: runs for contender, runs in by_contender.items()}
        for name, by_contender in found.items()
    }
    return {**machine(), "loads": loads}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", default=",".join(LOADS), help="of %(default)s")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="of each run, in place of the load's own")
    parser.add_argument("--clients", type=int, help="in place of the load's own")
    parser.add_argument("--per-s", type=float, help="messages/s of all paced contenders")
    parser.add_argument("--only", help="contenders to run: broadcast, send, tapecast")
    parser.add_argument("--cores", help='of server and clients, "0,1" by default; "any" for any')
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="every figure, for machines")
    form.add_argument("--markdown", action="store_true", help="tables; the default")
    options = parser.parse_args(arguments)
    if unknown := set(options.loads.split(",")) - LOADS.keys():
        parser.error(f"--loads has {', '.join(sorted(unknown))}, expected of {', '.join(LOADS)}")
    return options


def _chosen(name: str, options: argparse.Namespace, cores: tuple[int, int] | None) -> Load:
    """Return a load as the command line changes it."""
    load = LOADS[name]
    plan = replace(load.plan, cores=cores)
    if options.seconds is not None and load.plan.seconds:
        plan = replace(plan, seconds=options.seconds)
    if options.clients is not None:
        never_read = options.clients * plan.never_read // plan.clients
        plan = replace(plan, clients=options.clients, never_read=never_read)
    slower = load.slower
    if options.per_s is not None and plan.per_s is not None:
        plan, slower = replace(plan, per_s=options.per_s), ()
    wanted = options.only.split(",") if options.only else None
    contenders = tuple(one for one in load.contenders if not wanted or one.program in wanted)
    return replace(load, plan=plan, contenders=contenders, slower=slower)


def _cores(text: str | None) -> tuple[int, int] | None:
    if text == "any":
        return None
    server, clients = DEFAULT_CORES if text is None else map(int, text.split(","))
    # This process keeps time; it must not be where the server is.
    os.sched_setaffinity(0, {clients})
    return server, clients


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, measure and print."""
    options = _options(arguments)
    build()
    cores = _cores(options.cores)
    found: dict[str, Runs] = {}
    for name in options.loads.split(","):
        load = _chosen(name, options, cores)
        found[name] = measure(load, options.runs)
        if not options.json:
            print(f"{table(load, found[name])}\n", flush=True)
    if options.json:
        print(json.dumps(as_json(found)))
        return
    print("; ".join(f"{name} {value}" for name, value in machine().items()) + ";")
    given = sys.argv[1:] if arguments is None else arguments
    print(
        f"`python benches/fanout.py {' '.join(given)}`, median [min..max] of {options.runs} runs."
    )


if __name__ == "__main__":
    main()
