"""Scripts of faults from a seed."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.sim.fault_scripts import random_script, script_of
from tapecast.sim.faults import Drop, Fault, Hole, Script, kind_of

HOUR_MS = 3_600_000


def test_one_seed_is_one_script() -> None:
    assert random_script(5) == random_script(5)
    assert random_script(5) != random_script(6)


def test_every_fault_there_is_comes_in_a_long_script() -> None:
    drawn = {type(fault) for fault in random_script(1, duration_ms=HOUR_MS).faults}
    assert drawn == set(get_args(Fault))


@given(st.integers(0, 2**32), st.integers(1, 100_000))
def test_every_fault_ends_in_time(seed: int, duration_ms: int) -> None:
    for fault in random_script(seed, duration_ms=duration_ms, every_ms=500).faults:
        for_ms = getattr(fault, "for_ms", 0)
        assert for_ms is not None
        assert fault.at_ms + for_ms <= duration_ms


def test_only_the_kinds_that_were_asked_for_are_drawn() -> None:
    faults = random_script(1, kinds=["hole", "drop"]).faults
    assert {kind_of(fault) for fault in faults} == {"hole", "drop"}


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r'^kind is "moon", expected one of close, corrupt, drop'):
        random_script(1, kinds=["moon"])


def test_a_user_names_a_file_a_random_script_or_none(tmp_path: Path) -> None:
    path = tmp_path / "trouble.toml"
    path.write_text('seed = 3\n[[faults]]\nkind = "drop"\n')
    assert script_of(None) == Script()
    assert script_of("random") == random_script(0, duration_ms=HOUR_MS)
    assert script_of("random", seed=4) == random_script(4, duration_ms=HOUR_MS)
    assert script_of(str(path)) == Script(seed=3, faults=(Drop(),))
    assert script_of(str(path), seed=9) == Script(seed=9, faults=(Drop(),))


def test_a_lasting_fault_lasts_no_longer_than_wanted() -> None:
    faults = random_script(1, longest_ms=50, kinds=["hole"]).faults
    assert all(isinstance(one, Hole) and one.for_ms and one.for_ms <= 50 for one in faults)
