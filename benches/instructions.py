"""Instructions of the hot paths, counted by callgrind, against the figures recorded in git.

`make instructions` fails if a path needs more than 3 % above what is recorded; `make
instructions-record` records. Counts hardly depend on the machine, but on the compiler: with another
rustc than the one that the figures were recorded with, more than 10 % fails. Valgrind runs what it
emulates (up to AVX2), on x86-64 Linux; elsewhere, and without valgrind, nothing is compared and
that is said.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["complaints", "main", "table"]

RECORDED: Final = Path(__file__).with_suffix(".json")
PATHS: Final = (
    "decode_usual_linear",
    "decode_usual_spot",
    "decode_general",
    "fold_linear",
    "feed_linear",
    "feed_spot",
)
LIMIT: Final = 0.03
OTHER_RUSTC_LIMIT: Final = 0.10
RECORD: Final = "make instructions-record"
_COLLECTED: Final = re.compile(rb"Collected : (\d+)")


def _output(*words: str | Path) -> bytes:
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)  # noqa: S603 -- our own words
    return done.stdout


def build() -> Path:
    """Build the bench and return its executable."""
    words = "cargo bench --locked --quiet --package tapecast-core --bench instructions --no-run"
    for line in _output(*words.split(), "--message-format=json").splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return Path(message["executable"])
    raise RuntimeError("cargo built no executable of the bench")


def count(executable: Path, path: str) -> int:
    """Return how many instructions a path needs, within the functions that are measured."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"--callgrind-out-file={folder}/out"
        words = ["valgrind", "--tool=callgrind", "--toggle-collect=*measured_*", out]
        done = subprocess.run(  # noqa: S603 -- our own words
            [*words, str(executable), path], check=True, stderr=subprocess.PIPE
        )
    found = _COLLECTED.search(done.stderr)
    if found is None or not int(found[1]):
        raise RuntimeError(f"callgrind counted nothing for {path}: {done.stderr[-500:]!r}")
    return int(found[1])


def rustc() -> str:
    """Return the version of the compiler."""
    return _output("rustc", "--version").decode().split()[1]


def complaints(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return a line for every path that needs too many instructions, or that nobody recorded."""
    limit = LIMIT if recorded["rustc"] == found["rustc"] else OTHER_RUSTC_LIMIT
    lines = []
    for path, now in found["instructions"].items():
        before = recorded["instructions"].get(path)
        if before is None:
            lines.append(f"{path}: nothing is recorded, expected a figure")
        elif now > before * (1 + limit):
            more = f"{now / before - 1:.1%} more than recorded"
            lines.append(f"{path}: {now:,} instructions, {more}, expected at most {limit:.0%}")
    return lines


def table(found: Mapping[str, Any]) -> str:
    """Return the counts as Markdown."""
    lines = ["| path | instructions a trade |", "|---|--:|"]
    for path, now in found["instructions"].items():
        trades = found["trades"][path]
        lines.append(f"| {path.replace('_', ' ')} | {now / trades:,.0f} |")
    return "\n".join(lines)


def _measure() -> dict[str, Any]:
    executable = build()
    # Without the name of a path it checks them all against the slow reference first.
    trades = dict(line.split() for line in _output(executable).decode().splitlines())
    return {
        "rustc": rustc(),
        "trades": {path: int(trades[path]) for path in PATHS},
        "instructions": {path: count(executable, path) for path in PATHS},
    }


def _why_not() -> str | None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return f"{platform.system()} on {platform.machine()}, expected Linux on x86_64"
    if shutil.which("valgrind") is None:
        return "valgrind is not on the PATH (on Debian and Ubuntu: apt-get install valgrind)"
    return None


def _compare(found: Mapping[str, Any]) -> int:
    recorded = json.loads(RECORDED.read_text())
    if recorded["rustc"] != found["rustc"]:
        versions = f"rustc {found['rustc']}, and the figures are of rustc {recorded['rustc']}"
        print(f"{versions}: {OTHER_RUSTC_LIMIT:.0%} are allowed", file=sys.stderr)
    for path, now in found["instructions"].items():
        before = recorded["instructions"].get(path)
        change = "" if before is None else f" ({now / before - 1:+.2%})"
        print(f"{path:20} {now:>12,}{change}")
    lines = complaints(recorded, found)
    if lines:
        print("\n".join(lines), file=sys.stderr)
        print(f"if that is meant to be so, record it: {RECORD}", file=sys.stderr)
    return 1 if lines else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, and compare, record or print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="keep the counts in git")
    parser.add_argument("--markdown", action="store_true", help="print a table alone")
    chosen = parser.parse_args(arguments)
    if reason := _why_not():
        print(f"instructions are not counted here: {reason}", file=sys.stderr)
        return 1 if chosen.record or chosen.markdown else 0
    found = _measure()
    if chosen.record:
        RECORDED.write_text(json.dumps(found, indent=2) + "\n")
    elif chosen.markdown:
        print(table(found))
    else:
        return _compare(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
