"""The group of commands, loaded when they are asked for."""

import importlib
import traceback
from contextlib import suppress
from typing import Any, Final

import click

from tapecast._core import __version__
from tapecast.cli.exits import exit_of, leave, secure_streams

__all__ = ["cli", "main"]

_COMMANDS: Final = {
    "bench": "tapecast.cli.bench",
    "candles": "tapecast.cli.candles",
    "check-config": "tapecast.cli.check_config",
    "demo": "tapecast.cli.demo",
    "serve": "tapecast.cli.serve",
    "sim": "tapecast.cli.sim",
}


class _Commands(click.Group):
    """A group whose commands are imported one by one: `--version` need not load a server."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Return the names of all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command; `None` if there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 -- click's signature
        """Run a command; errors that a user can act on become lines on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, SystemExit):
            raise
        except BrokenPipeError:
            # Whoever read our output has left; click ends quietly.
            raise
        except BaseException as error:  # noqa: BLE001 -- a panic of the extension is no Exception
            end = exit_of(error)
            if end.is_unknown:
                _say(traceback.format_exc())
            _say("".join(f"tapecast: {line}\n" for line in end.lines))
            ctx.exit(end.code)


def _say(text: str) -> None:
    # Whoever read it may have gone; the exit code still tells.
    with suppress(OSError):
        click.echo(text, err=True, nl=False)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tapecast")
def cli() -> None:
    """Bybit's public trades as one live, exact stream of trades and one-minute candles."""


def main() -> None:
    """Run the command line and exit."""
    secure_streams()
    try:
        cli(prog_name="tapecast")
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 0)
