"""Decoding equals `json` and `Decimal`, however a frame is spelt, and refuses what they refuse."""

from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapecast import DecodeError, decode_trades
from tests.core.frames import Category, frame_of, trade_item
from tests.core.spelling import spell
from tests.core.strategies import INSTRUMENTS, Arrival, decimal_text, trades
from tests.reference import RefTrade, Refused, parse_frame, plain

SEEDS = st.integers(0, 2**32 - 1)
ODD_VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 1.5, 10**30, "", "0", "-1", "NaN", "1e-3", "1E2", "Buy", "buy", "\u0000"),
    *([], {}, "BTC-X", "BTC-25JUN27-106000-C-USDT", "x" * 65, "é" * 33, "a b", 4_102_444_800_000),
)
KEYS = ("T", "s", "S", "v", "p", "i", "BT", "RPI", "seq")


def row(trade: RefTrade) -> tuple[object, ...]:
    """Return a trade as a row of `decode_trades(exact=True)`."""
    return (
        *(trade.symbol, trade.event_ms, trade.side, plain(trade.price), plain(trade.size)),
        *(trade.trade_id, min(trade.seq, 2**63 - 1), trade.is_block, trade.is_rpi),
    )


def decode(frame: bytes, category: Category) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = decode_trades(frame, category=category, exact=True).tolist()
    return rows


def spelt_frame(topic: str, items: list[dict[str, Any]], seed: int) -> bytes:
    head = {"topic": f"publicTrade.{topic}", "type": "snapshot", "ts": 1_790_000_000_000}
    return spell(head | {"data": items}, Random(seed), noise=True).encode()


@given(pool=trades, seed=SEEDS)
@settings(max_examples=2_500, deadline=None)
def test_any_spelling_of_a_frame_decodes_as_json_and_decimal_read_it(
    pool: list[Arrival], seed: int
) -> None:
    category, topic, _ = pool[0]
    items = [
        item
        for its_category, its_topic, item in pool
        if (its_category, its_topic) == (category, topic)
    ]
    spelt = spelt_frame(topic, items, seed)
    expected = [row(trade) for trade in parse_frame(spelt, category)]
    assert decode(spelt, category) == expected
    assert expected == [row(trade) for trade in parse_frame(frame_of(items, topic), category)]


@given(
    instrument=st.sampled_from(INSTRUMENTS),
    changes=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(ODD_VALUES), max_size=2),
    dropped=st.sets(st.sampled_from(KEYS), max_size=1),
    seed=SEEDS,
)
@settings(max_examples=2_000, deadline=None)
def test_a_frame_is_taken_exactly_if_json_and_decimal_take_it(
    instrument: tuple[Category, str, str],
    changes: dict[str, object],
    dropped: set[str],
    seed: int,
) -> None:
    category, topic, symbol = instrument
    item = trade_item(s=symbol) | changes
    spelt = spelt_frame(topic, [{k: v for k, v in item.items() if k not in dropped}], seed)
    try:
        expected = [row(trade) for trade in parse_frame(spelt, category)]
    except Refused:
        with pytest.raises(DecodeError):
            decode_trades(spelt, category=category)
    else:
        assert decode(spelt, category) == expected


@given(
    text=st.text("0123456789.eE+-_ ٣", max_size=24)
    | st.builds(decimal_text, st.integers(1, 10**20), st.integers(0, 20), st.integers(0, 25))
    | st.from_regex(r"[0-9]{1,22}(\.[0-9]{1,20})?[eE][+-]?[0-9]{1,3}", fullmatch=True)
)
@settings(max_examples=2_000, deadline=None)
@example("9999999999999999999")
@example("10000000000000000000")
@example("0.000000000000000001")
@example("0.0000000000000000001")
@example("1e64")
@example("0e64")
def test_a_price_is_exact_in_every_digit_or_refused(text: str) -> None:
    frame = frame_of([trade_item(p=text)])
    try:
        [trade] = parse_frame(frame, "linear")
    except Refused:
        with pytest.raises(DecodeError) as caught:
            decode_trades(frame)
        assert caught.value.kind == "bad_price"
    else:
        [[*_, price, _, _, _, _, _]] = decode(frame, "linear")
        assert price == plain(trade.price)
        assert decode_trades(frame)["price"][0] == float(trade.price)


@given(cut=st.integers(0, 400), seed=SEEDS)
@settings(max_examples=500, deadline=None)
def test_a_truncated_frame_is_refused_where_it_ends(cut: int, seed: int) -> None:
    frame = spelt_frame("BTCUSDT", [trade_item()], seed).rstrip()
    part = frame[: min(cut, len(frame) - 1)]
    with pytest.raises(DecodeError) as caught:
        decode_trades(part)
    assert caught.value.kind in {"bad_json", "bad_utf8"}
    assert caught.value.position <= len(part)
