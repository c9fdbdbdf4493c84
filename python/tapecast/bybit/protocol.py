"""The exchange's public WebSocket protocol, without I/O and without a clock.

A `Session` speaks for one connection: it is fed frames and times and says what must be sent and
what happened.

Source: https://bybit-exchange.github.io/docs/v5/ws/connect and real replies of every category.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from tapecast.aliases import Category
from tapecast.errors import FeedError, FeedStale
from tapecast.frames import TOPIC_PREFIX

__all__ = [
    "MAX_ARGS_CHARS",
    "Accepted",
    "Broken",
    "Event",
    "Rejected",
    "Send",
    "Session",
    "Timing",
    "Unanswered",
    "args_chars",
    "batches",
    "name_of",
    "topic_of",
]

MAX_ARGS_CHARS: Final = 21_000
"""Characters that the arguments of one connection may have, in every category.

Whether quotes and commas count is not documented; `args_chars` counts them to be safe.
"""

MAX_ARGS: Final[dict[Category, int]] = {"spot": 10, "linear": 500, "inverse": 500, "option": 500}
"""Topics of one request.

The exchange sets 10 a request on spot and 2,000 a connection for options, elsewhere no limit.
"""

_NAMED_TOPICS: Final = (
    re.compile(r"Invalid symbol\s*:\s*\[(?P<topics>[^\]]+)\]"),
    re.compile(r"topic:\s*(?P<topics>\S+)"),
)
_ALREADY: Final = "already subscribed"
_QUOTES_AND_COMMA: Final = 3


def topic_of(name: str) -> str:
    """Return the topic of a symbol, or of a base coin for options."""
    return TOPIC_PREFIX + name


def name_of(topic: str) -> str:
    """Return the symbol, or the base coin, of a topic."""
    return topic.removeprefix(TOPIC_PREFIX)


def args_chars(topic: str) -> int:
    """Return how many characters a topic adds to the arguments of its connection."""
    return len(topic) + _QUOTES_AND_COMMA


def batches(category: Category, topics: Sequence[str]) -> Iterator[list[str]]:
    """Split topics into the arguments of as many requests as the category needs."""
    size = MAX_ARGS[category]
    batch: list[str] = []
    chars = 0
    for topic in topics:
        if batch and (len(batch) == size or chars + args_chars(topic) > MAX_ARGS_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(topic)
        chars += args_chars(topic)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes must be sent as a text frame."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The exchange sends these topics from now on."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The exchange refused one topic; it is asked for again later."""

    topic: str
    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection is of no use any more and must be aborted."""

    error: FeedError


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Data comes, but pings are not answered; told once until a pong comes again."""


Event: TypeAlias = Send | Accepted | Rejected | Broken | Unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Intervals of one connection, in seconds.

    Attributes:
        ping_interval_s: Between two pings of ours.
        pong_timeout_s: How much longer than that the exchange may stay silent. Any frame is a sign
            of life, not pongs alone.
        ack_timeout_s: How long a request may wait for its reply.
        retry_rejected_s: After which a refused topic is asked for again.
    """

    ping_interval_s: float = 20.0
    pong_timeout_s: float = 10.0
    ack_timeout_s: float = 5.0
    retry_rejected_s: float = 60.0


class _Control(msgspec.Struct):
    """Any frame that is no trade message: fields of all categories, whatever of them is there."""

    op: Any = None
    success: Any = None
    ret_msg: Any = None
    req_id: Any = None
    type: Any = None
    topic: Any = None
    data: Any = None


_DECODER: Final = msgspec.json.Decoder(_Control)


def _decode(frame: bytes) -> _Control | None:
    """Return a frame's fields, or nothing if it is no JSON object."""
    try:
        return _DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(slots=True)
class _Request:
    """A subscription that was sent and is not answered yet.

    Attributes:
        topics: What it asks for.
        due_s: Monotonic seconds by which it must be answered.
    """

    topics: list[str]
    due_s: float


