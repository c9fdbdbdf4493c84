"""One client of the exchange without sockets: commands, pings, ends."""

import json

import pytest

from tapecast.sim.connection import Ending
from tapecast.sim.desk import Desk
from tapecast.sim.faults import Close, Drop, Fault, Hole, Huge, Lose, NoPong, RefuseSubscribe
from tapecast.sim.instruments import select_instruments
from tests.sim.desks import BTC, START_MS, TRADES, ask, desk, ids, subscribe

PING = '{"op":"ping"}'


def test_a_hole_ignores_what_comes_in() -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    injection = sim.inject(Hole())
    line.receive(PING)
    line.receive('{"op":"unsubscribe","args":["publicTrade.BTCUSDT"]}')
    assert (line.ping(), line.pending(), line.topics) == (False, [], {TRADES})
    injection.end()
    line.receive(PING)
    assert len(line.pending()) == 1


def test_without_pongs_data_flows_and_commands_are_answered() -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    sim.inject(NoPong())
    line.receive(PING)
    assert (line.ping(), line.pending()) == (False, [])
    trades = sim.step(3, symbol=BTC)
    assert ids(line.pending()) == [trade.trade_id for trade in trades]
    assert ask(line, "unsubscribe", TRADES)["success"] is True


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Drop(), Ending(None)),
        (Close(code=1012, reason="service restart"), Ending(1012, "service restart")),
        (Close(code=1006), Ending(1006)),
    ],
)
def test_a_connection_ends_as_the_fault_says(fault: Fault, ending: Ending) -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    trades = sim.step(2, symbol=BTC)
    sim.inject(fault)
    assert (line.open, line.ending) == (False, ending)
    sim.step(2, symbol=BTC)
    line.receive(PING)
    # What was sent before the end can still be taken.
    assert ids(line.pending()) == [trade.trade_id for trade in trades]
    assert sim.connections() == []


def test_a_huge_frame_has_its_size() -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    sim.inject(Huge(size_bytes=3 << 20))
    (frame,) = line.pending()
    assert len(frame) == 3 << 20
    assert json.loads(frame)["topic"] == "publicTrade.HUGE"


def test_frames_come_with_their_times_in_order() -> None:
    sim = desk()
    line = subscribe(sim, TRADES)
    sim.step(30, at_ms=START_MS + 500, symbol=BTC)
    sim.step(30, at_ms=START_MS + 501, symbol=BTC)
    times = [sent_ms for sent_ms, _ in line.pending_timed()]
    assert times == sorted(times)
    assert START_MS + 500 <= times[0] <= times[-1] <= START_MS + 503


def test_a_client_that_lets_too_much_wait_is_cut() -> None:
    sim = Desk(
        select_instruments(("linear:BTCUSDT",)),
        start_ms=START_MS,
        rate=0.0,
        max_pending_bytes=5_000,
    )
    line = subscribe(sim, TRADES)
    sim.step(100, symbol=BTC)
    assert line.ending == Ending(None)


REFUSALS = [
    ("linear", RefuseSubscribe(), f"error:handler not found,topic:{TRADES}"),
    ("spot", RefuseSubscribe(), f"Invalid symbol :[{TRADES}]"),
    ("linear", RefuseSubscribe(form="already"), f"error:already subscribed,topic:{TRADES}"),
    ("spot", RefuseSubscribe(form="args_size"), "args size >10"),
    ("linear", RefuseSubscribe(form="text", text="busy"), "busy"),
]


@pytest.mark.parametrize(("category", "fault", "text"), REFUSALS)
def test_a_refused_subscription_is_refused_in_the_words_of_its_category(
    category: str, fault: RefuseSubscribe, text: str
) -> None:
    sim = desk(fault)
    line = sim.connect("spot" if category == "spot" else "linear")
    reply = ask(line, "subscribe", TRADES)
    assert (reply["success"], reply["ret_msg"]) == (False, text)
    assert not line.topics
    assert [event.topic for event in sim.log if event.deed == "refused"] == [TRADES]


def test_one_refused_topic_refuses_the_whole_request() -> None:
    sim = desk(RefuseSubscribe(symbols="ETH*"))
    line = sim.connect("linear")
    reply = ask(line, "subscribe", TRADES, "publicTrade.ETHUSDT")
    assert reply["ret_msg"] == "error:handler not found,topic:publicTrade.ETHUSDT"
    assert not line.topics
    assert ask(line, "subscribe", TRADES)["success"] is True


def test_options_refuse_single_topics() -> None:
    sim = desk(RefuseSubscribe(symbols="BTC-*"), symbols=("option:*",))
    contract = next(t for t in sim._topics["option"] if t.startswith("kline.1.BTC-"))
    line = sim.connect("option")
    reply = ask(line, "subscribe", "publicTrade.BTC", contract)
    assert reply["data"] == {"failTopics": [contract], "successTopics": ["publicTrade.BTC"]}
    assert line.topics == {"publicTrade.BTC"}


def test_a_subscription_without_a_reply_is_none() -> None:
    sim = desk(RefuseSubscribe(form="no_ack"))
    line = sim.connect("linear")
    line.receive(json.dumps({"op": "subscribe", "args": [TRADES]}))
    assert (line.pending(), set(line.topics)) == ([], set())


@pytest.mark.parametrize("category", ["linear", "option"])
def test_a_pretended_subscription_sends_nothing(category: str) -> None:
    sim = desk(RefuseSubscribe(form="pretend"), rate=100.0)
    if category == "linear":
        line = subscribe(sim, TRADES)
    else:
        line = subscribe(sim, "publicTrade.BTC", category="option")
    sim.step(50)
    assert (line.pending(), set(line.topics)) == ([], set())


def test_two_refusals_befall_each_its_topics() -> None:
    sim = desk(RefuseSubscribe(symbols="ETH*", form="already"), RefuseSubscribe(symbols="BTC*"))
    line = sim.connect("linear")
    reply = ask(line, "subscribe", "publicTrade.ETHUSDT", TRADES)
    assert reply["ret_msg"] == "error:already subscribed,topic:publicTrade.ETHUSDT"
    assert ask(line, "subscribe", TRADES)["ret_msg"].startswith("error:handler not found")


def test_foreign_text_under_a_refusal_is_answered_as_ever() -> None:
    sim = desk(RefuseSubscribe(), NoPong())
    line = sim.connect("linear")
    line.receive("[")
    (frame,) = line.pending()
    assert json.loads(frame)["ret_msg"] == "error:invalid json"


def test_a_client_that_leaves_gets_nothing_more() -> None:
    sim = desk(Lose(probability=0.0))
    line = subscribe(sim, TRADES)
    line.disconnect()
    line.disconnect()
    sim.step(5, symbol=BTC)
    line.send(b"{}", START_MS)
    assert (line.open, line.ending, line.ping(), line.pending()) == (False, None, False, [])
    assert sim.subscribers("linear", TRADES) == 0
