"""The exchange's own candles as REST tells them."""

import json
from typing import Any

import pytest

from tapecast.bybit.kline import Kline
from tapecast.bybit.kline_rows import MINUTE_MS, read_kline_rows
from tapecast.errors import FeedError
from tests.bybit.pages import START_MS

NUMBERS = ["100", "102.50", "99.9", "101", "0.010", "1.0"]


def read(*rows: Any, most: int = 1000) -> list[Kline]:  # noqa: ANN401 -- bad rows are of any type
    last_ms = START_MS + 2 * MINUTE_MS
    body = json.dumps(rows).encode()
    return read_kline_rows(body, symbol="BTCUSDT", first_ms=START_MS, last_ms=last_ms, most=most)


def row(minute: int, **numbers: object) -> list[object]:
    names = ("open", "high", "low", "close", "volume", "turnover")
    values = dict(zip(names, NUMBERS, strict=True)) | numbers
    return [str(START_MS + minute * MINUTE_MS), *values.values()]


def test_candles_come_oldest_first_with_their_numbers_as_they_are_written() -> None:
    assert read(row(2), [*row(0, volume="0"), "added"], row(1)) == [
        Kline("BTCUSDT", START_MS, "100", "102.50", "99.9", "101", "0", "1.0"),
        Kline("BTCUSDT", START_MS + MINUTE_MS, *NUMBERS),
        Kline("BTCUSDT", START_MS + 2 * MINUTE_MS, *NUMBERS),
    ]


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (row(0, open="0"), 'kline open is "0", expected a positive decimal (row 0)'),
        (row(0, high=1), "kline high is 1, expected a positive decimal (row 0)"),
        (row(0, low=""), 'kline low is "", expected a positive decimal (row 0)'),
        (row(0, close="x"), 'kline close is "x", expected a positive decimal (row 0)'),
        (row(0, volume="-1"), 'kline volume is "-1", expected a decimal (row 0)'),
        (row(0, turnover=None), "kline turnover is null, expected a decimal (row 0)"),
        (
            [str(START_MS + 1), *NUMBERS],
            f'kline start is "{START_MS + 1}", expected the first millisecond of a minute (row 0)',
        ),
        (row(0)[:-1], "kline is without turnover, expected a decimal (row 0)"),
        (
            row(3),
            f"kline starts at {START_MS + 180_000}, expected {START_MS} to {START_MS + 120_000}",
        ),
    ],
)
def test_a_bad_row_refuses_the_page_and_is_named(bad: list[object], text: str) -> None:
    with pytest.raises(FeedError) as caught:
        read(bad)
    assert str(caught.value) == text


def test_a_minute_that_comes_twice_is_refused() -> None:
    with pytest.raises(FeedError) as caught:
        read(row(1), row(0), row(1))
    assert str(caught.value) == (
        f"kline of {START_MS + MINUTE_MS} comes twice, expected one of each minute"
    )


def test_more_rows_than_were_asked_for_are_refused() -> None:
    with pytest.raises(FeedError) as caught:
        read(row(0), row(1), most=1)
    assert str(caught.value) == "page has 2 rows, expected at most 1"
