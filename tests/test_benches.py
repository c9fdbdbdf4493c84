"""The benches run, on a tiny corpus: nobody reads their timings here."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tapecast import aggregate

from .daemon.harness import running

BENCHES = Path(__file__).resolve().parents[1] / "benches"


def load(name: str) -> ModuleType:
    """Import a bench from its file."""
    specification = importlib.util.spec_from_file_location(name, BENCHES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shape", ["linear", "spot", "mixed"])
def test_the_corpus_is_the_same_for_the_same_seed_and_has_the_shape_it_says(shape: Any) -> None:  # noqa: ANN401 -- a literal
    corpus = load("corpus")
    made = list(corpus.frames(2_000, shape=shape, seed=7))
    assert made == list(corpus.frames(2_000, shape=shape, seed=7))
    trades = sum(held for _, held in made)
    assert 2.0 < trades / 2_000 < 2.4
    assert 0.66 < sum(held == 1 for _, held in made) / 2_000 < 0.74
    candles = aggregate([frame for frame, _ in made], category="linear")
    assert candles["trades"].sum() == trades


@pytest.mark.parametrize("shape", ["linear", "spot"])
def test_every_contender_has_the_same_candles(shape: Any) -> None:  # noqa: ANN401 -- a literal
    engine = load("engine")
    engine.check([frame for frame, _ in load("corpus").frames(500, shape=shape)])


def test_the_bench_of_the_engine_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    engine = load("engine")
    engine.main(["--frames", "50", "--runs", "1"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(engine.CONTENDERS)


async def test_the_interval_of_stats_is_measured() -> None:
    async with running() as run:
        (deviation,) = await load("stats_interval").deviations_ms(run.url, 1)
    assert isinstance(deviation, float)
