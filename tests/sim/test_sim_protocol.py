"""WebSocket commands of the simulated exchange against the real control frames."""

import json
from pathlib import Path
from typing import Any

import pytest

from tapecast.sim.instruments import CATEGORIES, Category
from tapecast.sim.protocol import Session

NOW_MS = 1_672_916_271_846

TOPICS: dict[Category, frozenset[str]] = {
    "spot": frozenset(f"publicTrade.S{n}USDT" for n in range(30)) | {"publicTrade.BTCUSDT"},
    "linear": frozenset({"publicTrade.BTCUSDT", "publicTrade.ETHUSDT"}),
    "inverse": frozenset({"publicTrade.BTCUSD"}),
    "option": frozenset({"publicTrade.BTC", "publicTrade.ETH"}),
}


def session(category: Category) -> Session:
    return Session(category, connection_id="conn", known_topics=TOPICS[category])


def ask(line: Session, command: dict[str, Any]) -> str:
    return line.receive(json.dumps(command), now_ms=NOW_MS).decode()


def subscribe(line: Session, *topics: str, **more: object) -> str:
    return ask(line, {"op": "subscribe", "args": list(topics), **more})


PING = {"op": "ping"}
PING_ID = {"op": "ping", "req_id": "yQTJ"}

REPLIES: list[tuple[Category, dict[str, Any], str]] = [
    ("spot", PING, '{"success":true,"ret_msg":"pong","conn_id":"conn","op":"ping"}'),
    (
        "spot",
        PING_ID,
        '{"success":true,"ret_msg":"pong","conn_id":"conn","req_id":"yQTJ","op":"ping"}',
    ),
    ("linear", PING, '{"success":true,"ret_msg":"pong","conn_id":"conn","req_id":"","op":"ping"}'),
    (
        "inverse",
        PING_ID,
        '{"success":true,"ret_msg":"pong","conn_id":"conn","req_id":"yQTJ","op":"ping"}',
    ),
    ("option", PING_ID, '{"args":["1672916271846"],"op":"pong"}'),
    (
        "spot",
        {"op": "subscribe", "args": ["publicTrade.BTCUSDT"]},
        '{"success":true,"ret_msg":"subscribe","conn_id":"conn","op":"subscribe"}',
    ),
    (
        "spot",
        {"op": "subscribe", "args": ["publicTrade.BTCUSDT"], "req_id": "7"},
        '{"success":true,"ret_msg":"subscribe","conn_id":"conn","req_id":"7","op":"subscribe"}',
    ),
    (
        "linear",
        {"op": "subscribe", "args": ["publicTrade.BTCUSDT"]},
        '{"success":true,"ret_msg":"","conn_id":"conn","req_id":"","op":"subscribe"}',
    ),
    (
        "inverse",
        {"op": "subscribe", "args": ["publicTrade.BTCUSD"], "req_id": "7"},
        '{"success":true,"ret_msg":"","conn_id":"conn","req_id":"7","op":"subscribe"}',
    ),
    (
        "option",
        {"op": "subscribe", "args": ["publicTrade.ETH", "publicTrade.NOPE"], "req_id": "7"},
        (
            '{"success":true,"conn_id":"conn","data":{"failTopics":["publicTrade.NOPE"],'
            '"successTopics":["publicTrade.ETH"]},"type":"COMMAND_RESP"}'
        ),
    ),
    (
        "option",
        {"op": "subscribe", "args": ["publicTrade.BTC-25JUN27-106000-C-USDT"]},
        (
            '{"success":false,"conn_id":"conn","data":{"failTopics":'
            '["publicTrade.BTC-25JUN27-106000-C-USDT"],"successTopics":[]},"type":"COMMAND_RESP"}'
        ),
    ),
    (
        "spot",
        {"op": "subscribe", "args": ["publicTrade.BTCUSDT", "publicTrade.NOPEUSDT"]},
        (
            '{"success":false,"ret_msg":"Invalid symbol :[publicTrade.NOPEUSDT]","conn_id":"conn",'
            '"op":"subscribe"}'
        ),
    ),
    (
        "linear",
        {"op": "subscribe", "args": ["publicTrade.NOTASYMBOL"]},
        (
            '{"success":false,"ret_msg":"error:handler not found,topic:publicTrade.NOTASYMBOL",'
            '"conn_id":"conn","req_id":"","op":"subscribe"}'
        ),
    ),
    (
        "linear",
        {"op": "subscribe", "args": ["publicTrade.BTCUSDT", "publicTrade.BTCUSDT"]},
        (
            '{"success":false,"ret_msg":"error:already subscribed,topic:publicTrade.BTCUSDT",'
            '"conn_id":"conn","req_id":"","op":"subscribe"}'
        ),
    ),
    (
        "spot",
        {"op": "subscribe", "args": [f"publicTrade.S{n}USDT" for n in range(11)]},
        '{"success":false,"ret_msg":"args size >10","conn_id":"conn","op":"subscribe"}',
    ),
    (
        "linear",
        {"op": "subscribe", "args": []},
        (
            '{"success":false,"ret_msg":"error:params error","conn_id":"conn","req_id":"",'
            '"op":"subscribe"}'
        ),
    ),
    (
        "spot",
        {"op": "subscribe", "args": [1]},
        '{"success":false,"ret_msg":"error:params error","conn_id":"conn","op":"subscribe"}',
    ),
    (
        "linear",
        {"op": "auth", "req_id": 9},
        '{"success":false,"ret_msg":"error:invalid op","conn_id":"conn","req_id":"9","op":"auth"}',
    ),
    (
        "linear",
        {},
        '{"success":false,"ret_msg":"error:invalid op","conn_id":"conn","req_id":"","op":""}',
    ),
]


