"""The engine as Python sees it: settings, batches, messages, stats, gaps, snapshots."""

import json
from typing import Any

import msgspec
import pytest

from tapecast import Batch, Engine
from tapecast._core import Latency
from tapecast.messages import Delay, GapUpstream, Snapshot, Stats, Upstream, decode_message
from tests.core.frames import LATER_NS, START_MS, feed, frame_of, iso, trade_item

DAEMON_COUNTS = {"sent_messages": 12, "dropped_messages": 0, "reconnects": 0}
YEAR_MS = 366 * 86_400_000


def minute(number: int, **fields: object) -> dict[str, Any]:
    """Return a trade of the `number`-th minute."""
    return trade_item(number * 60_000, i=str(number), **fields)


def candles(batch: Batch) -> list[tuple[int, int, bool]]:
    """Return minute, revision and completeness of the candles that a batch publishes."""
    known = [json.loads(message.payload) for message in batch if message.type == "ohlcv"]
    return [
        ((item["start"] - START_MS) // 60_000, item["revision"], item["complete"]) for item in known
    ]


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"empty": "none"}, 'empty is "none", expected "skip" or "flat"'),
        (
            {"open": "close"},
            'open is "close", expected "first_trade" or "previous_close"',
        ),
        ({"clock": "atomic"}, 'clock is "atomic", expected "wall" or "event"'),
        (
            {"primary_category": "x"},
            'category is "x", expected linear, inverse, spot or option',
        ),
        *(
            ({name: value}, f"{name} is {value}, expected milliseconds from 0 to {YEAR_MS}")
            for name in ("grace_ms", "revise_window_ms", "max_future_ms")
            for value in (-1, YEAR_MS + 1)
        ),
    ],
)
def test_a_setting_outside_its_choices_is_refused_with_both(
    setting: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is asserted
        Engine(**setting)
    assert str(caught.value) == text


def test_a_batch_is_an_immutable_sequence() -> None:
    engine = Engine()
    batch = engine.feed(
        frame_of([trade_item(), trade_item(i="2")]), received_ns=LATER_NS, category="linear"
    )
    assert len(batch) == 2
    assert [message.seq for message in batch] == [1, 2]
    assert [batch[at].seq for at in (0, 1, -1, -2)] == [1, 2, 2, 1]
    assert repr(batch) == "Batch(messages=2)"
    for index in (2, -3, -4):
        with pytest.raises(IndexError, match=f"^batch index is {index}, expected one below 2$"):
            batch[index]
    with pytest.raises(TypeError):
        batch[0] = batch[1]  # type: ignore[index] # what is tested
    assert not Engine().advance(0)


def test_a_message_knows_its_type_symbol_number_and_bytes() -> None:
    engine = Engine()
    feed(engine, trade_item())
    [ohlcv] = engine.advance(START_MS + 61_000)
    assert (ohlcv.type, ohlcv.category, ohlcv.symbol, ohlcv.seq) == (
        *("ohlcv", "linear", "BTCUSDT"),
        2,
    )
    assert json.loads(ohlcv.payload)["text"] == ohlcv.text
    assert ohlcv.text == (
        "2026-09-21T14:15:00.000Z ohlcv linear:BTCUSDT 1m open 100 high 100 low 100 close 100 "
        "volume 1 vwap 100 trades 1"
    )
    assert repr(ohlcv) == "Message(type=ohlcv, symbol=BTCUSDT, seq=2)"
    with pytest.raises(AttributeError):
        ohlcv.seq = 3  # type: ignore[misc] # what is tested
    [line] = engine.upstream(START_MS, line="linear-1", state="stale", reason='"quoted"\n')
    assert (line.type, line.category, line.symbol, line.text) == ("upstream", None, None, None)
    assert decode_message(line.payload) == Upstream(
        seq=3, timestamp=iso(START_MS), line="linear-1", state="stale", reason='"quoted"\n'
    )
    assert engine.seq == 3


def test_the_first_category_fed_is_the_primary_one_unless_set() -> None:
    for primary, names in (
        (None, {"BTCUSDT", "spot:BTCUSDT"}),
        ("spot", {"BTCUSDT", "linear:BTCUSDT"}),
    ):
        engine = Engine(primary_category=primary)  # type: ignore[arg-type] # None or a category
        feed(engine, trade_item())
        feed(engine, trade_item(), category="spot")
        [stats] = engine.stats(0, interval_ns=0, counts=DAEMON_COUNTS)
        assert json.loads(stats.payload)["last_prices"].keys() == names


def test_stats_hold_counts_rates_prices_and_workers() -> None:
    engine = Engine()
    feed(engine, trade_item(p="100.50"), trade_item(i="2", p="101"), trade_item(i="2"))
    worker = {
        "name": "writer",
        "kind": "thread",
        "state": "running",
        "messages": 3,
        "rate": 1.5,
        "restarts": 0,
        "last_active_ms": None,
    }
    batch = engine.stats(
        START_MS + 1_234,
        interval_ns=2_000_000_000,
        counts=DAEMON_COUNTS | {"gaps": 4},
        thread_statuses=json.dumps([worker]).encode(),
        rejected_symbols=b'[{"category":"spot","symbol":"NOPE","reason":"Invalid symbol"}]',
    )
    stats = decode_message(batch[0].payload)
    assert isinstance(stats, Stats)
    assert (stats.seq, stats.timestamp) == (3, iso(START_MS + 1_234))
    expected = {"frames": 1, "trade_messages": 2, "ohlcv_messages": 0, "bad_frames": 0}
    expected |= {"duplicate_trades": 1, "late_trades": 0, "block_trades": 0}
    expected |= {"backfilled_trades": 0, "verified_candles": 0}
    expected |= {"mismatched_candles": 0, "kline_candles": 0}
    assert stats.message_counts == expected | DAEMON_COUNTS | {"gaps": 4}
    assert stats.message_rates == {name: count / 2 for name, count in stats.message_counts.items()}
    assert {name: str(price) for name, price in stats.last_prices.items()} == {"BTCUSDT": "101"}
    assert msgspec.to_builtins(stats.thread_statuses[0]) == worker | {
        "cpu_percent": None,
        "error": None,
    }
    assert stats.rejected_symbols[0].symbol == "NOPE"
    assert stats.text == batch[0].text
    assert stats.text == (
        f"{iso(START_MS + 1_234)} stats frames 1 (0.5/s) trade_messages 2 (1.0/s) "
        "ohlcv_messages 0 (0.0/s) duplicate_trades 1 (0.5/s) sent_messages 12 (6.0/s) "
        "gaps 4 (2.0/s) | BTCUSDT 101"
    )


def test_rates_are_those_of_the_last_interval_to_the_thousandth() -> None:
    engine = Engine()

    def rates(sent: int, interval_ns: int) -> Any:  # noqa: ANN401 -- decoded JSON
        counts = DAEMON_COUNTS | {"sent_messages": sent}
        [message] = engine.stats(0, interval_ns=interval_ns, counts=counts)
        found = json.loads(message.payload)["message_rates"]
        return found["sent_messages"], found["frames"]

    assert rates(10, 1_000_000_000) == (10, 0)
    feed(engine, trade_item())
    assert rates(20, 3_000_000_000) == (3.333, 0.333)
    assert rates(20, 3_000_000_000) == (0, 0)
    assert rates(30, 0) == (0, 0)
    assert rates(20, 1_000_000_000) == (0, 0)


def test_stats_tell_how_long_things_took_since_the_last_ones() -> None:
    engine, latency = Engine(), Latency()
    feed(engine, trade_item(), trade_item(i="2"))
    latency.record(2_000_000, 3)

    def delays() -> dict[str, Delay]:
        [message] = engine.stats(0, interval_ns=1, counts=DAEMON_COUNTS, latencies={"own": latency})
        stats = decode_message(message.payload)
        assert isinstance(stats, Stats)
        return stats.latency_ms

    first = delays()
    assert list(first) == ["exchange_to_received", "own"]
    on_the_way = first["exchange_to_received"]
    assert on_the_way.count == 1
    assert on_the_way.max == pytest.approx(LATER_NS / 1e6 - START_MS, rel=0.01)
    assert first["own"].count == 3
    assert first["own"].p50 == first["own"].p99 == pytest.approx(2, rel=0.01)
    nothing = Delay(count=0, p50=None, p99=None, max=None)
    assert delays() == {"exchange_to_received": nothing, "own": nothing}


def test_a_replay_has_no_time_on_the_way() -> None:
    engine = Engine(clock="event")
    feed(engine, trade_item())
    [message] = engine.stats(0, interval_ns=1, counts=DAEMON_COUNTS)
    assert json.loads(message.payload)["latency_ms"]["exchange_to_received"]["count"] == 0


def test_a_latency_is_a_summary_of_what_was_recorded_since_the_last_look() -> None:
    latency = Latency()
    for ns in range(1_000_000, 101_000_000, 1_000_000):
        latency.record(ns)
    count, *times = latency.take()
    assert count == 100
    assert times == pytest.approx([50e6, 99e6, 100e6], rel=0.02)
    assert latency.take() == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ["thread_statuses", "rejected_symbols"])
