"""The state as a whole: killed at any moment, and everything that was published is there."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tapecast.errors import StateForeign, StateLocked
from tapecast.store import CandleRow, State, StateOptions
from tests.store.twin import TWIN, Clock, append, as_number, settle

OPTIONS = StateOptions(codec=TWIN)
KILLS = 8


def opened(directory: Path, identity: str = "{}", options: StateOptions = OPTIONS) -> State:
    return State.open(
        directory,
        identity=identity,
        monotonic_s=Clock().monotonic_s,
        wall_ms=lambda: 0,
        options=options,
    )


def durability(state: State) -> str:
    return state.durability


def candle(at: int) -> CandleRow:
    numbers, complete = ("1",) * 6, True
    return CandleRow("linear", "BTCUSDT", at, *numbers, "1", 1, complete, "trades", None, 0)


def test_a_state_goes_on_where_it_ended(tmp_path: Path) -> None:
    state = opened(tmp_path)
    assert state.recovered.is_empty
    state.journal.begin(b"state", renumbered=True)
    append(state.journal, 1, 2)
    state.candles.put([candle(60_000)])
    assert durability(state) == "process"
    assert state.close()
    state = opened(tmp_path)
    assert state.recovered.restore(bytes) == b"state"
    assert state.recovered.is_same_numbering
    assert [as_number(item) for item in state.recovered.records()] == [1, 2]
    assert state.candles.history(10).result(30) == [candle(60_000)]
    assert state.close()


def test_durability_is_that_of_the_weakest_part(tmp_path: Path) -> None:
    state = opened(tmp_path, options=StateOptions(codec=TWIN, fsync_interval_s=1))
    assert durability(state) == "degraded"
    state.journal.begin(b"state", renumbered=True)
    assert durability(state) == "power"
    state.candles.is_degraded = True
    assert durability(state) == "degraded"
    state.close()


def test_p4_a_state_in_use_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    state = opened(tmp_path)
    with pytest.raises(StateLocked):
        opened(tmp_path)
    state.close()
    opened(tmp_path).close()


def test_a_state_of_another_identity_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, '{"network":"mainnet"}').close()
    with pytest.raises(StateForeign):
        opened(tmp_path, '{"network":"testnet"}')


def test_a_start_that_fails_leaves_the_state_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr("tapecast.store.state.CandleStore", fail)
        with pytest.raises(ValueError, match="a mistake"):
            opened(tmp_path)
    opened(tmp_path).close()


_PROGRAM = """
import sys
from pathlib import Path
from tests.store.test_store_state import opened
from tests.store.twin import append, as_number
state = opened(Path(sys.argv[1]))
last = int(state.recovered.restore(bytes) or 0)
for item in state.recovered.records():
    last = as_number(item)
print(last, state.recovered.is_same_numbering, flush=True)
state.journal.begin(b"%d" % last, renumbered=not state.recovered.is_same_numbering)
while True:
    last += 1
    append(state.journal, last)
    print(last, flush=True)
    if last % 50 == 0:
        state.journal.tick()
        state.journal.release(state.journal.rotate(b"%d" % last))
"""


def test_p3_whatever_was_published_before_a_kill_is_on_record(tmp_path: Path) -> None:
    choose = random.Random(7)
    published = 0
    for run in range(KILLS):
        with subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, "-c", _PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            begin, is_same = process.stdout.readline().split()
            # One record may be written whose publication was not seen.
            assert int(begin) in {published, published + 1}
            assert is_same == str(run > 0)
            seen = [begin, *(process.stdout.readline() for _ in range(choose.randrange(400)))]
            process.kill()
            published = int([*seen, *process.stdout.read().splitlines()][-1])
    state = opened(tmp_path)
    assert state.recovered.restore(bytes) is not None
    numbers = [as_number(item) for item in state.recovered.records()]
    assert numbers[-1] in {published, published + 1}
    assert state.recovered.is_same_numbering
    state.journal.begin(b"end", renumbered=False)
    state.journal.rotate(b"end")
    settle(state.journal)
    state.journal.release(state.journal.rotate(b"end") or 0)
    settle(state.journal)
    assert len(list((tmp_path / "journal").iterdir())) == 4
    state.close()