@pytest.mark.parametrize(("category", "command", "reply"), REPLIES)
def test_a_command_gets_the_reply_of_its_category(
    category: Category, command: dict[str, Any], reply: str
) -> None:
    assert ask(session(category), command) == reply


@pytest.mark.parametrize("text", [b"", b"[]", b"nonsense", b'"ping"', b"\xff"])
def test_foreign_text_is_refused_and_changes_nothing(text: bytes) -> None:
    line = session("linear")
    assert line.receive(text, now_ms=NOW_MS) == (
        b'{"success":false,"ret_msg":"error:invalid json","conn_id":"conn","req_id":"","op":""}'
    )
    assert not line.topics


@pytest.mark.parametrize("category", ["spot", "linear"])
def test_one_bad_topic_refuses_the_whole_batch(category: Category) -> None:
    line = session(category)
    subscribe(line, "publicTrade.BTCUSDT", "publicTrade.NOPEUSDT")
    assert line.topics == set()
    subscribe(line, "publicTrade.BTCUSDT")
    assert line.topics == {"publicTrade.BTCUSDT"}


def test_a_topic_that_is_subscribed_refuses_the_whole_batch_on_linear() -> None:
    line = session("linear")
    subscribe(line, "publicTrade.BTCUSDT")
    reply = json.loads(subscribe(line, "publicTrade.ETHUSDT", "publicTrade.BTCUSDT"))
    assert reply["ret_msg"] == "error:already subscribed,topic:publicTrade.BTCUSDT"
    assert line.topics == {"publicTrade.BTCUSDT"}


def test_spot_takes_many_requests_of_ten() -> None:
    line = session("spot")
    for first in (0, 10, 20):
        args = [f"publicTrade.S{n}USDT" for n in range(first, first + 10)]
        assert json.loads(subscribe(line, *args))["success"] is True
    assert len(line.topics) == 30


@pytest.mark.parametrize("category", CATEGORIES)
def test_all_topics_of_a_connection_hold_at_most_21000_characters(category: Category) -> None:
    names = [f"publicTrade.{n:028d}" for n in range(526)]  # 40 characters each
    line = Session(category, connection_id="conn", known_topics=frozenset(names))
    batches = [names[n : n + 10] for n in range(0, 525, 10)]
    for batch in batches[:-1]:
        assert json.loads(subscribe(line, *batch))["success"] is True
    assert json.loads(subscribe(line, *names[520:526]))["success"] is False
    assert len(line.topics) == 520
    assert json.loads(subscribe(line, *names[520:525]))["success"] is True
    assert sum(map(len, line.topics)) == 21_000


