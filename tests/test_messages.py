"""The wire contract: what is valid is read whole, and every breach is named."""

import json
from decimal import Decimal
from typing import Literal

import msgspec
import pytest
from msgspec import UNSET, Raw

from tapecast.messages import (
    Bye,
    Delay,
    ErrorReply,
    GapClient,
    GapUpstream,
    History,
    Ohlcv,
    Ping,
    Pong,
    Resumed,
    Since,
    Snapshot,
    Stats,
    Subscribe,
    ThreadStatus,
    Trade,
    TradeCounts,
    Unsubscribe,
    Unsubscribed,
    Upstream,
    decode_message,
    encode_message,
)
from tapecast.messages.codec import snapshot_reply

TRADE = (
    b'{"topic":"status","type":"trade","seq":7,"category":"linear","symbol":"BTCUSDT","side":"Buy",'
    b'"price":16578.5,"volume":0.0010000000000000000000000001,"timestamp":1672304486865,'
    b'"timestamp_iso":"2022-12-29T09:01:26.865Z","trade_id":"20f43950",'
    b'"message_counts":{"trade_messages":3}}'
)
OHLCV = (
    b'{"topic":"status","type":"ohlcv","seq":8,"exchange":"bybit","category":"linear",'
    b'"symbol":"BTCUSDT","timeframe":"1m","timestamp":1672304520000,'
    b'"timestamp_iso":"2022-12-29T09:02:00.000Z","start":1672304460000,"open":3,"high":4.5,"low":2,'
    b'"close":2.5,"volume":2,"turnover":6.5,"buy_volume":0,"trades":2,"vwap":3.25,"closed":true,'
    b'"complete":false,"revision":0,"source":"trades","verified":null,"text":"a line"}'
)
COUNTS = {
    "frames": 1,
    "trade_messages": 1,
    "ohlcv_messages": 0,
    "sent_messages": 9,
    "bad_frames": 0,
    "duplicate_trades": 0,
    "late_trades": 0,
    "dropped_messages": 0,
    "reconnects": 0,
    "gaps": 0,
}
STATS = json.dumps(
    {
        "topic": "status",
        "type": "stats",
        "seq": 9,
        "timestamp": "2022-12-29T09:03:26.868Z",
        "text": "a line",
        "last_prices": {"BTCUSDT": 16578.5, "spot:BTCUSDT": 16579},
        "message_counts": COUNTS,
        "message_rates": dict.fromkeys(COUNTS, 0.5),
        "thread_statuses": [
            {
                "name": "linear-1",
                "kind": "task",
                "state": "running",
                "messages": 5,
                "rate": 1.5,
                "last_active_ms": 1672304486865,
                "restarts": 0,
                "error": None,
            }
        ],
        "rejected_symbols": [{"category": "spot", "symbol": "NOPE", "reason": "Invalid symbol"}],
        "latency_ms": {"loop_lag": {"count": 10, "p50": 0.1, "p99": 1.2, "max": 1.3}},
    }
).encode()


def changed(payload: bytes, old: bytes, new: bytes) -> bytes:
    assert payload.count(old) == 1
    return payload.replace(old, new)


def test_a_trade_keeps_every_digit() -> None:
    assert decode_message(TRADE) == Trade(
        seq=7,
        category="linear",
        symbol="BTCUSDT",
        side="Buy",
        price=Decimal("16578.5"),
        volume=Decimal("0.0010000000000000000000000001"),
        timestamp=1672304486865,
        timestamp_iso="2022-12-29T09:01:26.865Z",
        trade_id="20f43950",
        message_counts=TradeCounts(trade_messages=3),
    )


def test_a_candle_is_read_whole() -> None:
    candle = decode_message(OHLCV)
    assert isinstance(candle, Ohlcv)
    prices = (candle.open, candle.high, candle.low, candle.close)
    assert prices == tuple(map(Decimal, ("3", "4.5", "2", "2.5")))
    sums = (candle.volume, candle.turnover, candle.buy_volume)
    assert sums == tuple(map(Decimal, ("2", "6.5", "0")))
    assert (candle.vwap, candle.trades, candle.complete, candle.revision) == (3.25, 2, False, 0)


def test_a_flat_candle_has_no_vwap() -> None:
    flat = changed(changed(OHLCV, b'"volume":2', b'"volume":0'), b'"vwap":3.25', b'"vwap":null')
    candle = decode_message(flat)
    assert isinstance(candle, Ohlcv)
    assert candle.vwap is None


def test_a_candle_of_the_exchange_has_neither_trades_nor_buy_volume() -> None:
    own = changed(OHLCV, b'"buy_volume":0,"trades":2', b'"buy_volume":null,"trades":null')
    candle = decode_message(changed(own, b'"source":"trades"', b'"source":"kline"'))
    assert isinstance(candle, Ohlcv)
    assert (candle.buy_volume, candle.trades, candle.verified) == (None, None, None)


