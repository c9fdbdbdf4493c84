"""The daemon's settings: a TOML file, `TAPECAST_*` variables and flags, in rising precedence."""

from tapecast.config.reading import CONFIG_VARIABLE, load
from tapecast.config.settings import (
    ENV_PREFIX,
    BybitSettings,
    CandleSettings,
    LogSettings,
    ServerSettings,
    Settings,
    expected_of,
    flag_of,
    leaves,
    variable_of,
)

__all__ = [
    "CONFIG_VARIABLE",
    "ENV_PREFIX",
    "BybitSettings",
    "CandleSettings",
    "LogSettings",
    "ServerSettings",
    "Settings",
    "expected_of",
    "flag_of",
    "leaves",
    "load",
    "variable_of",
]
