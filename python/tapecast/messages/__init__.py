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
from tapecast.messages.stream import (
    Delay,
    ErrorReply,
    GapClient,
    GapUpstream,
    Ohlcv,
    Pong,
    RejectedSymbol,
    ServerMessage,
    Snapshot,
    Stats,
    ThreadStatus,
    Trade,
    TradeCounts,
    Unsubscribed,
    Upstream,
)

__all__ = [
    "ACTIONS",
    "Command",
    "Delay",
    "ErrorReply",
    "GapClient",
    "GapUpstream",
    "History",
    "Ohlcv",
    "Ping",
    "Pong",
    "RejectedSymbol",
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
