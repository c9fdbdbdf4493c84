"""The servers in Python that the fan-out benches compare, each a process of its own, on uvloop.

`fanout.py` starts them. Each prints a line of JSON when it listens, when all clients are there and
when it has published everything. It publishes as fast as it can, or (`--paced`) a message for each
stamp of 8 bytes that comes on stdin.
"""

import argparse
import asyncio
import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol, Self

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from tapecast import Engine
from tapecast.clocks import SystemClock
from tapecast.daemon.lifecycle import calm_collector
from tapecast.server import Hub, Listener, ServerLimits

__all__ = ["main"]

MAX_BACKLOG_BYTES: Final = 131_072
"""What may wait for the slowest client before a saturating publisher lets it catch up."""

CHECK_BYTES: Final = 32_768
SAMPLE_S: Final = 0.02
STAMP_BYTES: Final = 8
LINGER_S: Final = 5.0
"""How long a server stays to be looked at; whoever has started it ends it before."""

SYMBOL: Final = "1000000BABYDOGEUSDT"
"""As long as they come: with it, a trade has about 300 bytes."""


class Server(Protocol):
    """What the benches ask of each."""

    port: int
    limit_bytes: int | None
    """Beyond it a client should be cut."""

    @property
    def ready(self) -> int:
        """Clients that have subscribed and are still there."""

    @property
    def queued_bytes(self) -> int:
        """What is published and not yet handed to the transports."""

    @property
    def pending_bytes(self) -> int:
        """What waits in this process for the client that has most waiting for it."""

    def publish(self, stamp_ns: int, count: int) -> None:
        """Publish messages of about 300 bytes."""

    def end(self) -> None:
        """Publish the message that tells clients that it is over."""


class BroadcastServer(AsyncExitStack):
    """`websockets.broadcast`, compression off, to everyone who has said anything."""

    limit_bytes: int | None = None
    queued_bytes = 0

    def __init__(self) -> None:
        super().__init__()
        self._clients: set[ServerConnection] = set()
        self._seq = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        server = await self.enter_async_context(
            serve(self._handle, "127.0.0.1", 0, compression=None, max_queue=None)
        )
        self.port = next(iter(server.sockets)).getsockname()[1]
        return self

    async def _handle(self, connection: ServerConnection) -> None:
        await connection.recv()
        self._clients.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._clients.discard(connection)

    @property
    def ready(self) -> int:
        return len(self._clients)

    @property
    def pending_bytes(self) -> int:
        return max((one.transport.get_write_buffer_size() for one in self._clients), default=0)

    def publish(self, stamp_ns: int, count: int) -> None:
        for _ in range(count):
            self._seq += 1
            head = f'{{"topic":"status","type":"trade","seq":{self._seq},"trade_id":"{stamp_ns:020}'
            broadcast(
                self._clients, f'{head}","rest":"'.ljust(298, "x").encode() + b'"}', text=True
            )

    def end(self) -> None:
        broadcast(self._clients, f'{{"type":"upstream","seq":{self._seq + 1}}}')


