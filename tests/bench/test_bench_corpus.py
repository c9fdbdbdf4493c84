"""The corpus: the same bytes for the same seed, and the shape that it says."""

from typing import Any

import pytest

from tapecast import aggregate
from tapecast.bench.corpus import frames


@pytest.mark.parametrize("shape", ["linear", "spot", "mixed"])
def test_the_corpus_is_the_same_for_the_same_seed_and_has_the_shape_it_says(shape: Any) -> None:  # noqa: ANN401 -- a literal
    made = list(frames(2_000, shape=shape, seed=7))
    assert made == list(frames(2_000, shape=shape, seed=7))
    trades = sum(held for _, held in made)
    assert 2.0 < trades / 2_000 < 2.4
    assert 0.66 < sum(held == 1 for _, held in made) / 2_000 < 0.74
    candles = aggregate([frame for frame, _ in made], category="linear")
    assert candles["trades"].sum() == trades


def test_few_frames_make_candles_of_two_minutes() -> None:
    candles = aggregate([frame for frame, _ in frames(200)])
    assert len(set(candles["start_ms"])) == 2
