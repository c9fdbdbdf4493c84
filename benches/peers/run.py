"""Raw frames to one-minute candles by the peers that are installed, beside the engine.

`make bench-peers` installs each in an environment of its own, under target/peers, and runs this. A
peer that is not there is named on stderr and left out; one whose candles are wrong ends the run.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tapecast import Engine, __version__
from tapecast.bench.corpus import frames as corpus_frames

__all__ = ["PEERS", "main"]

HERE: Final = Path(__file__).resolve().parent
PLACE: Final = HERE.parents[1] / "target" / "peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer, and what is timed of it.

    Attributes:
        name: Name of the package.
        what: What is timed.
        pinned: What is installed.
    """

    name: str
    what: str
    pinned: tuple[str, ...]

    @property
    def is_node(self) -> bool:
        """Whether it is a package of npm."""
        return self.name == "tardis-dev"

    @property
    def place(self) -> Path:
        """Its environment."""
        return PLACE / self.name

    @property
    def interpreter(self) -> str | None:
        """What runs it; None if it is not installed."""
        if self.is_node:
            is_there = (self.place / "node_modules" / self.name).is_dir()
            return shutil.which("node") if is_there else None
        python = self.place / "bin" / "python"
        return str(python) if python.is_file() else None

    def install(self) -> None:
        """Make its environment."""
        if self.is_node:
            flags = ("--no-audit", "--no-fund", "--ignore-scripts")
            _call("npm", "install", "--prefix", str(self.place), *flags, *self.pinned)
            return
        _call(sys.executable, "-m", "venv", str(self.place))
        pip = (str(self.place / "bin" / "python"), "-m", "pip", "install", "--quiet")
        _call(*pip, "--disable-pip-version-check", *self.pinned)

    def measure(self, corpus: Path, exact: Path, runs: int) -> dict[str, Any]:
        """Return its version and rates."""
        script = HERE / f"peer_{self.name.replace('-', '_')}.{'js' if self.is_node else 'py'}"
        words = [str(self.interpreter), str(script), str(corpus), str(exact), str(runs)]
        variables = {**os.environ, "NODE_PATH": str(self.place / "node_modules")}
        done = subprocess.run(  # noqa: S603 -- our own words
            words, check=True, stdout=subprocess.PIPE, env=variables
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found


PEERS: Final = (
    Peer("ccxt", "pro: handle_message and build_ohlcvc", ("ccxt==4.5.90",)),
    # Its aggregate imports numpy, which it does not ask for.
    Peer("cryptofeed", "message_handler and OHLCV", ("cryptofeed==2.4.1", "numpy>=2")),
    Peer("nautilus_trader", "decoder and TimeBarAggregator", ("nautilus_trader==1.221.0",)),
    Peer("tardis-dev", "compute and computeTradeBars", ("tardis-dev@13.35.3",)),
)


def _call(*words: str) -> None:
    subprocess.run(words, check=True, stdout=sys.stderr)  # noqa: S603 -- our own words


def _feed(frames: Sequence[bytes]) -> Engine:
    engine = Engine(clock="event", history_candles=sys.maxsize)
    for frame in frames:
        engine.feed(frame, received_ns=0)
    return engine


def _write(folder: Path, count: int) -> tuple[list[bytes], int]:
    """Write what peers read: the frames, and their exact candles."""
    made = list(corpus_frames(count))
    frames, trades = [frame for frame, _ in made], sum(held for _, held in made)
    (folder / "corpus.jsonl").write_bytes(b"\n".join(frames) + b"\n")
    names = ("symbol", "start_ms", "open", "high", "low", "close", "volume")
    candles = _feed(frames).candles(exact=True)
    rows = [list(row) for row in candles[list(names)].tolist()]
    (folder / "exact.json").write_text(json.dumps({"trades": trades, "candles": rows}))
    return frames, trades


def measure(count: int, runs: int) -> dict[str, list[float]]:
    """Return trades per second of every run, contenders taking turns."""
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames, trades = _write(folder, count)
        for _ in range(runs):
            for peer in PEERS:
                if peer.interpreter is None:
                    continue
                found = peer.measure(folder / "corpus.jsonl", folder / "exact.json", 1)
                shown = f"{peer.name} {found['version']}, {peer.what}"
                rates.setdefault(shown, []).extend(found["trades_per_s"])
            begin_s = time.perf_counter()
            _feed(frames)
            rate = trades / (time.perf_counter() - begin_s)
            rates.setdefault(f"tapecast {__version__}, Engine.feed", []).append(rate)
    return rates


def main(arguments: Sequence[str] | None = None) -> None:
    """Install if asked to, measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true", help="install peers that are missing")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a table; the default")
    chosen = parser.parse_args(arguments)
    for peer in PEERS:
        if peer.interpreter is None and chosen.install:
            peer.install()
        if peer.interpreter is None:
            print(f"{peer.name} is not installed (make bench-peers does it)", file=sys.stderr)
    rates = measure(chosen.frames, chosen.runs)
    print(f"{chosen.frames:,} frames of the linear shape.\n")
    print("| contender | k trades/s, median [min..max] |\n|---|--:|")
    for name, values in rates.items():
        spread = f"[{min(values) / 1e3:,.0f}..{max(values) / 1e3:,.0f}]"
        print(f"| {name} | {statistics.median(values) / 1e3:,.0f} {spread} |")


if __name__ == "__main__":
    main()
