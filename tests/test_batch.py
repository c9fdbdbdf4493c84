"""Candles of recorded frames in one go: what `aggregate` says of itself, sentence by sentence."""

import itertools
import json
import tracemalloc
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast import Engine, aggregate
from tapecast.batch import apply_frames, batch_engine, candle_messages
from tapecast.errors import DecodeError
from tapecast.recording import Recording

START_MS = 1_790_000_040_000
"""Start of a minute."""

MINUTE_MS = 60_000
ACK = b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}'
BAD = b'{"topic":"publicTrade.BTCUSDT","ts":1,"data":[{"p":"-1"}]}'
BAD_TEXT = 'trade price is "-1", expected a positive decimal (byte 51)'


def frame(
    at_ms: int, price: str, size: str = "1", *, symbol: str = "BTCUSDT", block: bool = False
) -> bytes:
    """Return a frame of one trade, `at_ms` after the start; its number is its time."""
    event_ms = START_MS + at_ms
    trade = {"T": event_ms, "s": symbol, "S": "Buy", "v": size, "p": price, "i": f"{event_ms}"}
    head = {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": event_ms}
    return json.dumps({**head, "data": [{**trade, "BT": block, "seq": event_ms}]}).encode()


TWO_MINUTES = [
    frame(0, "100", "0.1"),
    frame(30_000, "102", "0.2"),
    frame(59_999, "101"),
    frame(61_000, "99"),
]


def shown(candles: Any, *names: str) -> list[tuple[Any, ...]]:  # noqa: ANN401 -- a structured array
    rows: list[tuple[Any, ...]] = candles[list(names)].tolist()
    return rows


def minutes(candles: Any) -> list[tuple[int, str, str, str, str]]:  # noqa: ANN401 -- the same
    """Return minute and prices of exact candles."""
    return [
        ((start_ms - START_MS) // MINUTE_MS, *prices)
        for start_ms, *prices in shown(candles, "start_ms", "open", "high", "low", "close")
    ]


def test_frames_become_one_minute_candles_of_which_the_last_is_open() -> None:
    candles = aggregate(TWO_MINUTES, exact=True)
    names = ("symbol", "start_ms", "open", "high", "low", "close", "volume", "closed", "complete")
    assert shown(candles, *names) == [
        ("BTCUSDT", START_MS, "100", "102", "100", "101", "1.3", True, True),
        ("BTCUSDT", START_MS + MINUTE_MS, "99", "99", "99", "99", "1", False, False),
    ]


def test_candles_come_by_symbol_and_then_oldest_first() -> None:
    frames = [
        frame(60_000, "1", symbol="ETHUSDT"),
        frame(60_001, "2"),
        frame(0, "3"),
        frame(1, "4", symbol="ETHUSDT"),
    ]
    candles = aggregate(frames)
    assert shown(candles, "symbol", "start_ms") == [
        ("ETHUSDT", START_MS),
        ("ETHUSDT", START_MS + MINUTE_MS),
        ("BTCUSDT", START_MS),
        ("BTCUSDT", START_MS + MINUTE_MS),
    ]


def test_no_frames_give_no_candles() -> None:
    candles = aggregate([])
    assert len(candles) == 0
    assert candles.dtype == aggregate(TWO_MINUTES).dtype


def test_lines_of_an_open_file_blank_lines_and_control_frames_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    lines = [ACK, b"", TWO_MINUTES[0], b" \t", b'{"op":"pong"}\r', *TWO_MINUTES[1:], b""]
    path.write_bytes(b"\n".join(lines))
    with path.open("rb") as file:
        candles = aggregate(file, exact=True)
    np.testing.assert_array_equal(candles, aggregate(TWO_MINUTES, exact=True))
    np.testing.assert_array_equal(candles, aggregate(Recording(path), exact=True))


@given(order=st.permutations(TWO_MINUTES * 2))
def test_order_and_repetition_change_no_figure(order: list[bytes]) -> None:
    """Only whether the first minute is complete depends on where the frames begin."""
    fields = ["start_ms", "open", "high", "low", "close", "volume", "turnover", "trades", "closed"]
    expected = shown(aggregate(TWO_MINUTES, exact=True), *fields)
    assert shown(aggregate(order, exact=True), *fields) == expected


@pytest.mark.parametrize(("first_ms", "complete"), [(0, True), (1, False)])
def test_the_first_minute_is_complete_only_from_its_first_millisecond_on(
    *, first_ms: int, complete: bool
) -> None:
    frames = [frame(first_ms, "1"), frame(60_001, "1"), frame(121_000, "1")]
    assert shown(aggregate(frames), "complete") == [(complete,), (True,), (False,)]


@pytest.mark.parametrize(("last_ms", "closed"), [(60_999, False), (61_000, True)])
def test_a_minute_closes_a_second_after_its_end_by_the_trades_of_any_symbol(
    *, last_ms: int, closed: bool
) -> None:
    candles = aggregate([frame(0, "1"), frame(last_ms, "1", symbol="ETHUSDT")])
    assert shown(candles, "symbol", "closed") == [("BTCUSDT", closed), ("ETHUSDT", False)]


def test_every_candle_is_kept_however_many_there_are() -> None:
    frames = [frame(minute * MINUTE_MS, "100") for minute in range(1_000)]
    assert len(aggregate(frames)) == 1_000


def test_exact_gives_every_digit_and_floats_are_the_nearest() -> None:
    frames = [frame(0, "0.1", "0.1"), frame(1, "0.2", "123456789.123456789")]
    (exact,) = shown(aggregate(frames, exact=True), "open", "volume", "turnover", "vwap")
    assert exact[:3] == ("0.1", "123456789.223456789", "24691357.8346913578")
    (floats,) = shown(aggregate(frames), "open", "volume", "turnover", "vwap")
    assert floats == (*(float(text) for text in exact[:3]), exact[3])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [(0, "100", "102", "100", "102"), (3, "101", "101", "101", "101")]),
        (
            {"empty": "flat"},
            [
                (0, "100", "102", "100", "102"),
                (1, "102", "102", "102", "102"),
                (2, "102", "102", "102", "102"),
                (3, "101", "101", "101", "101"),
            ],
        ),
        (
            {"open": "previous_close"},
            [(0, "100", "102", "100", "102"), (3, "102", "102", "101", "101")],
        ),
    ],
    ids=["default", "flat", "previous_close"],
)
def test_empty_minutes_and_opens_follow_their_settings(
    settings: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    frames = [frame(0, "100"), frame(1, "102"), frame(181_000, "101")]
    assert minutes(aggregate(frames, exact=True, **settings)) == expected


def test_block_trades_count_unless_they_are_left_out() -> None:
    frames = [frame(0, "100"), frame(1, "200", "500", block=True)]
    assert shown(aggregate(frames), "high", "volume") == [(200.0, 501.0)]
    assert shown(aggregate(frames, include_block_trades=False), "high", "volume") == [(100.0, 1.0)]


def test_the_category_is_the_callers_word() -> None:
    assert shown(aggregate(TWO_MINUTES[:1], category="spot"), "category") == [("spot",)]
    option = frame(0, "5", symbol="BTC-25JUN27-106000-C-USDT")
    option = option.replace(b"publicTrade.BTC-25JUN27-106000-C-USDT", b"publicTrade.BTC")
    candles = aggregate([option], category="option")
    assert shown(candles, "category", "symbol") == [("option", "BTC-25JUN27-106000-C-USDT")]


def test_a_bad_frame_raises_with_a_note_of_its_number() -> None:
    with pytest.raises(DecodeError) as caught:
        aggregate([TWO_MINUTES[0], b"", ACK, BAD, BAD])
    assert str(caught.value) == BAD_TEXT
    assert caught.value.__notes__ == ["in frame 4"]


def test_bad_frames_are_told_and_left_out_where_somebody_listens() -> None:
    errors: list[DecodeError] = []
    candles = aggregate([BAD, *TWO_MINUTES, b"{no JSON"], exact=True, on_bad_frame=errors.append)
    assert [str(error) for error in errors] == [
        BAD_TEXT,
        "frame is not JSON (key must be a string), expected one JSON object (byte 1)",
    ]
    np.testing.assert_array_equal(candles, aggregate(TWO_MINUTES, exact=True))


def test_what_the_listener_raises_comes_through() -> None:
    def refuse(error: DecodeError) -> None:
        raise KeyError(str(error))

    with pytest.raises(KeyError, match="positive decimal"):
        aggregate([BAD], on_bad_frame=refuse)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        (["{}"], "frame 1 is of type str"),
        ([TWO_MINUTES[0], bytearray(b"{}")], "frame 2 is of type bytearray"),
        (b"{}", "frame 1 is of type int"),
    ],
    ids=["text mode", "bytearray", "one frame in place of many"],
)
def test_what_is_no_bytes_is_refused_with_a_way_out(frames: Any, text: str) -> None:  # noqa: ANN401
    with pytest.raises(TypeError) as caught:
        aggregate(frames)
    assert str(caught.value) == (
        f"{text}, expected bytes, such as the lines of a file opened in binary mode"
    )


