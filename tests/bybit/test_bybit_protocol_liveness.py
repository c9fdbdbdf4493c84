"""Silence, topics that are subscribed anew, and candles on one connection."""

import pytest

from tapecast.aliases import Category
from tapecast.bybit.events import Accepted, Broken, Closed, Doubted, Probe, Rejected, Timing
from tapecast.bybit.kline import Kline
from tapecast.bybit.liveness import Traffic
from tapecast.bybit.protocol import Session
from tapecast.errors import FeedError, FeedStale

from .bybit_session import CALM, A, B, ack, opened, option_reply, refuse, reply, sent, told

FRAME = f'{{"topic":"{A}","type":"snapshot","ts":1,"data":[]}}'.encode()
ALERT = Timing(ping_interval_s=1e6)


def test_silence_is_answered_by_pings_of_both_kinds_at_once() -> None:
    """U2: half-open connection."""
    session, _ = opened("linear", A, timing=ALERT)
    ack(session, "L-1", 1.0)
    assert not told(session.tick(3.9))
    events = session.tick(4.0)
    assert told(events) == [Probe()]
    assert sent(events) == [{"req_id": "L-2", "op": "ping"}]
    assert session.tick(5.9) == []
    assert session.next_due_s == 6.0
    (event,) = session.tick(6.0)
    assert isinstance(event, Broken)
    assert isinstance(event.error, FeedStale)
    assert event.kind == "silent"
    assert str(event.error) == "line L was silent for 5.0 s, expected at most 5.0 s"


def test_any_byte_ends_a_silence() -> None:
    session, _ = opened("linear", A, timing=ALERT)
    ack(session, "L-1", 1.0)
    session.tick(4.0)
    session.alive(5.9)
    assert not told(session.tick(6.0))
    assert told(session.tick(8.9)) == [Probe()]


def test_a_ping_that_was_sent_late_gets_its_time_too() -> None:
    session, _ = opened("linear", A, timing=ALERT)
    ack(session, "L-1", 1.0)
    # The process was stopped for a while.
    assert told(session.tick(20.0)) == [Probe()]
    assert not told(session.tick(21.9))
    (event,) = session.tick(22.0)
    assert isinstance(event, Broken)


def stale(category: Category = "linear", *, audit: bool = False) -> tuple[Session, Traffic]:
    """Return a session of a busy topic that is silent for as long as it may be, at 60 s."""
    traffic = Traffic(["AUSDT"], stale_after_s=60.0)
    timing = Timing(ping_interval_s=1e6, silence_ping_s=1e6)
    session = Session("L", category, [A], timing, traffic=traffic, audit=audit)
    session.open(-41.0)
    if category == "option":
        option_reply(session, -40.0, success=True, data={"failTopics": [], "successTopics": [A]})
    else:
        ack(session, "L-1", -40.0)
    for second in range(-40, 1):
        session.hear(FRAME, float(second))
        assert not told(session.tick(float(second)))
    for second in range(1, 60):
        session.alive(float(second))
        assert session.tick(float(second)) == []
    return session, traffic


def test_a_stale_topic_is_dropped_and_subscribed_once_that_is_acknowledged() -> None:
    """U12: the subscription is lost."""
    session, _ = stale()
    events = session.tick(60.0)
    assert told(events) == [Doubted((A,), 0.0)]
    assert sent(events) == [{"req_id": "L-2", "op": "unsubscribe", "args": [A]}]
    events = reply(session, 60.5, op="unsubscribe", success=True, ret_msg="", req_id="L-2")
    assert sent(events) == [{"req_id": "L-3", "op": "subscribe", "args": [A]}]
    assert ack(session, "L-3", 61.0) == [Accepted((A,))]
    assert session.unknown_total == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"success": True, "ret_msg": "unsubscribe", "req_id": "L-2"},
        {"success": True, "ret_msg": ""},
        {"success": True, "req_id": ""},
        {"success": False, "ret_msg": f"error:not subscribed,topic:{A}"},
    ],
)
def test_an_unsubscription_is_understood_with_and_without_an_id(fields: dict[str, object]) -> None:
    session, _ = stale("spot")
    session.tick(60.0)
    events = reply(session, 60.5, op="unsubscribe", **fields)
    assert [(one["op"], one["args"]) for one in sent(events)] == [("subscribe", [A])]


@pytest.mark.parametrize(
    "data", [{"failTopics": [], "successTopics": [A]}, {"failTopics": [A]}, {}, None]
)
def test_an_unsubscription_of_options_is_understood(data: object) -> None:
    session, _ = stale("option")
    session.tick(60.0)
    events = option_reply(session, 60.5, success=True, data=data)
    assert [(one["op"], one["args"]) for one in sent(events)] == [("subscribe", [A])]
    good = {"failTopics": [], "successTopics": [A]}
    assert option_reply(session, 61.0, success=True, data=good) == [Accepted((A,))]


def test_an_unsubscription_without_a_reply_ends_the_connection() -> None:
    """U9: no acknowledgement."""
    session, _ = stale()
    session.tick(60.0)
    session.alive(65.0)
    (event,) = session.tick(65.0)
    assert isinstance(event, Broken)
    assert event.kind == "no_reply"
    assert str(event.error) == "no reply to an unsubscription within 5 s"


def test_a_topic_that_is_refused_when_it_is_subscribed_anew_is_rejected() -> None:
    session, _ = stale()
    session.tick(60.0)
    reply(session, 60.5, op="unsubscribe", success=True, req_id="L-2")
    text = f"error:handler not found,topic:{A}"
    assert refuse(session, text, "L-3", 61.0) == [Rejected(A, text)]


