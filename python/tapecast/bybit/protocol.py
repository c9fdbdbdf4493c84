"""The exchange's public WebSocket protocol, without I/O and without a clock.

A `Session` speaks for one connection: it is fed frames and times and says what must be sent and what happened.

Source: https://bybit-exchange.github.io/docs/v5/ws/connect and real replies of every category.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from tapecast.aliases import Category
from tapecast.errors import FeedError, FeedStale

__all__ = [
    "MAX_ARGS_CHARS",
    "TOPIC_PREFIX",
    "Accepted",
    "Broken",
    "Event",
    "Rejected",
    "Send",
    "Session",
    "Timing",
    "batches",
    "is_trade_frame",
    "name_of",
    "topic_of",
]

TOPIC_PREFIX: Final = "publicTrade."

MAX_ARGS_CHARS: Final = 21_000
"""Characters that the arguments of one connection may have, in every category."""

MAX_ARGS: Final[dict[Category, int]] = {"spot": 10, "linear": 500, "inverse": 500, "option": 500}
"""Topics of one request. The exchange sets 10 on spot and 2,000 a connection for options; elsewhere none."""

_TRADE_BEGINNINGS: Final = (b'{"topic":"publicTrade.', b'{"id":"publicTrade.')
_NAMED_TOPICS: Final = (
    re.compile(r"Invalid symbol :\[(?P<topics>[^\]]+)\]"),
    re.compile(r"topic:(?P<topics>\S+)"),
)
_ALREADY: Final = "already subscribed"


def topic_of(name: str) -> str:
    """Return the topic of a symbol, or of a base coin for options."""
    return TOPIC_PREFIX + name


def name_of(topic: str) -> str:
    """Return the symbol, or the base coin, of a topic."""
    return topic.removeprefix(TOPIC_PREFIX)


def batches(category: Category, topics: Sequence[str]) -> Iterator[list[str]]:
    """Split topics into the arguments of as many requests as the category needs."""
    size = MAX_ARGS[category]
    batch: list[str] = []
    chars = 0
    for topic in topics:
        if batch and (len(batch) == size or chars + len(topic) > MAX_ARGS_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(topic)
        chars += len(topic)
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


Event: TypeAlias = Send | Accepted | Rejected | Broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Intervals of one connection, in seconds.

    Attributes:
        ping_interval_s: Between two pings of ours.
        pong_timeout_s: How long after a ping was due the exchange may stay silent; data counts as life.
        ack_timeout_s: How long a request may wait for its reply.
        retry_rejected_s: After which a refused topic is asked for again.
    """

    ping_interval_s: float = 20.0
    pong_timeout_s: float = 10.0
    ack_timeout_s: float = 5.0
    retry_rejected_s: float = 60.0


class _Control(msgspec.Struct):
    """Any frame that is not a trade message; fields of all categories, whatever of them is there."""

    op: Any = None
    success: Any = None
    ret_msg: Any = None
    req_id: Any = None
    type: Any = None
    topic: Any = None
    data: Any = None


_DECODE_CONTROL: Final = msgspec.json.Decoder(_Control)


def is_trade_frame(frame: bytes) -> bool:
    """Whether a frame is a trade message, in whatever spelling; what is no JSON is taken for one.

    The engine refuses and counts those: it has the better words for what is wrong with them.
    """
    if frame.startswith(_TRADE_BEGINNINGS):
        return True
    try:
        control = _DECODE_CONTROL.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        return True
    return isinstance(control.topic, str) and control.topic.startswith(TOPIC_PREFIX)


@dataclass(slots=True)
class _Request:
    topics: list[str]
    due_s: float


