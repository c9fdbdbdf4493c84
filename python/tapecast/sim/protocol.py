"""The exchange's side of one public WebSocket: commands in, replies out. No I/O, no clock.

Every category answers in its own words, and a client has to cope with all of them. What real
frames show is copied; what nobody has published is marked "assumed" below.
Source: https://bybit-exchange.github.io/docs/v5/ws/connect
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tapecast.sim.instruments import Category

__all__ = [
    "KLINE_PREFIX",
    "MAX_ARGS_CHARACTERS",
    "MAX_OPTION_ARGS",
    "MAX_SPOT_ARGS",
    "Refusal",
    "Session",
    "is_ping",
    "name_of",
    "subscribed_by",
]

KLINE_PREFIX: Final = "kline.1."
"""Topics of the minutes of a symbol begin with it."""

MAX_SPOT_ARGS: Final = 10
"""Most args of one spot request."""

MAX_OPTION_ARGS: Final = 2000
"""Most topics of one option connection."""

MAX_ARGS_CHARACTERS: Final = 21_000
"""Most characters of all topics of one connection, in every category."""

_encoder = msgspec.json.Encoder()


class _Refused(Exception):  # noqa: N818 -- an answer, not an error
    """A request that is refused whole, with the exchange's text."""


class Refusal(msgspec.Struct, frozen=True):
    """A reply to the subscription of a topic that is not the deserved one.

    Attributes:
        form: How, as in `faults.RefuseSubscribe`.
        text: The text for the form `text`.
    """

    form: str
    text: str = ""

    @property
    def worded(self) -> bool:
        """Whether it is said at all."""
        return self.form not in {"no_ack", "pretend"}

    def reason(self, category: Category, topic: str) -> str:
        """Return the text of a refused topic as its category has it."""
        if self.form == "text":
            return self.text
        if self.form == "args_size":
            return f"args size >{MAX_SPOT_ARGS}"
        if self.form == "already":
            return f"error:already subscribed,topic:{topic}"
        return _unknown(category, topic)


def is_ping(command: str | bytes) -> bool:
    """Tell whether a command is a ping."""
    request = _decoded(command)
    return request is not None and request.get("op") == "ping"


def subscribed_by(command: str | bytes) -> list[str]:
    """Return the topics that a command subscribes to, if it is well formed."""
    request = _decoded(command)
    if request is None or request.get("op") != "subscribe":
        return []
    return _topics(request.get("args")) or []


def name_of(topic: str) -> str:
    """Return the symbol, or the base coin, of a topic of trades or klines."""
    return topic.rpartition(".")[2]


