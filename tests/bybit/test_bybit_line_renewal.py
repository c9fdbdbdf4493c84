"""Lines that are renewed, pointed at, and that carry candles; in memory."""

import json

import pytest

from tapecast.bybit import Kline, LineConfig
from tapecast.sim.faults import Lose, Mute

from .bybit_fakes import line_config
from .bybit_memory import START_MS, Memory, MemoryConnection, lived


def config(*topics: str, category: str = "linear", **more: object) -> LineConfig:
    return line_config(f"ws://memory/{category}", *topics, category=category, **more)  # type: ignore[arg-type]  # a category


def asked(connection: MemoryConnection) -> list[tuple[str, list[str]]]:
    """Return what a connection asked for, but pings."""
    commands = [json.loads(payload) for payload in connection.sent]
    return [(one["op"], one["args"]) for one in commands if one["op"] != "ping"]


BTC = ["publicTrade.BTCUSDT"]
ANEW = [("subscribe", BTC), ("unsubscribe", BTC), ("subscribe", BTC)]


def test_a_renewed_line_is_back_at_once_and_says_goodbye_to_the_old_connection() -> None:
    async def live(memory: Memory) -> None:
        async with memory.line(config()) as (line, sink):
            line.renew("too early")
            await memory.until(10.0)
            line.renew("replaced: 10 s old")
            line.renew("once more")
            await memory.until(10.2)
            assert sink.states == [
                ("connecting", ""),
                ("connected", ""),
                ("reconnecting", "replaced: 10 s old"),
                ("connected", ""),
            ]
            old, _ = memory.connections
            assert old.ends == ["closed", "aborted"]
            assert (line.reconnects_total, line.renewals_total) == (0, 1)
            assert line.closes == {"renewed": 1}
            assert memory.connects[1][0] == pytest.approx(10.0, abs=0.05)
            assert line.is_covering(["BTCUSDT"])
            assert len(sink.lost) == 1

    lived(live)


def test_a_topic_that_others_point_out_is_subscribed_anew_at_once() -> None:
    async def live(memory: Memory) -> None:
        async with memory.line(config("BTCUSDT", "ETHUSDT")) as (line, sink):
            await memory.until(10.0)
            heard_s = line.heard_s("BTCUSDT")
            assert heard_s is not None
            await memory.until(13.0)
            line.suspect("BTCUSDT")
            line.suspect("NOPEUSDT")
            await memory.until(13.1)
            (connection,) = memory.connections
            assert asked(connection)[1:] == ANEW[1:]
            # It is missed since it was heard last, and received again since the reply.
            ((lost, lost_ms),) = sink.lost
            assert lost == ["BTCUSDT"]
            assert abs(lost_ms - START_MS - heard_s * 1000) <= 100
            again, again_ms = sink.subscribed[1]
            assert again == ["BTCUSDT"]
            assert 13_000 <= again_ms - START_MS <= 13_100
            assert line.is_covering(["BTCUSDT", "ETHUSDT"])
            assert line.closes == {}

    lived(
        live,
        Lose(at_ms=9_000, topics="publicTrade.BTCUSDT"),
        symbols=("linear:BTCUSDT", "linear:ETHUSDT"),
    )


@pytest.mark.parametrize(("again_s", "cut"), [(20.0, True), (700.0, False)])
def test_a_topic_that_is_pointed_out_again_soon_ends_the_connection(
    again_s: float, *, cut: bool
) -> None:
    async def live(memory: Memory) -> None:
        async with memory.line(config()) as (line, sink):
            await memory.until(10.0)
            line.suspect("BTCUSDT")
            await memory.until(10.0 + again_s)
            line.suspect("BTCUSDT")
            await memory.until(10.2 + again_s)
            text = (
                "BTCUSDT stays away though it was subscribed anew, expected what other lines bring"
            )
            assert sink.reasons == ([text] if cut else [])
            assert line.closes == ({"stale": 1} if cut else {})

    lived(live)


def test_a_topic_that_is_not_received_is_not_subscribed_anew() -> None:
    async def live(memory: Memory) -> None:
        async with memory.line(config("NOPEUSDT")) as (line, sink):
            await memory.until(1.0)
            line.suspect("NOPEUSDT")
            await memory.until(3.0)
            assert asked(memory.connections[0]) == [("subscribe", ["publicTrade.NOPEUSDT"])]
            assert [name for name, _ in sink.rejected] == ["NOPEUSDT"]

    lived(live)


