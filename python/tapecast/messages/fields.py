"""Names, bounds and field types that commands and messages share."""

from typing import Annotated, Final, Literal, TypeAlias, get_args

from msgspec import Meta

from tapecast.aliases import MessageType

TOPIC: Final = "status"
EVENT_TYPES: Final[tuple[MessageType, ...]] = get_args(MessageType)
"""Types of the streamed messages, which a subscription may choose from."""
MAX_HISTORY_CANDLES: Final = 1440
MIN_PARTIAL_MS: Final = 100
MAX_PARTIAL_MS: Final = 60_000

SlowPolicy: TypeAlias = Literal["conflate", "drop", "disconnect"]
SLOW_POLICIES: Final[tuple[SlowPolicy, ...]] = get_args(SlowPolicy)
"""What may become of the messages of a client that reads too slowly."""
ErrorCode: TypeAlias = Literal[
    "bad_json",
    "bad_command",
    "unknown_action",
    "unknown_topic",
    "unknown_type",
    "too_large",
    "rate_limited",
]
ERROR_CODES: Final[tuple[ErrorCode, ...]] = get_args(ErrorCode)
UpstreamState: TypeAlias = Literal["connecting", "connected", "reconnecting", "stale", "closed"]
"""The states of a line to the exchange that are told when they change."""
LineState: TypeAlias = Literal["starting"] | UpstreamState
Durability: TypeAlias = Literal["none", "process", "power", "degraded"]
JsonScalar: TypeAlias = str | int | float | bool | None
Topic: TypeAlias = Literal["status"]
NonEmpty: TypeAlias = Annotated[str, Meta(min_length=1)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Seq: TypeAlias = Annotated[int, Meta(ge=0)]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0)]
IsoTime: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z")
]
