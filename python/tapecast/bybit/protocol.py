"""The exchange's public WebSocket protocol, without I/O and without a clock.

A `Session` speaks for one connection: it is fed frames and times and says what must be sent and
what happened.

Source: https://bybit-exchange.github.io/docs/v5/ws/connect and real replies of every category.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from tapecast.aliases import Category
from tapecast.bybit.events import (
    Accepted,
    Broken,
    Closed,
    Doubted,
    Event,
    Probe,
    Rejected,
    Send,
    Timing,
    Unanswered,
)
from tapecast.bybit.kline_frames import read_kline_frame
from tapecast.bybit.liveness import Stale, Traffic
from tapecast.bybit.replies import (
    ALREADY,
    Reply,
    named_topics,
    read_reply,
    text_of,
    texts_of,
)
from tapecast.bybit.topics import batches, is_kline_topic, kline_topic_of, name_of, topic_of
from tapecast.errors import FeedError, FeedStale

__all__ = [
    "Accepted",
    "Broken",
    "Closed",
    "Doubted",
    "Event",
    "Probe",
    "Rejected",
    "Send",
    "Session",
    "Timing",
    "Unanswered",
    "name_of",
    "topic_of",
]

_LOOKS: Final = 60
"""How often what is stale is looked for in the time after which something may be."""

_SUSPICION_S: Final = 600.0
"""A topic that others have to point out twice within it is not mended by subscribing it anew."""

_Op: TypeAlias = Literal["subscribe", "unsubscribe"]


@dataclass(slots=True)
class _Request:
    """A request that was sent and is not answered yet.

    Attributes:
        op: Whether its topics are wanted, or dropped in order to be subscribed anew.
        topics: What it asks for.
        due_s: Monotonic seconds by which it must be answered.
    """

    op: _Op
    topics: list[str]
    due_s: float


class Session:
    """What is said on one connection, from its opening to its end.

    Call `open` once, `receive` for every frame that is no trade message, `hear` for those that are
    and `tick` at `next_due_s`, which any of them may bring forward; carry out what they return, in
    order. A topic counts as subscribed only when a reply says so.

    Args:
        line: Name of the connection, for errors and for the ids of requests.
        category: What it carries.
        topics: Topics of trades that it shall subscribe.
        timing: Its intervals.
        traffic: What is known of the topics from earlier connections.
        audit: Whether to subscribe the exchange's own candles too; there are none for options.

    Attributes:
        unknown_total: Frames that were neither trades nor anything that is known.
        bad_klines_total: Messages of candles that could not be read.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        line: str,
        category: Category,
        topics: Sequence[str],
        timing: Timing,
        *,
        traffic: Traffic | None = None,
        audit: bool = False,
    ) -> None:
        self.unknown_total = 0
        self.bad_klines_total = 0
        self._line = line
        self._category: Category = category
        # Each once: the exchange refuses a request that names one twice.
        self._topics = tuple(dict.fromkeys(topics))
        names = [name_of(topic) for topic in self._topics]
        with_klines = audit and category != "option"
        self._kline_topics = dict.fromkeys(map(kline_topic_of, names) if with_klines else ())
        self._timing = timing
        self._traffic = traffic or Traffic(names, stale_after_s=timing.stale_after_s)
        self._traffic.begin()
        # Requests without a reply, by their ids, oldest first.
        self._requests: dict[str, _Request] = {}
        # When refused topics are asked for again.
        self._rejected: dict[str, float] = {}
        # What others pointed out, to be dealt with; and when each topic was.
        self._hints: dict[str, None] = {}
        self._suspected: dict[str, float] = {}
        self._last_id = 0
        self._alive_s = 0.0
        # When the connection was pinged because of its silence; None while it is not silent.
        self._probed_s: float | None = None
        self._ping_due_s = 0.0
        self._look_due_s = 0.0
        self._pong_pending = False
        self._unanswered = False

    def open(self, now_s: float) -> list[Event]:
        """Return the requests that subscribe everything.

        Args:
            now_s: Monotonic seconds.
        """
        self._alive_s = now_s
        self._ping_due_s = now_s + self._timing.ping_interval_s
        self._look_due_s = now_s + self._look_interval_s
        # Candles apart: a symbol that has none must not refuse the trades of others.
        topics = (self._topics, tuple(self._kline_topics))
        return [
            self._ask("subscribe", batch, now_s)
            for some in topics
            for batch in batches(self._category, some)
        ]

    def alive(self, now_s: float) -> None:
        """Take note that something has come, be it part of a frame."""
        self._alive_s = now_s
        self._probed_s = None

    def hear(self, frame: bytes, now_s: float) -> None:
        """Take note of a trade frame."""
        self._alive_s = now_s
        self._probed_s = None
        self._traffic.hear(frame, now_s)

    def receive(self, frame: bytes, now_s: float) -> list[Event]:
        """Read one frame that is no trade message.

        Replies and pongs of all categories are understood, and candles if they were asked for;
        anything else is counted.
        """
        self.alive(now_s)
        reply = read_reply(frame)
        if reply is not None:
            # Public lines of spot, linear and inverse answer a ping with `ping`, options with
            # `pong`. Compared one by one: a foreign `op` need not be hashable.
            if reply.op in ("ping", "pong"):
                self._pong_pending = self._unanswered = False
                return []
            if reply.type == "COMMAND_RESP":
                return self._command_response(reply, now_s)
            if reply.op in ("subscribe", "unsubscribe"):
                return self._acknowledgement(reply, now_s)
            if isinstance(reply.topic, str) and reply.topic in self._kline_topics:
                return self._read_klines(frame)
        self.unknown_total += 1
        return []

    def suspect(self, name: str) -> None:
        """Take note that others receive a topic that this connection does not bring."""
        self._hints[name] = None

    def tick(self, now_s: float) -> list[Event]:
        """Return what is due: pings, requests to be made again, or the connection's end."""
        silent_s = now_s - self._alive_s
        limit_s = self._silence_limit_s
        if silent_s >= limit_s:
            return [Broken(FeedStale(self._line, silent_s, limit_s), "silent")]
        events = self._overdue(now_s)
        if events and isinstance(events[-1], Broken):
            return events
        if self._ping_due_s <= now_s:
            events += self._ping(now_s)
        if self._probed_s is None and silent_s >= self._timing.silence_ping_s:
            events += self._probe(now_s)
        # One request each: one that is still refused would refuse its whole batch.
        for topic in [topic for topic, due_s in self._rejected.items() if due_s <= now_s]:
            del self._rejected[topic]
            events.append(self._ask("subscribe", [topic], now_s))
        for name in list(self._hints):
            del self._hints[name]
            events += self._follow_hint(name, now_s)
        if self._look_due_s <= now_s:
            self._look_due_s = now_s + self._look_interval_s
            events += self._look(now_s)
        return events

    @property
    def next_due_s(self) -> float:
        """Monotonic seconds at which `tick` has something to do."""
        if self._hints:
            return self._alive_s
        silent_s = self._alive_s + self._silence_limit_s
        if self._probed_s is None:
            silent_s = min(silent_s, self._alive_s + self._timing.silence_ping_s)
        acks = (request.due_s for request in self._requests.values())
        regular_s = min(self._ping_due_s, self._look_due_s)
        return min(regular_s, silent_s, *acks, *self._rejected.values())

    @property
    def _silence_limit_s(self) -> float:
        timing = self._timing
        most_s = timing.ping_interval_s + timing.pong_timeout_s
        if self._probed_s is None:
            return most_s
        # Counted from the ping: one that was sent late, as we were busy, gets its time too.
        return min(most_s, self._probed_s - self._alive_s + timing.silence_abort_s)

    @property
    def _look_interval_s(self) -> float:
        return self._timing.stale_after_s / _LOOKS

    def _overdue(self, now_s: float) -> list[Event]:
        """Give the connection up for a request without a reply; candles are not worth that."""
        events: list[Event] = []
        for key, request in list(self._requests.items()):
            if request.due_s > now_s:
                continue
            if not all(map(is_kline_topic, request.topics)):
                noun = "a subscription" if request.op == "subscribe" else "an unsubscription"
                text = f"no reply to {noun} within {self._timing.ack_timeout_s:g} s"
                return [Broken(FeedError(text), "no_reply")]
            del self._requests[key]
            events += self._reject(request.topics, "no reply", now_s)
        return events

    def _ping(self, now_s: float) -> list[Event]:
        events: list[Event] = []
        if self._pong_pending and not self._unanswered:
            self._unanswered = True
            events.append(Unanswered())
        self._pong_pending = True
        self._ping_due_s = now_s + self._timing.ping_interval_s
        events.append(self._json_ping())
        return events

    def _probe(self, now_s: float) -> list[Event]:
        """Ping in both ways: whichever is answered shows that the connection lives."""
        self._probed_s = now_s
        return [Probe(), self._json_ping()]

    def _json_ping(self) -> Send:
        return Send(msgspec.json.encode({"req_id": self._next_id(), "op": "ping"}))

    def _next_id(self) -> str:
        self._last_id += 1
        return f"{self._line}-{self._last_id}"

    def _look(self, now_s: float) -> list[Event]:
        """Subscribe anew what is stale, or give the connection up if that was in vain."""
        stale = self._traffic.look(now_s)
        if stale is None:
            return []
        if not stale.in_vain:
            return self._renew(stale.names, now_s, is_line=stale.is_line)
        events = self._doubted(stale.names, is_line=stale.is_line)
        self._traffic.fail(stale, now_s)
        error = FeedStale(self._subject(stale), stale.silent_s, stale.limit_s)
        return [*events, Broken(error, "stale")]

    def _subject(self, stale: Stale) -> str:
        if stale.is_line:
            return self._line
        more = f" and {len(stale.names) - 1} more" if len(stale.names) > 1 else ""
        return f"{self._line} ({stale.names[0]}{more})"

    def _follow_hint(self, name: str, now_s: float) -> list[Event]:
        # What is not received anyway, is being asked for.
        if not self._traffic.is_received(name):
            return []
        before_s = self._suspected.get(name)
        self._suspected[name] = now_s
        if before_s is None or now_s - before_s >= _SUSPICION_S:
            return self._renew([name], now_s, is_line=False)
        text = f"{name} stays away though it was subscribed anew, expected what other lines bring"
        return [*self._doubted([name], is_line=False), Broken(FeedError(text), "stale")]

    def _doubted(self, names: Sequence[str], *, is_line: bool) -> list[Event]:
        until = self._traffic.received_until(names, is_line=is_line)
        return [Doubted(tuple(map(topic_of, some)), heard_s) for some, heard_s in until]

    def _renew(self, names: Sequence[str], now_s: float, *, is_line: bool) -> list[Event]:
        """Drop topics; the replies to that have them subscribed again."""
        events = self._doubted(names, is_line=is_line)
        self._traffic.doubt(names, now_s, is_line=is_line)
        topics = [topic_of(name) for name in names]
        for batch in batches(self._category, topics):
            events.append(self._ask("unsubscribe", batch, now_s))
        return events

    def _ask(self, op: _Op, topics: list[str], now_s: float) -> Send:
        request_id = self._next_id()
        self._requests[request_id] = _Request(op, topics, now_s + self._timing.ack_timeout_s)
        return Send(msgspec.json.encode({"req_id": request_id, "op": op, "args": topics}))

    def _accept(self, topics: Sequence[str], now_s: float) -> list[Event]:
        # Candles cover nothing.
        trades = tuple(topic for topic in topics if topic not in self._kline_topics)
        self._traffic.receive(map(name_of, trades), now_s)
        return [Accepted(trades)] if trades else []

    def _reject(self, topics: Sequence[str], reason: str, now_s: float) -> list[Event]:
        for topic in topics:
            self._rejected[topic] = now_s + self._timing.retry_rejected_s
        return [Rejected(topic, reason) for topic in topics]

    def _read_klines(self, frame: bytes) -> list[Event]:
        klines = read_kline_frame(frame)
        if klines is None:
            self.bad_klines_total += 1
        return [Closed(klines)] if klines else []

    def _take_request(
        self, request_id: object, named: Sequence[str], op: object = None
    ) -> _Request | None:
        """Take the request that a reply belongs to: by id, else by topics, else the oldest.

        Args:
            request_id: The id in the reply, if there is one.
            named: The topics that the reply names.
            op: What it replies to, if it says so.
        """
        if isinstance(request_id, str) and request_id:
            return self._requests.pop(request_id, None)
        for known, request in self._requests.items():
            if op is not None and op != request.op:
                continue
            if not named or not set(named).isdisjoint(request.topics):
                return self._requests.pop(known)
        return None

    def _command_response(self, reply: Reply, now_s: float) -> list[Event]:
        """Options: the reply names its topics but not its request.

        A topic that it does not name is not acknowledged, and refused as far as we know.
        """
        data = reply.data if isinstance(reply.data, dict) else {}
        failed, accepted = texts_of(data.get("failTopics")), texts_of(data.get("successTopics"))
        request = self._take_request(reply.req_id, failed + accepted)
        if request is None:
            self.unknown_total += 1
            return []
        if request.op == "unsubscribe" or (not failed and not accepted):
            # It speaks of the request as a whole, as the other categories do.
            return self._judge(request, reply, now_s)
        good = [topic for topic in request.topics if topic in accepted and topic not in failed]
        bad = [topic for topic in request.topics if topic in failed]
        lost = [topic for topic in request.topics if topic not in failed and topic not in good]
        events = self._accept(good, now_s)
        events += self._reject(bad, text_of(reply.ret_msg) or "listed in failTopics", now_s)
        return events + self._reject(lost, "listed in no part of the reply", now_s)

    def _acknowledgement(self, reply: Reply, now_s: float) -> list[Event]:
        named = [] if reply.success is True else named_topics(text_of(reply.ret_msg))
        request = self._take_request(reply.req_id, named, reply.op)
        if request is None:
            self.unknown_total += 1
            return []
        return self._judge(request, reply, now_s)

    def _judge(self, request: _Request, reply: Reply, now_s: float) -> list[Event]:
        if request.op == "unsubscribe":
            # Whether or not it was subscribed: it is wanted.
            return [self._ask("subscribe", request.topics, now_s)]
        if reply.success is True:
            return self._accept(request.topics, now_s)
        return self._refusal(request, text_of(reply.ret_msg) or "no reason given", now_s)

    def _refusal(self, request: _Request, reason: str, now_s: float) -> list[Event]:
        """One bad topic refuses its whole request: take it out and ask for the rest at once."""
        words = named_topics(reason)
        named = [topic for topic in request.topics if topic in words]
        if not named:
            if len(request.topics) == 1:
                return self._reject(request.topics, reason, now_s)
            # Nobody is named (too many arguments, an unknown text): halves find the culprit.
            half = len(request.topics) // 2
            parts = (request.topics[:half], request.topics[half:])
            return [self._ask("subscribe", part, now_s) for part in parts]
        if ALREADY in reason:
            events = self._accept(named, now_s)
        else:
            events = self._reject(named, reason, now_s)
        rest = [topic for topic in request.topics if topic not in named]
        if rest:
            events.append(self._ask("subscribe", rest, now_s))
        return events
