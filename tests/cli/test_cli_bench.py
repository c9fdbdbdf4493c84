"""`tapecast bench`: its tables, its JSON and its exit codes, on next to nothing."""

import json
from typing import Any

import pytest

import tapecast.cli.bench
from tapecast.bench import WrongResultError, measure_engine
from tapecast.bench.corpus import frames

from .commands import invoke

TINY = ("bench", "--seconds", "0.1", "--clients", "2")
STEPS = ["making the frames …", "frames to candles …", "messages to clients …"]


def test_the_tables_show_machine_versions_and_every_contender() -> None:
    result = invoke(*TINY)
    assert (result.exit_code, result.stderr.splitlines()) == (0, STEPS)
    lines = result.stdout.splitlines()
    assert " UTC, " in lines[0]
    assert lines[1].startswith("tapecast ")
    assert "raw frames to one-minute candles: 200 frames, 481 trades:" in lines
    names = [line.split("  ")[0] for line in lines]
    assert {"json + dict, Decimal", "msgspec + dict, Decimal", "tapecast Engine.feed"} <= {*names}
    assert {"websockets broadcast", "tapecast server"} <= {*names}
    for line in lines:
        if line.startswith(("websockets", "tapecast server")):
            *_, runs, cpu_us, ratio = line.split()
            assert int(runs) > 1
            assert float(cpu_us) > 0
            assert float(ratio) > 0


def test_json_is_one_object_with_the_same() -> None:
    result = invoke(*TINY, "--json")
    assert (result.exit_code, result.stderr.splitlines()) == (0, STEPS)
    report: dict[str, Any] = json.loads(result.stdout)
    assert {*report} == {"at", "machine", "versions", "engine", "fanout"}
    assert {*report["machine"]} == {"cpu", "cores", "system", "python"}
    assert report["engine"]["unit"] == "trades/s"
    assert report["fanout"]["unit"] == "messages/s"
    assert "to 2 clients" in report["fanout"]["task"]
    for rate in report["engine"]["rates"] + report["fanout"]["rates"]:
        assert 0 < rate["lowest"] <= rate["median"] <= rate["highest"]
        assert rate["runs"] >= 1
    assert report["engine"]["rates"][-1]["name"] == "tapecast Engine.feed"
    assert report["fanout"]["rates"][-1]["name"] == "tapecast server"


def test_a_wrong_result_is_said_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **_kwargs: object) -> None:
        raise WrongResultError("somebody has 1 candles, expected 2")

    monkeypatch.setattr(tapecast.cli.bench, "measure_engine", wrong)
    result = invoke(*TINY)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "tapecast: somebody has 1 candles, expected 2"


@pytest.mark.parametrize(
    ("flag", "value"), [("--seconds", "0"), ("--clients", "0"), ("--clients", "many")]
)
def test_a_flag_outside_its_range_exits_2(flag: str, value: str) -> None:
    result = invoke("bench", flag, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{flag}'" in result.stderr


def test_progress_of_the_engine_rises_to_the_whole() -> None:
    shares: list[float] = []
    measure_engine([frame for frame, _ in frames(50)], 100, seconds=0.01, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
