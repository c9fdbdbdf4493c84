"""Whatever is lost, and however the exchange answers: what is called healed is whole (U14, U29).

Goals 4 and 5: an outage within the reach of pages is healed; of any other, every minute is told by
the exchange's candle or stays open to doubt.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast.errors import FeedError
from tests.daemon.healer_fakes import MINUTE_MS, START_MS, Healing, healing, trade_row

WITHIN_MS = 90_000


@st.composite
def outages(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Return stretches that are lost, in order and apart, in milliseconds after the start."""
    ends = sorted(draw(st.sets(st.integers(1_000, WITHIN_MS), min_size=2, max_size=6)))
    return [(ends[at], ends[at + 1]) for at in range(0, len(ends) - 1, 2)]


def ledger_of(random: Random, *, spacing_ms: int) -> list[dict[str, Any]]:
    """Return trades of a market with orders, ties and pauses, oldest first."""
    at = 0
    rows: list[dict[str, Any]] = []
    while at < WITHIN_MS + 60_000:
        seq = str(len(rows))
        for _ in range(random.choice((1, 1, 2, 5))):
            rows.append(trade_row(at, number=len(rows)) | {"seq": seq})
        at += random.choice((0, 1, spacing_ms, 3 * spacing_ms))
    return rows


def missing_of(run: Healing, from_at: int, to_at: int) -> set[str]:
    """Return the trades of a stretch that the books do not have."""
    kept = {trade_id for _, trade_id in run.books.ids["linear"]}
    rows = run.market.trades["linear", "BTCUSDT"]
    of_gap = {row["execId"] for row in rows if from_at <= int(row["time"]) - START_MS < to_at}
    return of_gap - kept


def misbehave(run: Healing, random: Random) -> None:
    """Let the next answers be late, old, out of order or none."""
    run.market.stale_ms = random.choice((0, 0, 500, 10_000))
    run.market.shuffle = random.choice((lambda _rows: None, lambda _rows: None, random.shuffle))
    run.market.faults = [FeedError("HTTP 502")] * random.choice((0, 0, 1, 3))


async def play(
    run: Healing, gaps: list[tuple[int, int]], between: Callable[[], None], *, rows: list[Any]
) -> None:
    """Let outages come and go, and all of them be settled."""
    run.market.trades["linear", "BTCUSDT"] = rows
    lost = [(START_MS + from_at, START_MS + to_at) for from_at, to_at in gaps]
    received = [
        row for row in rows if not any(from_ms <= int(row["time"]) < to for from_ms, to in lost)
    ]
    for from_at, to_at in gaps:
        await run.clock.run_for((START_MS + to_at - run.clock.wall_ms()) / 1000)
        between()
        # Whatever is in no gap is known by the time at which it is on a page.
        run.books.receive("linear", *received)
        run.lose(from_at, to_at)
    await run.clock.run_until(lambda: run.is_settled)


def run_play(
    gaps: list[tuple[int, int]], *, seed: int, spacing_ms: int, size: int, is_sound: bool
) -> None:
    async def scenario() -> None:
        random = Random(seed)
        async with healing(size=size) as run:

            def between() -> None:
                if not is_sound:
                    misbehave(run, random)

            await play(run, gaps, between, rows=ledger_of(random, spacing_ms=spacing_ms))
            await run.clock.run_for(3_600.0)
            told = {(from_at, to_at): what for what, _, _, from_at, to_at in run.books.told}
            assert told.keys() == set(gaps)
            minutes = set(run.books.minutes())
            for (from_at, to_at), what in told.items():
                if what == "healed":
                    assert missing_of(run, from_at, to_at) == set()
                else:
                    touched = range(from_at // MINUTE_MS, (to_at - 1) // MINUTE_MS + 1)
                    assert minutes.issuperset(touched)
            if is_sound and size >= 1_000:
                assert set(told.values()) == {"healed"}

    asyncio.run(scenario())


@settings(deadline=None)
@given(outages(), st.integers(0, 2**32), st.integers(300, 20_000), st.integers(1, 200))
def test_what_is_healed_is_whole_and_every_other_minute_is_told(
    gaps: list[tuple[int, int]], seed: int, spacing_ms: int, size: int
) -> None:
    run_play(gaps, seed=seed, spacing_ms=spacing_ms, size=size, is_sound=False)


@settings(deadline=None)
@given(outages(), st.integers(0, 2**32), st.integers(1_000, 5_000))
def test_an_outage_within_the_reach_of_a_page_is_always_healed(
    gaps: list[tuple[int, int]], seed: int, spacing_ms: int
) -> None:
    run_play(gaps, seed=seed, spacing_ms=spacing_ms, size=1_000, is_sound=True)
