"""The stream's server: WebSocket clients on one side, what the engine publishes on the other."""

from tapecast.server.access import Access, check_exposure
from tapecast.server.descriptors import raise_descriptor_limit
from tapecast.server.http import Reports
from tapecast.server.hub import Hub
from tapecast.server.interfaces import Clock, EngineView, ServerCounts
from tapecast.server.limits import ServerLimits
from tapecast.server.listener import Listener, listen_error
from tapecast.server.tls import tls_context

__all__ = [
    "Access",
    "Clock",
    "EngineView",
    "Hub",
    "Listener",
    "Reports",
    "ServerCounts",
    "ServerLimits",
    "check_exposure",
    "listen_error",
    "raise_descriptor_limit",
    "tls_context",
]
