"""What a proxy does to TCP connections, as plain values, in the words of toxiproxy.

Source: https://github.com/Shopify/toxiproxy#toxics; `hole` and `corrupt` are of our own.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = [
    "Bandwidth",
    "Corrupt",
    "Down",
    "Hole",
    "Latency",
    "LimitData",
    "ResetPeer",
    "Slicer",
    "SlowClose",
    "Stream",
    "Timeout",
    "Toxic",
]

Stream: TypeAlias = Literal["upstream", "downstream"]

_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_Positive: TypeAlias = Annotated[int, Meta(ge=1)]
_Chance: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class _Toxic(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """What every toxic has.

    Attributes:
        at_ms: When it begins, from the proxy's start or from its addition.
        for_ms: How long it lasts; `None` until it is removed by hand.
        stream: `upstream` from the client to the server, `downstream` back, or `both`.
        toxicity: Probability that it befalls a connection.
    """

    at_ms: _Count = 0
    for_ms: _Positive | None = None
    stream: Stream | Literal["both"] = "both"
    toxicity: _Chance = 1.0


class Latency(_Toxic, frozen=True, kw_only=True, tag="latency"):
    """Bytes arrive later.

    Attributes:
        latency_ms: How much.
        jitter_ms: Up to how much more or less; the order of bytes stays.
    """

    latency_ms: _Count = 100
    jitter_ms: _Count = 0


class Down(_Toxic, frozen=True, kw_only=True, tag="down"):
    """Nothing listens, and every connection is reset; `stream` and `toxicity` say nothing here."""


class Bandwidth(_Toxic, frozen=True, kw_only=True, tag="bandwidth"):
    """Bytes pass slowly.

    Attributes:
        rate_bytes_s: Most bytes a second in each direction of each connection.
    """

    rate_bytes_s: _Positive = 10_000


class SlowClose(_Toxic, frozen=True, kw_only=True, tag="slow_close"):
    """The end of one side is passed on late.

    Attributes:
        delay_ms: How late.
    """

    delay_ms: _Count = 1000


class Timeout(_Toxic, frozen=True, kw_only=True, tag="timeout"):
    """Nothing passes, and the connection is closed after a while.

    Attributes:
        timeout_ms: How long after the first bytes that do not pass; 0 for never.
    """

    timeout_ms: _Count = 1000


class ResetPeer(_Toxic, frozen=True, kw_only=True, tag="reset_peer"):
    """Connections are reset.

    Attributes:
        timeout_ms: How long after the toxic's or the connection's beginning.
    """

    timeout_ms: _Count = 0


class Slicer(_Toxic, frozen=True, kw_only=True, tag="slicer"):
    """Bytes pass in small pieces.

    Attributes:
        average_bytes: Mean size of a piece.
        variation_bytes: Up to how much it is smaller or larger.
        delay_ms: How long after each piece.
    """

    average_bytes: _Positive = 64
    variation_bytes: _Count = 0
    delay_ms: _Count = 0


class LimitData(_Toxic, frozen=True, kw_only=True, tag="limit_data"):
    """The connection is closed when so much has passed.

    Attributes:
        limit_bytes: Bytes of one direction since the toxic's or the connection's beginning.
    """

    limit_bytes: _Count = 10_000


class Hole(_Toxic, frozen=True, kw_only=True, tag="hole"):
    """Connections are accepted and stay, and nothing passes; all of it does afterwards."""


class Corrupt(_Toxic, frozen=True, kw_only=True, tag="corrupt"):
    """Bits flip.

    Attributes:
        rate: Probability that a bit of a byte flips.
    """

    rate: _Chance = 0.0001


Toxic: TypeAlias = (
    Latency
    | Down
    | Bandwidth
    | SlowClose
    | Timeout
    | ResetPeer
    | Slicer
    | LimitData
    | Hole
    | Corrupt
)
