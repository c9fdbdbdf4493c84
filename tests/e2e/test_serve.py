"""The daemon as a process of its own: an exchange that dies, clients that hang, recorded input."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import zstandard
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tapecast import aggregate
from tapecast.messages import GapUpstream, Ohlcv, Trade, Upstream, decode_message
from tests.daemon.harness import Client, subscriber

from .process import tapecast

MINUTE_MS = 60_000
START_MS = 1_790_000_040_000


def frame(number: int) -> bytes:
    event_ms = START_MS + number * 250
    trade = {"T": event_ms, "s": "BTCUSDT", "S": "Sell", "v": "0.001", "p": f"{100 + number % 7}.5"}
    head = {"topic": "publicTrade.BTCUSDT", "ts": event_ms, "type": "snapshot"}
    return json.dumps({**head, "data": [{**trade, "i": str(number), "seq": number}]}).encode()


async def test_an_exchange_that_is_killed_and_comes_back_is_found_again() -> None:
    async with tapecast("sim", "--port", "0", "--rate", "200") as exchange:
        port = (await exchange.logged(r"REST +http://127.0.0.1:(\d+)"))[1]
        urls = ("--bybit-ws-url", f"ws://127.0.0.1:{port}/v5/public")
        # Candles of no interest here: what counts is that the line comes back by itself.
        options = ("--port", "0", "--symbols", "BTCUSDT", "--bybit-backoff-cap-s", "1")
        async with tapecast("serve", *urls, *options) as daemon:
            async with subscriber(await daemon.url()) as client:
                await client.find(Trade)
                await exchange.end(signal.SIGKILL)
                await client.find(Upstream, state="reconnecting")
                async with tapecast("sim", "--port", port, "--rate", "200"):
                    await client.find(Upstream, state="connected")
                    await client.find(GapUpstream, state="unhealed")
                    await client.find(Trade)
            assert await daemon.end() == 0


async def test_a_client_that_never_reads_does_not_delay_the_end() -> None:
    async with tapecast("demo", "--port", "0", "--rate", "3000") as demo:
        url = await demo.url()
        port = int(url.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as mute:
            mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            mute.sendall(
                b"GET /ws/status HTTP/1.1\r\nHost: x\r\n"
                b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
                # One masked frame with the plain subscribe, the mask being zeros.
                b"\x81\xa7\0\0\0\0" + b'{"action":"subscribe","topic":"status"}'
            )
            async with subscriber(url) as client:
                for _ in range(300):
                    await client.find(Trade)
                # Three seconds are promised to the clients; the process has to end, too.
                async with asyncio.timeout(4):
                    assert await demo.end() == 0


async def test_a_recording_is_served_whole_to_a_client_that_is_waited_for(tmp_path: Path) -> None:
    frames = [frame(number) for number in range(1_000)]
    path = tmp_path / "day.jsonl.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"\n".join(frames)))
    options = ("--speed", "max", "--wait-clients", "1", "--port", "0")
    async with tapecast("serve", "--replay", str(path), *options) as daemon:
        async with connect(await daemon.url(), proxy=None) as connection:
            client = Client(connection)
            await connection.send('{"action":"subscribe","topic":"status"}')
            try:
                while True:
                    client.messages.append(decode_message(await connection.recv(decode=False)))
            except ConnectionClosed:
                pass
        assert await daemon.process.wait() == 0
    assert [trade.trade_id for trade in client.all(Trade)] == [str(n) for n in range(1_000)]
    candles = aggregate(frames)
    closed = candles[candles["closed"]]
    assert [float(candle.volume) for candle in client.all(Ohlcv)] == closed["volume"].tolist()
    printed = [line for line in daemon.stdout if " ohlcv " in line]
    assert printed == [candle.text for candle in client.all(Ohlcv)]


async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(frame(0))
    async with tapecast(
        "serve", "--replay", str(path), "--wait-clients", "1", "--port", "0"
    ) as run:
        await run.url()
        run.process.send_signal(signal.SIGTERM)
        run.process.send_signal(signal.SIGTERM)
        assert await run.process.wait() in {0, 143}
