"""Order, repetition and splitting change nothing; a bad trade changes nothing either."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast import DecodeError, Engine
from tests.core import strategies
from tests.core.frames import (
    LATER_NS,
    START_MS,
    by_topic,
    candle_row,
    exact_rows,
    frame_of,
    market_rows,
    trade_item,
)
from tests.core.strategies import Arrival, decimal_text
from tests.reference import MINUTE_MS, RefEngine, RefSettings, plain

BAD_FIELDS: list[dict[str, object]] = [
    {"v": "-1"},
    {"p": "NaN"},
    {"T": START_MS + 10**9},
    {"s": "OTHER"},
    {"S": "buy"},
    {"i": ""},
    {"BT": 0},
    {"p": "9" * 19, "v": "9" * 19, "BT": False},
]
END_MS = START_MS + 9 * MINUTE_MS


def feed_all(engine: Engine, pool: list[Arrival], order: Sequence[int], split: int) -> None:
    for start in range(0, len(order), split):
        chunk = [pool[at] for at in order[start : start + split]]
        for category, topic, items in by_topic(chunk):
            engine.feed(frame_of(items, topic), received_ns=LATER_NS, category=category)


@given(
    pool=strategies.trades,
    chosen=strategies.settings(revise_windows_ms=(600_000,)),
    repeats=st.lists(st.integers(0, 8), max_size=12),
    split=st.integers(1, 5),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=2_000, deadline=None)
def test_any_permutation_repetition_and_split_gives_the_same_candles(
    pool: list[Arrival], chosen: RefSettings, repeats: list[int], split: int, random: Random
) -> None:
    straight, shuffled = (Engine(**chosen.as_arguments()) for _ in range(2))
    # One frame a topic in the exchange's order, as a recording has it.
    feed_all(straight, pool, range(len(pool)), len(pool))
    order = [*range(len(pool)), *(at % len(pool) for at in repeats)]
    random.shuffle(order)
    feed_all(shuffled, pool, order[: len(order) // 2], split)
    shuffled.advance(START_MS + 2 * MINUTE_MS)
    feed_all(shuffled, pool, order[len(order) // 2 :], split)
    for engine in (straight, shuffled):
        engine.advance(END_MS)
    assert market_rows(shuffled) == market_rows(straight)
    assert shuffled.counts["trade_messages"] == straight.counts["trade_messages"] == len(pool)
    assert shuffled.counts["duplicate_trades"] == len(repeats)


def state(engine: Engine) -> tuple[Any, ...]:
    counts = engine.counts
    del counts["frames"], counts["bad_frames"]
    _, partials = engine.partials()
    return (
        *(engine.seq, engine.event_ms, engine.symbols(), counts, exact_rows(engine)),
        *([message.payload for message in partials], engine.snapshot(history=99)),
        engine.trades(exact=True).tolist(),
    )


@given(
    pool=strategies.trades,
    chosen=strategies.settings(revise_windows_ms=(600_000,)),
    bad=st.sampled_from(BAD_FIELDS),
    place=st.integers(0, 9),
    known=st.integers(0, 9),
)
@settings(max_examples=1_000, deadline=None)
def test_one_bad_trade_anywhere_leaves_everything_as_it_was(
    pool: list[Arrival], chosen: RefSettings, bad: dict[str, object], place: int, known: int
) -> None:
    engine = Engine(**chosen.as_arguments())
    for category, topic, items in by_topic(pool[:known]):
        engine.feed(frame_of(items, topic), received_ns=LATER_NS, category=category)
    engine.advance(START_MS + MINUTE_MS)
    before = state(engine)
    category, topic, item = pool[0]
    items = [
        item
        for its_category, its_topic, item in pool
        if (its_category, its_topic) == (category, topic)
    ]
    # Four of the last kind overflow the sums of their minute.
    faults = [item | {"i": f"bad-{at}"} | bad for at in range(4)]
    at = min(place, len(items))
    frame = frame_of([*items[:at], *faults, *items[at:]], topic)
    frame = frame.replace(f'"ts":{START_MS + 10**9}'.encode(), f'"ts":{START_MS}'.encode())
    with pytest.raises(DecodeError):
        engine.feed(frame, received_ns=START_MS * 1_000_000, category=category)
    assert state(engine) == before
    assert engine.counts["bad_frames"] == 1
    engine.feed(frame_of(items, topic), received_ns=LATER_NS, category=category)
    distinct = {item["i"] for _, _, item in pool[:known]} | {item["i"] for item in items}
    assert engine.counts["trade_messages"] == len(distinct)


NUMBERS = st.builds(
    decimal_text,
    st.integers(1, 10**19 - 1) | st.integers(1, 10**6),
    st.integers(0, 18),
    st.just(0),
)


def fits(items: list[dict[str, Any]]) -> bool:
    """Return whether the turnover fits 128 bits at the scale of its finest product."""
    total, finest = Fraction(0), 0
    for item in items:
        price, size = Decimal(plain(Decimal(item["p"]))), Decimal(plain(Decimal(item["v"])))
        total += Fraction(price) * Fraction(size)
        exponents = price.as_tuple().exponent, size.as_tuple().exponent
        finest = max(finest, -sum(int(exponent) for exponent in exponents))
    return bool(total * 10**finest < 2**128)


@given(pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
@settings(max_examples=1_000, deadline=None)
def test_sums_of_the_longest_numbers_are_exact_or_refused(pairs: list[tuple[str, str]]) -> None:
    items = [trade_item(p=p, v=v, i=str(at), seq=at) for at, (p, v) in enumerate(pairs)]
    frame = frame_of(items)
    engine = Engine()
    if not fits(items):
        with pytest.raises(DecodeError) as caught:
            engine.feed(frame, received_ns=LATER_NS)
        assert caught.value.kind == "overflow"
        return
    engine.feed(frame, received_ns=LATER_NS)
    reference = RefEngine(RefSettings())
    reference.feed(frame, "linear")
    [candle] = reference.in_progress("linear", "BTCUSDT")
    assert exact_rows(engine) == [candle_row("linear", "BTCUSDT", candle)]
    [row] = engine.candles()
    assert row["vwap"] == candle.vwap
    assert row["turnover"] == float(candle.turnover)