@dataclass(slots=True)
class Session:
    """What is said on one connection, from its opening to its end.

    Call `open` once, `receive` for every frame and `tick` at `next_due_s`; carry out what they return in order. `receive`
    need not be given the content of trade frames: `alive` is enough.

    Attributes:
        line: Name of the connection, for errors.
        category: What it carries.
        topics: What it shall subscribe, all distinct.
        timing: Its intervals.
        unknown_total: Frames that meant nothing to it.
    """

    line: str
    category: Category
    topics: Sequence[str]
    timing: Timing = field(default_factory=Timing)
    unknown_total: int = 0
    _requests: dict[str, _Request] = field(default_factory=dict)
    _rejected: dict[str, float] = field(default_factory=dict)
    _last_id: int = 0
    _alive_s: float = 0.0
    _ping_due_s: float = 0.0

    def open(self, now_s: float) -> list[Event]:
        """Return the requests that subscribe everything.

        Args:
            now_s: Monotonic seconds.
        """
        self._alive_s = now_s
        self._ping_due_s = now_s + self.timing.ping_interval_s
        return [self._subscribe(batch, now_s) for batch in batches(self.category, self.topics)]

    def alive(self, now_s: float) -> None:
        """Take note that data has come."""
        self._alive_s = now_s

    def receive(self, frame: bytes, now_s: float) -> list[Event]:
        """Read one frame that is no trade message.

        Acks, refusals and pongs of all categories are understood; anything else is counted.
        """
        try:
            control = _DECODE_CONTROL.decode(frame)
        except (msgspec.DecodeError, RecursionError):
            self.unknown_total += 1
            return []
        self._alive_s = now_s
        if control.op == "ping" or control.op == "pong":
            return []
        if control.type == "COMMAND_RESP":
            return self._command_response(control, now_s)
        if control.op == "subscribe":
            return self._acknowledgement(control, now_s)
        self.unknown_total += 1
        return []

    def tick(self, now_s: float) -> list[Event]:
        """Return what is due: a ping, refused topics to ask for again, or the end of the connection."""
        silent_s = now_s - self._alive_s
        limit_s = self.timing.ping_interval_s + self.timing.pong_timeout_s
        if silent_s >= limit_s:
            return [Broken(FeedStale(self.line, silent_s, limit_s))]
        if any(request.due_s <= now_s for request in self._requests.values()):
            text = f"no reply to a subscription within {self.timing.ack_timeout_s:g} s"
            return [Broken(FeedError(text))]
        events: list[Event] = []
        if self._ping_due_s <= now_s:
            self._ping_due_s = now_s + self.timing.ping_interval_s
            events.append(Send(msgspec.json.encode({"req_id": self._next_id(), "op": "ping"})))
        # One request each: one that is still refused would refuse its whole batch.
        for topic in [topic for topic, due_s in self._rejected.items() if due_s <= now_s]:
            del self._rejected[topic]
            events.append(self._subscribe([topic], now_s))
        return events

    @property
    def next_due_s(self) -> float:
        """Monotonic seconds at which `tick` has something to do."""
        stale_s = self._alive_s + self.timing.ping_interval_s + self.timing.pong_timeout_s
        acks = (request.due_s for request in self._requests.values())
        return min(self._ping_due_s, stale_s, *acks, *self._rejected.values())

    def _next_id(self) -> str:
        self._last_id += 1
        return f"{self.line}-{self._last_id}"

    def _subscribe(self, topics: list[str], now_s: float) -> Send:
        request_id = self._next_id()
        self._requests[request_id] = _Request(topics, now_s + self.timing.ack_timeout_s)
        request = {"req_id": request_id, "op": "subscribe", "args": topics}
        return Send(msgspec.json.encode(request))

    def _reject(self, topics: Sequence[str], reason: str, now_s: float) -> list[Event]:
        for topic in topics:
            self._rejected[topic] = now_s + self.timing.retry_rejected_s
        return [Rejected(topic, reason) for topic in topics]

    def _take_request(self, request_id: object, topics: Sequence[str] = ()) -> _Request | None:
        """Take the request that a reply belongs to: by its id, by its topics, else the oldest."""
        if isinstance(request_id, str) and request_id in self._requests:
            return self._requests.pop(request_id)
        for known, request in self._requests.items():
            if topics and not set(topics).isdisjoint(request.topics):
                return self._requests.pop(known)
        if request_id or not self._requests:
            return None
        return self._requests.pop(next(iter(self._requests)))

    def _command_response(self, control: _Control, now_s: float) -> list[Event]:
        """Options: the reply names its topics but not its request."""
        data = control.data if isinstance(control.data, dict) else {}
        failed = [topic for topic in data.get("failTopics") or [] if isinstance(topic, str)]
        accepted = [topic for topic in data.get("successTopics") or [] if isinstance(topic, str)]
        request = self._take_request(control.req_id, failed + accepted)
        if request is None:
            self.unknown_total += 1
            return []
        refused = [topic for topic in request.topics if topic in failed]
        if control.success is False and not refused:
            return self._refusal(request, str(control.ret_msg or "refused"), now_s)
        rest = tuple(topic for topic in request.topics if topic not in failed)
        events: list[Event] = [Accepted(rest)] if rest else []
        return events + self._reject(refused, str(control.ret_msg or "listed in failTopics"), now_s)

    def _acknowledgement(self, control: _Control, now_s: float) -> list[Event]:
        reason = str(control.ret_msg)
        request = self._take_request(control.req_id, _named(reason))
        if request is None:
            self.unknown_total += 1
            return []
        if control.success is True:
            return [Accepted(tuple(request.topics))]
        return self._refusal(request, reason, now_s)

    def _refusal(self, request: _Request, reason: str, now_s: float) -> list[Event]:
        """One bad topic refuses its whole request: take it out and ask for the rest at once."""
        named = [topic for topic in request.topics if topic in _named(reason)]
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


def _named(reason: str) -> list[str]:
    """Return the topics that a refusal names in its prose."""
    for pattern in _NAMED_TOPICS:
        if found := pattern.search(reason):
            return [topic.strip() for topic in found["topics"].split(",")]
    return []
