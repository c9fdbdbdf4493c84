"""Writes the corpus of the benches as a recording, one frame a line.

`python benches/corpus.py --frames 500000 target/corpus/linear.jsonl` makes the one that figures are
published for; what it is made of stands in `tapecast.bench.corpus`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tapecast.bench.corpus import Shape, frames

__all__ = ["main", "write_corpus"]


def write_corpus(path: Path, count: int, *, shape: Shape = "linear", seed: int = 1) -> int:
    """Write a recording and return its number of trades."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trades = 0
    with path.open("wb") as file:
        for frame, held in frames(count, shape=shape, seed=seed):
            file.write(frame + b"\n")
            trades += held
    return trades


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the corpus that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--frames", type=int, default=500_000)
    parser.add_argument("--shape", choices=("linear", "spot", "mixed"), default="linear")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    trades = write_corpus(chosen.path, chosen.frames, shape=chosen.shape, seed=chosen.seed)
    size = chosen.path.stat().st_size
    print(f"{chosen.path}: {chosen.frames} frames, {trades} trades, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
