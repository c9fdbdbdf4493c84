"""Candles of the exchange's own as a line brings them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.bybit.kline import Kline
from tapecast.bybit.kline_frames import read_kline_frame

ROW: dict[str, object] = {
    "start": 1790000040000,
    "end": 1790000099999,
    "interval": "1",
    "open": "100.5",
    "close": "101",
    "high": "102.25",
    "low": "99",
    "volume": "0",
    "turnover": "1.5e3",
    "confirm": True,
    "timestamp": 1790000099000,
}
KLINE = Kline("BTCUSDT", 1790000040000, "100.5", "102.25", "99", "101", "0", "1.5e3")


def frame(*rows: dict[str, object], topic: str = "kline.1.BTCUSDT") -> bytes:
    message = {"topic": topic, "data": rows, "ts": 1790000100000, "type": "snapshot"}
    return json.dumps(message).encode()


def test_a_closed_minute_is_told_with_its_exact_texts() -> None:
    assert read_kline_frame(frame(ROW)) == (KLINE,)


def test_a_minute_that_is_not_over_is_not_told() -> None:
    assert read_kline_frame(frame(ROW | {"confirm": False})) == ()
    assert read_kline_frame(frame()) == ()


def test_of_several_rows_those_are_told_that_are_over() -> None:
    later = ROW | {"start": 1790000100000}
    assert read_kline_frame(frame(ROW, later | {"confirm": False}, later)) == (
        KLINE,
        KLINE._replace(start_ms=1790000100000),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"start": 1790000040001},
        {"start": -60000},
        {"start": "1790000040000"},
        {"start": 1 << 70},
        {"interval": "5"},
        {"interval": 1},
        {"open": "0"},
        {"open": "NaN"},
        {"high": "-1"},
        {"low": ""},
        {"close": 101},
        {"close": None},
        {"volume": "-0.1"},
        {"turnover": " 1"},
        {"turnover": "1" * 65},
        {"confirm": 1},
        {"confirm": "true"},
    ],
)
def test_a_row_that_is_not_as_it_should_be_is_refused(change: dict[str, object]) -> None:
    assert read_kline_frame(frame(ROW | change)) is None


@pytest.mark.parametrize("name", sorted(ROW.keys() - {"end", "timestamp"}))
def test_a_row_that_misses_something_is_refused(name: str) -> None:
    assert read_kline_frame(frame({key: ROW[key] for key in ROW if key != name})) is None


@pytest.mark.parametrize("bad", [b"", b"{}", b"[" * 100_000, b'{"topic":"\xff"}', b'{"data":[]}'])
def test_what_is_no_message_of_candles_is_refused(bad: bytes) -> None:
    assert read_kline_frame(bad) is None


@given(st.binary(max_size=80), st.integers(0, 200))
def test_no_damage_makes_reading_fail(damage: bytes, at: int) -> None:
    good = frame(ROW)
    read_kline_frame(good[:at] + damage + good[at + len(damage) :])
