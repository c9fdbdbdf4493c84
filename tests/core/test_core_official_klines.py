"""Another exchange's raw trades give that exchange's own klines, to the last digit.

The trades are Binance's (USD-M BTCUSDT), re-shaped as Bybit frames: an oracle for the arithmetic
that neither tapecast nor its tests have written.
"""

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest

from tapecast.batch import aggregate
from tests.core.frames import frame_of

Kline: TypeAlias = tuple[
    int, Decimal, Decimal, Decimal, Decimal, Decimal, int, Decimal, int, Decimal
]
WHOLE_MINUTES = slice(1, 6)
"""The rows of the file whose minutes the trades cover from end to end."""


@pytest.fixture(scope="module")
def trades(shared_data: Path) -> list[dict[str, Any]]:
    path = shared_data / "binance_hftbacktest" / "usdm_btcusdt_20240808.trades.txt.gz"
    with gzip.open(path, "rt") as file:
        raw = [json.loads(line.split(" ", maxsplit=1)[1])["data"] for line in file]
    return [
        {
            "T": trade["T"],
            "s": trade["s"],
            # If the buyer was the maker, the taker sold.
            "S": "Sell" if trade["m"] else "Buy",
            "v": trade["q"],
            "p": trade["p"],
            "i": str(trade["t"]),
            "BT": False,
            "seq": trade["t"],
        }
        for trade in raw
    ]


@pytest.fixture(scope="module")
def klines(shared_data: Path) -> list[Kline]:
    path = shared_data / "binance_hftbacktest" / "official_klines_usdm_BTCUSDT_1m_20240808.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[WHOLE_MINUTES]
    return [
        (
            int(row[0]),
            *(Decimal(row[1]), Decimal(row[2]), Decimal(row[3]), Decimal(row[4]), Decimal(row[5])),
            *(int(row[6]), Decimal(row[7]), int(row[8]), Decimal(row[9])),
        )
        for row in rows
    ]


def candles(frames: list[bytes]) -> list[Kline]:
    """Return the candles of the whole minutes, field by field as the exchange lists them."""
    rows = aggregate(frames, exact=True)
    assert rows["complete"].tolist() == [False] + [True] * (len(rows) - 2) + [False]
    return [
        (
            int(row["start_ms"]),
            *(Decimal(row["open"]), Decimal(row["high"]), Decimal(row["low"])),
            *(Decimal(row["close"]), Decimal(row["volume"]), int(row["end_ms"]) - 1),
            *(Decimal(row["turnover"]), int(row["trades"]), Decimal(row["buy_volume"])),
        )
        for row in rows[WHOLE_MINUTES]
    ]


def test_a_whole_run_gives_the_official_klines(
    trades: list[dict[str, Any]], klines: list[Kline]
) -> None:
    assert len(trades) == 21_313
    assert len(klines) == 5
    frames = [frame_of(trades[at : at + 7]) for at in range(0, len(trades), 7)]
    assert candles(frames) == klines


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_repeated_and_split_run_gives_the_official_klines(
    trades: list[dict[str, Any]], klines: list[Kline], seed: int
) -> None:
    random = Random(seed)
    arrivals = trades + random.sample(trades, 5_000)
    random.shuffle(arrivals)
    frames = []
    while arrivals:
        size = random.choice((1, 2, 10, 1_024))
        frames.append(frame_of(arrivals[:size]))
        arrivals = arrivals[size:]
    assert candles(frames) == klines


def test_frames_in_any_order_and_some_of_them_twice_give_the_official_klines(
    trades: list[dict[str, Any]], klines: list[Kline]
) -> None:
    random = Random(7)
    frames = [frame_of(trades[at : at + 20]) for at in range(0, len(trades), 20)]
    frames += random.sample(frames, 300)
    random.shuffle(frames)
    assert candles(frames) == klines
