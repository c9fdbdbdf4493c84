"""The README's first command and the specification's example session, in processes of their own."""

import json
import signal
from collections.abc import Iterable
from decimal import Decimal

import aiohttp
import pytest

from tapecast.messages import Ohlcv, ServerMessage, Snapshot, Stats, Trade, Upstream, decode_message

from . import foreign
from .process import tapecast
from .test_foreign_clients import OHLCV, STATS, SUBSCRIBE, TRADE

SPECIFIED = {Stats: STATS, Trade: TRADE, Ohlcv: OHLCV}


async def ledger_of(rest_url: str) -> dict[str, dict[str, object]]:
    """Return every trade that the exchange executed, by id, in order."""
    trades: dict[str, dict[str, object]] = {}
    async with aiohttp.ClientSession() as session:
        after = 0
        while True:
            async with session.get(f"{rest_url}/sim/ledger", params={"after": after}) as response:
                lines = (await response.text()).splitlines()
            if not lines:
                return trades
            for trade in map(json.loads, lines):
                trades[trade["trade_id"]] = trade
                after = trade["number"]


def check_fields(payloads: Iterable[bytes]) -> None:
    """Assert that every message of the specification has the fields that it names."""
    for payload in payloads:
        message = decode_message(payload)
        if type(message) in SPECIFIED:
            assert json.loads(payload).keys() >= {
                "topic",
                "type",
                *SPECIFIED[type(message)].split(),
            }


def trades_of(messages: Iterable[ServerMessage]) -> list[Trade]:
    return [message for message in messages if isinstance(message, Trade)]


@pytest.mark.parametrize("name", foreign.NAMES)
async def test_the_demo_shows_a_foreign_client_every_trade_of_the_ledger_in_order(
    name: str,
) -> None:
    async with tapecast("demo", "--port", "0", "--rate", "300") as demo:
        rest_url = (await demo.logged(r"REST (http://\S+)"))[1]
        async with foreign.run(name, await demo.url()) as client:
            await demo.printed(" stats .* trade_messages [1-9]")
            await client.type(SUBSCRIBE)
            payloads = [await client.message()]
            while sum(b'"type":"stats"' in payload[:40] for payload in payloads) < 3:
                payloads.append(await client.message())
        ledger = await ledger_of(rest_url)
        assert await demo.end(signal.SIGINT) == 0
    messages = [decode_message(payload) for payload in payloads]
    check_fields(payloads)
    assert isinstance(messages[0], Snapshot)
    # A second line may connect meanwhile.
    assert {type(message) for message in messages[1:]} <= {Trade, Stats, Ohlcv, Upstream}
    check_against(ledger, trades_of(messages))
    texts = [message.text for message in messages if isinstance(message, Stats | Ohlcv)]
    assert set(texts) <= set(demo.stdout)
    assert demo.stderr[-1].endswith("info tapecast.daemon.app: stopped")


def check_against(ledger: dict[str, dict[str, object]], streamed: list[Trade]) -> None:
    """Assert that a stretch of the stream is, category by category, a stretch of the ledger."""
    assert streamed
    for category in {trade.category for trade in streamed}:
        own = [trade for trade in streamed if trade.category == category]
        subscribed = {"linear": "USDT", "spot": "USDT", "inverse": "USD", "option": "USDT"}
        true = [
            trade
            for trade in ledger.values()
            if trade["category"] == category and str(trade["symbol"]).endswith(subscribed[category])
        ]
        first = next(at for at, trade in enumerate(true) if trade["trade_id"] == own[0].trade_id)
        for trade, truth in zip(own, true[first:], strict=False):
            assert (trade.trade_id, trade.symbol) == (truth["trade_id"], truth["symbol"])
            assert (trade.side, trade.timestamp) == (truth["taker_side"], truth["event_ms"])
            assert trade.price == Decimal(str(truth["price"]))
            assert trade.volume == Decimal(str(truth["size"]))


async def test_stdout_holds_the_lines_of_stats_and_candles_and_nothing_else() -> None:
    async with tapecast("demo", "--port", "0") as demo:
        await demo.printed(" stats .* trade_messages [1-9]")
        assert await demo.end(signal.SIGTERM) == 0
    kinds = {line.split()[1] for line in demo.stdout}
    assert kinds <= {"stats", "ohlcv"}
    assert all(line.split()[1] in {"info", "warning"} for line in demo.stderr)
