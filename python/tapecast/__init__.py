"""Bybit's public trades as a live, exact, never-silent telemetry stream.

`Engine` turns exchange frames into candles, counters and messages; `aggregate`, `aggregate_files`
and `decode_trades` serve recorded frames. The daemon is the command `tapecast serve`.
"""

try:
    from tapecast._core import Batch, Engine, Message, __version__, decode_trades
except ImportError as error:
    raise ImportError(
        f"tapecast's compiled part cannot be loaded: {error}, expected tapecast._core of the wheel "
        "for this Python and machine (pip install --force-reinstall tapecast)"
    ) from error
from tapecast.batch import aggregate
from tapecast.errors import CommandError, ConfigError, DecodeError, FeedError, TapecastError
from tapecast.files import aggregate_files

__all__ = [
    "Batch",
    "CommandError",
    "ConfigError",
    "DecodeError",
    "Engine",
    "FeedError",
    "Message",
    "TapecastError",
    "__version__",
    "aggregate",
    "aggregate_files",
    "decode_trades",
]
