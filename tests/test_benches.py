"""The benches run, on a tiny corpus: nobody reads their timings here."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .daemon.harness import running

BENCHES = Path(__file__).resolve().parents[1] / "benches"
PAGE = BENCHES.parent / "docs" / "performance.md"


def load(name: str) -> ModuleType:
    """Import a bench from its file."""
    specification = importlib.util.spec_from_file_location(name, BENCHES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def test_the_corpus_is_written_as_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "spot.jsonl"
    load("corpus").main([str(path), "--frames", "20", "--shape", "spot"])
    lines = path.read_bytes().splitlines()
    trades = sum(len(json.loads(line)["data"]) for line in lines)
    assert len(lines) == 20
    assert capsys.readouterr().out == f"{path}: 20 frames, {trades} trades, 0 MB\n"


def test_the_bench_of_the_engine_makes_a_table_of_medians_and_spreads() -> None:
    def timed(contender: str, turn: int, seconds: float) -> dict[str, Any]:
        info = {"contender": contender, "turn": turn, "frames": 1_000, "trades": 2_000}
        return {"extra_info": info, "stats": {"median": seconds}}

    base = "msgspec + dict, Decimal"
    seconds = {base: (0.004, 0.002, 0.001), "other": (0.0005, 0.001, 0.00025)}
    runs = [timed(name, turn, of[turn]) for turn in range(3) for name, of in seconds.items()]
    rows = load("engine").table(runs).splitlines()
    assert rows[0] == "1,000 frames of the linear shape, 2,000 trades, one thread."
    assert rows[4:] == [
        f"| {base} | 1,000 [500..2,000] | 1.00 |",
        "| other | 4,000 [2,000..8,000] | 4.00 |",
    ]


def test_the_bench_of_the_stages_makes_a_table_of_what_criterion_left(tmp_path: Path) -> None:
    folder = tmp_path / "decode" / "usual" / "new"
    folder.mkdir(parents=True)
    told = {"full_id": "decode/usual", "throughput": {"Elements": 100}}
    (folder / "benchmark.json").write_text(json.dumps(told))
    sample = {"iters": [1.0, 2.0, 4.0], "times": [10_000.0, 40_000.0, 160_000.0]}
    (folder / "sample.json").write_text(json.dumps(sample))
    rows = load("stages").table(tmp_path).splitlines()
    assert rows[2:] == ["| decode/usual | 5.00 [2.50..10.00] | 200 |"]


@pytest.mark.parametrize(
    ("rustc", "now", "complaint"),
    [
        ("1.1", 1_030, None),
        ("1.1", 1_031, "a: 1,031 instructions, 3.1% more than recorded, expected at most 3%"),
        ("1.2", 1_100, None),
        ("1.2", 1_101, "a: 1,101 instructions, 10.1% more than recorded, expected at most 10%"),
        ("1.1", 500, None),
    ],
)
def test_instructions_may_grow_by_three_per_cent_and_by_ten_with_another_rustc(
    rustc: str, now: int, complaint: str | None
) -> None:
    recorded = {"rustc": "1.1", "instructions": {"a": 1_000}}
    found = {"rustc": rustc, "instructions": {"a": now}}
    assert load("instructions").complaints(recorded, found) == ([complaint] if complaint else [])


def test_a_path_without_recorded_instructions_is_a_complaint() -> None:
    recorded = {"rustc": "1.1", "instructions": {}}
    found = {"rustc": "1.1", "instructions": {"a": 1}}
    (line,) = load("instructions").complaints(recorded, found)
    assert line == "a: nothing is recorded, expected a figure"


def test_every_path_has_recorded_instructions() -> None:
    instructions = load("instructions")
    recorded = json.loads(instructions.RECORDED.read_text())
    assert list(recorded["instructions"]) == list(recorded["trades"]) == list(instructions.PATHS)


def test_instructions_are_not_compared_where_there_is_no_valgrind_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instructions = load("instructions")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(instructions.platform, "system", lambda: "Linux")
    monkeypatch.setattr(instructions.platform, "machine", lambda: "x86_64")
    assert (instructions.main([]), instructions.main(["--record"])) == (0, 1)
    assert capsys.readouterr().err.splitlines()[0] == (
        "instructions are not counted here: valgrind is not on the PATH "
        "(on Debian and Ubuntu: apt-get install valgrind)"
    )


def test_the_report_replaces_what_stands_between_its_markers_alone() -> None:
    page = "a\n<!-- bench: x -->\nold\n<!-- end: x -->\nb\n"
    report = load("report")
    once = report.replaced(page, "x", "new\n")
    assert once == "a\n<!-- bench: x -->\nnew\n<!-- end: x -->\nb\n"
    assert report.replaced(once, "x", "new") == once


@pytest.mark.parametrize("page", ["", "<!-- bench: x -->\n", "<!-- end: x -->\n"])
def test_the_report_refuses_a_page_without_its_markers(page: str) -> None:
    with pytest.raises(ValueError, match="the page has no <!-- bench: x --> and <!-- end: x -->"):
        load("report").replaced(page, "x", "new")


def test_the_page_has_a_place_for_every_bench_that_the_report_runs() -> None:
    report = load("report")
    for name, (script, *_) in report.SECTIONS.items():
        assert report.replaced(PAGE.read_text(), name, "a line that no bench prints\n"), name
        assert (BENCHES.parent / script).is_file(), script


async def test_the_interval_of_stats_is_measured() -> None:
    async with running() as run:
        (deviation,) = await load("stats_interval").deviations_ms(run.url, 1)
    assert isinstance(deviation, float)