class TapecastServer(AsyncExitStack):
    """The project's own: an engine that is fed frames, its hub and its listener."""

    def __init__(self, *, clients: int) -> None:
        super().__init__()
        self._engine = Engine(epoch="bench")
        self._hub = Hub(self._engine, limits=ServerLimits(max_clients=max(1000, clients)))
        self._listener = Listener(self._hub, SystemClock(), port=0)
        self._trades = 0
        self.port = 0
        self.limit_bytes: int | None = self._hub.limits.soft_pending_bytes

    async def __aenter__(self) -> Self:
        await self.enter_async_context(self._listener)
        broadcaster = asyncio.create_task(self._hub.run(SystemClock()))
        self.callback(broadcaster.cancel)
        self.port = self._listener.port
        return self

    @property
    def ready(self) -> int:
        return self._hub.subscribers

    @property
    def queued_bytes(self) -> int:
        return self._hub.queued_bytes

    @property
    def pending_bytes(self) -> int:
        return self._listener.pending_bytes

    def publish(self, stamp_ns: int, count: int) -> None:
        wall_ns = time.time_ns()
        frame = self._frame(stamp_ns, count, wall_ns // 1_000_000)
        self._hub.publish(self._engine.feed(frame, received_ns=wall_ns))

    def _frame(self, stamp_ns: int, count: int, wall_ms: int) -> bytes:
        """Return a frame of the exchange, with the stamp as decimal digits in the ids."""
        digits = f"{stamp_ns:020}"
        head = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:]}-f"
        rows = ",".join(
            f'{{"T":{wall_ms},"s":"{SYMBOL}","S":"Sell","v":"6.30","p":"3105.45",'
            f'"L":"MinusTick","i":"{head}{number:011}","BT":false,"RPI":false,"seq":{number}}}'
            for number in range(self._trades + 1, self._trades + count + 1)
        )
        self._trades += count
        topic = f'"topic":"publicTrade.{SYMBOL}"'
        return f'{{{topic},"type":"snapshot","ts":{wall_ms},"data":[{rows}]}}'.encode()

    def end(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        self._hub.publish(self._engine.upstream(now_ms, line="bench", state="closed"))


async def saturate(server: Server, *, joined: int, seconds: float, begin_ns: int) -> int:
    """Publish as fast as the clients take it; return how many messages that were."""
    published, unchecked_bytes = 0, 0
    end_ns = begin_ns + int(seconds * 1e9)
    while (now_ns := time.monotonic_ns()) < end_ns:
        if unchecked_bytes >= CHECK_BYTES and server.pending_bytes <= MAX_BACKLOG_BYTES:
            unchecked_bytes = 0
        if unchecked_bytes < CHECK_BYTES and server.queued_bytes < joined * 300:
            server.publish(now_ns, joined)
            published += joined
            unchecked_bytes += joined * 300
        await asyncio.sleep(0)
    return published


async def follow_stdin(server: Server) -> int:
    """Publish a message for each stamp on stdin until its end; return how many that were."""
    stamps = bytearray()
    published = 0
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        nonlocal published
        chunk = os.read(0, 65_536)
        if not chunk:
            loop.remove_reader(0)
            ended.set()
        stamps.extend(chunk)
        while len(stamps) >= STAMP_BYTES:
            server.publish(int.from_bytes(stamps[:STAMP_BYTES], "little"), 1)
            del stamps[:STAMP_BYTES]
            published += 1

    loop.add_reader(0, read)
    await ended.wait()
    return published


class Watch:
    """Looks every few milliseconds at what waits for the slowest client, and at who is cut off."""

    def __init__(self, server: Server, *, clients: int) -> None:
        self._server = server
        self._ready = clients
        self._limit_ns: int | None = None
        self._cut_ns = 0
        self.peak_pending_bytes = 0
        self.cut = 0

    @property
    def cut_s(self) -> float | None:
        """From when a client was at the limit until the last one had been cut off."""
        return None if self._limit_ns is None or not self.cut else self._cut_ns / 1e9

    async def run(self) -> None:
        while True:
            self._look(time.monotonic_ns())
            await asyncio.sleep(SAMPLE_S)

    def _look(self, now_ns: int) -> None:
        pending_bytes, ready = self._server.pending_bytes, self._server.ready
        self.peak_pending_bytes = max(self.peak_pending_bytes, pending_bytes)
        limit_bytes = self._server.limit_bytes
        is_at_limit = limit_bytes is not None and pending_bytes >= limit_bytes
        if self._limit_ns is None and (is_at_limit or ready < self._ready):
            self._limit_ns = now_ns
        if ready < self._ready and self._limit_ns is not None:
            self._cut_ns = now_ns - self._limit_ns
            self.cut += self._ready - ready
            self._ready = ready


def tell(event: str, **fields: Any) -> None:  # noqa: ANN401 -- JSON
    """Print one line for the bench that has started this process."""
    print(json.dumps({"event": event, **fields}), flush=True)


async def run(options: argparse.Namespace) -> None:
    """Serve until every client has gone."""
    made: BroadcastServer | TapecastServer = (
        BroadcastServer()
        if options.server == "broadcast"
        else TapecastServer(clients=options.clients)
    )
    async with made as server:
        calm_collector()
        tell("listening", port=server.port)
        while server.ready < options.clients:  # noqa: ASYNC110 -- no event of it is to be had
            await asyncio.sleep(0.01)
        begin_ns = time.monotonic_ns()
        tell("begun", begin_ns=begin_ns)
        watch = Watch(server, clients=options.clients)
        watching = asyncio.create_task(watch.run()) if options.watch else None
        if options.paced:
            published = await follow_stdin(server)
        else:
            published = await saturate(
                server, joined=options.joined, seconds=options.seconds, begin_ns=begin_ns
            )
        if watching is not None:
            watching.cancel()
        server.end()
        tell(
            "ended",
            published=published,
            peak_pending_bytes=watch.peak_pending_bytes,
            cut=watch.cut,
            cut_s=watch.cut_s,
        )
        while server.ready:  # noqa: ASYNC110 -- the same
            await asyncio.sleep(0.01)
        await asyncio.sleep(LINGER_S)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=("broadcast", "tapecast"))
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--joined", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--paced", action="store_true")
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--core", type=int)
    options = parser.parse_args(arguments)
    # Who is cut off is counted; a line of each would be one of the costs.
    logging.disable(logging.WARNING)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options))


if __name__ == "__main__":
    main()
