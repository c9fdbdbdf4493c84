"""The example session of the specification, with the clients that it names."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from msgspec import UNSET

from tapecast import Batch, Engine
from tapecast.messages import ErrorReply, Ohlcv, Snapshot, Stats, Trade, decode_message
from tapecast.server import Hub, Listener, ServerLimits

from . import foreign

SUBSCRIBE = '{"action":"subscribe","topic":"status"}'
MINUTE_MS = 60_000
START_MS = 1_700_000_040_000
# Every field that the specification names, by type of message.
TRADE = "symbol side price volume timestamp timestamp_iso message_counts"
OHLCV = (
    "exchange symbol timeframe timestamp open high low close volume trades vwap timestamp_iso text"
)
STATS = "timestamp text last_prices message_counts message_rates thread_statuses"
SPECIFIED = {Stats: STATS.split(), Trade: TRADE.split(), Ohlcv: OHLCV.split()}


class StillClock:
    """A clock that stands still: nothing here depends on time."""

    def monotonic_s(self) -> float:
        return 0.0

    def wall_ms(self) -> int:
        return START_MS


@dataclass
class Stream:
    """An engine and the listener that serves what it publishes."""

    engine: Engine
    hub: Hub
    listener: Listener
    trades: int = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.listener.port}/ws/status"

    def trade(self, symbol: str = "BTCUSDT", *, minute: int = 0) -> Batch:
        """Feed one more trade."""
        self.trades += 1
        time_ms = START_MS + minute * MINUTE_MS + self.trades
        trade = {"T": time_ms, "s": symbol, "S": "Sell", "v": "0.0010", "p": "16578.50"}
        trade |= {"L": "PlusTick", "i": f"00000000-0000-0000-0000-{self.trades:012}", "BT": False}
        frame = {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": time_ms}
        raw = json.dumps({**frame, "data": [trade]}).encode()
        return self.engine.feed(raw, received_ns=time_ms * 1_000_000)

    def candles(self, *, minute: int) -> Batch:
        """Close every window up to the end of a minute."""
        return self.engine.advance(START_MS + (minute + 1) * MINUTE_MS + 1000)

    def stats(self) -> Batch:
        """Publish the figures."""
        counts = {**self.hub.counts.as_dict(), "reconnects": 0}
        return self.engine.stats(START_MS, interval_ns=10**9, counts=counts)


@asynccontextmanager
async def serving(limits: ServerLimits) -> AsyncIterator[Stream]:
    """Serve an engine on a free port."""
    engine = Engine(epoch="e-1")
    hub = Hub(engine, limits=limits)
    broadcaster = asyncio.create_task(hub.run(StillClock()))
    async with asyncio.timeout(60), Listener(hub, StillClock(), port=0) as listener:
        yield Stream(engine, hub, listener)
    broadcaster.cancel()


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    """Serve an engine as by default."""
    async with serving(ServerLimits()) as stream:
        yield stream


@pytest.mark.parametrize("name", foreign.NAMES)
async def test_the_example_session_prints_the_stream_word_for_word(
    stream: Stream, name: str
) -> None:
    known = [*stream.trade(), *stream.candles(minute=0), *stream.stats()]
    async with foreign.run(name, stream.url) as client:
        await client.type(SUBSCRIBE)
        snapshot = decode_message(await client.message())
        assert isinstance(snapshot, Snapshot)
        assert snapshot.seq == len(known)
        assert UNSET not in (snapshot.stats, snapshot.trades, snapshot.ohlcv)
        sent = []
        for minute in range(1, 6):
            for batch in (
                *(stream.trade(minute=minute) for _ in range(20)),
                stream.candles(minute=minute),
                stream.stats(),
            ):
                stream.hub.publish(batch)
                sent += [message.payload for message in batch]
        printed = [await client.message() for _ in sent]
    assert printed == sent
    assert {type(decode_message(payload)) for payload in printed} == SPECIFIED.keys()
    for payload in printed:
        message = json.loads(payload)
        assert message["topic"] == "status"
        assert message.keys() >= set(SPECIFIED[type(decode_message(payload))])


@pytest.mark.parametrize("name", foreign.NAMES)
async def test_a_compressed_stream_prints_the_same(name: str) -> None:
    async with (
        serving(ServerLimits(compression=True)) as stream,
        foreign.run(name, stream.url) as client,
    ):
        await client.type(SUBSCRIBE)
        await client.message()
        (known,) = stream.listener._clients
        assert (known.window_bits > 0) == (name == "wscat")
        batches = [*(stream.trade() for _ in range(20)), stream.candles(minute=0)]
        for batch in (*batches, stream.stats()):
            stream.hub.publish(batch)
            for message in batch:
                assert await client.message() == message.payload


@pytest.mark.parametrize("name", foreign.NAMES)
async def test_a_snapshot_of_many_symbols_arrives_whole(stream: Stream, name: str) -> None:
    for number in range(500):
        stream.trade(f"S{number}USDT")
    stream.candles(minute=0)
    expected = stream.engine.snapshot()
    assert len(expected) > 200_000
    async with foreign.run(name, stream.url) as client:
        await client.type(SUBSCRIBE)
        assert await client.message() == expected
        batch = stream.stats()
        stream.hub.publish(batch)
        assert await client.message() == batch[0].payload


@pytest.mark.parametrize("name", foreign.NAMES)
async def test_a_typing_mistake_is_answered_and_the_next_line_works(
    stream: Stream, name: str
) -> None:
    async with foreign.run(name, stream.url) as client:
        await client.type("subscribe status")
        assert decode_message(await client.message()) == ErrorReply(
            code="bad_json", message='command is "subscribe status", expected one JSON object'
        )
        await client.type(SUBSCRIBE)
        assert decode_message(await client.message()) == Snapshot(epoch="e-1", seq=0)


async def test_wscat_shows_why_the_server_has_gone(stream: Stream) -> None:
    async with foreign.run_wscat(foreign.find("wscat"), stream.url) as client:
        await client.type(SUBSCRIBE)
        await client.message()
        await stream.listener.__aexit__(None, None, None)
        assert await client.disconnected() == (
            'Disconnected (code: 1012, reason: "server is shutting down")'
        )
