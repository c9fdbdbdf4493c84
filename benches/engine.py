"""Raw frames to one-minute candles: runs `test_engine.py` and makes a table of it.

`python benches/engine.py` prints Markdown, for `report.py`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["main", "table"]

_BENCH: Final = Path(__file__).with_name("test_engine.py")
_BASE: Final = "msgspec + dict, Decimal"


def run() -> list[dict[str, Any]]:
    """Time the bench and return its benchmarks as pytest-benchmark writes them."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        words = ["-m", "pytest", str(_BENCH), "-q", "-p", "no:randomly", "--benchmark-enable"]
        # The tables of pytest-benchmark are per turn, and of no use here.
        command = [sys.executable, *words, "--timeout=0", f"--benchmark-json={results}"]
        subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 -- this interpreter
        benchmarks: list[dict[str, Any]] = json.loads(results.read_text())["benchmarks"]
    return benchmarks


def table(benchmarks: Iterable[Mapping[str, Any]]) -> str:
    """Return the rates of all contenders as Markdown, beside that of msgspec with a dict."""
    rates: dict[str, list[float]] = {}
    info: Mapping[str, Any] = {}
    for benchmark in benchmarks:
        info = benchmark["extra_info"]
        rate = info["trades"] / benchmark["stats"]["median"] / 1e3
        rates.setdefault(info["contender"], []).append(rate)
    base = statistics.median(rates[_BASE])
    lines = [
        f"{info['frames']:,} frames of the linear shape, {info['trades']:,} trades, one thread.",
        "",
        f"| contender | k trades/s, median [min..max] of {info['turn'] + 1} | to {_BASE} |",
        "|---|--:|--:|",
    ]
    for name, values in rates.items():
        median = statistics.median(values)
        spread = f"[{min(values):,.0f}..{max(values):,.0f}]"
        lines.append(f"| {name} | {median:,.0f} {spread} | {median / base:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    print(table(run()))


if __name__ == "__main__":
    main()
