"""What a frame's head says, against the engine, which reads all of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast import Engine
from tapecast.errors import DecodeError
from tapecast.frames import frame_topic, frame_ts_ms, is_trade_frame

EVENT_MS = 1_790_000_000_000
PRICED = {"T": EVENT_MS, "s": "BTCUSDT", "S": "Buy", "v": "0.1", "p": "100.5"}
TRADE = {**PRICED, "i": "a1", "BT": False, "seq": 7}
FRAME = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": EVENT_MS, "data": [TRADE]}

CONTROL_FRAMES = [
    '{"success":true,"ret_msg":"subscribe","conn_id":"c","req_id":"1","op":"subscribe"}',
    '{"success":true,"ret_msg":"pong","conn_id":"c","op":"ping"}',
    '{"args":["1790000000000"],"op":"pong"}',
    '{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1,"data":{}}',
    '{"topic":"trade.BTCUSDT","data":[]}',
    '{"topic":"xpublicTrade.BTCUSDT","data":[]}',
    '{"topic":null}',
    '{"topic":["publicTrade.BTCUSDT"]}',
    '{"data":[{"topic":"publicTrade.BTCUSDT"}]}',
    '{"Topic":"publicTrade.BTCUSDT"}',
    "{}",
]

NO_JSON = [b"", b" ", b"{", b'{"topic":', b"\xff{}", b"\xef\xbb\xbf{}", b"[1", b'{"topic":"\xff"}']


def accepts(frame: bytes) -> bool:
    try:
        Engine(clock="event").feed(frame, received_ns=0)
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize("text", CONTROL_FRAMES)
def test_what_is_about_something_else_is_no_trade_frame(text: str) -> None:
    assert not is_trade_frame(text.encode())
    assert frame_topic(text.encode()) is None
    assert not accepts(text.encode())


@pytest.mark.parametrize("frame", NO_JSON)
def test_what_is_no_json_goes_to_the_engine_which_says_what_is_wrong(frame: bytes) -> None:
    assert is_trade_frame(frame)
    assert frame_topic(frame) is None
    assert frame_ts_ms(frame) is None
    assert not accepts(frame)


def test_a_frame_nested_without_end_is_left_to_the_engine() -> None:
    frame = b'{"data":' + b"[" * 100_000
    assert is_trade_frame(frame)
    assert (frame_topic(frame), frame_ts_ms(frame), accepts(frame)) == (None, None, False)


@pytest.mark.parametrize("ts", ["1790000000000.0", "true", "null", '"1"', "1" + "0" * 30])
def test_a_time_that_is_none_is_not_told(ts: str) -> None:
    assert frame_ts_ms(b'{"topic":"publicTrade.X","ts":%s}' % ts.encode()) is None


def test_real_control_frames_are_no_trade_frames(shared_data: Path) -> None:
    lines = (shared_data / "bybit_ws_singles" / "control_frames.jsonl").read_bytes().splitlines()
    assert len(lines) == 14
    assert not [line for line in lines if is_trade_frame(line)]


def test_real_trade_frames_are_trade_frames(shared_data: Path) -> None:
    singles = shared_data / "bybit_ws_singles" / "publicTrade_singles.jsonl"
    frames = singles.read_bytes().splitlines()
    assert [is_trade_frame(frame) for frame in frames] == [True] * 22
    topics = [json.loads(frame)["topic"].removeprefix("publicTrade.") for frame in frames]
    assert [frame_topic(frame) for frame in frames] == topics
    assert [frame_ts_ms(frame) for frame in frames] == [json.loads(frame)["ts"] for frame in frames]


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ('{"topic":"publicTrade.BTCUSDT"}', "BTCUSDT"),
        (' {"ts" : 1, "topic" : "publicTrade.BTC" } ', "BTC"),
        ('{"topic":"publicTrade."}', ""),
        ('{"\\u0074opic":"\\u0070ublicTrade.BTCUSDT"}', "BTCUSDT"),
        ('{"topic":"orderbook.1.X","topic":"publicTrade.BTCUSDT"}', "BTCUSDT"),
    ],
)
def test_the_topic_is_read_in_any_spelling_and_the_last_one_counts(text: str, topic: str) -> None:
    assert frame_topic(text.encode()) == topic
    assert is_trade_frame(text.encode())


@pytest.mark.parametrize(
    ("text", "ts_ms"),
    [
        ('{"ts":1790000000000}', EVENT_MS),
        ('{"data":[{"ts":5}],"ts":7}', 7),
        ('{"ts":true}', None),
        ('{"ts":"7"}', None),
        ('{"ts":7.0}', None),
        ('{"ts":null}', None),
        ("{}", None),
        ("[7]", None),
    ],
)
def test_the_time_of_a_frame_is_a_whole_number_or_unknown(text: str, ts_ms: int | None) -> None:
    found = frame_ts_ms(text.encode())
    assert (found, type(found)) == (ts_ms, type(ts_ms))


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Draw a frame that is well-formed, or nearly: other orders, spaces, escapes, other fields."""
    fields: dict[str, Any] = {**FRAME}
    fields["id"] = draw(st.sampled_from(["publicTrade.BTC-1-1", "x", 5]))
    if draw(st.booleans()):
        fields["topic"] = draw(st.sampled_from(["publicTrade.ETHUSDT", "publicTrade", "x", 1]))
    for name in draw(st.lists(st.sampled_from(["type", "ts", "id", "cs"]), unique=True)):
        fields.pop(name, None)
    fields |= draw(st.dictionaries(st.sampled_from(["x", "Topic", "op"]), st.integers()))
    names = draw(st.permutations(list(fields)))
    parts = [f"{spelled(draw, name)}:{json.dumps(fields[name])}" for name in names]
    if draw(st.booleans()):  # a topic that a later one replaces
        parts.insert(0, '"topic":"publicTrade.BTCUSDT"')
    space = draw(st.sampled_from(["", " ", "\n", "\t"]))
    return (space + "{" + f",{space}".join(parts) + "}" + space).encode()


def spelled(draw: st.DrawFn, name: str) -> str:
    if draw(st.booleans()):
        return json.dumps(name)
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'


@given(frame=frames())
def test_every_frame_that_the_engine_accepts_is_a_trade_frame(frame: bytes) -> None:
    if accepts(frame):
        assert is_trade_frame(frame)
        assert frame_topic(frame) == "BTCUSDT"


@given(
    head=st.sampled_from([b"", b'{"topic":"publicTrade.', b'{"id":"publicTrade.', b'{"ts":']),
    rest=st.binary(max_size=60),
)
def test_no_bytes_raise(head: bytes, rest: bytes) -> None:
    frame = head + rest
    assert is_trade_frame(frame) or not accepts(frame)
    frame_topic(frame)
    frame_ts_ms(frame)