def test_an_option_connection_holds_at_most_2000_topics() -> None:
    names = [f"publicTrade.{n}" for n in range(1000)] + [f"p.{n}" for n in range(1001)]
    line = Session("option", connection_id="conn", known_topics=frozenset(names))
    assert json.loads(subscribe(line, *names[:1000]))["success"] is True
    reply = json.loads(subscribe(line, *names[1000:]))
    assert (reply["success"], len(reply["data"]["failTopics"])) == (False, 1001)
    assert json.loads(subscribe(line, *names[1000:2000]))["success"] is True


@pytest.mark.parametrize(
    ("category", "topic", "reply"),
    [
        (
            "spot",
            "publicTrade.BTCUSDT",
            '{"success":true,"ret_msg":"unsubscribe","conn_id":"conn","op":"unsubscribe"}',
        ),
        (
            "linear",
            "publicTrade.BTCUSDT",
            '{"success":true,"ret_msg":"","conn_id":"conn","req_id":"","op":"unsubscribe"}',
        ),
        (
            "option",
            "publicTrade.BTC",
            (
                '{"success":true,"conn_id":"conn","data":{"failTopics":[],'
                '"successTopics":["publicTrade.BTC"]},"type":"COMMAND_RESP"}'
            ),
        ),
    ],
)
def test_unsubscribing_ends_a_subscription(category: Category, topic: str, reply: str) -> None:
    line = session(category)
    subscribe(line, topic)
    assert line.topics == {topic}
    assert ask(line, {"op": "unsubscribe", "args": [topic]}) == reply
    assert line.topics == set()


# Line of the real control frame, and a command that has to bring about the same kind of reply.
REAL: list[tuple[int, Category, dict[str, Any]]] = [
    (1, "linear", {"op": "subscribe", "args": ["publicTrade.BTCUSDT"]}),
    (2, "linear", PING),
    (3, "spot", PING),
    (4, "spot", {"op": "subscribe", "args": ["publicTrade.BTCUSDT"]}),
    (5, "inverse", {"op": "subscribe", "args": ["publicTrade.BTCUSD"]}),
    (
        9,
        "linear",
        {
            "op": "subscribe",
            "args": ["getOrderBook.1.BTCUSDT"],
            "req_id": "2XXN2rHDDOBDbEQH-WsRa",
        },
    ),
    (10, "linear", {"op": "ping", "req_id": "yQTJaPDH0sty3HDrOEiSX"}),
    (11, "spot", {"op": "subscribe", "args": ["publicTrade.BTCUSDT"] * 11}),
    (12, "spot", {"op": "subscribe", "args": ["orderbook.50.NOSUCHSYM"]}),
    (14, "option", PING),
]


@pytest.mark.parametrize(("number", "category", "command"), REAL)
def test_replies_are_byte_for_byte_the_real_ones(
    shared_data: Path, number: int, category: Category, command: dict[str, Any]
) -> None:
    path = shared_data / "bybit_ws_singles" / "control_frames.jsonl"
    real = path.read_text(encoding="utf-8").splitlines()[number - 1]
    line = Session(
        category,
        connection_id=json.loads(real).get("conn_id", ""),
        known_topics=TOPICS[category],
    )
    assert ask(line, command) == real


def test_an_option_ack_is_byte_for_byte_the_real_one(shared_data: Path) -> None:
    path = shared_data / "bybit_ws_singles" / "control_frames.jsonl"
    real = path.read_text(encoding="utf-8").splitlines()[12]
    message = json.loads(real)
    topics = message["data"]["successTopics"]
    line = Session("option", connection_id=message["conn_id"], known_topics=frozenset(topics))
    assert subscribe(line, *topics) == real
