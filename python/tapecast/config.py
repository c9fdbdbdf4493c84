"""The daemon's settings: a TOML file, then `TAPECAST_*` variables, then flags, each before the last.

Every problem of all three places is found in one go and names its place, what was found and what
was expected.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tapecast.bybit import parse_patterns
from tapecast.errors import ConfigError

__all__ = ["ENV_PREFIX", "Settings", "expected_of", "leaves", "load"]

ENV_PREFIX: Final = "TAPECAST_"
CONFIG_VARIABLE: Final = "TAPECAST_CONFIG"
_NESTING: Final = "__"
_EXCERPT_CHARS: Final = 64

_HOSTS: Final = {
    "mainnet": ("wss://stream.bybit.com/v5/public", "https://api.bybit.com"),
    "testnet": ("wss://stream-testnet.bybit.com/v5/public", "https://api-testnet.bybit.com"),
}
"""Source: https://bybit-exchange.github.io/docs/v5/ws/connect and …/docs/v5/guide."""


def _split(value: object) -> object:
    """Take `a,b` for a list, as variables and flags write it."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class _Table(BaseModel):
    """A table of settings: nothing unknown in it, nothing changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _url(value: str | None, schemes: tuple[str, ...]) -> str | None:
    """Let a URL pass if its scheme is one of these."""
    if value is None or value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        return value.rstrip("/") if value else value
    expected = " or ".join(f"{scheme}://…" for scheme in schemes)
    raise PydanticCustomError("url", "expected {expected}", {"expected": expected})


class BybitSettings(_Table):
    """The exchange's side."""

    network: Literal["mainnet", "testnet"] = Field(
        default="mainnet", description="the exchange's network"
    )
    ws_url: str | None = Field(
        default=None, description="WebSocket base in place of the network's; /CATEGORY is added"
    )
    rest_url: str | None = Field(
        default=None, description="REST base in place of the network's, for globs"
    )
    proxy: str | None = Field(
        default=None, description="proxy; the system's proxy variables are ignored"
    )
    ping_interval_s: Seconds = Field(default=20.0, description="time between pings of a line")
    pong_timeout_s: Seconds = Field(
        default=10.0, description="silence after a due ping that ends a line"
    )
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

    @field_validator("ws_url")
    @classmethod
    def _ws_scheme(cls, value: str | None) -> str | None:
        return _url(value, ("ws", "wss"))

    @field_validator("rest_url")
    @classmethod
    def _rest_scheme(cls, value: str | None) -> str | None:
        return _url(value, ("http", "https"))

    @field_validator("proxy")
    @classmethod
    def _proxy_scheme(cls, value: str | None) -> str | None:
        return _url(value, ("http", "https"))

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
    max_pending_bytes: int = Field(
        default=1_048_576, ge=65_536, description="bytes that may wait for a client"
    )
    handshake_timeout_s: Seconds = Field(default=5.0, description="time for the handshake")
    idle_timeout_s: Seconds = Field(default=10.0, description="time until a client has subscribed")
    ping_interval_s: Seconds = Field(default=15.0, description="time between pings of a client")
    ping_timeout_s: Seconds = Field(default=10.0, description="time for the answer to a ping")
    shutdown_timeout_s: Seconds = Field(
        default=3.0, description="time within which the server is closed"
    )


class LogSettings(_Table):
    """Logs, which go to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is written"
    )
    format: Literal["text", "json"] = Field(default="text", description="how a record is written")


class Settings(BaseSettings):
    """All settings of `tapecast serve`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=_NESTING,
        case_sensitive=False,
        extra="forbid",
        frozen=True,
    )

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(
        default=8848, ge=0, le=65_535, description="port to listen on; 0 takes any free one"
    )
    symbols: Names = Field(
        default=("linear:BTCUSDT", "linear:ETHUSDT", "linear:SOLUSDT", "spot:BTCUSDT"),
        min_length=1,
        description="CATEGORY:SYMBOL or CATEGORY:GLOB, separated by commas; linear by default",
    )
    bybit: BybitSettings = BybitSettings()
    candles: CandleSettings = CandleSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()

    @field_validator("symbols")
    @classmethod
    def _symbols_are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_patterns(value)
        except ConfigError as error:
            raise PydanticCustomError("patterns", "{problems}", {"problems": str(error)}) from None
        return value