def test_late_trades_are_left_out_with_a_warning_that_points_at_the_caller() -> None:
    frames = [frame(0, "100"), frame(1_000_000, "100"), frame(1, "50"), frame(2, "60")]
    with pytest.warns(RuntimeWarning) as caught:
        candles = aggregate(frames, exact=True, revise_window_ms=600_000)
    (warning,) = caught
    assert str(warning.message) == "2 trades came too late and are in no candle"
    assert warning.filename == __file__
    assert minutes(candles) == [(0, "100", "100", "100", "100"), (16, "100", "100", "100", "100")]


def test_a_wider_window_takes_late_trades_without_a_word() -> None:
    frames = [frame(0, "100"), frame(1_000_000, "100"), frame(1, "50")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        candles = aggregate(frames, exact=True, revise_window_ms=2_000_000)
    assert minutes(candles)[0] == (0, "100", "100", "50", "50")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"empty": "x"}, 'empty is "x", expected "skip" or "flat"'),
        ({"open": "x"}, 'open is "x", expected "first_trade" or "previous_close"'),
        (
            {"revise_window_ms": -1},
            "revise_window_ms is -1, expected milliseconds from 0 to 31622400000",
        ),
        ({"category": "x"}, 'category is "x", expected linear, inverse, spot or option'),
    ],
)
def test_settings_outside_their_choices_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"\A.*\Z") as caught:
        aggregate(TWO_MINUTES, **settings)
    assert str(caught.value) == text