@pytest.mark.parametrize("value", [b"", b"{}", b"[", b"[]]", b"[],[]", b"\xff", b"[NaN]"])
def test_what_is_spliced_into_stats_must_be_an_array(name: str, value: bytes) -> None:
    engine = Engine()
    given: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"^{name} is no JSON array, expected one$"):
        engine.stats(0, interval_ns=1, counts={}, **given)
    assert engine.seq == 0


def test_a_gap_opens_once_marks_its_minutes_and_closes_unhealed() -> None:
    engine = Engine(assume_covered=False)
    assert not engine.cover(START_MS, category="linear", topics=["BTCUSDT", "ETHUSDT"])
    for number in range(4):
        feed(engine, minute(number))
    feed(engine, minute(0, s="ETHUSDT"))
    assert candles(engine.advance(START_MS + 121_000)) == [(0, 0, True), (0, 0, True), (1, 0, True)]
    lost_ms, found_ms = START_MS + 110_000, START_MS + 130_000
    lost = engine.uncover(lost_ms, category="linear", topics=["BTCUSDT", "ETHUSDT"])
    gaps = [decode_message(message.payload) for message in lost if message.type == "gap"]
    assert gaps == [
        GapUpstream(
            seq=engine.seq - 2 + at,
            symbol=symbol,
            category="linear",
            from_ms=lost_ms,
            to_ms=lost_ms,
            state="open",
        )
        for at, symbol in enumerate(["BTCUSDT", "ETHUSDT"])
    ]
    assert candles(lost) == [(1, 1, False)]
    assert not engine.uncover(lost_ms + 1, category="linear", topics=["BTCUSDT"])
    [healed] = engine.cover(found_ms, category="linear", topics=["BTCUSDT"])
    assert (healed.type, healed.category, healed.symbol) == ("gap", "linear", "BTCUSDT")
    gap = decode_message(healed.payload)
    assert isinstance(gap, GapUpstream)
    assert (gap.from_ms, gap.to_ms, gap.state) == (lost_ms, found_ms, "unhealed")
    assert candles(engine.advance(START_MS + 241_000)) == [(2, 0, False), (3, 0, True)]
    assert engine.counts["gaps"] == 2
    assert engine.candles("BTCUSDT")["complete"].tolist() == [True, False, False, True]