def leaves(
    model: type[BaseModel] = Settings, parents: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield the path and the description of every setting, such as `("candles", "grace_ms")`."""
    for name, field in model.model_fields.items():
        path = (*parents, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, path)
        else:
            yield path, field


def expected_of(field: FieldInfo) -> str:
    """Say in words what values a setting takes."""
    if get_origin(field.annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "true or false"
    if field.annotation in {int, float}:
        noun = "an integer" if field.annotation is int else "a number"
        return f"{noun} {_bounds(field)}".rstrip()
    return "a list of texts" if "tuple" in str(field.annotation) else "a text"


def _bounds(field: FieldInfo) -> str:
    least = next((str(rule.ge) for rule in field.metadata if isinstance(rule, Ge)), "")
    above = next((str(rule.gt) for rule in field.metadata if isinstance(rule, Gt)), "")
    most = next((str(rule.le) for rule in field.metadata if isinstance(rule, Le)), "")
    if least:
        return f"from {least} to {most}" if most else f"of at least {least}"
    if above:
        return f"above {above}, at most {most}" if most else f"above {above}"
    return ""


def load(path: Path | None, flags: Mapping[tuple[str, ...], str] | None = None) -> Settings:
    """Read the settings from everywhere.

    Args:
        path: A TOML file; none where `None`.
        flags: Texts of flags, by the path of their setting.

    Raises:
        ConfigError: Every problem that there is, in the order of the settings.
    """
    problems: list[str] = []
    in_file = _read_file(path, problems) if path is not None else {}
    in_flags: dict[str, Any] = {}
    for keys, text in (flags or {}).items():
        _put(in_flags, keys, text)
    problems += _unknown_variables()

    class Loaded(Settings):
        """The settings with the file as the last of their sources."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- given by name
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- given by name
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Return flags, variables and file, the strongest first."""
            return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    try:
        loaded = Loaded(**in_flags)
    except ValidationError as error:
        where = _Places(path, in_file, in_flags)
        problems += [line for detail in error.errors() for line in where.describe(detail)]
        raise ConfigError(*problems) from None
    except ValueError as error:
        # A table as a whole in a variable, `TAPECAST_LOG=…`, that is no JSON.
        raise ConfigError(*problems, str(error)) from None
    if problems:
        raise ConfigError(*problems)
    return loaded


def _put(tree: dict[str, Any], keys: tuple[str, ...], value: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value


def _read_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: {(error.strerror or str(error)).lower()}, expected a TOML file")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: no UTF-8 at byte {error.start}, expected a TOML file")
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        problems.append(f"{path}: {text[0].lower()}{text[1:]}, expected a TOML file")
    return {}


def variable_of(keys: tuple[str, ...]) -> str:
    """Return the name of a setting's environment variable."""
    return ENV_PREFIX + _NESTING.join(keys).upper()


def flag_of(keys: tuple[str, ...]) -> str:
    """Return the name of a setting's flag."""
    return "--" + "-".join(keys).replace("_", "-")


def _unknown_variables() -> list[str]:
    known = {variable_of(keys) for keys, _ in leaves()}
    known |= {variable_of((name,)) for name in Settings.model_fields} | {CONFIG_VARIABLE}
    given = (name for name in sorted(os.environ) if name.upper().startswith(ENV_PREFIX))
    return [
        f"{name}: unknown variable, expected {_nearest(name, known, 'one of the settings')}"
        for name in given
        if name.upper() not in known
    ]


def _nearest(name: str, known: set[str], otherwise: str) -> str:
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)), otherwise)


class _Places:
    """Says of each problem what was found, where, and what was expected."""

    def __init__(
        self, path: Path | None, in_file: dict[str, Any], in_flags: dict[str, Any]
    ) -> None:
        self._path = path
        self._in_file = in_file
        self._in_flags = in_flags
        self._fields = dict(leaves())
        self._tables = {name for name in Settings.model_fields if (name,) not in self._fields}

    def describe(self, detail: ErrorDetails) -> list[str]:
        """Return the lines for one of pydantic's errors."""
        keys = tuple(str(key) for key in detail["loc"])
        place = self._place(keys)
        if detail["type"] == "extra_forbidden":
            return [f"{'.'.join(keys)}: unknown setting, expected {self._known(keys)} ({place})"]
        if detail["type"] == "patterns":
            return [f"{line} ({place})" for line in str(detail["ctx"]["problems"]).splitlines()]
        while keys and keys not in self._fields and (keys[0] not in self._tables or len(keys) > 1):
            keys = keys[:-1]  # an item of a list
        field = self._fields.get(keys)
        expected = "expected a table" if field is None else f"expected {expected_of(field)}"
        if detail["type"] == "url":
            expected = detail["msg"]
        if detail["type"] == "too_short":
            expected += " with at least one"
        found = repr(detail["input"])[:_EXCERPT_CHARS].replace("'", '"')
        return [f"{'.'.join(keys)}: {found}, {expected} ({place})"]

    def _place(self, keys: tuple[str, ...]) -> str:
        if _has(self._in_flags, keys):
            return flag_of(keys)
        if variable_of(keys) in {name.upper() for name in os.environ}:
            return variable_of(keys)
        return str(self._path) if self._path and _has(self._in_file, keys) else "settings"

    def _known(self, keys: tuple[str, ...]) -> str:
        known = {".".join(path) for path in self._fields}
        table = {name for name in known if name.startswith(".".join(keys[:-1]))}
        return _nearest(".".join(keys), known, "one of " + ", ".join(sorted(table)))


def _has(tree: object, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True
