"""The exchange's side: its public trades over WebSocket lines, its instruments over REST.

`Line` keeps one connection alive for ever and tells a `LineSink` of everything that happens on it;
`resolve` and `plan` say which lines are needed.
"""

from tapecast.bybit.backoff import ConnectBudget
from tapecast.bybit.client import Clock, Line, LineConfig
from tapecast.bybit.connection import Connection, Opener, Target, WebSockets
from tapecast.bybit.events import Timing
from tapecast.bybit.kline import Kline
from tapecast.bybit.rest import Rest
from tapecast.bybit.sink import LineSink
from tapecast.bybit.symbols import plan, resolve

__all__ = [
    "Clock",
    "ConnectBudget",
    "Connection",
    "Kline",
    "Line",
    "LineConfig",
    "LineSink",
    "Opener",
    "Rest",
    "Target",
    "Timing",
    "WebSockets",
    "plan",
    "resolve",
]
