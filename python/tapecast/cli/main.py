"""The group of commands, loaded when they are asked for, and the exit codes of their errors."""

import importlib
import sys
from typing import Any, Final

import click

from tapecast._core import __version__
from tapecast.errors import ConfigError, FeedError

__all__ = ["cli", "main"]

_COMMANDS: Final = {
    "bench": "tapecast.cli.bench",
    "candles": "tapecast.cli.candles",
    "check-config": "tapecast.cli.check_config",
    "demo": "tapecast.cli.demo",
    "serve": "tapecast.cli.serve",
    "sim": "tapecast.cli.sim",
}

_FAILED: Final = 1
_MISUSED: Final = 2
_INTERRUPTED: Final = 130


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
        except ConfigError as error:
            _say(error.problems)
            ctx.exit(_MISUSED)
        except KeyboardInterrupt:
            # Before the daemon takes signals itself, or in a command that does not.
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output has left; click ends quietly.
            raise
        except (OSError, FeedError) as error:
            _say([_words(error)])
            ctx.exit(_FAILED)


def _say(lines: tuple[str, ...] | list[str]) -> None:
    for line in lines:
        click.echo(f"tapecast: {line}", err=True)


def _words(error: OSError | FeedError) -> str:
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror[:1].lower() + error.strerror[1:]
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tapecast")
def cli() -> None:
    """Bybit's public trades as one live, exact stream of trades and one-minute candles."""


def main() -> None:
    """Run the command line and exit."""
    sys.exit(cli(prog_name="tapecast"))
