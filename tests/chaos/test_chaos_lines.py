"""Lines that die in turn or together, and REST that helps or does not."""

from typing import Final

from tapecast.aliases import Category
from tapecast.sim.faults import Drop, Fault, Hole, RefuseHandshake, RestTimeout, Script
from tests.chaos import loops
from tests.chaos.verdicts import (
    check_counts,
    check_digits,
    check_gaps_are_marked,
    check_healed,
    check_no_false_alarm,
    differing,
    ledger_candles,
    minutes,
)
from tests.chaos.world import START_MS, World
from tests.reference import MINUTE_MS

_LINEAR: Final[dict[Category, tuple[str, ...]]] = {"linear": ("BTCUSDT", "ETHUSDT", "SOLUSDT")}
_SPOT: Final[dict[Category, tuple[str, ...]]] = {"spot": ("BTCUSDT",)}

_SEED: Final = 7
_DOWN_MS: Final = 20_000
_DOWN: Final[tuple[Fault, ...]] = (
    Drop(at_ms=80_000),
    RefuseHandshake(at_ms=80_000, for_ms=_DOWN_MS, status=503),
)
_END_MS: Final = 245_000
_OUTAGE_MINUTE_MS: Final = START_MS + MINUTE_MS


def _lived(*faults: Fault, symbols: dict[Category, tuple[str, ...]]) -> World:
    """Live four minutes with faults, and find nothing wrong with what was published."""

    async def live() -> World:
        script = Script(seed=_SEED, faults=faults)
        world = World(seed=_SEED, symbols=symbols, rate=15.0, script=script)
        await world.run(_END_MS)
        return world

    world = loops.run(live())
    truth = ledger_candles(world.desk)
    check_counts(world, truth)
    check_digits(world, truth)
    check_gaps_are_marked(world)
    check_healed(world)
    check_no_false_alarm(world)
    return world


def _missing(world: World, from_ms: int) -> list[str]:
    """Return the trades from a time on that were not published."""
    published = set(world.recorder.trades)
    return [
        one.trade_id
        for one in world.desk.ledger
        if one.event_ms >= from_ms
        # What was traded in the last step is not read yet.
        and one.event_ms < world.ended_ms - 1_000
        and (one.category, one.symbol, one.trade_id) not in published
    ]


def _incomplete(world: World) -> list[int]:
    """Return the starts of minutes that are not complete, counted from the first."""
    starts = {minute[2] for minute, candle in minutes(world) if not candle["complete"]}
    return sorted((start_ms - START_MS) // MINUTE_MS for start_ms in starts)


def test_lines_that_are_killed_in_turn_lose_nothing_and_ask_for_nothing() -> None:
    killed: list[int] = []

    async def live() -> World:
        world = World(seed=_SEED, symbols=_LINEAR, rate=15.0, backoff_cap_s=30.0)

        def kill(now_ms: int) -> None:
            if now_ms >= (len(killed) + 1) * 10_000:
                world.opener.kill(f"linear-1{'ab'[len(killed) % 2]}")
                killed.append(now_ms)

        await world.run(605_000, on_step=kill)
        return world

    world = loops.run(live())
    assert len(killed) == 60
    assert _missing(world, START_MS + 1_000) == []
    assert world.rest.counts()["rest_requests"] == 0
    assert world.recorder.gaps == []
    assert _incomplete(world) == [0]
    check_digits(world, ledger_candles(world.desk))


def test_a_black_hole_of_one_line_loses_nothing_and_asks_for_nothing() -> None:
    world = _lived(Hole(at_ms=70_000, for_ms=60_000, connection=0), symbols=_LINEAR)
    assert _missing(world, START_MS + 1_000) == []
    assert world.rest.counts()["rest_requests"] == 0
    assert _incomplete(world) == [0]
    assert len(world.feed.spans) > 2 * len(_LINEAR["linear"])


def test_linear_lines_that_are_both_down_are_healed_from_one_page() -> None:
    world = _lived(*_DOWN, symbols=_LINEAR)
    assert _missing(world, START_MS + 1_000) == []
    assert (world.healer.healed_total, world.healer.unhealed_total) == (3, 0)
    assert _incomplete(world) == [0]
    sources = {
        candle["source"] for minute, candle in minutes(world) if minute[2] == _OUTAGE_MINUTE_MS
    }
    assert sources == {"backfill"}


def test_a_page_of_spot_that_does_not_reach_leaves_the_exchanges_candle() -> None:
    world = _lived(*_DOWN, symbols=_SPOT)
    assert (world.healer.healed_total, world.healer.unhealed_total) == (0, 1)
    assert _incomplete(world) == [0, 1]
    candle = world.recorder.candles["spot", "BTCUSDT", _OUTAGE_MINUTE_MS]
    truth = ledger_candles(world.desk)["spot", "BTCUSDT", _OUTAGE_MINUTE_MS]
    assert (candle["source"], candle["trades"], candle["buy_volume"]) == ("kline", None, None)
    assert candle["verified"] is None
    for name in ("close", "volume", "turnover"):
        assert candle[name] == getattr(truth, name)
    # The exchange's candle opens at the close before.
    assert candle["low"] <= truth.low
    assert candle["high"] >= truth.high


def test_without_rest_a_gap_is_given_up_and_its_minute_is_not_complete() -> None:
    world = _lived(*_DOWN, RestTimeout(), symbols=_LINEAR)
    assert (world.healer.healed_total, world.healer.unhealed_total) == (0, 3)
    assert _incomplete(world) == [0, 1]
    truth = ledger_candles(world.desk)
    for minute, candle in minutes(world):
        if minute[2] == _OUTAGE_MINUTE_MS:
            assert candle["source"] == "trades"
            assert differing(candle, truth[minute])


def test_when_rest_comes_back_in_time_a_gap_is_healed() -> None:
    world = _lived(*_DOWN, RestTimeout(at_ms=70_000, for_ms=45_000), symbols=_LINEAR)
    assert (world.healer.healed_total, world.healer.unhealed_total) == (3, 0)
    assert _incomplete(world) == [0]
