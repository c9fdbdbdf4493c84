"""What of an engine outlives a restart, as Python sees it; the law itself is proved in the core."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tapecast import Engine
from tests.core.frames import LATER_NS, START_MS, exact_rows, feed, frame_of, trade_item

MINUTE_MS = 60_000
YEAR_MS = 366 * 86_400_000


def traded(settings: dict[str, Any] | None = None) -> Engine:
    """Return an engine with a trade in each of three minutes, of which two are closed."""
    engine = Engine(**settings or {})
    for minute in range(3):
        feed(engine, trade_item(minute * MINUTE_MS, i=str(minute), p=str(100 + minute)))
    engine.advance(START_MS + 2 * MINUTE_MS + 1_000)
    return engine


def kept(minute: int, **fields: object) -> tuple[Any, ...]:
    """Return a candle as a store keeps it, `minute` minutes after `START_MS`."""
    row: dict[str, object] = {
        "category": "linear",
        "symbol": "BTCUSDT",
        "start_ms": START_MS + minute * MINUTE_MS,
        "open": "100.5",
        "high": "102",
        "low": "99.25",
        "close": "101",
        "volume": "3.5",
        "turnover": "352.125",
        "buy_volume": "1",
        "trades": 4,
        "complete": True,
        "source": "trades",
        "verified": None,
        "revision": 1,
    }
    return tuple((row | fields).values())


def stats(engine: Engine, sections: dict[str, bytes] | None = None) -> bytes:
    """Return the payload of a stats message."""
    counts = {"sent_messages": 7}
    batch = engine.stats(START_MS, interval_ns=10**9, counts=counts, sections=sections)
    return batch[0].payload


def test_an_engine_restored_goes_on_as_if_it_had_never_stopped() -> None:
    ours = traded({"epoch": "first"})
    theirs = Engine.restored(ours.checkpoint())
    assert (theirs.epoch, theirs.seq, theirs.counts) == ("first", ours.seq, ours.counts)
    for engine in (ours, theirs):
        assert feed(engine, trade_item(MINUTE_MS, i="1")) == [], "its id is remembered"
    frame = frame_of([trade_item(1, i="9", p="50")])
    late = [engine.feed(frame, received_ns=LATER_NS).frames for engine in (ours, theirs)]
    assert late[0] == late[1] != b""
    assert ours.snapshot(history=9, in_progress=True) == theirs.snapshot(
        history=9, in_progress=True
    )
    assert ours.checkpoint() == theirs.checkpoint()


def test_settings_given_replace_those_of_the_checkpoint() -> None:
    checkpoint = traded({"epoch": "first", "recent_trades": 3}).checkpoint()
    engine = Engine.restored(checkpoint, epoch="second", recent_trades=1, open="previous_close")
    assert (engine.epoch, len(engine.trades())) == ("second", 1)
    engine.advance(START_MS + 3 * MINUTE_MS + 1_000)
    assert engine.candles(exact=True)[-1]["open"] == "101"


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"empty": "none"}, 'empty is "none", expected "skip" or "flat"'),
        ({"open": "close"}, 'open is "close", expected "first_trade" or "previous_close"'),
        ({"clock": "atomic"}, 'clock is "atomic", expected "wall" or "event"'),
        (
            {"primary_category": "x"},
            'category is "x", expected linear, inverse, spot or option',
        ),
        *(
            ({name: -1}, f"{name} is -1, expected milliseconds from 0 to {YEAR_MS}")
            for name in ("grace_ms", "revise_window_ms", "max_future_ms")
        ),
    ],
)
def test_a_setting_outside_its_choices_is_refused_with_both(
    setting: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is asserted
        Engine.restored(Engine().checkpoint(), **setting)
    assert str(caught.value) == text


def test_a_primary_category_given_names_the_bare_symbols() -> None:
    engine = Engine.restored(traded().checkpoint(), primary_category="spot")
    assert json.loads(stats(engine))["last_prices"] == {"linear:BTCUSDT": 102}


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda whole: whole[:9], "checkpoint has 9 bytes, expected at least 24"),
        (lambda whole: whole[1:], 'checkpoint does not begin as one, expected "tapecast"'),
        (lambda whole: whole + b"x", r"checkpoint has \d+ bytes, expected \d+"),
        (
            lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
            r"checkpoint has the checksum [0-9a-f]{8}, expected [0-9a-f]{8}",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused(damage: Callable[[bytes], bytes], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        Engine.restored(damage(traded().checkpoint()))


def test_restated_stats_are_those_of_before_and_rates_begin_at_them() -> None:
    ours = traded()
    theirs = Engine.restored(ours.checkpoint())
    payload = stats(ours)
    batch = theirs.restated(payload)
    assert [(message.type, message.seq) for message in batch] == [("stats", ours.seq)]
    assert batch[0].payload == payload
    assert batch[0].text == json.loads(payload)["text"]
    assert json.loads(theirs.snapshot())["stats"] == json.loads(payload)
    assert set(json.loads(stats(theirs))["message_rates"].values()) == {0}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"{}", "payload is no stats message, expected one of an engine"),
        (stats(traded()), "stats message has the number 6, expected 1"),
    ],
)
def test_stats_that_are_not_the_next_message_are_not_restated(payload: bytes, text: str) -> None:
    engine = Engine()
    with pytest.raises(ValueError, match=f"^{text}$"):
        engine.restated(payload)
    assert engine.seq == 0


def test_a_repeated_frame_counts_and_publishes_nothing() -> None:
    engine = Engine()
    assert len(engine.repeated(3)) == 0
    assert (engine.counts["frames"], engine.counts["duplicate_trades"]) == (1, 3)


def test_a_new_numbering_begins_at_one_and_keeps_no_old_number() -> None:
    engine = traded({"epoch": "first"})
    stats(engine)
    engine.renumber("second")
    snapshot = json.loads(engine.snapshot())
    assert (snapshot["epoch"], snapshot["seq"], snapshot["stats"]["seq"]) == ("second", 0, 0)
    assert {item["seq"] for item in snapshot["trades"] + snapshot["ohlcv"]} == {0}
    assert json.loads(stats(engine))["seq"] == 1


def test_recalled_candles_are_shown_before_those_of_trades() -> None:
    engine = traded({"revise_window_ms": 0})
    assert engine.recall([kept(-2), kept(-1), kept(0), kept(1), kept(2)]) == 2
    rows = exact_rows(engine)
    assert [(row[2] - START_MS) // MINUTE_MS for row in rows] == [-2, -1, 0, 1, 2]
    prices = ("100.5", "102", "99.25", "101", "3.5", "352.125", "1")
    assert rows[0] == (
        *("linear", "BTCUSDT", START_MS - 2 * MINUTE_MS, START_MS - MINUTE_MS),
        *(*prices, 4, True, True, 1),
    )


def test_recall_makes_symbols_that_are_unknown_within_their_bound() -> None:
    engine = traded({"max_symbols": 2})
    rows = [kept(-60, symbol=symbol) for symbol in ("ETHUSDT", "SOLUSDT")]
    engine.advance(START_MS + 20 * MINUTE_MS)
    assert engine.recall(rows) == 1
    assert engine.symbols() == [("linear", "BTCUSDT"), ("linear", "ETHUSDT")]


def test_an_engine_whose_clock_was_never_moved_recalls_nothing() -> None:
    engine = Engine()
    assert engine.recall([kept(0)]) == 0
    engine.advance(START_MS + 60 * MINUTE_MS)
    assert engine.recall([kept(0)]) == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"category": "x"}, 'category is "x", expected linear, inverse, spot or option'),
        (
            {"start_ms": START_MS + 1},
            f"start_ms is {START_MS + 1}, expected the start of a minute",
        ),
        ({"open": "0"}, 'open is "0", expected a positive decimal of at most 19 digits'),
        ({"turnover": "-1"}, 'turnover is "-1", expected a decimal below 2^128'),
    ],
)
def test_a_row_that_is_no_candle_is_refused_and_nothing_is_taken(
    fields: dict[str, Any], text: str
) -> None:
    engine = Engine()
    engine.advance(START_MS + 60 * MINUTE_MS)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is asserted
        engine.recall([kept(0), kept(1, **fields)])
    assert str(caught.value) == text
    assert engine.symbols() == []


def test_sections_stand_in_stats_before_their_text() -> None:
    payload = stats(Engine(), {"upstream": b'{"lines":[1,2]}', 'a "b"': b"null"})
    names = list(json.loads(payload))
    assert names[3:7] == ["timestamp", "upstream", 'a "b"', "text"]
    assert json.loads(payload)["upstream"] == {"lines": [1, 2]}


@pytest.mark.parametrize("name", json.loads(stats(Engine())))
def test_a_section_has_a_name_of_its_own(name: str) -> None:
    text = f'^section "{name}" is in stats already, expected a new name$'
    with pytest.raises(ValueError, match=text):
        stats(Engine(), {name: b"1"})


@pytest.mark.parametrize("value", [b"", b"{", b"1,2", b"\xff", b"NaN", b"{}}"])
def test_a_section_is_one_json_value(value: bytes) -> None:
    with pytest.raises(ValueError, match=r'^section "new" is no JSON, expected one value$'):
        stats(Engine(), {"new": value})
