"""Faults of the simulated exchange as plain values, and scripts of them.

Times are milliseconds from the exchange's start, or from the injection. Globs are those of the
shell: `category` against `spot`, `linear`, `inverse` and `option`, `symbols` against symbols, and
for options against contracts and coins too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from tapecast.errors import ConfigError
from tapecast.sim.toxics import Toxic  # noqa: TC001 -- msgspec reads the annotation

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Close",
    "Corrupt",
    "Drop",
    "Fault",
    "Hole",
    "Huge",
    "KlineStale",
    "KlineWrong",
    "Late",
    "Lose",
    "Maintenance",
    "Mute",
    "NoPong",
    "OnConnections",
    "OnFrames",
    "OnRest",
    "RefuseHandshake",
    "RefuseSubscribe",
    "Repeat",
    "RestCode",
    "RestHtml",
    "RestShuffled",
    "RestStale",
    "RestStatus",
    "RestTimeout",
    "RestWindow",
    "Script",
    "Shuffle",
    "StallHandshake",
    "kind_of",
    "load_script",
    "read_script",
]

_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_Positive: TypeAlias = Annotated[int, Meta(ge=1)]
_Chance: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_HttpStatus: TypeAlias = Annotated[int, Meta(ge=300, le=599)]
_Choice: TypeAlias = _Count | Literal["all", "random"]


class _Fault(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """What every fault has.

    Attributes:
        at_ms: When it begins.
        category: Glob of the categories that it befalls.
        symbols: Glob of the symbols that it befalls.
    """

    at_ms: _Count = 0
    category: str = "*"
    symbols: str = "*"


class _Lasting(_Fault, frozen=True, kw_only=True):
    """A fault that lasts.

    Attributes:
        for_ms: How long; `None` until it is ended by hand.
    """

    for_ms: _Positive | None = None


class OnConnections(_Fault, frozen=True, kw_only=True):
    """A fault of WebSocket connections.

    Attributes:
        connection: `all`, those that come later included; or a number n, the n-th from 0 in the
            order of connecting; or `random`. The last two choose when the fault begins, among the
            connections that are subscribed to one of `symbols`.
    """

    connection: _Choice = "all"


class _WhileOnConnections(OnConnections, frozen=True, kw_only=True):
    """A fault of connections that lasts.

    Attributes:
        for_ms: How long; `None` until it is ended by hand.
    """

    for_ms: _Positive | None = None


class OnFrames(_WhileOnConnections, frozen=True, kw_only=True):
    """A fault of data frames; replies are spared.

    Attributes:
        topics: Glob of the topics that it befalls.
        probability: Of each frame.
    """

    topics: str = "*"
    probability: _Chance = 1.0


class OnRest(_Lasting, frozen=True, kw_only=True):
    """A fault of REST answers; `category` and `symbols` are matched against the query.

    Attributes:
        path: Glob of the paths that it befalls.
        probability: Of each query.
    """

    path: str = "*"
    probability: _Chance = 1.0


class Drop(OnConnections, frozen=True, kw_only=True, tag="drop"):
    """The connection is reset."""


class Close(OnConnections, frozen=True, kw_only=True, tag="close"):
    """The exchange closes the connection.

    Attributes:
        code: WebSocket code; 1006 ends the connection in order but without a close frame.
        reason: Text of the close frame.
    """

    code: Annotated[int, Meta(ge=1000, le=4999)] = 1000
    reason: Annotated[str, Meta(max_length=123)] = ""


class Hole(_WhileOnConnections, frozen=True, kw_only=True, tag="hole"):
    """The connection stays and nothing passes: nothing is sent, what comes in is ignored."""


class Mute(_WhileOnConnections, frozen=True, kw_only=True, tag="mute"):
    """Commands and pings are answered, no data is sent."""


class NoPong(_WhileOnConnections, frozen=True, kw_only=True, tag="no_pong"):
    """Data is sent, pings are not answered, neither the exchange's own nor those of WebSocket."""


class Lose(OnFrames, frozen=True, kw_only=True, tag="lose"):
    """Trades happen and are not sent.

    Attributes:
        alike: Whether all connections lose the same frames; else each draws for itself.
    """

    topics: str = "publicTrade.*"
    alike: bool = True


class Repeat(OnFrames, frozen=True, kw_only=True, tag="repeat"):
    """Frames are sent once more.

    Attributes:
        after_ms: How much later.
    """

    after_ms: _Count = 1000


class Shuffle(OnFrames, frozen=True, kw_only=True, tag="shuffle"):
    """Frames are held back and come in another order.

    Attributes:
        window_ms: How long frames are gathered, from the fault's beginning on, again and again.
    """

    window_ms: _Positive = 200


class Late(OnFrames, frozen=True, kw_only=True, tag="late"):
    """Frames come late; those behind the last late one overtake it.

    Attributes:
        by_ms: How late.
        spread_ms: Up to how much later still, drawn for each frame.
    """

    by_ms: _Count = 1000
    spread_ms: _Count = 0


class Corrupt(OnFrames, frozen=True, kw_only=True, tag="corrupt"):
    """The text of a frame is damaged so that it is no JSON any more; the frame itself is valid.

    Attributes:
        form: `truncated`, `mutated` (bytes are changed, left out or put in), or `any` of them.
    """

    form: Literal["truncated", "mutated", "any"] = "any"


class Huge(OnConnections, frozen=True, kw_only=True, tag="huge"):
    """One frame of enormous size is sent.

    Attributes:
        size_bytes: Its size.
    """

    size_bytes: Annotated[int, Meta(ge=64, le=1 << 28)] = 4 << 20


