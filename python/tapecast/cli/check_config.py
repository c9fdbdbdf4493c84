"""`tapecast check-config`."""

import json
from pathlib import Path

import click

from tapecast.cli.options import chosen, config_option, setting_options
from tapecast.config import load

__all__ = ["command"]


@click.command(short_help="Check the settings and print them.")
@config_option
@setting_options
def command(*, config: Path | None, **flags: str | None) -> None:
    """Check the settings of `serve` and print them as a TOML file, defaults included.

    Every problem is a line on stderr, and the exit code is then 2.

    \b
    Examples:
      tapecast check-config --config tapecast.toml
      tapecast check-config --symbols 'linear:*USDT' > tapecast.toml
    """  # noqa: D301 -- click wants the character itself
    settings = load(config, chosen(flags)).model_dump(mode="json", exclude_none=True)
    tables = {name: table for name, table in settings.items() if isinstance(table, dict)}
    plain = {name: value for name, value in settings.items() if name not in tables}
    for heading, table in {"": plain, **tables}.items():
        if heading:
            click.echo(f"\n[{heading}]")
        for name, value in table.items():
            # TOML writes these numbers, flags, arrays and texts as JSON does, DEL aside.
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            click.echo(f"{name} = {text}")