def test_stats_are_read_whole() -> None:
    stats = decode_message(STATS)
    assert isinstance(stats, Stats)
    assert stats.last_prices == {"BTCUSDT": Decimal("16578.5"), "spot:BTCUSDT": 16579}
    assert stats.message_counts == COUNTS
    assert stats.thread_statuses == (
        ThreadStatus(
            name="linear-1",
            kind="task",
            state="running",
            messages=5,
            rate=1.5,
            restarts=0,
            last_active_ms=1672304486865,
        ),
    )
    assert stats.rejected_symbols[0].reason == "Invalid symbol"
    assert stats.latency_ms == {"loop_lag": Delay(count=10, p50=0.1, p99=1.2, max=1.3)}


def test_the_reply_to_a_resume_and_the_farewell_are_read_whole() -> None:
    resumed = b'{"topic":"status","type":"resumed","epoch":"e","from_seq":3,"to_seq":2,"id":"a"}'
    assert decode_message(resumed) == Resumed(epoch="e", from_seq=3, to_seq=2, id="a")
    assert encode_message(Resumed(epoch="e", from_seq=3, to_seq=2, id=Raw(b'"a"'))) == resumed
    bye = b'{"topic":"status","type":"bye","retry_ms":1500}'
    assert decode_message(bye) == Bye(retry_ms=1500)
    assert encode_message(Bye(retry_ms=1500)) == bye


def test_a_snapshot_holds_whole_messages_and_leaves_out_what_is_empty() -> None:
    snapshot = (
        b'{"topic":"status","type":"snapshot","epoch":"e","seq":9,"stats":%b,"trades":[%b],'
        b'"ohlcv":[%b],"recovered":false,"id":1.5}' % (STATS, TRADE, OHLCV)
    )
    stats, trade, candle = decode_message(STATS), decode_message(TRADE), decode_message(OHLCV)
    assert isinstance(stats, Stats)
    assert isinstance(trade, Trade)
    assert isinstance(candle, Ohlcv)
    assert decode_message(snapshot) == Snapshot(
        epoch="e", seq=9, stats=stats, trades=(trade,), ohlcv=(candle,), recovered=False, id=1.5
    )
    empty = decode_message(b'{"topic":"status","type":"snapshot","epoch":"e","seq":0}')
    assert empty == Snapshot(epoch="e", seq=0)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (
            (
                b'{"topic":"status","type":"gap","seq":1,"scope":"upstream","category":"spot",'
                b'"symbol":"BTCUSDT","from":5,"to":6,"state":"unhealed"}'
            ),
            GapUpstream(
                seq=1, category="spot", symbol="BTCUSDT", from_ms=5, to_ms=6, state="unhealed"
            ),
        ),
        (
            (
                b'{"topic":"status","type":"gap","scope":"client","dropped":3,"from_seq":5,'
                b'"to_seq":9,"seq":5}'
            ),
            GapClient(dropped=3, from_seq=5, to_seq=9, seq=5),
        ),
        (
            (
                b'{"topic":"status","type":"upstream","seq":1,"timestamp":"2022-12-29T09:03:26.868Z",'
                b'"line":"linear-1","state":"stale","reason":""}'
            ),
            Upstream(
                seq=1,
                timestamp="2022-12-29T09:03:26.868Z",
                line="linear-1",
                state="stale",
                reason="",
            ),
        ),
        (
            b'{"topic":"status","type":"pong","timestamp":5,"id":null}',
            Pong(timestamp=5, id=None),
        ),
        (
            b'{"topic":"status","type":"error","code":"bad_json","message":"no"}',
            ErrorReply(code="bad_json", message="no"),
        ),
        (b'{"topic":"status","type":"unsubscribed","id":"x"}', Unsubscribed(id="x")),
    ],
)
def test_each_other_message_is_read_and_written_alike(
    payload: bytes, message: GapUpstream | GapClient | Upstream | Pong | ErrorReply | Unsubscribed
) -> None:
    assert decode_message(payload) == message
    assert json.loads(encode_message(message)) == json.loads(payload)
    assert encode_message(message).startswith(b'{"topic":"status","type":"')


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"[]", "Expected `object`, got `array`"),
        (b'{"type":"trade"}', "Object missing required field `topic`"),
        (b'{"topic":"status"}', "Object missing required field `type`"),
        (b'{"topic":"x","type":"pong"}', "Invalid enum value 'x' - at `$.topic`"),
        (
            b'{"topic":"status","type":"tick"}',
            'message type is "tick", expected one of the contract',
        ),
        (
            b'{"topic":"status","type":"gap","scope":"x"}',
            'message type is "gap/x", expected one of the contract',
        ),
        (
            changed(TRADE, b'"trade_id":"20f43950",', b""),
            "Object missing required field `trade_id`",
        ),
        (
            changed(TRADE, b'"seq":7', b'"seq":7,"extra":1'),
            "Object contains unknown field `extra`",
        ),
        (
            changed(TRADE, b"16578.5", b"16578.50"),
            "price is 16578.50, expected a plain decimal number",
        ),
        (changed(TRADE, b"16578.5", b"1e5"), "price is 1e5, expected a plain decimal number"),
        (
            changed(TRADE, b"16578.5", b'"16578.5"'),
            'price is "16578.5", expected a plain decimal number',
        ),
        (changed(TRADE, b"16578.5", b"0"), "price is 0, expected a positive number"),
        (changed(TRADE, b"16578.5", b"-1"), "price is -1, expected a positive number"),
        (changed(TRADE, b'"Buy"', b'"buy"'), "Invalid enum value 'buy' - at `$.side`"),
        (
            changed(TRADE, b"26.865Z", b"26Z"),
            (
                "Expected `str` matching regex "
                r"'\\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z\\Z'"
                " - at `$.timestamp_iso`"
            ),
        ),
        (
            changed(OHLCV, b'"volume":2,', b'"volume":0,'),
            "vwap is 3.25 at volume 0, expected null exactly at volume 0",
        ),
        (
            changed(OHLCV, b'"trades":2,', b'"trades":null,'),
            "trades is None at source trades, expected null exactly at kline",
        ),
        (
            changed(
                changed(OHLCV, b'"source":"trades"', b'"source":"kline"'),
                b'"trades":2',
                b'"trades":null',
            ),
            "buy_volume is 0 at source kline, expected null exactly at kline",
        ),
        (
            changed(OHLCV, b'"close":2.5', b'"close":null'),
            "Expected `decimal`, got `null` - at `$.close`",
        ),
        (
            changed(OHLCV, b'"turnover":6.5', b'"turnover":6.0'),
            "turnover is 6.0, expected a plain decimal number",
        ),
        (
            changed(STATS, b', "gaps": 0}', b"}"),
            "message_counts has no gaps, expected every required count",
        ),
        (
            changed(STATS, b', "gaps": 0.5}', b"}"),
            "gaps is only in one of message_counts and message_rates",
        ),
        (
            changed(STATS, b"16578.5", b"16578.50"),
            "BTCUSDT is 16578.50, expected a plain decimal number",
        ),
        (
            b'{"topic":"status","type":"snapshot","epoch":"e","seq":9,"trades":[]}',
            "Expected `array` of length >= 1 - at `$.trades`",
        ),
        (
            b'{"topic":"status","type":"snapshot","epoch":"e","seq":9,"trades":[%b]}'
            % changed(TRADE, b'"topic":"status",', b""),
            "topic is missing, expected it in every message",
        ),
        (
            b'{"topic":"status","type":"snapshot","epoch":"e","seq":9,"ohlcv":[%b]}'
            % changed(OHLCV, b'"high":4.5', b'"high":4.50'),
            "high is 4.50, expected a plain decimal number",
        ),
    ],
)
def test_each_breach_of_the_contract_is_named(payload: bytes, error: str) -> None:
    with pytest.raises(msgspec.ValidationError) as found:
        decode_message(payload)
    assert str(found.value) == error