def test_a_recorded_session_gives_what_an_engine_fed_by_hand_gives(shared_data: Path) -> None:
    path = shared_data / "bybit_spot_l2xl" / "ws_spot_BTCUSDC.jsonl"
    engine = Engine(clock="event", history_candles=10_000)
    for line in path.read_bytes().splitlines():
        if b'"op":' not in line:
            engine.feed(line, received_ns=0, category="spot")
    assert engine.counts["trade_messages"] == 24
    candles = aggregate(Recording(path), category="spot", exact=True)
    np.testing.assert_array_equal(candles, engine.candles(exact=True))
    with path.open("rb") as file:
        np.testing.assert_array_equal(aggregate(file, category="spot", exact=True), candles)


def streamed(engine: Engine, frames: Iterable[bytes]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the last candle message of each window that an engine publishes."""
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for each in frames:
        for message in engine.feed(each, received_ns=0):
            if message.type == "ohlcv":
                candle = json.loads(message.payload)
                last[candle["symbol"], candle["start"]] = candle
    return last


@given(
    frames=st.lists(
        st.builds(
            frame,
            st.integers(min_value=0, max_value=400_000),
            st.sampled_from(["100", "100.5", "99.25"]),
            symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        ),
        max_size=25,
    ),
    empty=st.sampled_from(["skip", "flat"]),
    open_rule=st.sampled_from(["first_trade", "previous_close"]),
)
def test_candle_messages_are_the_last_ones_of_the_stream_and_those_in_progress(
    frames: list[bytes],
    empty: Literal["skip", "flat"],
    open_rule: Literal["first_trade", "previous_close"],
) -> None:
    live = batch_engine(empty=empty, open=open_rule)
    published = streamed(live, frames)
    _, partials = live.partials()
    in_progress = [json.loads(message.payload) for message in partials]
    engine = batch_engine(empty=empty, open=open_rule)
    apply_frames(engine, frames, category="linear")
    messages = [json.loads(message) for message in candle_messages(engine)]
    closed = {(each["symbol"], each["start"]): each for each in messages if each["closed"]}
    assert closed == published
    newest = {each["symbol"]: each for each in messages if not each["closed"]}
    assert newest == {each["symbol"]: each for each in in_progress}
    rows = shown(engine.candles(), "symbol", "start_ms", "closed")
    assert rows == [(each["symbol"], each["start"], each["closed"]) for each in messages]


def test_frames_are_not_kept() -> None:
    padding = b" " * 100_000

    def endless() -> Iterator[bytes]:
        for number in itertools.islice(itertools.count(), 500):
            yield frame(number, "100") + padding

    tracemalloc.start()
    try:
        candles = aggregate(endless())
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert candles["trades"].tolist() == [500]
    assert peak_bytes < 5 << 20


def test_the_minute_of_a_refused_frame_is_not_complete() -> None:
    minutes = [frame(number * MINUTE_MS, "100") for number in range(5)]
    bad = frame(2 * MINUTE_MS + 30_000, "-1")
    refused: list[DecodeError] = []
    candles = aggregate([*minutes[:3], bad, *minutes[3:]], on_bad_frame=refused.append)
    assert len(refused) == 1
    assert candles["complete"][:3].tolist() == [True, True, False]


@pytest.mark.parametrize("bad", [b"no JSON", BAD])
def test_a_refused_frame_without_a_time_of_its_own_is_of_the_newest_minute(bad: bytes) -> None:
    minutes = [frame(number * MINUTE_MS, "100") for number in range(5)]
    candles = aggregate([*minutes[:3], bad, *minutes[3:]], on_bad_frame=lambda _: None)
    assert candles["complete"][:3].tolist() == [True, False, False]


def test_the_own_minute_of_a_refused_frame_is_meant_after_a_long_silence() -> None:
    good = [frame(at_ms, "100") for at_ms in (0, 65_000, 240_009, 360_000, 480_000)]
    bad = frame(240_000, "-1")
    candles = aggregate([*good[:2], bad, *good[2:]], on_bad_frame=lambda _: None)
    closed = candles[candles["closed"]]
    by_minute = dict(
        zip((closed["start_ms"] - START_MS) // MINUTE_MS, closed["complete"], strict=True)
    )
    assert not by_minute[4]
    assert by_minute[6]
