"""The wire contract of `/ws/status` as types: commands in, messages out.

The attributes carry the wire's own names, and this module is the only one in Python that spells
them. Prices and sizes are JSON numbers printed from exact decimals; they decode to `Decimal`, digit
for digit. Times are milliseconds since the Unix epoch, or ISO-8601 text in UTC with milliseconds
and `Z`.
"""

from tapecast.messages.codec import decode_message, encode_message
from tapecast.messages.commands import (
    ACTIONS,
    Command,
    History,
    Ping,
    Since,
    Subscribe,
    Unsubscribe,
)
from tapecast.messages.figures import Audit, Delay, LineStatus, RejectedSymbol, ThreadStatus
from tapecast.messages.stream import (
    Bye,
    ErrorReply,
    GapClient,
    GapUpstream,
    Ohlcv,
    Pong,
    Resumed,
    ServerMessage,
    Snapshot,
    Stats,
    Trade,
    TradeCounts,
    Unsubscribed,
    Upstream,
)

__all__ = [
    "ACTIONS",
    "Audit",
    "Bye",
    "Command",
    "Delay",
    "ErrorReply",
    "GapClient",
    "GapUpstream",
    "History",
    "LineStatus",
    "Ohlcv",
    "Ping",
    "Pong",
    "RejectedSymbol",
    "Resumed",
    "ServerMessage",
    "Since",
    "Snapshot",
    "Stats",
    "Subscribe",
    "ThreadStatus",
    "Trade",
    "TradeCounts",
    "Unsubscribe",
    "Unsubscribed",
    "Upstream",
    "decode_message",
    "encode_message",
]
