"""What is said on one connection: requests, acks, refusals, pings and silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.aliases import Category
from tapecast.bybit.events import Accepted, Broken, Rejected, Send, Timing, Unanswered
from tapecast.bybit.protocol import Session
from tapecast.bybit.topics import MAX_ARGS_CHARS, args_chars, batches, name_of, topic_of
from tapecast.errors import FeedError, FeedStale
from tapecast.symbols import CATEGORIES

from .bybit_session import (
    PONGS,
    A,
    B,
    C,
    D,
    ack,
    opened,
    option_reply,
    refuse,
    reply,
    sent,
    told,
)

# Subscribing


@pytest.mark.parametrize(
    ("category", "count", "sizes"),
    [
        ("spot", 25, [10, 10, 5]),
        ("linear", 501, [500, 1]),
        ("inverse", 25, [25]),
        ("option", 25, [25]),
    ],
)
def test_everything_is_asked_for_in_requests_that_the_category_takes(
    category: Category, count: int, sizes: list[int]
) -> None:
    topics = [topic_of(f"S{number}USDT") for number in range(count)]
    _, requests = opened(category, *topics)
    assert [len(request["args"]) for request in requests] == sizes
    assert [topic for request in requests for topic in request["args"]] == topics
    assert {request["op"] for request in requests} == {"subscribe"}
    assert len({request["req_id"] for request in requests}) == len(sizes)


def test_a_topic_that_is_wanted_twice_is_asked_for_once() -> None:
    _, requests = opened("linear", A, B, A)
    assert requests == [{"req_id": "L-1", "op": "subscribe", "args": [A, B]}]


@given(
    category=st.sampled_from(CATEGORIES),
    topics=st.lists(st.text(min_size=1, max_size=4000), max_size=60),
)
def test_batches_keep_the_order_lose_nothing_and_hold_the_limits(
    category: Category, topics: list[str]
) -> None:
    """U10: limits of arguments."""
    made = list(batches(category, topics))
    assert [topic for batch in made for topic in batch] == topics
    assert all(made)
    most = 10 if category == "spot" else 500
    assert all(len(batch) <= most for batch in made)
    assert all(sum(map(args_chars, batch)) <= MAX_ARGS_CHARS for batch in made)


def test_topic_and_name_are_each_others_inverse() -> None:
    assert topic_of("BTCUSDT") == "publicTrade.BTCUSDT"
    assert name_of("publicTrade.BTCUSDT") == "BTCUSDT"


# Acknowledgements


def test_an_ack_accepts_the_topics_of_the_request_that_it_names() -> None:
    session, requests = opened("spot", *(topic_of(f"S{number}") for number in range(12)))
    assert ack(session, requests[1]["req_id"]) == [Accepted(tuple(requests[1]["args"]))]
    assert ack(session, requests[0]["req_id"]) == [Accepted(tuple(requests[0]["args"]))]


@pytest.mark.parametrize("request_id", [None, ""])
def test_acks_without_an_id_belong_to_the_oldest_request(request_id: str | None) -> None:
    session, requests = opened("spot", *(topic_of(f"S{number}") for number in range(12)))
    assert ack(session, request_id) == [Accepted(tuple(requests[0]["args"]))]
    assert ack(session, request_id) == [Accepted(tuple(requests[1]["args"]))]


def test_an_ack_of_nothing_that_was_asked_is_counted() -> None:
    session, _ = opened("linear", A)
    assert ack(session, "L-77") == []
    assert ack(session, "L-1") == [Accepted((A,))]
    assert ack(session, "L-1") == []
    assert ack(session, None) == []
    assert session.unknown_total == 3


def test_data_before_the_ack_is_a_sign_of_life_and_no_acknowledgement() -> None:
    session, _ = opened("linear", A)
    session.alive(4.0)
    assert ack(session, "L-1", 4.5) == [Accepted((A,))]


def test_an_option_ack_is_known_by_its_topics() -> None:
    session = Session("L", "option", [topic_of(f"C{n}") for n in range(501)], Timing())
    first, second = sent(session.open(0.0))
    data = {"failTopics": [], "successTopics": second["args"]}
    assert option_reply(session, success=True, data=data) == [Accepted(tuple(second["args"]))]
    data = {"failTopics": [], "successTopics": first["args"]}
    assert option_reply(session, success=True, data=data) == [Accepted(tuple(first["args"]))]


def test_an_option_reply_rejects_what_failed_and_what_it_does_not_name() -> None:
    session, _ = opened("option", A, B, C)
    data = {"failTopics": [B], "successTopics": [A]}
    assert option_reply(session, success=True, data=data) == [
        Accepted((A,)),
        Rejected(B, "listed in failTopics"),
        Rejected(C, "listed in no part of the reply"),
    ]


def test_an_option_topic_that_both_failed_and_succeeded_has_failed() -> None:
    session, _ = opened("option", A)
    data = {"failTopics": [A], "successTopics": [A]}
    assert option_reply(session, success=True, data=data) == [Rejected(A, "listed in failTopics")]


@pytest.mark.parametrize(
    "data", [None, {}, [], {"failTopics": None, "successTopics": 7}, {"successTopics": [1]}]
)
def test_an_option_ack_that_names_nothing_speaks_of_its_whole_request(data: object) -> None:
    session, _ = opened("option", A, B)
    assert option_reply(session, success=True, data=data) == [Accepted((A, B))]


def test_an_option_refusal_that_names_nothing_is_halved() -> None:
    session, _ = opened("option", A, B)
    events = option_reply(session, success=False, ret_msg="no")
    assert [request["args"] for request in sent(events)] == [[A], [B]]


def test_an_option_reply_about_foreign_topics_is_counted() -> None:
    session, _ = opened("option", A)
    data = {"failTopics": [], "successTopics": [B]}
    assert option_reply(session, success=True, data=data) == []
    assert session.unknown_total == 1


# Refusals

REFUSALS: list[tuple[Category, str]] = [
    ("spot", "Invalid symbol :[{0}]"),
    ("linear", "error:handler not found,topic:{0}"),
    ("inverse", "error:handler not found,topic:{0}"),
]


@pytest.mark.parametrize(("category", "text"), REFUSALS)
@pytest.mark.parametrize("with_id", [True, False])
def test_one_bad_topic_is_taken_out_and_the_rest_asked_for_at_once(
    category: Category, text: str, *, with_id: bool
) -> None:
    session, _ = opened(category, A, B, C)
    events = refuse(session, text.format(B), "L-1" if with_id else None)
    assert told(events) == [Rejected(B, text.format(B))]
    assert sent(events) == [{"req_id": "L-2", "op": "subscribe", "args": [A, C]}]
    assert ack(session, "L-2") == [Accepted((A, C))]


@pytest.mark.parametrize(("category", "text"), REFUSALS)
def test_a_bad_topic_is_asked_for_again_alone_after_a_minute(category: Category, text: str) -> None:
    session, _ = opened(category, A, B)
    refuse(session, text.format(B), "L-1", 1.0)
    ack(session, "L-2", 1.0)
    session.alive(60.9)
    assert {request["op"] for request in sent(session.tick(60.9))} == {"ping"}
    session.alive(61.0)
    assert session.next_due_s == 61.0
    assert sent(session.tick(61.0)) == [{"req_id": "L-4", "op": "subscribe", "args": [B]}]
    events = refuse(session, text.format(B), "L-4", 61.1)
    assert (told(events), sent(events)) == ([Rejected(B, text.format(B))], [])
    session.alive(121.1)
    assert sent(session.tick(121.1))[-1]["args"] == [B]
    assert ack(session, "L-6", 121.2) == [Accepted((B,))]


def test_a_refusal_that_names_several_topics_takes_all_of_them_out() -> None:
    session, _ = opened("spot", A, B, C, D)
    events = refuse(session, f"Invalid symbol :[{A}, {C}]", "L-1")
    assert [event.topic for event in events if isinstance(event, Rejected)] == [A, C]
    assert sent(events)[0]["args"] == [B, D]


def test_a_refusal_without_an_id_belongs_to_the_request_that_asked_for_its_topic() -> None:
    topics = [topic_of(f"S{number}") for number in range(12)]
    session, (first, second) = opened("spot", *topics)
    events = refuse(session, f"Invalid symbol :[{topics[11]}]", None)
    assert [event.topic for event in events if isinstance(event, Rejected)] == [topics[11]]
    assert sent(events)[0]["args"] == second["args"][:1]
    assert ack(session, first["req_id"]) == [Accepted(tuple(first["args"]))]


def test_a_refusal_without_an_id_of_a_topic_that_nobody_asked_for_is_counted() -> None:
    session, _ = opened("linear", A)
    assert refuse(session, f"error:handler not found,topic:{B}", None) == []
    assert session.unknown_total == 1
    assert ack(session, None) == [Accepted((A,))]


def test_a_topic_that_is_subscribed_already_counts_as_accepted() -> None:
    session, _ = opened("linear", A, B)
    events = refuse(session, f"error:already subscribed,topic:{A}", "L-1")
    assert told(events) == [Accepted((A,))]
    assert sent(events)[0]["args"] == [B]


@pytest.mark.parametrize("text", ["args size >10", "error:params error", "new words"])
def test_a_refusal_that_names_nobody_is_halved_until_it_is_alone(text: str) -> None:
    session, _ = opened("spot", A, B, C)
    events = refuse(session, text, "L-1")
    assert (told(events), [one["args"] for one in sent(events)]) == ([], [[A], [B, C]])
    assert refuse(session, text, "L-2") == [Rejected(A, text)]
    events = refuse(session, text, "L-3")
    assert (told(events), [one["args"] for one in sent(events)]) == ([], [[B], [C]])


def test_a_refusal_that_names_another_topic_than_it_refuses_is_halved() -> None:
    session, _ = opened("linear", A, B)
    events = refuse(session, "error:handler not found,topic:publicTrade.Z", "L-1")
    assert [one["args"] for one in sent(events)] == [[A], [B]]


@pytest.mark.parametrize("success", [False, None, "true", 1])
def test_only_success_true_acknowledges(success: object) -> None:
    session, _ = opened("linear", A)
    events = reply(session, success=success, op="subscribe", req_id="L-1")
    assert events == [Rejected(A, "no reason given")]


# Pings, pongs, silence


def test_a_ping_in_the_json_form_is_due_every_twenty_seconds() -> None:
    session, _ = opened("linear", A)
    ack(session, "L-1")
    assert session.next_due_s == 20.0
    assert session.tick(19.9) == []
    times = []
    for now_s in (20.0, 40.0, 60.0):
        (event,) = session.tick(now_s)
        assert isinstance(event, Send)
        times.append((now_s, event.payload))
        reply(session, now_s, op="pong")
        assert session.next_due_s == now_s + 20.0
    assert times == [
        (20.0, b'{"req_id":"L-2","op":"ping"}'),
        (40.0, b'{"req_id":"L-3","op":"ping"}'),
        (60.0, b'{"req_id":"L-4","op":"ping"}'),
    ]


@pytest.mark.parametrize("pong", PONGS)
def test_pongs_of_every_form_are_a_sign_of_life(pong: bytes) -> None:
    session, _ = opened("linear", A)
    ack(session, "L-1")
    session.tick(20.0)
    assert session.receive(pong, 25.0) == []
    assert not told(session.tick(54.9))
    assert session.unknown_total == 0


def test_silence_breaks_the_connection_after_the_interval_and_the_timeout() -> None:
    session, _ = opened("linear", A)
    ack(session, "L-1", 1.0)
    session.tick(20.0)
    assert session.next_due_s == 31.0
    assert session.tick(30.9) == []
    (event,) = session.tick(31.0)
    assert isinstance(event, Broken)
    assert isinstance(event.error, FeedStale)
    assert str(event.error) == "line L was silent for 30.0 s, expected at most 30.0 s"


def test_data_alone_keeps_a_connection_and_missing_pongs_are_told_once() -> None:
    session, _ = opened("linear", A)
    ack(session, "L-1")
    tellings = []
    for now_s in range(1, 121):
        session.alive(float(now_s))
        tellings += [(now_s, event) for event in told(session.tick(float(now_s)))]
    assert tellings == [(40, Unanswered())]
    reply(session, 120.5, op="pong")
    for now_s in range(121, 181):
        session.alive(float(now_s))
        tellings += [(now_s, event) for event in told(session.tick(float(now_s)))]
    assert tellings[1:] == [(160, Unanswered())]


def test_a_request_without_a_reply_breaks_the_connection_though_data_comes() -> None:
    session, _ = opened("spot", *(topic_of(f"S{number}") for number in range(12)))
    ack(session, "L-1")
    session.alive(5.0)
    assert session.next_due_s == 5.0
    (event,) = session.tick(5.0)
    assert isinstance(event, Broken)
    assert type(event.error) is FeedError
    assert str(event.error) == "no reply to a subscription within 5 s"


def test_a_rest_that_is_asked_for_again_has_its_own_time() -> None:
    session, _ = opened("linear", A, B)
    refuse(session, f"error:handler not found,topic:{B}", "L-1", 4.0)
    assert session.tick(8.9) == []
    assert session.next_due_s == 9.0
    assert isinstance(session.tick(9.0)[0], Broken)


def test_the_intervals_are_settings() -> None:
    timing = Timing(ping_interval_s=1, pong_timeout_s=2, ack_timeout_s=0.5, retry_rejected_s=0.7)
    session, _ = opened("linear", A, timing=timing)
    assert session.next_due_s == 0.5
    refuse(session, f"error:handler not found,topic:{A}", "L-1", 0.2)
    assert session.next_due_s == pytest.approx(0.9)
    assert sent(session.tick(0.9))[0]["args"] == [A]
    ack(session, "L-2", 0.9)
    assert sent(session.tick(1.0))[0]["op"] == "ping"
    assert isinstance(session.tick(3.9)[0], Broken)
