"""What was published against the truth: the exchange's ledger, and what the lines said.

The reference is that of the engine's own tests: all trades that happened, folded by `Decimal`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tapecast.aliases import Category
from tapecast.daemon.coverage import CLOCK_MARGIN_MS
from tapecast.sim.desk import Desk
from tests.chaos.world import GRACE_MS, START_MS, Minute, World
from tests.reference import MINUTE_MS, RefCandle, RefEngine, RefSettings, RefTrade

__all__ = [
    "Stretch",
    "check_all_published",
    "check_audited",
    "check_counts",
    "check_digits",
    "check_gaps_are_marked",
    "check_healed",
    "check_no_false_alarm",
    "differing",
    "healed_of",
    "ledger_candles",
    "minutes",
    "outages",
]

Stretch: TypeAlias = tuple[int, int]

_FIELDS: Final = ("open", "high", "low", "close", "volume", "turnover", "buy_volume", "trades")
_FRAME_TRADES: Final = 1024
_FOREVER_MS: Final = 1 << 60
_TICK_MS: Final = 1_000

_REFUSED_BEFORE_MS: Final = 1_000
_REFUSED_AFTER_MS: Final = 8_000
"""Around a damaged frame its topic may count as missed: the margin, late frames, and mending."""


def ledger_candles(desk: Desk) -> dict[Minute, RefCandle]:
    """Return the candles of every trade that happened."""
    engine = RefEngine(RefSettings())
    places: Counter[tuple[str, str, int]] = Counter()
    names: dict[tuple[Category, str], None] = {}
    for trade in desk.ledger:
        order = (trade.category, trade.symbol, trade.exchange_seq)
        names[trade.category, trade.symbol] = None
        engine.trades.append(
            RefTrade(
                category=trade.category,
                symbol=trade.symbol,
                event_ms=trade.event_ms,
                side=trade.taker_side,
                price=Decimal(trade.price),
                size=Decimal(trade.size),
                trade_id=trade.trade_id,
                seq=trade.exchange_seq,
                position=places[order] % _FRAME_TRADES,
                is_block=trade.block_trade,
                is_rpi=trade.rpi,
            )
        )
        places[order] += 1
    return {
        (category, symbol, candle.start_ms): candle
        for category, symbol in names
        for candle in engine._all(category, symbol)
    }


def differing(candle: dict[str, Any], truth: RefCandle | None) -> list[str]:
    """Return the fields in which a published candle is not the ledger's."""
    if truth is None:
        return ["a minute without trades"]
    return [
        f"{name} is {candle[name]}, expected {getattr(truth, name)}"
        for name in _FIELDS
        if candle[name] is None or Decimal(candle[name]) != getattr(truth, name)
    ]


def minutes(world: World) -> Iterator[tuple[Minute, dict[str, Any]]]:
    """Yield every candle as it was published last."""
    yield from sorted(world.recorder.candles.items())


def check_digits(world: World, truth: dict[Minute, RefCandle]) -> None:
    """Every candle that says it is complete is the ledger's, and none is missing."""
    for minute, candle in minutes(world):
        if candle["complete"]:
            assert differing(candle, truth.get(minute)) == [], minute
            assert candle["verified"] is not False, minute


def check_audited(world: World, truth: dict[Minute, RefCandle]) -> None:
    """Every candle that says it is complete was compared, and comparing told right from wrong."""
    for minute, candle in minutes(world):
        if candle["complete"]:
            faults = differing(candle, truth.get(minute))
            assert candle["verified"] is not None, minute
            assert candle["verified"] is (not faults), (minute, faults)


def check_counts(world: World, truth: dict[Minute, RefCandle]) -> None:
    """Every trade was counted and published at most once."""
    published = world.recorder.trades
    happened = {(one.category, one.symbol, one.trade_id) for one in world.desk.ledger}
    assert len(published) == len(set(published))
    assert set(published) <= happened
    for minute, candle in minutes(world):
        if candle["source"] != "kline":
            assert candle["trades"] <= truth[minute].trades, minute


def check_gaps_are_marked(world: World) -> None:
    """Every minute that a line missed and nobody healed says so."""
    for category, topic in _topics(world):
        gone = outages(world, category, topic, margin_ms=0)
        missed = _without(gone, healed_of(world, category, topic))
        for (place, symbol, start_ms), candle in minutes(world):
            if (place, symbol) == (category, topic) and _touches(missed, start_ms):
                is_proven = candle["verified"] is not None
                assert not candle["complete"] or is_proven, (category, topic, start_ms, missed)


