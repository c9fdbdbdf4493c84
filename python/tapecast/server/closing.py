"""How a server takes leave of its clients: spread over a while, and in bounded time."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode
from websockets.protocol import State

from tapecast.server.hub import Hub
from tapecast.server.protocol import bye
from tapecast.server.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["REASON", "take_leave"]

REASON: Final = "server is shutting down"

_AT_ONCE: Final = 25
"""Clients that are told in one turn of the loop."""
_SPREAD_PER_CLIENT_S: Final = 0.001
_LONGEST_SPREAD_S: Final = 1.5
_LEAST_RETRY_MS: Final = 500
_MOST_RETRY_MS: Final = 5_000


async def take_leave(
    hub: Hub,
    clients: Iterable[tuple[ServerConnection, Subscriber]],
    closing: list[asyncio.Task[None]],
    *,
    most_s: float,
) -> None:
    """Say bye to every subscriber, and begin to close every connection.

    Each is told another time to come back, so that they do not all come at once. Who cannot be told
    as it does not read is left to whoever waits for the tasks.

    Args:
        hub: Where the subscribers' streams end.
        clients: All clients.
        closing: Takes the tasks that end with the connections.
        most_s: Time that this may take.
    """
    waiting = list(clients)
    spread_s = min(_LONGEST_SPREAD_S, most_s, len(waiting) * _SPREAD_PER_CLIENT_S)
    pause_s = spread_s * _AT_ONCE / max(1, len(waiting))
    for begin in range(0, len(waiting), _AT_ONCE):
        if begin:
            await asyncio.sleep(pause_s)
        for connection, subscriber in waiting[begin : begin + _AT_ONCE]:
            if connection.state is State.OPEN:
                if hub.has_stream(subscriber):
                    hub.leave(subscriber)
                    retry_ms = random.randint(_LEAST_RETRY_MS, _MOST_RETRY_MS)  # noqa: S311
                    hub.reply(subscriber, bye(retry_ms=retry_ms))
                close = connection.close(CloseCode.SERVICE_RESTART, REASON)
                closing.append(asyncio.create_task(_quietly(close)))


async def _quietly(close: "Coroutine[None, None, None]") -> None:
    """Close a connection; one that cannot be is aborted later."""
    with suppress(Exception):
        await close
