"""The protocol against the simulated exchange's, without sockets between them."""

from collections import deque
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast.aliases import Category
from tapecast.bybit.events import Accepted, Broken, Event, Rejected, Send, Timing
from tapecast.bybit.protocol import Session
from tapecast.bybit.topics import topic_of
from tapecast.sim.protocol import Session as SimSession
from tapecast.symbols import CATEGORIES

from .bybit_session import CALM


class Talk:
    """Both sides of one connection: what ours sends is answered at once, in order."""

    def __init__(
        self,
        category: Category,
        topics: Sequence[str],
        known: set[str],
        timing: Timing | None = None,
    ) -> None:
        self.session = Session("L", category, topics, timing or Timing())
        self.sim = SimSession(category, connection_id="conn", known_topics=known)
        self.accepted: set[str] = set()
        self.rejected: dict[str, str] = {}
        self.requests = 0

    def carry_out(self, events: Sequence[Event], now_s: float) -> None:
        pending = deque(events)
        while pending:
            match pending.popleft():
                case Send(payload):
                    self.requests += 1
                    answer = self.sim.receive(payload, now_ms=int(now_s * 1000))
                    pending.extend(self.session.receive(answer, now_s))
                case Accepted(accepted):
                    self.accepted.update(accepted)
                    self.rejected = {
                        topic: why for topic, why in self.rejected.items() if topic not in accepted
                    }
                case Rejected(topic, reason):
                    self.rejected[topic] = reason
                case Broken(error):
                    raise error


names = st.text("ABCXYZ0123456789-", min_size=1, max_size=12).map(topic_of)


@settings(deadline=None)
@given(
    category=st.sampled_from(CATEGORIES),
    good=st.sets(names, max_size=30),
    bad=st.sets(names, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_exactly_the_good_topics_are_accepted_and_the_bad_ones_rejected(
    category: Category, good: set[str], bad: set[str], order: Random
) -> None:
    bad -= good
    topics = sorted(good | bad)
    order.shuffle(topics)
    talk = Talk(category, topics, good)
    talk.carry_out(talk.session.open(0.0), 0.0)
    assert talk.accepted == good
    assert talk.rejected.keys() == bad
    assert talk.sim.topics == good
    assert talk.session.unknown_total == 0


@settings(deadline=None)
@given(
    category=st.sampled_from(CATEGORIES),
    good=st.sets(names, max_size=12),
    late=st.sets(names, min_size=1, max_size=6),
)
def test_a_symbol_that_is_listed_later_is_accepted_within_the_minute(
    category: Category, good: set[str], late: set[str]
) -> None:
    late -= good
    known = set(good)
    talk = Talk(category, sorted(good | late), known)
    talk.carry_out(talk.session.open(0.0), 0.0)
    assert talk.rejected.keys() == late
    known |= late
    for now_s in range(1, 62):
        talk.carry_out(talk.session.tick(float(now_s)), float(now_s))
    assert talk.accepted == good | late == talk.sim.topics
    assert not talk.rejected


@pytest.mark.parametrize("category", CATEGORIES)
def test_an_hour_of_pings_keeps_a_connection_without_data(category: Category) -> None:
    topics = [topic_of(f"S{number}") for number in range(25)]
    talk = Talk(category, topics, set(topics), CALM)
    talk.carry_out(talk.session.open(0.0), 0.0)
    opening = talk.requests
    now_s = 0.0
    while now_s < 3600.0:
        now_s = talk.session.next_due_s
        talk.carry_out(talk.session.tick(now_s), now_s)
    assert talk.requests - opening == 180
    assert talk.session.unknown_total == 0


def test_one_bad_symbol_among_hundreds_costs_one_more_request() -> None:
    topics = [topic_of(f"S{number}USDT") for number in range(400)]
    talk = Talk("linear", topics, set(topics) - {topics[123]})
    talk.carry_out(talk.session.open(0.0), 0.0)
    assert (talk.requests, len(talk.accepted)) == (2, 399)
    assert talk.rejected == {topics[123]: f"error:handler not found,topic:{topics[123]}"}
