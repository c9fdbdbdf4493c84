"""Every setting: its type, default, bounds and description, and how a place spells its name."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from tapecast.messages.fields import SlowPolicy

__all__ = [
    "ENV_PREFIX",
    "BybitSettings",
    "CandleSettings",
    "Keys",
    "LogSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "expected_of",
    "flag_of",
    "leaves",
    "variable_of",
]

ENV_PREFIX: Final = "TAPECAST_"
_NESTING: Final = "__"

_HOSTS: Final = {
    "mainnet": ("wss://stream.bybit.com/v5/public", "https://api.bybit.com"),
    "testnet": ("wss://stream-testnet.bybit.com/v5/public", "https://api-testnet.bybit.com"),
}
"""Source: https://bybit-exchange.github.io/docs/v5/ws/connect and …/docs/v5/guide."""

Keys: TypeAlias = tuple[str, ...]
"""Path of a setting, such as `("candles", "grace_ms")`."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a setting takes, in words, where its type does not say enough."""

    words: str


def _base_url(value: str, schemes: tuple[str, ...]) -> str:
    """Return a URL to which a path can be added, without its last slash.

    Raises:
        ValueError: If it is none; what is expected stands with the setting.
    """
    url = urlsplit(value)
    is_plain = value.isprintable() and " " not in value and not url.query and not url.fragment
    # Asking for the port parses it, and raises if it is none.
    if url.scheme not in schemes or not url.hostname or url.port == 0 or not is_plain:
        raise ValueError
    return value.rstrip("/")


Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
WebSocketUrl: TypeAlias = Annotated[
    str | None,
    AfterValidator(partial(_base_url, schemes=("ws", "wss"))),
    _Expected("a URL like wss://HOST/PATH or ws://HOST:PORT/PATH"),
]
HttpUrl: TypeAlias = Annotated[
    str | None,
    AfterValidator(partial(_base_url, schemes=("http", "https"))),
    _Expected("a URL like https://HOST or http://HOST:PORT"),
]
Names: TypeAlias = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    _Expected("a list of category:SYMBOL or category:GLOB, at least one"),
]


def _origin(value: str) -> str:
    """Return an origin, as browsers spell it: a URL of a host without a path."""
    if urlsplit(_base_url(value, ("http", "https"))).path:
        raise ValueError
    return value


Origins: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...],
    _Expected("a list of origins like https://HOST"),
]
Token: TypeAlias = Annotated[
    str | None, Field(pattern=r"^[!-~]{16,256}$"), _Expected("16 to 256 visible ASCII characters")
]
Text: TypeAlias = Annotated[str | None, Field(min_length=1), _Expected("a path")]


class _Table(BaseModel):
    """A table of settings: nothing unknown in it, nothing changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BybitSettings(_Table):
    """The exchange's side."""

    network: Literal["mainnet", "testnet"] = Field(
        default="mainnet", description="the exchange's network"
    )
    ws_url: WebSocketUrl = Field(
        default=None, description="WebSocket base in place of the network's; /CATEGORY is added"
    )
    rest_url: HttpUrl = Field(default=None, description="REST base in place of the network's")
    # It may hold a password, which must not get into a log with the settings.
    proxy: HttpUrl = Field(
        default=None, repr=False, description="proxy; the system's proxy variables are ignored"
    )
    ping_interval_s: Seconds = Field(default=20.0, description="time between pings of a line")
    open_timeout_s: Seconds = Field(default=5.0, description="time for connecting")
    max_symbols_per_line: int = Field(
        default=200, ge=1, le=2000, description="symbols of one connection"
    )
    backoff_base_s: Seconds = Field(default=0.5, description="reconnecting: most of the 2nd wait")
    backoff_cap_s: Seconds = Field(default=30.0, description="reconnecting: most of any wait")
    forbidden_wait_s: Seconds = Field(default=600.0, description="least wait after HTTP 403 or 429")
    retry_rejected_s: Seconds = Field(
        default=60.0, description="how often a refused symbol is asked for again"
    )
    lines: int = Field(default=2, ge=1, le=4, description="connections for the same symbols")
    max_line_age_s: Seconds = Field(
        default=21_600.0, description="age at which a line is replaced while another covers for it"
    )
    silence_ping_s: Seconds = Field(
        default=3.0, description="silence of a line after which it is pinged"
    )
    silence_abort_s: Seconds = Field(
        default=2.0, description="silence after that ping at which the line is cut off"
    )
    stale_after_s: Seconds = Field(
        default=60.0, description="least time without data at which a busy symbol is stale"
    )
    audit: bool = Field(
        default=False, description="whether candles are compared with the exchange's own"
    )
    backfill: bool = Field(default=True, description="whether gaps are filled over REST")
    backfill_deadline_s: Seconds = Field(
        default=30.0, description="time after which a gap that cannot be proven filled is given up"
    )

    @property
    def ws_base(self) -> str:
        """WebSocket base URL; `/<category>` follows it."""
        return self.ws_url or _HOSTS[self.network][0]

    @property
    def rest_base(self) -> str:
        """REST base URL."""
        return self.rest_url or _HOSTS[self.network][1]


class CandleSettings(_Table):
    """How candles are made; the arguments of the same names of `tapecast.Engine`."""

    grace_ms: int = Field(
        default=1000, ge=0, le=60_000, description="how long an ended window waits for trades"
    )
    revise_window_ms: int = Field(
        default=600_000,
        ge=0,
        le=86_400_000,
        description="how long a closed window is still revised",
    )
    empty: Literal["skip", "flat"] = Field(
        default="skip", description="what an empty minute publishes"
    )
    open: Literal["first_trade", "previous_close"] = Field(
        default="first_trade", description="what a candle opens at"
    )
    include_block_trades: bool = Field(
        default=True, description="whether block trades count in candles"
    )


