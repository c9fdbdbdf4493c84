"""Commands, run within the test or as processes, and frames for them to read."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from click.testing import CliRunner, Result

from tapecast.cli.main import cli

__all__ = ["BAD", "BAD_TEXT", "COMMAND", "DEAD", "LIMIT_S", "START_MS", "frame", "invoke", "run"]

LIMIT_S: Final = 60.0
COMMAND: Final = Path(sys.executable).with_name("tapecast")
START_MS: Final = 1_790_000_040_000
"""Start of a minute, 2026-09-21T14:14Z."""

DEAD: Final = (
    *("--bybit-ws-url", "ws://127.0.0.1:9/"),
    *("--bybit-rest-url", "http://127.0.0.1:9"),
)
"""An exchange that nobody answers for."""

BAD: Final = b'{"topic":"publicTrade.BTCUSDT","ts":1,"data":[{"p":"-1"}]}'
BAD_TEXT: Final = 'frame was refused: trade price is "-1", expected a positive decimal (byte 51)'


def frame(at_ms: int, price: str, size: str = "1", *, symbol: str = "BTCUSDT") -> bytes:
    """Return a frame of one trade, `at_ms` after the start, as a line."""
    event_ms = START_MS + at_ms
    trade = {"T": event_ms, "s": symbol, "S": "Buy", "v": size, "p": price, "i": f"{event_ms}"}
    head = {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": event_ms}
    return json.dumps({**head, "data": [{**trade, "BT": False, "seq": event_ms}]}).encode() + b"\n"


def invoke(*arguments: object, **variables: str) -> Result:
    """Run a command in this process."""
    return CliRunner(env=dict(variables)).invoke(
        cli, [str(argument) for argument in arguments], prog_name="tapecast"
    )


def run(*arguments: object, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run a command as a process to its end."""
    words = [str(COMMAND), *(str(argument) for argument in arguments)]
    return subprocess.run(  # noqa: S603 -- the command under test
        words,
        check=False,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "NO_COLOR": "1"},
    )
