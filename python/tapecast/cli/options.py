"""Options that several commands share: the settings as flags."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tapecast.config import CONFIG_VARIABLE, expected_of, flag_of, leaves

__all__ = ["CATEGORIES", "chosen", "config_option", "setting_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

CATEGORIES: Final = click.Choice(["linear", "inverse", "spot", "option"])

_PATHS: Final = {flag_of(path).removeprefix("--").replace("-", "_"): path for path, _ in leaves()}


def config_option(command: _Command) -> _Command:
    """Add `--config`."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        show_envvar=True,
        help="TOML file with settings.",
    )(command)


def setting_options(command: _Command) -> _Command:
    """Add a flag for every setting; their texts are read by `chosen`."""
    for path, field in reversed(list(leaves())):
        default = field.get_default()
        shown = ",".join(default) if isinstance(default, tuple) else default
        shown = str(shown).lower() if isinstance(shown, bool) else shown
        about = f"{field.description}: {expected_of(field)}"
        default_text = "" if shown is None else f" [default: {shown}]"
        option = click.option(flag_of(path), metavar="VALUE", help=f"{about}.{default_text}")
        command = option(command)
    return command


def chosen(flags: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Return the texts of the flags that were given, by the path of their setting."""
    return {_PATHS[name]: text for name, text in flags.items() if text is not None}
