"""What clients may say: every command, every mistake with its whole text, rates and closes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from tapecast.messages import (
    Command,
    ErrorReply,
    History,
    Ping,
    Since,
    Subscribe,
    Unsubscribe,
    decode_message,
)
from tapecast.messages.fields import SLOW_POLICIES
from tapecast.server.limits import ServerLimits
from tapecast.server.protocol import Close, CommandReader, Outcome, pong, unsubscribed

ACTIONS = '"subscribe", "unsubscribe" or "ping"'
TYPES = '"stats", "trade", "ohlcv", "gap" or "upstream"'
SUBSCRIBE_FIELDS = "action, topic, types, symbols, since, history, partial_ms, slow_policy or id"


def reader(limits: ServerLimits | None = None) -> CommandReader:
    return CommandReader(limits or ServerLimits(), now_s=0.0)


def receive(frame: str | bytes) -> Outcome:
    return reader().receive(frame, now_s=0.0)


def subscribe(**fields: object) -> str:
    return json.dumps({"action": "subscribe", "topic": "status", **fields})


def error_of(outcome: Outcome) -> tuple[str, str]:
    assert outcome.command is None
    assert outcome.reply is not None
    reply = decode_message(outcome.reply)
    assert isinstance(reply, ErrorReply)
    return reply.code, reply.message


@pytest.mark.parametrize(
    ("frame", "command"),
    [
        ('{"action":"subscribe","topic":"status"}', Subscribe(topic="status")),
        (' {"topic" : "status", "action" : "subscribe"}\n', Subscribe(topic="status")),
        (subscribe(types=["trade"]), Subscribe(topic="status", types=("trade",))),
        (
            subscribe(symbols=["BTC*", "spot:*"]),
            Subscribe(topic="status", symbols=("BTC*", "spot:*")),
        ),
        (
            subscribe(since={"epoch": "e", "seq": 0}),
            Subscribe(topic="status", since=Since(epoch="e", seq=0)),
        ),
        (subscribe(history={"candles": 0}), Subscribe(topic="status", history=History(candles=0))),
        (
            subscribe(history={"candles": 1440}),
            Subscribe(topic="status", history=History(candles=1440)),
        ),
        (subscribe(partial_ms=100), Subscribe(topic="status", partial_ms=100)),
        (subscribe(partial_ms=60000), Subscribe(topic="status", partial_ms=60000)),
        *(
            (subscribe(slow_policy=policy), Subscribe(topic="status", slow_policy=policy))
            for policy in SLOW_POLICIES
        ),
        ('{"action":"unsubscribe","topic":"status"}', Unsubscribe(topic="status")),
        ('{"action":"ping"}', Ping()),
        ('{"action":"ping","topic":"status"}', Ping()),
    ],
)
def test_each_command_is_read(frame: str, command: Command) -> None:
    assert receive(frame) == Outcome(command=command)


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        ("", "bad_json", "command is empty, expected one JSON object"),
        (" \r\n", "bad_json", "command is empty, expected one JSON object"),
        ("hello\n", "bad_json", 'command is "hello", expected one JSON object'),
        ('{"a":1', "bad_json", r'command is "{\"a\":1", expected one JSON object'),
        ("{}x", "bad_json", 'command is "{}x", expected one JSON object'),
        ("NaN", "bad_json", 'command is "NaN", expected one JSON object'),
        ("\x00\x1b[2J", "bad_json", r'command is "\u0000\u001b[2J", expected one JSON object'),
        ("z" * 100, "bad_json", f'command is "{"z" * 60}..., expected one JSON object'),
        ("[" * 3000, "bad_json", "command is nested too deeply, expected one JSON object"),
        ('{"":' * 1000, "bad_json", "command is nested too deeply, expected one JSON object"),
        (
            '{"id":"\\ud800"}',
            "bad_json",
            r'command is "{\"id\":\"\\ud800\"}", expected one JSON object',
        ),
        ("[]", "bad_command", "command is an array, expected one JSON object"),
        ("1.50", "bad_command", "command is 1.5, expected one JSON object"),
        ("null", "bad_command", "command is null, expected one JSON object"),
        ("{}", "bad_command", f"action is missing, expected {ACTIONS}"),
        ('{"action":5}', "bad_command", f"action is 5, expected {ACTIONS}"),
        ('{"action":{}}', "bad_command", f"action is an object, expected {ACTIONS}"),
        ('{"action":"Subscribe"}', "unknown_action", f'action is "Subscribe", expected {ACTIONS}'),
        ('{"action":"subscribe"}', "bad_command", 'topic is missing, expected "status"'),
        ('{"action":"unsubscribe"}', "bad_command", 'topic is missing, expected "status"'),
        (subscribe(topic="trades"), "unknown_topic", 'topic is "trades", expected "status"'),
        (subscribe(topic=["status"]), "bad_command", 'topic is an array, expected "status"'),
        ('{"action":"ping","topic":"x"}', "unknown_topic", 'topic is "x", expected "status"'),
        (
            subscribe(symbol="BTCUSDT"),
            "bad_command",
            f'subscribe has a field "symbol", expected {SUBSCRIBE_FIELDS}',
        ),
        (
            '{"action":"ping","types":[]}',
            "bad_command",
            'ping has a field "types", expected action, topic or id',
        ),
        (
            subscribe(types="trade"),
            "bad_command",
            'types is "trade", expected an array of message types',
        ),
        (subscribe(types=None), "bad_command", "types is null, expected an array of message types"),
        (
            subscribe(types=[]),
            "bad_command",
            "types is empty, expected at least one of the message types",
        ),
        (subscribe(types=["trade", 1]), "bad_command", "types[1] is 1, expected a string"),
        (
            subscribe(types=["snapshot"]),
            "unknown_type",
            f'types[0] is "snapshot", expected {TYPES}',
        ),
        (
            subscribe(symbols={"a": 1}),
            "bad_command",
            "symbols is an object, expected an array of symbols or patterns",
        ),
        (
            subscribe(symbols=[]),
            "bad_command",
            "symbols is empty, expected at least one of the symbols or patterns",
        ),
        (
            subscribe(symbols=["BTC*", ""]),
            "bad_command",
            'symbols[1] is "", expected a symbol or a pattern such as "BTC*"',
        ),
        (subscribe(since=5), "bad_command", "since is 5, expected an object with epoch and seq"),
        (
            subscribe(since={"seq": 5}),
            "bad_command",
            "since.epoch is missing, expected epoch and seq",
        ),
        (
            subscribe(since={"epoch": 1, "seq": 5}),
            "bad_command",
            "since.epoch is 1, expected a string",
        ),
        (
            subscribe(since={"epoch": "e", "seq": -1}),
            "bad_command",
            "since.seq is -1, expected an integer of at least 0",
        ),
        (
            subscribe(since={"epoch": "e", "seq": 1, "x": 2}),
            "bad_command",
            'since has a field "x", expected epoch and seq',
        ),
        (subscribe(history=10), "bad_command", "history is 10, expected an object with candles"),
        (
            subscribe(history={"candles": 1441}),
            "bad_command",
            "history.candles is 1441, expected an integer from 0 to 1440",
        ),
        (
            subscribe(history={"candles": 1.0}),
            "bad_command",
            "history.candles is 1.0, expected an integer from 0 to 1440",
        ),
        *(
            (
                subscribe(slow_policy=value),
                "bad_command",
                f'slow_policy is {shown}, expected "conflate", "drop" or "disconnect"',
            )
            for value, shown in (
                ("Drop", '"Drop"'),
                (None, "null"),
                (True, "true"),
                (["drop"], "an array"),
            )
        ),
        (
            subscribe(partial_ms=99),
            "bad_command",
            "partial_ms is 99, expected an integer from 100 to 60000 ms",
        ),
        (
            subscribe(partial_ms=60001),
            "bad_command",
            "partial_ms is 60001, expected an integer from 100 to 60000 ms",
        ),
        (
            subscribe(partial_ms=True),
            "bad_command",
            "partial_ms is true, expected an integer from 100 to 60000 ms",
        ),
        (
            subscribe(partial_ms=10**100),
            "bad_command",
            f"partial_ms is 1{'0' * 60}..., expected an integer from 100 to 60000 ms",
        ),
        (
            subscribe(id=[1]),
            "bad_command",
            "id is an array, expected a string, a number, a boolean or null",
        ),
    ],
)
def test_each_mistake_is_named_with_what_was_found_and_expected(
    frame: str, code: str, message: str
) -> None:
    assert error_of(receive(frame)) == (code, message)


def test_a_command_of_exactly_the_limit_is_read_and_one_byte_more_is_too_large() -> None:
    frame = '{"action":"ping","id":"é"}'
    size = len(frame.encode())
    assert size == len(frame) + 1
    fits, exceeds = (ServerLimits(max_command_bytes=size), ServerLimits(max_command_bytes=size - 1))
    assert reader(fits).receive(frame, now_s=0.0).command == Ping()
    assert error_of(reader(exceeds).receive(frame, now_s=0.0)) == (
        "too_large",
        "command has 27 bytes, expected at most 26",
    )


@pytest.mark.parametrize(
    "reply_id",
    ['"a b"', "7", "1.50", "-0", "1E5", "123456789012345678901234567890", "true", "null", '""'],
)
def test_the_id_is_echoed_byte_for_byte(reply_id: str) -> None:
    good = receive(f'{{"action":"ping", "id" : {reply_id} }}')
    assert isinstance(good.reply_id, Raw)
    assert bytes(good.reply_id) == reply_id.encode()
    assert pong(timestamp_ms=5, reply_id=good.reply_id) == (
        f'{{"topic":"status","type":"pong","timestamp":5,"id":{reply_id}}}'.encode()
    )
    bad = receive(f'{{"action":"dance","id":{reply_id}}}')
    assert bad.reply is not None
    assert bad.reply.endswith(f',"id":{reply_id}}}'.encode())


def test_replies_to_commands_without_id_have_none() -> None:
    assert pong(timestamp_ms=5, reply_id=UNSET) == b'{"topic":"status","type":"pong","timestamp":5}'
    assert unsubscribed(reply_id=UNSET) == b'{"topic":"status","type":"unsubscribed"}'


def test_a_binary_frame_closes_with_1003() -> None:
    assert receive(b'{"action":"ping"}') == Outcome(
        close=Close(1003, "frame is binary, expected text")
    )


def test_ten_errors_in_a_row_close_with_1008_after_the_tenth_reply() -> None:
    commands = reader()
    outcomes = [commands.receive("?", now_s=float(second)) for second in range(10)]
    assert [outcome.close for outcome in outcomes] == [None] * 9 + [
        Close(1008, "10 errors in a row")
    ]
    assert all(error_of(outcome)[0] == "bad_json" for outcome in outcomes)


def test_a_good_command_forgives_the_errors_before_it() -> None:
    commands = reader()
    for _ in range(2):
        for _ in range(9):
            assert commands.receive("?", now_s=0.0).close is None
        assert commands.receive('{"action":"ping"}', now_s=0.0).command == Ping()


def test_a_burst_of_forty_passes_then_one_error_then_the_flood_is_closed() -> None:
    commands = reader()
    for _ in range(40):
        assert commands.receive('{"action":"ping"}', now_s=0.0).command == Ping()
    limited = commands.receive('{"action":"ping","id":41}', now_s=0.0)
    assert error_of(limited) == (
        "rate_limited",
        "more than 40 commands at once, expected at most 20 commands/s",
    )
    assert limited.reply_id == Raw(b"41")
    assert limited.close is None
    assert commands.receive('{"action":"ping"}', now_s=0.0) == Outcome(
        close=Close(1008, "command flood, expected at most 20 commands/s")
    )


def test_the_rate_recovers_by_one_command_each_twentieth_of_a_second() -> None:
    commands = reader()
    for _ in range(40):
        commands.receive('{"action":"ping"}', now_s=0.0)
    assert error_of(commands.receive("?", now_s=0.04))[0] == "rate_limited"
    assert commands.receive('{"action":"ping"}', now_s=0.0625).command == Ping()
    assert error_of(commands.receive('{"action":"ping"}', now_s=0.0625))[0] == "rate_limited"


def test_a_clock_that_steps_back_gives_no_tokens() -> None:
    commands = CommandReader(ServerLimits(command_burst=1), now_s=100.0)
    assert commands.receive('{"action":"ping"}', now_s=100.0).command == Ping()
    assert error_of(commands.receive('{"action":"ping"}', now_s=0.0))[0] == "rate_limited"


@given(st.text() | st.binary() | st.binary().map(lambda data: data.decode("latin-1")))
def test_whatever_a_client_sends_it_is_answered_or_closed(frame: str | bytes) -> None:
    outcome = receive(frame)
    assert outcome.command is not None or outcome.reply is not None or outcome.close is not None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda items: (
        st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=5), items, max_size=3)
    ),
    max_leaves=6,
)
FIELD_NAMES = (
    "action",
    "topic",
    "types",
    "symbols",
    "since",
    "history",
    "partial_ms",
    "slow_policy",
    "id",
)
LIKELY_VALUES = st.sampled_from(["subscribe", "ping", "status", ["trade"], {"candles": 3}, 500])


@given(st.dictionaries(st.sampled_from(FIELD_NAMES), LIKELY_VALUES | JSON_VALUES))
def test_any_object_is_a_valid_command_or_gets_a_valid_error(fields: dict[str, Any]) -> None:
    outcome = receive(json.dumps(fields))
    if outcome.command is None:
        error_of(outcome)
    else:
        # What the reader accepts is what the documented types accept.
        kind = type(outcome.command)
        assert msgspec.convert(fields, kind).__class__ is kind


def test_a_large_reply_counts_as_as_many_commands_as_it_has_mebibytes() -> None:
    reader = CommandReader(ServerLimits(), now_s=0.0)
    reader.charge(39 << 20)
    assert reader.receive('{"action":"ping"}', now_s=0.0).command == Ping()
    limited = reader.receive('{"action":"ping"}', now_s=0.0)
    assert b'"rate_limited"' in (limited.reply or b"")
    assert reader.receive('{"action":"ping"}', now_s=1.0).command == Ping()


def test_a_reply_of_any_size_makes_no_flood_of_a_client_that_waits() -> None:
    reader = CommandReader(ServerLimits(), now_s=0.0)
    reader.charge(500 << 20)
    assert reader.receive('{"action":"ping"}', now_s=0.1).command == Ping()
