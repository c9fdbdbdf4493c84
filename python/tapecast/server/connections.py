"""Connections as the listener wants them: known from their first byte on, and with few pings."""

import asyncio
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State

from tapecast.server.bucket import TokenBucket
from tapecast.server.interfaces import Clock
from tapecast.server.limits import ServerLimits

__all__ = ["tracking"]


def tracking(
    connections: set[ServerConnection],
    *,
    most: int,
    on_lost: Callable[[ServerConnection], None],
    limits: ServerLimits,
    clock: Clock,
) -> type[ServerConnection]:
    """Return a class of connections that are in the set from when they are made until lost.

    Those beyond the most are cut off before they have said anything. The library answers pings by
    itself, so that who sends them faster than commands may come is closed (1008).

    Args:
        connections: The set.
        most: How many there may be.
        on_lost: Called with each that is lost.
        limits: The server's limits.
        clock: Monotonic seconds.
    """

    class TrackedConnection(ServerConnection):
        """A connection that can be found before its handshake is done."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Enter the set."""
            super().connection_made(transport)
            self.pings = TokenBucket(rate=limits.commands_per_s, burst=limits.command_burst)
            if len(connections) >= most:
                self.transport.abort()
            else:
                connections.add(self)

        def connection_lost(self, exc: Exception | None) -> None:
            """Leave the set."""
            connections.discard(self)
            on_lost(self)
            super().connection_lost(exc)

        def process_event(self, event: Event) -> None:
            """Hold pings and pongs to the rate of commands."""
            is_ping = isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG)
            if is_ping and self.state is State.OPEN and not self.pings.take(clock.monotonic_s()):
                rate = limits.commands_per_s
                reason = f"ping flood, expected at most {rate:g} pings/s"
                self.protocol.fail(CloseCode.POLICY_VIOLATION, reason)
                self.send_data()
                # Who does not read that is not waited for.
                self.loop.call_later(limits.close_timeout_s, self.transport.abort)
                return
            super().process_event(event)

    return TrackedConnection