class ServerSettings(_Table):
    """The stream's side; the attributes of the same names of `tapecast.server.ServerLimits`."""

    max_clients: int = Field(default=1000, ge=1, description="clients at a time; others get 503")
    max_command_bytes: int = Field(
        default=4096, ge=64, le=65_536, description="size of one command"
    )
    slow_policy: SlowPolicy = Field(
        default="conflate", description="what becomes of messages for a slow client"
    )
    soft_pending_bytes: int = Field(
        default=262_144, ge=65_536, description="bytes that may wait before a client is slow"
    )
    max_pending_bytes: int = Field(
        default=1_048_576, ge=65_536, description="bytes at which a client is cut off"
    )
    slow_after_s: Seconds = Field(
        default=1.9, description="time over the soft limit until a client is cut off"
    )
    send_buffer_bytes: int = Field(
        default=131_072, ge=4096, description="asked of the kernel for a client; Linux doubles it"
    )
    compression: bool = Field(
        default=False, description="whether messages are compressed for clients that offer it"
    )
    handshake_timeout_s: Seconds = Field(default=5.0, description="time for the handshake")
    idle_timeout_s: Seconds = Field(default=10.0, description="time until a client has subscribed")
    ping_interval_s: Seconds = Field(default=15.0, description="time between pings of a client")
    ping_timeout_s: Seconds = Field(default=10.0, description="time for the answer to a ping")
    shutdown_timeout_s: Seconds = Field(
        default=3.0, description="time within which the server is closed"
    )
    resume_max_messages: int = Field(
        default=500_000, ge=0, description="messages kept for clients that resume"
    )
    resume_max_bytes: int = Field(
        default=33_554_432, ge=0, description="bytes of messages kept for clients that resume"
    )
    resume_max_age_s: Seconds = Field(
        default=120.0, description="age of the oldest message kept for clients that resume"
    )
    accept_per_s: int = Field(
        default=500, ge=1, description="handshakes a second; others get 503 with Retry-After"
    )
    max_clients_per_address: int = Field(
        default=64, ge=1, description="clients of one address, loopback aside"
    )
    allowed_origins: Origins = Field(
        default=(), description="pages of other hosts that may connect, as https://HOST"
    )
    # A secret: it must not get into a log with the settings.
    token: Token = Field(default=None, repr=False, description="bearer token that clients need")
    tls_cert: Text = Field(default=None, description="certificate chain (PEM) to serve wss:// with")
    tls_key: Text = Field(default=None, description="private key (PEM) of that certificate")
    allow_public: bool = Field(
        default=False, description="whether others than this host may connect without a token"
    )


class StoreSettings(_Table):
    """What is kept on disk, in the state directory."""

    fsync_interval_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        default=0.0,
        description="time between fsyncs, which outlive a power loss; 0: a crash of tapecast alone",
    )
    segment_s: Seconds = Field(default=300.0, description="time that one segment of the journal is")
    retention_days: int = Field(default=30, ge=1, le=3650, description="how long candles are kept")


class LogSettings(_Table):
    """Logs, which go to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is written"
    )
    format: Literal["text", "json"] = Field(default="text", description="how a record is written")


class Settings(_Table):
    """All settings of `tapecast serve`."""

    host: Annotated[str, _Expected("an address or a host name")] = Field(
        default="127.0.0.1", pattern=r"^[^\s/]+$", description="address to listen on"
    )
    port: int = Field(
        default=8848, ge=0, le=65_535, description="port to listen on; 0 takes any free one"
    )
    symbols: Names = Field(
        default=("linear:BTCUSDT", "linear:ETHUSDT", "linear:SOLUSDT", "spot:BTCUSDT"),
        description="CATEGORY:SYMBOL or CATEGORY:GLOB, separated by commas; linear by default",
    )
    state_dir: Annotated[str, _Expected('a directory, or "none"')] = Field(
        default="none",
        min_length=1,
        description='directory for what outlives a restart; "none" keeps nothing',
    )
    bybit: BybitSettings = BybitSettings()
    candles: CandleSettings = CandleSettings()
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()


def leaves(
    model: type[BaseModel] = Settings, parents: Keys = ()
) -> Iterator[tuple[Keys, FieldInfo]]:
    """Yield the path and the description of every setting, in the order of their definition."""
    for name, field in model.model_fields.items():
        path = (*parents, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, path)
        else:
            yield path, field


def expected_of(field: FieldInfo) -> str:
    """Say in words what values a setting takes."""
    for rule in field.metadata:
        if isinstance(rule, _Expected):
            return rule.words
    if get_origin(field.annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "true or false"
    noun = "an integer" if field.annotation is int else "a number"
    bounds = {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("gt", "ge", "le")
        if hasattr(rule, name)
    }
    if "gt" in bounds:
        return f"{noun} above {bounds['gt']}, at most {bounds['le']}"
    if "le" in bounds:
        return f"{noun} from {bounds['ge']} to {bounds['le']}"
    return f"{noun} of at least {bounds['ge']}"


def variable_of(keys: Keys) -> str:
    """Return the name of a setting's environment variable."""
    return ENV_PREFIX + _NESTING.join(keys).upper()


def flag_of(keys: Keys) -> str:
    """Return the name of a setting's flag."""
    return "--" + "-".join(keys).replace("_", "-")
