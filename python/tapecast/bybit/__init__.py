"""The exchange's side: its public trades over WebSocket lines, its instruments over REST.

`Line` keeps one connection alive for ever and tells a `LineSink` of everything that happens on it;
`resolve` and `plan` say which lines are needed.
"""

from tapecast.bybit.backoff import ConnectBudget
from tapecast.bybit.client import Clock, Line, LineConfig, LineSink
from tapecast.bybit.protocol import Timing
from tapecast.bybit.rest import Rest
from tapecast.bybit.symbols import plan, resolve

__all__ = [
    "Clock",
    "ConnectBudget",
    "Line",
    "LineConfig",
    "LineSink",
    "Rest",
    "Timing",
    "plan",
    "resolve",
]