class Session:
    """What is said on one connection, from its opening to its end.

    Call `open` once, `receive` for every frame and `tick` at `next_due_s`, which any of them may
    bring forward; carry out what they return, in order. Trade frames may be told by `alive` alone.
    A topic counts as subscribed only when a reply says so.

    Args:
        line: Name of the connection, for errors and for the ids of requests.
        category: What it carries.
        topics: What it shall subscribe.
        timing: Its intervals.

    Attributes:
        unknown_total: Frames that meant nothing to it.
    """

    def __init__(
        self, line: str, category: Category, topics: Sequence[str], timing: Timing
    ) -> None:
        self.unknown_total = 0
        self._line = line
        self._category = category
        # A topic that a request names twice refuses that request as subscribed already.
        self._topics = tuple(dict.fromkeys(topics))
        self._timing = timing
        # Requests without a reply, by their ids, oldest first.
        self._requests: dict[str, _Request] = {}
        # When refused topics are asked for again.
        self._rejected: dict[str, float] = {}
        self._last_id = 0
        self._alive_s = 0.0
        self._ping_due_s = 0.0
        self._pong_pending = False
        self._unanswered = False

    def open(self, now_s: float) -> list[Event]:
        """Return the requests that subscribe everything.

        Args:
            now_s: Monotonic seconds.
        """
        self._alive_s = now_s
        self._ping_due_s = now_s + self._timing.ping_interval_s
        return [self._subscribe(batch, now_s) for batch in batches(self._category, self._topics)]

    def alive(self, now_s: float) -> None:
        """Take note that a frame has come."""
        self._alive_s = now_s

    def receive(self, frame: bytes, now_s: float) -> list[Event]:
        """Read one frame that is no trade message.

        Acks, refusals and pongs of all categories are understood; anything else is counted.
        """
        self._alive_s = now_s
        control = _decode(frame)
        if control is not None:
            # Public lines of spot, linear and inverse answer a ping with `ping`, options with
            # `pong`. Compared one by one: a foreign `op` need not be hashable.
            if control.op in ("ping", "pong"):
                self._pong_pending = self._unanswered = False
                return []
            if control.type == "COMMAND_RESP":
                return self._command_response(control, now_s)
            if control.op == "subscribe":
                return self._acknowledgement(control, now_s)
        self.unknown_total += 1
        return []

    def tick(self, now_s: float) -> list[Event]:
        """Return what is due: a ping, refused topics to ask for again, or the connection's end."""
        silent_s = now_s - self._alive_s
        limit_s = self._silence_limit_s
        if silent_s >= limit_s:
            return [Broken(FeedStale(self._line, silent_s, limit_s))]
        if any(request.due_s <= now_s for request in self._requests.values()):
            text = f"no reply to a subscription within {self._timing.ack_timeout_s:g} s"
            return [Broken(FeedError(text))]
        events: list[Event] = []
        if self._ping_due_s <= now_s:
            events += self._ping(now_s)
        # One request each: one that is still refused would refuse its whole batch.
        for topic in [topic for topic, due_s in self._rejected.items() if due_s <= now_s]:
            del self._rejected[topic]
            events.append(self._subscribe([topic], now_s))
        return events

    @property
    def next_due_s(self) -> float:
        """Monotonic seconds at which `tick` has something to do."""
        stale_s = self._alive_s + self._silence_limit_s
        acks = (request.due_s for request in self._requests.values())
        return min(self._ping_due_s, stale_s, *acks, *self._rejected.values())

    @property
    def _silence_limit_s(self) -> float:
        return self._timing.ping_interval_s + self._timing.pong_timeout_s

    def _next_id(self) -> str:
        self._last_id += 1
        return f"{self._line}-{self._last_id}"

    def _ping(self, now_s: float) -> list[Event]:
        events: list[Event] = []
        if self._pong_pending and not self._unanswered:
            self._unanswered = True
            events.append(Unanswered())
        self._pong_pending = True
        self._ping_due_s = now_s + self._timing.ping_interval_s
        events.append(Send(msgspec.json.encode({"req_id": self._next_id(), "op": "ping"})))
        return events

    def _subscribe(self, topics: list[str], now_s: float) -> Send:
        request_id = self._next_id()
        self._requests[request_id] = _Request(topics, now_s + self._timing.ack_timeout_s)
        request = {"req_id": request_id, "op": "subscribe", "args": topics}
        return Send(msgspec.json.encode(request))

    def _reject(self, topics: Sequence[str], reason: str, now_s: float) -> list[Event]:
        for topic in topics:
            self._rejected[topic] = now_s + self._timing.retry_rejected_s
        return [Rejected(topic, reason) for topic in topics]

    def _take_request(self, request_id: object, named: Sequence[str]) -> _Request | None:
        """Take the request that a reply belongs to: by id, else by topics, else the oldest.

        Args:
            request_id: The id in the reply, if there is one.
            named: The topics that the reply names.
        """
        if isinstance(request_id, str) and request_id:
            return self._requests.pop(request_id, None)
        for known, request in self._requests.items():
            if not named or not set(named).isdisjoint(request.topics):
                return self._requests.pop(known)
        return None

    def _command_response(self, control: _Control, now_s: float) -> list[Event]:
        """Options: the reply names its topics but not its request.

        A topic that it does not name is not acknowledged, and refused as far as we know.
        """
        data = control.data if isinstance(control.data, dict) else {}
        failed, accepted = _texts(data.get("failTopics")), _texts(data.get("successTopics"))
        request = self._take_request(control.req_id, failed + accepted)
        if request is None:
            self.unknown_total += 1
            return []
        if not failed and not accepted:
            # It speaks of the request as a whole, as the other categories do.
            return self._judge(request, control, now_s)
        good = [topic for topic in request.topics if topic in accepted and topic not in failed]
        bad = [topic for topic in request.topics if topic in failed]
        lost = [topic for topic in request.topics if topic not in failed and topic not in good]
        events: list[Event] = [Accepted(tuple(good))] if good else []
        events += self._reject(bad, _text(control.ret_msg) or "listed in failTopics", now_s)
        return events + self._reject(lost, "listed in no part of the reply", now_s)

    def _acknowledgement(self, control: _Control, now_s: float) -> list[Event]:
        named = [] if control.success is True else _named(_text(control.ret_msg))
        request = self._take_request(control.req_id, named)
        if request is None:
            self.unknown_total += 1
            return []
        return self._judge(request, control, now_s)

    def _judge(self, request: _Request, control: _Control, now_s: float) -> list[Event]:
        if control.success is True:
            return [Accepted(tuple(request.topics))]
        return self._refusal(request, _text(control.ret_msg) or "no reason given", now_s)

    def _refusal(self, request: _Request, reason: str, now_s: float) -> list[Event]:
        """One bad topic refuses its whole request: take it out and ask for the rest at once."""
        words = _named(reason)
        named = [topic for topic in request.topics if topic in words]
        if not named:
            if len(request.topics) == 1:
                return self._reject(request.topics, reason, now_s)
            # Nobody is named (too many arguments, an unknown text): halves find the culprit.
            half = len(request.topics) // 2
            parts = (request.topics[:half], request.topics[half:])
            return [self._subscribe(part, now_s) for part in parts]
        events: list[Event]
        if _ALREADY in reason:
            events = [Accepted(tuple(named))]
        else:
            events = self._reject(named, reason, now_s)
        rest = [topic for topic in request.topics if topic not in named]
        if rest:
            events.append(self._subscribe(rest, now_s))
        return events


def _text(value: object) -> str:
    """Return a field of a reply that should be a text."""
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    """Return the texts in a field of a reply that should be a list of them."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _named(reason: str) -> list[str]:
    """Return the topics that a refusal names in its prose."""
    for pattern in _NAMED_TOPICS:
        if found := pattern.search(reason):
            return [topic.strip() for topic in found["topics"].split(",")]
    return []
