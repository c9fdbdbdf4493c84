"""The stream's server: WebSocket clients on one side, what the engine publishes on the other."""

from tapecast.server.hub import Hub
from tapecast.server.interfaces import Clock, EngineView, ServerCounts
from tapecast.server.limits import ServerLimits
from tapecast.server.listener import Listener

__all__ = [
    "Clock",
    "EngineView",
    "Hub",
    "Listener",
    "ServerCounts",
    "ServerLimits",
]