def test_what_is_not_json_is_no_message() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_message(b"{")


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        (Subscribe(topic="status"), b'{"action":"subscribe","topic":"status"}'),
        (
            Subscribe(
                topic="status",
                types=("trade",),
                symbols=("BTC*",),
                since=Since(epoch="e", seq=1),
                history=History(candles=3),
                partial_ms=500,
                slow_policy="drop",
                id="x",
            ),
            (
                b'{"action":"subscribe","topic":"status","types":["trade"],"symbols":["BTC*"],'
                b'"since":{"epoch":"e","seq":1},"history":{"candles":3},"partial_ms":500,'
                b'"slow_policy":"drop","id":"x"}'
            ),
        ),
        (Unsubscribe(topic="status"), b'{"action":"unsubscribe","topic":"status"}'),
        (Ping(id=None), b'{"action":"ping","id":null}'),
    ],
)
def test_commands_are_written_as_the_contract_says(
    command: Subscribe | Unsubscribe | Ping, payload: bytes
) -> None:
    assert encode_message(command) == payload


@pytest.mark.parametrize(
    ("reply_id", "recovered", "reply"),
    [
        (UNSET, UNSET, b'{"seq":1}'),
        (Raw(b"1.50"), UNSET, b'{"seq":1,"id":1.50}'),
        (UNSET, False, b'{"seq":1,"recovered":false}'),
        (Raw(b"null"), True, b'{"seq":1,"recovered":true,"id":null}'),
    ],
)
def test_a_reply_is_spliced_into_a_shared_snapshot(
    reply_id: Raw | msgspec.UnsetType,
    recovered: Literal[True, False] | msgspec.UnsetType,
    reply: bytes,
) -> None:
    assert snapshot_reply(b'{"seq":1}', reply_id=reply_id, recovered=recovered) == reply