def test_a_subscription_that_is_told_late_makes_minutes_whole_as_a_revision() -> None:
    engine = Engine(assume_covered=False)
    for number in range(3):
        feed(engine, minute(number))
    assert candles(engine.advance(START_MS + 181_000)) == [
        *[(0, 0, False), (1, 0, False), (2, 0, False)],
    ]
    assert candles(engine.cover(START_MS + 60_000, category="linear", topics=["BTCUSDT"])) == [
        *[(1, 1, True), (2, 1, True)],
    ]


def test_options_are_covered_by_their_base_coin() -> None:
    engine = Engine(assume_covered=False)
    engine.cover(START_MS, category="option", topics=["BTC"])
    feed(engine, trade_item(s="BTC-25JUN27-106000-C-USDT"), category="option")
    feed(engine, trade_item(s="ETH-25JUN27-5000-C-USDT"), category="option")
    complete = [complete for _, _, complete in candles(engine.advance(START_MS + 61_000))]
    assert complete == [True, False]


def test_partials_are_the_newest_candles_in_progress_that_changed() -> None:
    engine = Engine()
    feed(engine, minute(0))
    feed(engine, minute(0, s="ETHUSDT"))
    version, batch = engine.partials()
    assert [(message.symbol, message.seq) for message in batch] == [("BTCUSDT", 2), ("ETHUSDT", 2)]
    assert batch[0].text == (
        "2026-09-21T14:15:00.000Z ohlcv linear:BTCUSDT 1m open 100 high 100 low 100 close 100 "
        "volume 1 vwap 100 trades 1 in progress"
    )
    feed(engine, minute(1, p="101"))
    newer, batch = engine.partials(version)
    [payload] = [json.loads(message.payload) for message in batch]
    assert (payload["symbol"], payload["open"], payload["closed"]) == ("BTCUSDT", 101, False)
    assert newer > version
    assert len(engine.partials(newer)[1]) == 0
    assert engine.seq == 3


@pytest.fixture
def busy() -> Engine:
    """An engine with stats, three closed minutes of one symbol and a candle of another."""
    engine = Engine(epoch="e1")
    for number in range(3):
        feed(engine, minute(number))
    feed(engine, trade_item(), category="spot")
    engine.advance(START_MS + 181_000)
    engine.stats(START_MS, interval_ns=1, counts=DAEMON_COUNTS)
    feed(engine, minute(3))
    return engine


