"""Where the time of a frame goes in Rust: runs criterion and makes a table of what it found.

`python benches/stages.py` prints Markdown, for `report.py`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["main", "table"]

_COMMAND: Final = ("cargo", "bench", "--locked", "--package", "tapecast-core", "--bench", "stages")


def run(folder: Path) -> None:
    """Time the stages; criterion leaves its figures in the folder."""
    variables = {**os.environ, "CRITERION_HOME": str(folder)}
    subprocess.run(_COMMAND, check=True, stdout=sys.stderr, env=variables)  # noqa: S603 -- ours


def table(folder: Path) -> str:
    """Return the stages in the folder, in the order in which they were measured, as Markdown."""
    lines = [
        "| stage | M trades/s, median [min..max] of its samples | ns a trade |",
        "|---|--:|--:|",
    ]
    found = folder.glob("**/new/benchmark.json")
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns):
        benchmark = json.loads(path.read_text())
        sample = json.loads(path.with_name("sample.json").read_text())
        trades = benchmark["throughput"]["Elements"]
        pairs = zip(sample["times"], sample["iters"], strict=True)
        each_ns = [time_ns / times / trades for time_ns, times in pairs]
        median_ns = statistics.median(each_ns)
        spread = f"[{1e3 / max(each_ns):.2f}..{1e3 / min(each_ns):.2f}]"
        row = (benchmark["full_id"], f"{1e3 / median_ns:.2f} {spread}", f"{median_ns:.0f}")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))
        print(table(Path(folder)))


if __name__ == "__main__":
    main()
