"""Raw frames to one-minute candles, by pytest-benchmark: the engine beside the JSON libraries.

Contenders take turns. Every test checks the candles against the exact ones before it times them.
`make bench` makes a table of it (`engine.py`); the suite runs it once, with a tiny corpus.
"""

from typing import TYPE_CHECKING, Final

import pytest

from tapecast.bench.contenders import check, contenders
from tapecast.bench.corpus import frames as corpus_frames

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

FRAMES: Final = 100_000
TINY_FRAMES: Final = 200
TURNS: Final = 5
FOUND: Final = contenders()


@pytest.fixture(scope="module")
def corpus(request: pytest.FixtureRequest) -> tuple[list[bytes], int]:
    is_timed = request.config.getoption("benchmark_enable")
    made = list(corpus_frames(FRAMES if is_timed else TINY_FRAMES))
    return [frame for frame, _ in made], sum(held for _, held in made)


# The upper one varies first: a turn is one run of each contender.
@pytest.mark.parametrize("contender", FOUND)
@pytest.mark.parametrize("turn", range(TURNS))
def test_frames_to_candles(
    benchmark: "BenchmarkFixture", corpus: tuple[list[bytes], int], contender: str, turn: int
) -> None:
    frames, trades = corpus
    check(frames[:TINY_FRAMES], {contender: FOUND[contender]})
    benchmark.extra_info.update(contender=contender, turn=turn, frames=len(frames), trades=trades)
    benchmark.pedantic(FOUND[contender], args=(frames,), rounds=1)  # type: ignore[no-untyped-call]