class Session:
    """One connection's subscriptions and the answers to its commands.

    Args:
        category: Market of the endpoint that the client connected to.
        connection_id: What the exchange calls the connection.
        known_topics: Every topic that the endpoint serves.
    """

    def __init__(
        self, category: Category, *, connection_id: str, known_topics: AbstractSet[str]
    ) -> None:
        self._category = category
        self._connection_id = connection_id
        self._known_topics = known_topics
        self._topics: dict[str, None] = {}

    @property
    def topics(self) -> AbstractSet[str]:
        """The topics subscribed to at this moment."""
        return self._topics.keys()

    def receive(
        self,
        command: str | bytes,
        *,
        now_ms: int,
        refusals: Mapping[str, Refusal] | None = None,
    ) -> bytes:
        """Carry out one command and return its reply, one JSON text.

        Args:
            command: The client's text frame.
            now_ms: The exchange's clock, for the pong of an option line.
            refusals: Topics whose subscription is refused.

        Returns:
            Nothing, `b""`, only where a refusal wants no reply.
        """
        request = _decoded(command)
        if request is None:
            # Assumed: no real answer to foreign text is known.
            return self._reply(success=False, text="error:invalid json", op="", req_id="")
        op, req_id = _text(request.get("op")), _text(request.get("req_id"))
        if op == "ping":
            return self._pong(req_id, now_ms)
        if op not in {"subscribe", "unsubscribe"}:
            return self._reply(success=False, text="error:invalid op", op=op, req_id=req_id)
        topics = _topics(request.get("args"))
        if op == "unsubscribe" or refusals is None:
            refusals = {}
        if any(refusals[topic].form == "no_ack" for topic in refusals.keys() & (topics or ())):
            return b""
        if self._category == "option":
            return self._option_command(op, topics or [], refusals)
        return self._command(op, topics, req_id, refusals)

    def _pong(self, req_id: str, now_ms: int) -> bytes:
        if self._category == "option":
            return _encoder.encode({"args": [str(now_ms)], "op": "pong"})
        return self._reply(success=True, text="pong", op="ping", req_id=req_id)

    def _command(
        self, op: str, args: list[str] | None, req_id: str, refusals: Mapping[str, Refusal]
    ) -> bytes:
        try:
            topics = self._checked(op, args, refusals)
        except _Refused as refused:
            return self._reply(success=False, text=str(refused), op=op, req_id=req_id)
        self._apply(op, topics, refusals)
        text = op if self._category == "spot" else ""
        return self._reply(success=True, text=text, op=op, req_id=req_id)

    def _checked(
        self, op: str, topics: list[str] | None, refusals: Mapping[str, Refusal]
    ) -> list[str]:
        """Return the topics of a request, all of them good: one bad topic refuses the batch."""
        if topics is None:
            raise _Refused("error:params error")  # assumed
        if self._category == "spot" and len(topics) > MAX_SPOT_ARGS:
            raise _Refused(f"args size >{MAX_SPOT_ARGS}")
        if op == "unsubscribe":
            return topics
        seen = set(self._topics)
        for topic in topics:
            refusal = refusals.get(topic)
            if refusal is not None and refusal.worded:
                raise _Refused(refusal.reason(self._category, topic))
            self._check_topic(topic, seen)
            seen.add(topic)
        if self._characters(topics) > MAX_ARGS_CHARACTERS:
            raise _Refused(f"error:args characters >{MAX_ARGS_CHARACTERS}")  # assumed
        return topics

    def _check_topic(self, topic: str, seen: set[str]) -> None:
        if self._category == "spot":
            # Assumed: spot takes a topic twice, since no refusal of it was ever seen.
            if topic not in self._known_topics:
                raise _Refused(_unknown(self._category, topic))
        elif topic not in self._known_topics:
            raise _Refused(_unknown(self._category, topic))
        elif topic in seen:
            raise _Refused(f"error:already subscribed,topic:{topic}")

    def _option_command(self, op: str, topics: list[str], refusals: Mapping[str, Refusal]) -> bytes:
        """Answer for options: each topic for itself, no `op` and no `req_id` in the reply."""
        good = [
            topic
            for topic in topics
            if op == "unsubscribe"
            or (topic in self._known_topics and not (topic in refusals and refusals[topic].worded))
        ]
        if op == "subscribe" and (
            len(self._topics.keys() | good) > MAX_OPTION_ARGS
            or self._characters(good) > MAX_ARGS_CHARACTERS
        ):
            good = []  # assumed
        self._apply(op, good, refusals)
        reply = {
            # Assumed: only a request of which nothing succeeds is called a failure.
            "success": bool(good),
            "conn_id": self._connection_id,
            "data": {
                "failTopics": [topic for topic in topics if topic not in good],
                "successTopics": good,
            },
            "type": "COMMAND_RESP",
        }
        return _encoder.encode(reply)

    def _apply(self, op: str, topics: Sequence[str], refusals: Mapping[str, Refusal]) -> None:
        for topic in topics:
            if op == "subscribe":
                if topic not in refusals:
                    self._topics[topic] = None
            else:
                self._topics.pop(topic, None)

    def _characters(self, topics: Sequence[str]) -> int:
        return sum(map(len, self._topics.keys() | set(topics)))

    def _reply(self, *, success: bool, text: str, op: str, req_id: str) -> bytes:
        reply: dict[str, Any] = {
            "success": success,
            "ret_msg": text,
            "conn_id": self._connection_id,
        }
        if req_id or self._category in {"linear", "inverse"}:
            reply["req_id"] = req_id
        return _encoder.encode(reply | {"op": op})


def _decoded(command: str | bytes) -> dict[Any, Any] | None:
    try:
        request = msgspec.json.decode(command)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return request if isinstance(request, dict) else None


def _unknown(category: Category, topic: str) -> str:
    if category == "spot":
        return f"Invalid symbol :[{topic}]"
    return f"error:handler not found,topic:{topic}"


def _text(value: object) -> str:
    # Assumed: a number as `req_id` comes back as text.
    return "" if value is None else str(value)


def _topics(args: object) -> list[str] | None:
    """Return `args` if it is a filled list of texts."""
    if isinstance(args, list) and args and all(isinstance(topic, str) for topic in args):
        return args
    return None