@pytest.mark.parametrize(
    ("category", "symbol", "topic"),
    [
        ("spot", "BTCUSDT", "BTCUSDT"),
        ("linear", "BTCUSDT", "BTCUSDT"),
        ("inverse", "BTCUSD", "BTCUSD"),
        ("option", "BTC*", "BTC"),
    ],
)
def test_a_line_that_answers_pings_only_is_subscribed_anew_and_then_given_up(
    category: str, symbol: str, topic: str
) -> None:
    """U12: pongs come, data does not."""

    async def live(memory: Memory) -> None:
        async with memory.line(config(topic, category=category)) as (line, sink):
            await memory.until(100.0)
            (mute,) = memory.connections
            heard_s = line.heard_s(topic)
            await memory.until(162.0)
            args = [f"publicTrade.{topic}"]
            assert asked(mute) == [("subscribe", args), ("unsubscribe", args), ("subscribe", args)]
            assert line.closes == {}
            await memory.until(223.0)
            assert line.closes == {"stale": 1}
            assert mute.ends == ["aborted"]
            assert ("stale", sink.reasons[0]) in sink.states
            assert sink.reasons[0].startswith(f"line {category}-1 was silent for 60.")
            # What is said to be received ends with the last trade each time.
            assert heard_s is not None
            first_ms, second_ms = (at_ms for _, at_ms in sink.lost)
            assert abs(first_ms - START_MS - heard_s * 1000) < 200
            assert second_ms <= sink.subscribed[1][1]

    lived(live, Mute(at_ms=100_000), symbols=(f"{category}:{symbol}",), rate=40.0)


def test_a_line_of_many_topics_is_found_sooner() -> None:
    """U12: the sum of the rates decides."""
    names = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")

    async def live(memory: Memory) -> None:
        async with memory.line(config(*names)) as (line, sink):
            await memory.until(117.0)
            assert [op for op, _ in asked(memory.connections[0])] == [
                "subscribe",
                "unsubscribe",
                "subscribe",
            ]
            assert len(sink.lost) == 1
            await memory.until(133.0)
            assert line.closes == {"stale": 1}

    symbols = tuple(f"linear:{name}" for name in names)
    lived(live, Mute(at_ms=100_000), symbols=symbols, rate=100.0)


def test_a_busy_topic_that_stays_away_alone_is_subscribed_anew_and_then_given_up() -> None:
    """U12: the subscription of one topic is lost."""

    async def live(memory: Memory) -> None:
        async with memory.line(config("BTCUSDT", "ETHUSDT")) as (line, sink):
            await memory.until(163.0)
            assert asked(memory.connections[0])[1:] == ANEW[1:]
            await memory.until(224.0)
            assert line.closes == {"stale": 1}
            assert sink.reasons[0].startswith("line linear-1 (BTCUSDT) was silent for ")
            # A topic that stays away for good costs ever fewer connections.
            await memory.until(1400.0)
            assert line.closes == {"stale": 2}

    lived(
        live,
        Lose(at_ms=100_000, topics="publicTrade.BTCUSDT"),
        symbols=("linear:BTCUSDT", "linear:ETHUSDT"),
        rate=40.0,
    )


def test_siblings_are_not_given_up_together() -> None:
    async def live(memory: Memory) -> list[float]:
        async with (
            memory.line(config()) as (first, _),
            memory.line(config(place=1)) as (second, _),
        ):
            ends: list[float] = []
            for line in (first, second):
                while not line.closes:
                    await memory.until(memory.clock.monotonic_s() + 1.0)
                ends.append(memory.clock.monotonic_s())
            return ends

    one_s, other_s = lived(live, Mute(at_ms=100_000), rate=40.0)
    assert other_s - one_s > 20.0


# Candles


def test_candles_of_closed_minutes_are_told_and_cover_nothing() -> None:
    async def live(memory: Memory) -> list[Kline]:
        async with memory.line(config("BTCUSDT", audit=True)) as (line, sink):
            await memory.until(130.0)
            assert asked(memory.connections[0]) == [
                ("subscribe", BTC),
                ("subscribe", ["kline.1.BTCUSDT"]),
            ]
            assert [names for names, _ in sink.subscribed] == [["BTCUSDT"]]
            assert (line.unknown_frames_total, line.bad_klines_total) == (0, 0)
            return sink.klines

    klines = lived(live)
    assert [(one.symbol, one.start_ms) for one in klines] == [
        ("BTCUSDT", START_MS),
        ("BTCUSDT", START_MS + 60_000),
    ]
    assert all(float(one.low) <= float(one.close) <= float(one.high) for one in klines)


def test_candles_are_no_sign_that_trades_come() -> None:
    """U12: data comes, but not the trades."""

    async def live(memory: Memory) -> None:
        async with memory.line(config("BTCUSDT", audit=True)) as (line, _):
            await memory.until(224.0)
            assert line.closes == {"stale": 1}

    lived(live, Lose(at_ms=100_000), rate=40.0)


def test_there_are_no_candles_of_options() -> None:
    async def live(memory: Memory) -> None:
        async with memory.line(config("BTC", category="option", audit=True)):
            await memory.until(1.0)
            assert asked(memory.connections[0]) == [("subscribe", ["publicTrade.BTC"])]

    lived(live, symbols=("option:BTC*",))


def test_refused_candles_are_logged_and_do_not_reject_the_symbol(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def live(memory: Memory) -> None:
        async with memory.line(config("BTCUSDT", "NOPEUSDT", audit=True)) as (_, sink):
            await memory.until(130.0)
            assert {name for name, _ in sink.rejected} == {"NOPEUSDT"}
            assert [names for names, _ in sink.subscribed] == [["BTCUSDT"]]

    lived(live)
    told = [one.getMessage() for one in caplog.records if "no candles" in one.getMessage()]
    assert told == [
        "line linear-1: no candles of NOPEUSDT: error:handler not found,topic:kline.1.NOPEUSDT"
    ]
