"""What the tests of the exchange without sockets share."""

import json
from collections.abc import Iterable
from typing import Any

from tapecast.sim.connection import Connection
from tapecast.sim.desk import Desk
from tapecast.sim.faults import Fault, Script
from tapecast.sim.instruments import Category, select_instruments

START_MS = 1_790_000_040_000
"""A full minute."""

BTC: tuple[Category, str] = ("linear", "BTCUSDT")
TRADES = "publicTrade.BTCUSDT"
KLINES = "kline.1.BTCUSDT"


def desk(
    *faults: Fault,
    seed: int = 0,
    rate: float = 0.0,
    symbols: tuple[str, ...] = ("linear:BTCUSDT", "linear:ETHUSDT", "spot:BTCUSDT", "option:BTC-*"),
) -> Desk:
    """Return an exchange that trades when it is told to, or at a rate."""
    return Desk(
        select_instruments(symbols),
        start_ms=START_MS,
        seed=1,
        rate=rate,
        script=Script(seed=seed, faults=faults),
    )


def subscribe(
    sim: Desk, *topics: str, category: Category = "linear", expected: bool = True
) -> Connection:
    """Connect, subscribe and take the reply."""
    line = sim.connect(category)
    reply = ask(line, "subscribe", *topics)
    assert reply["success"] is expected
    return line


def ask(line: Connection, op: str, *topics: str) -> dict[str, Any]:
    """Send a command and return the only frame that waits then."""
    line.receive(json.dumps({"op": op, "args": topics}))
    (frame,) = line.pending()
    reply: dict[str, Any] = json.loads(frame)
    return reply


def ids(frames: Iterable[bytes]) -> list[str]:
    """Return the ids of the trades in frames."""
    return [row["i"] for frame in frames for row in json.loads(frame)["data"] if "i" in row]