def test_a_topic_that_stays_away_is_lost_since_it_was_subscribed_anew() -> None:
    session, _ = stale()
    session.tick(60.0)
    reply(session, 60.5, op="unsubscribe", success=True, req_id="L-2")
    ack(session, "L-3", 61.0)
    session.alive(121.0)
    doubted, broken = session.tick(121.0)
    assert doubted == Doubted((A,), 61.0)
    assert isinstance(broken, Broken)
    assert broken.kind == "stale"
    assert str(broken.error) == "line L was silent for 60.0 s, expected at most 60.0 s"


def test_several_stale_topics_are_named_by_the_first() -> None:
    names = ["AUSDT", "BUSDT", "CUSDT"]
    traffic = Traffic(names, stale_after_s=60.0)
    topics = [f"publicTrade.{name}" for name in names]
    timing = Timing(ping_interval_s=1e6, silence_ping_s=1e6)
    session = Session("L", "linear", topics, timing, traffic=traffic)
    session.open(0.0)
    ack(session, "L-1", 0.0)
    for second in range(300):
        for topic in topics if second < 100 else topics[2:]:
            session.hear(f'{{"topic":"{topic}"}}'.encode(), float(second))
    events = session.tick(300.0)
    # Each is missed since it was heard last itself.
    assert told(events) == [Doubted((A,), 99.0), Doubted((B,), 99.0)]
    assert [one["args"] for one in sent(events)] == [[A, B]]
    reply(session, 300.0, op="unsubscribe", success=True, req_id="L-2")
    ack(session, "L-3", 300.0)
    session.hear(f'{{"topic":"{topics[2]}"}}'.encode(), 400.0)
    error = session.tick(400.0)[-1]
    assert isinstance(error, Broken)
    assert str(error.error) == (
        "line L (AUSDT and 1 more) was silent for 100.0 s, expected at most 60.0 s"
    )


# Candles

KLINE_A = "kline.1.AUSDT"
ROW = (
    '{"start":1790000040000,"interval":"1","open":"1","close":"1","high":"1","low":"1",'
    '"volume":"0","turnover":"0","confirm":true}'
)


def audited(*topics: str, category: Category = "linear") -> Session:
    session = Session("L", category, topics, CALM, audit=True)
    session.open(0.0)
    return session


@pytest.mark.parametrize(("category", "requests"), [("spot", 6), ("linear", 2), ("option", 1)])
def test_candles_are_asked_for_behind_the_trades_in_requests_of_their_own(
    category: Category, requests: int
) -> None:
    """U10: limits of arguments."""
    topics = [f"publicTrade.S{number}" for number in range(25)]
    session = Session("L", category, topics, CALM, audit=True)
    asked = [request["args"] for request in sent(session.open(0.0))]
    assert len(asked) == requests
    klines = [] if category == "option" else [f"kline.1.S{number}" for number in range(25)]
    assert [topic for args in asked for topic in args] == topics + klines


def test_an_acknowledgement_of_candles_covers_nothing() -> None:
    session = audited(A)
    assert ack(session, "L-2") == []
    assert ack(session, "L-1") == [Accepted((A,))]
    assert session.unknown_total == 0


def test_candles_without_a_reply_are_asked_for_again_and_cost_no_connection() -> None:
    session = audited(A)
    ack(session, "L-1")
    session.alive(5.0)
    assert session.tick(5.0) == [Rejected(KLINE_A, "no reply")]
    session.alive(65.0)
    assert [one["args"] for one in sent(session.tick(65.0)) if "args" in one] == [[KLINE_A]]


def test_closed_candles_are_told() -> None:
    session = audited(A)
    frame = f'{{"topic":"{KLINE_A}","data":[{ROW}],"ts":1,"type":"snapshot"}}'.encode()
    kline = Kline("AUSDT", 1790000040000, "1", "1", "1", "1", "0", "0")
    assert session.receive(frame, 1.0) == [Closed((kline,))]
    assert (session.unknown_total, session.bad_klines_total) == (0, 0)


def test_bad_candles_are_counted_and_change_nothing() -> None:
    session = audited(A)
    assert session.receive(f'{{"topic":"{KLINE_A}","data":[{{}}]}}'.encode(), 1.0) == []
    assert (session.unknown_total, session.bad_klines_total) == (0, 1)


def test_candles_that_nobody_asked_for_are_unknown() -> None:
    session = audited(A)
    assert session.receive(f'{{"topic":"kline.1.BUSDT","data":[{ROW}]}}'.encode(), 1.0) == []
    assert (session.unknown_total, session.bad_klines_total) == (1, 0)


# What others point out


def test_what_others_point_out_is_due_at_once() -> None:
    session, _ = opened("linear", A, B)
    ack(session, "L-1", 1.0)
    session.suspect("AUSDT")
    assert session.next_due_s <= 1.0
    assert told(session.tick(2.0)) == [Doubted((A,), 1.0)]
    assert session.next_due_s > 2.0
    # While it is subscribed anew there is nothing to add.
    session.suspect("AUSDT")
    assert session.tick(2.1) == []


def test_what_others_point_out_again_is_an_error_of_the_feed() -> None:
    session, _ = opened("linear", A)
    ack(session, "L-1", 1.0)
    session.suspect("AUSDT")
    session.tick(2.0)
    reply(session, 2.5, op="unsubscribe", success=True, req_id="L-2")
    ack(session, "L-3", 3.0)
    session.suspect("AUSDT")
    doubted, broken = session.tick(10.0)
    assert doubted == Doubted((A,), 3.0)
    assert isinstance(broken, Broken)
    assert type(broken.error) is FeedError