@pytest.mark.parametrize(
    ("arguments", "stats", "trades", "ohlcv"),
    [
        ({}, True, 5, 2),
        ({"history": 1}, True, 5, 2),
        ({"history": 2}, True, 5, 3),
        ({"history": 100}, True, 5, 4),
        ({"history": 100, "in_progress": True}, True, 5, 5),
        ({"types": ["ohlcv"]}, False, 0, 2),
        ({"types": ["trade", "stats"]}, True, 5, 0),
        ({"types": ["gap", "upstream"]}, False, 0, 0),
        ({"types": []}, False, 0, 0),
        ({"symbols": {"BTCUSDT"}}, True, 5, 2),
        ({"symbols": frozenset({"spot:BTCUSDT"})}, True, 1, 1),
        ({"symbols": {"linear:BTCUSDT"}, "history": 3}, True, 4, 3),
        ({"symbols": set()}, True, 0, 0),
    ],
)
def test_a_snapshot_holds_what_is_asked_and_leaves_empty_sections_out(
    busy: Engine, arguments: dict[str, Any], stats: object, trades: int, ohlcv: int
) -> None:
    payload = busy.snapshot(**arguments)
    snapshot = decode_message(payload)
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.epoch, snapshot.seq) == ("e1", busy.seq)
    sections = {"stats": stats, "trades": trades, "ohlcv": ohlcv}
    present = {name for name, count in sections.items() if count}
    assert json.loads(payload).keys() == {"topic", "type", "epoch", "seq"} | present
    assert len(snapshot.trades or ()) == trades
    assert len(snapshot.ohlcv or ()) == ohlcv


def test_a_snapshot_repeats_the_messages_as_they_were_published() -> None:
    engine = Engine()
    published = [*engine.feed(frame_of([minute(0)]), received_ns=LATER_NS)]
    published += engine.advance(START_MS + 61_000)
    published += engine.stats(START_MS, interval_ns=1, counts=DAEMON_COUNTS)
    snapshot = engine.snapshot()
    for message in published:
        assert message.payload in snapshot


def test_an_unknown_message_type_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is asserted
        Engine().snapshot(types=["tick"])  # type: ignore[list-item] # what is tested
    assert str(caught.value) == (
        'message type is "tick", expected "stats" or "trade" or "ohlcv" or "gap" or "upstream"'
    )


def test_times_that_no_clock_shows_are_taken_for_the_nearest_possible() -> None:
    engine = Engine()
    feed(engine, trade_item())
    for at_ms in (-(2**63), 2**63 - 1):
        engine.uncover(at_ms, category="linear", topics=["BTCUSDT"])
        [gap] = engine.cover(at_ms, category="linear", topics=["BTCUSDT"])
        decode_message(gap.payload)
        decode_message(engine.upstream(at_ms, line="a", state="closed")[0].payload)
        decode_message(engine.stats(at_ms, interval_ns=1, counts=DAEMON_COUNTS)[0].payload)
    assert [message.type for message in engine.advance(2**63 - 1)] == ["ohlcv"]
    assert not engine.advance(-(2**63))


def close_minutes(engine: Engine, count: int) -> int:
    """Feed a trade at the start of so many minutes, close them, and return when the first began."""
    start_ms = 1_790_000_040_000
    for minute in range(count):
        at_ms = start_ms + minute * 60_000
        trade = {"T": at_ms, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "1", "i": str(minute)}
        raw = json.dumps({"topic": "publicTrade.BTCUSDT", "data": [trade]}).encode()
        engine.feed(raw, received_ns=at_ms * 1_000_000)
    engine.advance(start_ms + count * 60_000 + 1_000)
    return start_ms


def test_a_loss_that_turns_out_to_be_earlier_reaches_back_without_another_gap() -> None:
    engine = Engine(assume_covered=False)
    engine.cover(0, category="linear", topics=["BTCUSDT"])
    start_ms = close_minutes(engine, 2)
    assert engine.candles()["complete"].tolist() == [True, True]
    later, earlier = start_ms + 80_000, start_ms + 50_000
    assert [one.type for one in engine.uncover(later, category="linear", topics=["BTCUSDT"])] == [
        *("gap", "ohlcv"),
    ]
    again = engine.uncover(earlier, category="linear", topics=["BTCUSDT"])
    assert [one.type for one in again] == ["ohlcv"]
    assert engine.candles()["complete"].tolist() == [False, False]


def test_a_stretch_that_is_over_marks_its_own_minutes_alone_and_publishes_no_other() -> None:
    engine = Engine()
    start_ms = close_minutes(engine, 4)
    batch = engine.miss(start_ms + 70_000, start_ms + 80_000, category="linear", topics=["BTCUSDT"])
    assert [one.type for one in batch] == ["gap", "ohlcv"]
    assert engine.candles()["complete"].tolist() == [True, False, True, True]
    assert engine.candles()["revision"].tolist() == [0, 1, 0, 0]
