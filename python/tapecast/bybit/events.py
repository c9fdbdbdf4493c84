"""What a session of the protocol asks for and tells, and its intervals. No I/O and no clock."""

from dataclasses import dataclass
from typing import TypeAlias

from tapecast.bybit.kline import Kline
from tapecast.errors import FeedError

__all__ = [
    "Accepted",
    "Broken",
    "Closed",
    "Doubted",
    "Event",
    "Probe",
    "Rejected",
    "Send",
    "Timing",
    "Unanswered",
]


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes must be sent as a text frame."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Probe:
    """A ping of the WebSocket protocol must be sent."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The exchange sends these topics from now on."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Doubted:
    """The exchange seems not to send these topics any more, since monotonic `heard_s`."""

    topics: tuple[str, ...]
    heard_s: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """The exchange refused one topic; it is asked for again later."""

    topic: str
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The exchange has told of its own candles of minutes that are over."""

    klines: tuple[Kline, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection is of no use any more and must be aborted.

    Attributes:
        error: Why.
        kind: The same as one of few labels: `silent`, `stale` or `no_reply`.
    """

    error: FeedError
    kind: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Data comes, but pings are not answered; told once until a pong comes again."""


Event: TypeAlias = Send | Probe | Accepted | Doubted | Rejected | Closed | Broken | Unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Intervals of one connection, in seconds.

    Attributes:
        ping_interval_s: Between two pings of ours.
        pong_timeout_s: How much longer than that the exchange may stay silent at most. Any byte is
            a sign of life, not pongs alone.
        ack_timeout_s: How long a request may wait for its reply.
        retry_rejected_s: After which a refused topic is asked for again.
        silence_ping_s: Silence after which a ping is sent at once.
        silence_abort_s: Silence after that ping at which the connection is given up.
        stale_after_s: Least time without trades after which a busy topic is subscribed anew.
    """

    ping_interval_s: float = 20.0
    pong_timeout_s: float = 10.0
    ack_timeout_s: float = 5.0
    retry_rejected_s: float = 60.0
    silence_ping_s: float = 3.0
    silence_abort_s: float = 2.0
    stale_after_s: float = 60.0
