"""Runs the benches and writes what they found between the markers of docs/performance.md.

`make bench` runs all, `python benches/report.py engine stages` only some. A bench prints Markdown;
date, machine, versions and command are added here. The text between `<!-- bench: NAME -->` and
`<!-- end: NAME -->` is replaced; everything else in the page is written by hand and stays.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tapecast.bench import Machine, versions

__all__ = ["SECTIONS", "main", "replaced"]

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
SECTIONS: Final = {
    "stages": ("benches/stages.py",),
    "instructions": ("benches/instructions.py", "--markdown"),
    "engine": ("benches/engine.py",),
    "candles": ("benches/candles.py", "--markdown"),
    "fanout": ("benches/fanout.py", "--markdown"),
    "peers": ("benches/peers/run.py", "--markdown"),
}


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with another text between the markers of a section.

    Raises:
        ValueError: If the page does not have both markers, once each.
    """
    begin, end = f"<!-- bench: {name} -->\n", f"<!-- end: {name} -->\n"
    before, has_begin, rest = page.partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end or begin in after:
        raise ValueError(f"the page has no {begin.strip()} and {end.strip()}, expected one of each")
    return f"{before}{begin}{text.strip()}\n{end}{after}"


def section(words: Sequence[str]) -> str:
    """Run a bench and return its tables with where they come from."""
    done = subprocess.run(  # noqa: S603 -- our own benches
        [sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    rustc = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S607 -- found on the PATH
    compiler = " ".join(rustc.stdout.split()[:2])
    command = f"`python {' '.join(words)}`"
    origin = f"{datetime.now(UTC):%Y-%m-%d}, {Machine.here()}, {compiler}; {named}; {command}."
    return f"{origin}\n\n{done.stdout.strip()}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benches that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SECTIONS)}")
    names = parser.parse_args(arguments).names or list(SECTIONS)
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"{unknown[0]} is no bench, expected one of {', '.join(SECTIONS)}")
    for name in names:
        print(f"== {name}", file=sys.stderr)
        replaced(PAGE.read_text(), name, "")
        text = section(SECTIONS[name])
        # Read again: whoever waits for a bench may be writing in the page meanwhile.
        PAGE.write_text(replaced(PAGE.read_text(), name, text))


if __name__ == "__main__":
    main()