class RefuseSubscribe(_WhileOnConnections, frozen=True, kw_only=True, tag="refuse_subscribe"):
    """Subscriptions to `symbols` are refused, in the words of the category.

    Options refuse the topics alone (`failTopics`), the others the whole request.

    Attributes:
        form: `unknown` topic; `already` subscribed; `args_size`; `text`: the text below; `no_ack`:
            not carried out, and no reply at all; `pretend`: a reply as if, and then no data.
        text: The reply's `ret_msg` for `text`.
    """

    form: Literal["unknown", "already", "args_size", "text", "no_ack", "pretend"] = "unknown"
    text: str = ""


class RefuseHandshake(_Lasting, frozen=True, kw_only=True, tag="refuse_handshake"):
    """The upgrade is answered with an HTTP status; `symbols` says nothing here.

    Attributes:
        status: The status.
        location: Where a redirect leads.
    """

    status: _HttpStatus = 403
    location: str = "http://127.0.0.1:9/"


class StallHandshake(_Lasting, frozen=True, kw_only=True, tag="stall_handshake"):
    """The upgrade is never answered; `symbols` says nothing here."""


class Maintenance(_Lasting, frozen=True, kw_only=True, tag="maintenance"):
    """Connections are reset, and new ones too; REST queries likewise, if of its category."""


class RestStatus(OnRest, frozen=True, kw_only=True, tag="rest_status"):
    """REST answers with an HTTP status and no body.

    Attributes:
        status: The status.
    """

    status: _HttpStatus = 500


class RestCode(OnRest, frozen=True, kw_only=True, tag="rest_code"):
    """REST answers with HTTP 200 and a refusal.

    Attributes:
        code: The exchange's number, `retCode`.
        text: Its `retMsg`.
    """

    code: int = 10006
    text: str = "Too many visits!"


class RestHtml(OnRest, frozen=True, kw_only=True, tag="rest_html"):
    """REST answers with a page of the network in front of the exchange.

    Attributes:
        status: The HTTP status.
    """

    status: Annotated[int, Meta(ge=200, le=599)] = 200


class RestTimeout(OnRest, frozen=True, kw_only=True, tag="rest_timeout"):
    """REST does not answer."""


class RestWindow(OnRest, frozen=True, kw_only=True, tag="rest_window"):
    """A page of recent trades holds fewer of them.

    Attributes:
        trades: Most trades of a page.
    """

    trades: _Count = 60


class RestStale(OnRest, frozen=True, kw_only=True, tag="rest_stale"):
    """A page of recent trades is an old one.

    Attributes:
        by_ms: How old.
    """

    by_ms: _Count = 5000


class RestShuffled(OnRest, frozen=True, kw_only=True, tag="rest_shuffled"):
    """A page of recent trades or klines is in no order."""


class KlineWrong(_Lasting, frozen=True, kw_only=True, tag="kline_wrong"):
    """One minute's kline is not what the trades say.

    Attributes:
        minute_ms: Start of the minute; `None` for the one in which the fault begins.
        field: Which figure is wrong.
        by: What is added to it, decimal text.
        over: Where: both places disagree with the trades, or one of them alone.
    """

    minute_ms: _Count | None = None
    field: Literal["open", "high", "low", "close", "volume", "turnover"] = "volume"
    by: Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$")] = "1"
    over: Literal["both", "rest", "websocket"] = "both"


class KlineStale(OnRest, frozen=True, kw_only=True, tag="kline_stale"):
    """A page of klines is an old one: the newest minutes are missing, the last one is not whole.

    Attributes:
        by_ms: How old.
    """

    by_ms: _Count = 5000


Fault: TypeAlias = (
    Drop
    | Close
    | Hole
    | Mute
    | NoPong
    | Lose
    | Repeat
    | Shuffle
    | Late
    | Corrupt
    | Huge
    | RefuseSubscribe
    | RefuseHandshake
    | StallHandshake
    | Maintenance
    | RestStatus
    | RestCode
    | RestHtml
    | RestTimeout
    | RestWindow
    | RestStale
    | RestShuffled
    | KlineWrong
    | KlineStale
)


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong, and when.

    Attributes:
        seed: Same seed, same script and same clients: the same frames are lost, damaged and so on.
        faults: What the exchange does wrong, in any order.
        toxics: What a proxy in front of it does, in any order.
    """

    seed: int = 0
    faults: tuple[Fault, ...] = ()
    toxics: tuple[Toxic, ...] = ()


_json: Final = msgspec.json.Decoder(Script)


def kind_of(fault: Fault) -> str:
    """Return a fault's name in scripts, such as `no_pong`."""
    return str(fault.__struct_config__.tag)


def read_script(text: str, *, name: str = "faults") -> Script:
    """Read a script from TOML (tables `[[faults]]` and `[[toxics]]`) or JSON (`{` comes first).

    Args:
        text: The script.
        name: What it is called in an error.

    Raises:
        ConfigError: If it is none.
    """
    try:
        if text.lstrip().startswith("{"):
            return _json.decode(text)
        return msgspec.toml.decode(text, type=Script)
    except msgspec.DecodeError as error:
        problem = str(error)
        problem = f"{problem[:1].lower()}{problem[1:]}"
        if "expected" not in problem.lower():
            problem += ", expected a script of faults"
        raise ConfigError(f"{name}: {problem}") from error


def load_script(path: Path) -> Script:
    """Read a script from a file.

    Raises:
        ConfigError: If it cannot be read or is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{path}: {(reason or str(error)).lower()}, expected a script") from error
    return read_script(text, name=str(path))
