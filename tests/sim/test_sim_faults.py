"""Scripts of faults as text."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.errors import ConfigError
from tapecast.sim import toxics
from tapecast.sim.fault_scripts import random_script
from tapecast.sim.faults import (
    Close,
    Drop,
    Fault,
    Lose,
    NoPong,
    Script,
    kind_of,
    load_script,
    read_script,
)

TOML = """
seed = 7
[[faults]]
kind = "lose"
at_ms = 1000
for_ms = 500
category = "linear"
symbols = "BTC*"
connection = 1
probability = 0.5
[[faults]]
kind = "drop"
connection = "random"
[[toxics]]
kind = "latency"
latency_ms = 50
stream = "downstream"
"""

SCRIPT = Script(
    seed=7,
    faults=(
        Lose(
            at_ms=1000,
            for_ms=500,
            category="linear",
            symbols="BTC*",
            connection=1,
            probability=0.5,
        ),
        Drop(connection="random"),
    ),
    toxics=(toxics.Latency(latency_ms=50, stream="downstream"),),
)


def test_a_script_is_read_from_toml() -> None:
    assert read_script(TOML) == SCRIPT


@given(st.integers(0, 2**32))
def test_a_script_is_read_from_json_as_it_was_written(seed: int) -> None:
    script = random_script(seed, duration_ms=60_000)
    assert read_script(msgspec.json.encode(script).decode()) == script


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[[faults]]\nkind = "moon"',
            (
                "trouble.toml: invalid value 'moon' - at `$.faults[0].kind`, "
                "expected a script of faults"
            ),
        ),
        (
            '{"faults":[{"kind":"lose","probability":2}]}',
            "trouble.toml: expected `float` <= 1.0 - at `$.faults[0].probability`",
        ),
        (
            '[[faults]]\nkind = "drop"\nfor_ms = 3',
            (
                "trouble.toml: object contains unknown field `for_ms` - at `$.faults[0]`, "
                "expected a script of faults"
            ),
        ),
        (
            "[[faults",
            "trouble.toml: expected ']]' at the end of an array declaration (at end of document)",
        ),
        ("faults = 3", "trouble.toml: expected `array`, got `int` - at `$.faults`"),
    ],
)
def test_what_is_no_script_is_told_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_script(text, name="trouble.toml")
    assert caught.value.problems == (problem,)


def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "trouble.toml"
    path.write_text(TOML)
    assert load_script(path) == SCRIPT


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        load_script(tmp_path / "none.toml")
    assert (
        str(missing.value) == f"{tmp_path}/none.toml: no such file or directory, expected a script"
    )
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as binary:
        load_script(tmp_path / "binary")
    assert str(binary.value) == f"{tmp_path}/binary: not utf-8, expected a script"


@pytest.mark.parametrize(
    ("fault", "kind"), [(Drop(), "drop"), (Close(), "close"), (NoPong(), "no_pong")]
)
def test_a_fault_has_the_name_that_scripts_call_it(fault: Fault, kind: str) -> None:
    assert kind_of(fault) == kind
