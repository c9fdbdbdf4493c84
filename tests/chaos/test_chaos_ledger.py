"""Random schedules of faults: what says it is whole is the exchange's ledger, to the last digit.

A seed runs alone with `CHAOS_SEED=n`; `CHAOS_SEEDS` says how many there are.
"""

import os
from typing import Final

import pytest

from tapecast.aliases import Category
from tapecast.sim.fault_scripts import random_script
from tests.chaos import loops
from tests.chaos.schedules import LONGEST_MS, visible_faults
from tests.chaos.verdicts import (
    check_all_published,
    check_audited,
    check_counts,
    check_digits,
    check_gaps_are_marked,
    check_healed,
    check_no_false_alarm,
    ledger_candles,
)
from tests.chaos.world import World

_FAULTS_MS: Final = 240_000
_END_MS: Final = 330_000
"""The last gap has 30 s to be healed then, and the candles of its minutes to be fetched."""

_SYMBOLS: Final[dict[Category, tuple[str, ...]]] = {
    "linear": ("BTCUSDT", "ETHUSDT"),
    "spot": ("BTCUSDT",),
}

_ALONE: Final = os.environ.get("CHAOS_SEED")
_SEEDS: Final = [int(_ALONE)] if _ALONE else range(int(os.environ.get("CHAOS_SEEDS", "200")))
_SILENT_SEEDS: Final = _SEEDS[: -(-len(_SEEDS) // 4)]


async def _visible(seed: int) -> World:
    # Ended before its time, a hole could be too short to be noticed.
    script = visible_faults(seed, until_ms=_FAULTS_MS - LONGEST_MS)
    world = World(seed=seed, symbols=_SYMBOLS, rate=15.0, script=script)
    await world.run(_END_MS)
    return world


async def _silent(seed: int) -> World:
    script = random_script(seed, duration_ms=_FAULTS_MS, longest_ms=20_000)
    world = World(seed=seed, symbols=_SYMBOLS, rate=15.0, script=script)

    def calm(now_ms: int) -> None:
        if now_ms >= _FAULTS_MS:
            world.desk.end_faults()

    # What could not be compared in its time, is then; what differs is looked into.
    await world.run(_END_MS, on_step=calm, compare_ms=_FAULTS_MS)
    return world


@pytest.mark.parametrize("seed", _SEEDS, ids="CHAOS_SEED={}".format)
def test_what_is_complete_is_the_ledger_and_what_was_missed_is_not_complete(seed: int) -> None:
    world = loops.run(_visible(seed))
    truth = ledger_candles(world.desk)
    assert world.intake.unsettled() == []
    check_counts(world, truth)
    check_digits(world, truth)
    check_gaps_are_marked(world)
    check_healed(world)
    check_no_false_alarm(world)
    check_all_published(world)


@pytest.mark.parametrize("seed", _SILENT_SEEDS, ids="CHAOS_SEED={}".format)
def test_what_is_lost_without_a_sign_is_found_by_comparing_candles(seed: int) -> None:
    world = loops.run(_silent(seed))
    truth = ledger_candles(world.desk)
    check_counts(world, truth)
    check_audited(world, truth)
    check_gaps_are_marked(world)
    check_healed(world)
    check_no_false_alarm(world)
