"""`kill -9` at any moment: the next process goes on where the clients were, and loses nothing."""

import asyncio
import json
import random
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from .process import LIMIT_S, Tapecast, tapecast

SYMBOLS = "linear:BTCUSDT,linear:ETHUSDT"
RATE = "50"
"""Trades per second: a page of a thousand reaches back further than any restart takes."""
KILLS = 4


class Reader:
    """A client that keeps every message with a number, and comes back where it was."""

    def __init__(self) -> None:
        self.epoch = ""
        self.seq = 0
        self.messages: dict[int, dict[str, object]] = {}
        self.resumed = 0

    def command(self) -> str:
        since = {"since": {"epoch": self.epoch, "seq": self.seq}} if self.epoch else {}
        return json.dumps({"action": "subscribe", "topic": "status", **since})

    async def read(self, connection: ClientConnection) -> None:
        """Read until the connection is lost."""
        await connection.send(self.command())
        async for text in connection:
            message = json.loads(text, parse_float=Decimal)
            match message["type"]:
                case "snapshot":
                    assert not self.epoch, "the numbering goes on, and nothing is given twice"
                    self.epoch, self.seq = message["epoch"], message["seq"]
                case "resumed":
                    assert message["from_seq"] == self.seq + 1
                    self.resumed += 1
                case "bye":
                    return
                case _:
                    assert message["seq"] == self.seq + 1, "no hole and no repeat"
                    self.seq = message["seq"]
                    self.messages[self.seq] = message

    def states(self) -> Counter[object]:
        """Return how many gaps were told to be in each state."""
        gaps = (message for message in self.messages.values() if message["type"] == "gap")
        return Counter(gap["state"] for gap in gaps)

    def trades(self) -> list[dict[str, object]]:
        return [message for message in self.messages.values() if message["type"] == "trade"]


async def ledger_of(rest_url: str, symbol: str) -> list[str]:
    """Return the ids of all trades of a symbol that the simulated exchange has made, in order."""
    ids: list[str] = []
    after = 0
    query = {"category": "linear", "symbol": symbol}
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(
                f"{rest_url}/sim/ledger", params={**query, "after": str(after)}
            ) as response:
                lines = (await response.text()).splitlines()
            if not lines:
                return ids
            trades = [json.loads(line) for line in lines]
            ids += [trade["trade_id"] for trade in trades]
            after = trades[-1]["number"]


def serve(state: Path, sim_url: str) -> tuple[str, ...]:
    ws_url = sim_url.replace("http://", "ws://") + "/v5/public"
    return (
        *("serve", "--port", "0", "--state-dir", str(state), "--symbols", SYMBOLS),
        *("--bybit-ws-url", ws_url, "--bybit-rest-url", sim_url),
    )


async def read_for(run: Tapecast, reader: Reader, *, trades: int, healed: int = 0) -> None:
    """Read until so many more trades and healed gaps have come, and kill the process."""
    wanted = len(reader.trades()) + trades
    async with connect(await run.url(), proxy=None, compression=None, max_size=None) as connection:
        task = asyncio.create_task(reader.read(connection))
        while not task.done() and (
            len(reader.trades()) < wanted or reader.states()["healed"] < healed
        ):
            await asyncio.wait([task], timeout=0.05)
        if task.done():
            task.result()
        run.process.send_signal(signal.SIGKILL)
        await run.process.wait()
        await asyncio.wait([task])
        if task.exception() is not None and not isinstance(task.exception(), OSError):
            assert "close" in str(task.exception()).lower()


@pytest.mark.timeout(LIMIT_S * 2)
async def test_clients_resume_across_kills_and_no_trade_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    chance = random.Random(7)
    reader = Reader()
    async with tapecast("sim", "--port", "0", "--rate", RATE, "--symbols", SYMBOLS) as sim:
        sim_url = (await sim.logged(r"ledger\s+(http://\S+)/sim/ledger"))[1]
        for _ in range(KILLS):
            async with tapecast(*serve(tmp_path / "state", sim_url)) as run:
                await read_for(run, reader, trades=chance.randrange(10, 60))
        async with tapecast(*serve(tmp_path / "state", sim_url)) as run:
            await read_for(run, reader, trades=100, healed=2)
        assert reader.resumed == KILLS
        ids = [str(trade["trade_id"]) for trade in reader.trades()]
        assert len(ids) == len(set(ids)), "each trade once"
        for symbol in ("BTCUSDT", "ETHUSDT"):
            truth = await ledger_of(sim_url, symbol)
            streamed = [id_ for id_ in truth if id_ in set(ids)]
            # What was on the way at the last kill is nobody's loss yet.
            stretch = truth[truth.index(streamed[0]) : truth.index(streamed[-20])]
            assert set(stretch) <= set(ids), "every trade of the exchange"
    states = reader.states()
    # A process that is killed while it heals leaves the rest to the next one.
    assert states["open"] == 2 * KILLS
    assert states["unhealed"] == 0
