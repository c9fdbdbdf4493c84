"""A client process of the fan-out bench: many connections that count what they receive.

`python -m tapecast.bench.counting PORT CLIENTS` speaks in lines with whoever started it: it prints
`ready` once every connection has its first message, reads how many trades each is to receive,
prints `reached` when they have, closes, and prints what each has counted, as a JSON array.
"""

import asyncio
import json
import sys
import time
from typing import Final

__all__ = ["MARK", "CountingClient", "main"]

MARK: Final = b'"type":"trade"'
"""Stands exactly once in every trade message, and in no other."""

_HANDSHAKE: Final = (
    b"GET /ws/status HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SUBSCRIBE: Final = b'{"action":"subscribe","topic":"status","types":["trade"]}'
_TEXT, _CLOSE = 0x81, 0x88
_MASKED: Final = 0x80
_LIMIT_S: Final = 30.0


class CountingClient(asyncio.Protocol):
    """One connection. It counts marks, which is quicker than parsing frames and as exact."""

    def __init__(self) -> None:
        self.count = 0
        self.ready = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self._head = b""
        self._is_open = False
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the handshake."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(_HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        """Count, once the handshake is done."""
        if not self._is_open:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                status = head.partition(b"\r\n")[0].decode("latin-1")
                self.ready.set_exception(ConnectionError(f"{status}, expected HTTP/1.1 101"))
                return
            self._is_open = True
            self._send(_TEXT, _SUBSCRIBE)
        if data and not self.ready.done():
            self.ready.set_result(None)
        # A mark may lie across the border of two chunks.
        border = self._tail + data[: len(MARK) - 1]
        self.count += data.count(MARK) + border.count(MARK)
        self._tail = (self._tail + data)[-(len(MARK) - 1) :]

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        self.lost.set()
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("closed before the first message"))

    def close(self) -> None:
        """Begin the closing handshake; everything sent before its answer is still counted."""
        self._send(_CLOSE, b"")

    def _send(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros leaves the payload as it is (RFC 6455, section 5.3).
        if self._transport is not None:
            self._transport.write(bytes([opcode, _MASKED | len(payload)]) + bytes(4) + payload)


async def _reached(clients: list[CountingClient], count: int) -> bool:
    limit_s = time.monotonic() + _LIMIT_S
    while any(client.count < count and not client.lost.is_set() for client in clients):
        if time.monotonic() > limit_s:
            return False
        await asyncio.sleep(0.001)
    return True


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(port: int, count: int) -> None:
    """Connect, count, and tell; see the module."""
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(count):
        _, client = await loop.create_connection(CountingClient, "127.0.0.1", port)
        clients.append(client)
    await asyncio.gather(*(client.ready for client in clients))
    _say("ready")
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        return
    await _reached(clients, int(line))
    _say("reached")
    for client in clients:
        client.close()
    async with asyncio.timeout(_LIMIT_S):
        await asyncio.gather(*(client.lost.wait() for client in clients))
    _say(json.dumps([client.count for client in clients]))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