def check_healed(world: World) -> None:
    """Of every stretch that was said to be healed, every trade was published."""
    published = set(world.recorder.trades)
    for category, topic in _topics(world):
        healed = healed_of(world, category, topic)
        missing = [
            one.event_ms
            for one in world.desk.ledger
            if (one.category, one.symbol) == (category, topic)
            and (one.category, one.symbol, one.trade_id) not in published
            and any(from_ms <= one.event_ms < to_ms for from_ms, to_ms in healed)
        ]
        assert missing == [], (category, topic, healed)


def check_no_false_alarm(world: World) -> None:
    """Every minute but the first of which nothing was missed is complete."""
    published = set(world.recorder.trades)
    lacking = {
        (one.category, one.symbol, one.event_ms // MINUTE_MS * MINUTE_MS)
        for one in world.desk.ledger
        if (one.category, one.symbol, one.trade_id) not in published
    }
    for category, topic in _topics(world):
        gone = outages(world, category, topic, margin_ms=CLOCK_MARGIN_MS)
        missed = _without(gone, healed_of(world, category, topic))
        for (place, symbol, start_ms), candle in minutes(world):
            if (place, symbol) == (category, topic) and not candle["complete"]:
                is_missed = _touches(missed, start_ms) or (place, symbol, start_ms) in lacking
                assert is_missed, (category, topic, start_ms, missed)


def check_all_published(world: World) -> None:
    """Every minute that is over has a candle, if anything of it was seen."""
    over_ms = world.ended_ms - GRACE_MS - _TICK_MS
    seen = {one[:2] for one in world.recorder.candles}
    for category, symbol, start_ms in ledger_candles(world.desk):
        if (category, symbol) in seen and START_MS < start_ms <= over_ms - MINUTE_MS:
            assert (category, symbol, start_ms) in world.recorder.candles


def outages(world: World, category: Category, topic: str, *, margin_ms: int) -> list[Stretch]:
    """Return when no line said that it carried a topic, from before the start on.

    Args:
        world: The run.
        category: The category.
        topic: The symbol.
        margin_ms: How much shorter than said a stretch is taken to be, at both ends. Above 0, what
            damaged frames may have made unsure is left out, too.
    """
    carried: list[Stretch] = []
    for span in world.feed.spans:
        if (span.category, span.topic) == (category, topic):
            until_ms = _FOREVER_MS if span.until_ms is None else span.until_ms
            whole = [(span.since_ms + margin_ms, until_ms - margin_ms)]
            damaged = _damaged(world.desk, span.connection) if margin_ms else []
            carried += _without(whole, damaged)
    return _without([(0, _FOREVER_MS)], carried)


def healed_of(world: World, category: Category, topic: str) -> list[Stretch]:
    """Return the stretches of a topic that were said to be healed."""
    return [
        (gap["from"], gap["to"])
        for gap in world.recorder.gaps
        if (gap["category"], gap["symbol"], gap["state"]) == (category, topic, "healed")
    ]


def _damaged(desk: Desk, connection: int) -> list[Stretch]:
    return [
        (event.at_ms - _REFUSED_BEFORE_MS, event.at_ms + _REFUSED_AFTER_MS)
        for event in desk.log
        if event.deed == "corrupted" and event.connection == connection
    ]


def _topics(world: World) -> Iterator[tuple[Category, str]]:
    for category, names in world.symbols.items():
        for name in names:
            yield category, name


def _without(whole: Iterable[Stretch], taken: Iterable[Stretch]) -> list[Stretch]:
    """Return what remains of stretches."""
    left = [stretch for stretch in whole if stretch[0] < stretch[1]]
    for from_ms, to_ms in taken:
        if from_ms >= to_ms:
            continue
        cut: list[Stretch] = []
        for since_ms, until_ms in left:
            pieces = ((since_ms, min(until_ms, from_ms)), (max(since_ms, to_ms), until_ms))
            cut += [piece for piece in pieces if piece[0] < piece[1]]
        left = cut
    return left


def _touches(stretches: list[Stretch], start_ms: int) -> bool:
    return any(from_ms < start_ms + MINUTE_MS and to_ms > start_ms for from_ms, to_ms in stretches)
