"""Frames of every kind: real replies, trades in every spelling, foreign and broken ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.aliases import Category
from tapecast.bybit.events import Accepted, Event, Rejected
from tapecast.frames import is_trade_frame

from .bybit_session import PONGS, A, B, C, ack, opened, reply, sent, told

FOREIGN = [
    b"",
    b"pong",
    b"[1]",
    b"null",
    b'{"op":"\xff"}',
    b"{}",
    b'{"op":"auth","success":false}',
    b'{"op":{"a":[]},"type":[],"req_id":{}}',
    b'{"op":"unsubscribe","success":true}',
    b'{"topic":"kline.1.BTCUSDT","data":[]}',
    b'{"success":false,"ret_msg":"error:invalid json","conn_id":"c","req_id":"","op":""}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("frame", FOREIGN)
def test_a_foreign_frame_is_counted_and_changes_nothing_but_the_silence(frame: bytes) -> None:
    session, _ = opened("linear", A)
    assert session.receive(frame, 3.0) == []
    assert session.unknown_total == 1
    assert ack(session, "L-1", 4.0) == [Accepted((A,))]


TRADES = [
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[]}',
    b'{"id":"publicTrade.BTC-1-2","topic":"publicTrade.BTC","data":[]}',
    b'{"ts":1,"topic":"publicTrade.BTCUSDT"}',
    b' { "data": [], "topic" : "publicTrade.BTCUSDT" }',
    b'{"topic":"public\\u0054rade.BTCUSDT"}',
    b"no JSON at all",
    b'{"topic":"\xff"}',
    b'{"topic":"publicTrade.BTCUSDT","data":[',
]


@pytest.mark.parametrize("frame", TRADES)
def test_trades_in_any_spelling_and_what_is_no_json_go_to_the_engine(frame: bytes) -> None:
    assert is_trade_frame(frame)


@pytest.mark.parametrize(
    "frame", [*PONGS, b'{"topic":"kline.1.BTCUSDT","data":[]}', b'{"topic":7}', b"{}"]
)
def test_control_frames_and_other_topics_do_not(frame: bytes) -> None:
    assert not is_trade_frame(frame)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_frame_makes_the_protocol_fail(frame: bytes) -> None:
    session, _ = opened("linear", A)
    is_trade_frame(frame)
    session.receive(frame, 1.0)


@given(
    st.dictionaries(
        st.sampled_from(["op", "success", "ret_msg", "req_id", "type", "topic", "data"]),
        st.sampled_from(
            [None, True, False, 7, "", "subscribe", "COMMAND_RESP", "L-1", f"topic:{A}", [A], {}]
        )
        | st.dictionaries(
            st.sampled_from(["failTopics", "successTopics"]), st.lists(st.sampled_from([A, B, 1]))
        ),
    )
)
def test_no_reply_makes_the_protocol_fail_or_accept_what_was_not_asked(
    fields: dict[str, object],
) -> None:
    session, _ = opened("option", A)
    events = reply(session, **fields)
    assert all(event.topics == (A,) for event in events if isinstance(event, Accepted))


# Line of the file, category, topics that were asked for, what is told, what is sent.
Reply = tuple[int, Category, list[str], list[Event], list[list[str]]]
REAL: list[Reply] = [
    (1, "linear", [A, B], [Accepted((A, B))], []),
    (2, "linear", [A], [], []),
    (3, "spot", [A], [], []),
    (4, "spot", [A, B], [Accepted((A, B))], []),
    (5, "inverse", [A], [Accepted((A,))], []),
    (6, "spot", [A], [Accepted((A,))], []),
    (7, "spot", [A], [Accepted((A,))], []),
    (8, "spot", [A], [], []),
    (
        9,
        "linear",
        [A, "getOrderBook.1.BTCUSDT"],
        [
            Rejected(
                "getOrderBook.1.BTCUSDT",
                "error:handler not found,topic:getOrderBook.1.BTCUSDT",
            )
        ],
        [[A]],
    ),
    (10, "linear", [A], [], []),
    (11, "spot", [A, B, C], [], [[A], [B, C]]),
    (
        12,
        "spot",
        [A, "orderbook.50.NOSUCHSYM"],
        [Rejected("orderbook.50.NOSUCHSYM", "Invalid symbol :[orderbook.50.NOSUCHSYM]")],
        [[A]],
    ),
    (14, "option", [A], [], []),
]


@pytest.mark.parametrize("real", REAL, ids=lambda real: f"line-{real[0]}")
def test_real_replies_are_understood(shared_data: Path, real: Reply) -> None:
    number, category, topics, expected, asked = real
    path = shared_data / "bybit_ws_singles" / "control_frames.jsonl"
    frame = path.read_bytes().splitlines()[number - 1]
    real_id = json.loads(frame).get("req_id")
    session, _ = opened(category, *topics)
    if real_id:
        session._requests = {real_id: session._requests["L-1"]}
    assert not is_trade_frame(frame)
    events = session.receive(frame, 0.1)
    assert told(events) == expected
    assert [request["args"] for request in sent(events)] == asked
    assert session.unknown_total == 0


def test_a_real_option_ack_is_understood(shared_data: Path) -> None:
    path = shared_data / "bybit_ws_singles" / "control_frames.jsonl"
    frame = path.read_bytes().splitlines()[12]
    topics = json.loads(frame)["data"]["successTopics"]
    session, _ = opened("option", *topics)
    assert session.receive(frame, 0.1) == [Accepted(tuple(topics))]


def test_real_trades_are_trade_frames(shared_data: Path) -> None:
    path = shared_data / "bybit_ws_singles" / "publicTrade_singles.jsonl"
    assert all(is_trade_frame(frame) for frame in path.read_bytes().splitlines())
