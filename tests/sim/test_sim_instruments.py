"""The table of simulated instruments and its REST rows."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from tapecast.errors import ConfigError
from tapecast.sim.digits import scaled_integer
from tapecast.sim.instruments import CATEGORIES, INSTRUMENTS, select_instruments
from tapecast.sim.listing import instrument_row


def test_every_category_is_listed_and_no_symbol_twice() -> None:
    assert Counter(one.category for one in INSTRUMENTS) == {
        "linear": 30,
        "spot": 14,
        "inverse": 5,
        "option": 10,
    }
    assert len({(one.category, one.symbol) for one in INSTRUMENTS}) == len(INSTRUMENTS)


def test_start_prices_lie_on_the_tick_grid() -> None:
    for one in INSTRUMENTS:
        assert Decimal(one.start_price) % Decimal(one.tick_size) == 0, one.symbol
        assert scaled_integer(one.start_price)[1] == scaled_integer(one.tick_size)[1], one.symbol


def test_activity_falls_with_the_rank_within_each_category() -> None:
    for category in CATEGORIES:
        weights = [one.weight for one in INSTRUMENTS if one.category == category and one.weight]
        assert weights == sorted(weights, reverse=True)
        assert weights[0] / weights[1] == pytest.approx(2.0)


def test_only_the_contract_before_its_launch_never_trades() -> None:
    assert [one.symbol for one in INSTRUMENTS if one.weight == 0] == ["NOVAUSDT"]
    assert [one.symbol for one in INSTRUMENTS if one.status == "PreLaunch"] == ["NOVAUSDT"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["linear:BTCUSDT"], {"linear:BTCUSDT"}),
        (["BTC*"], {"linear:BTCUSDT", "linear:BTCPERP", "linear:BTCUSDT-26MAR27"}),
        (["spot:*USDC", "inverse:ETHUSD"], {"spot:BTCUSDC", "spot:ETHUSDC", "inverse:ETHUSD"}),
        (["option:ETH-25JUN27-*"], {"option:ETH-25JUN27-4000-C-USDT"}),
    ],
)
def test_patterns_select_symbols(patterns: list[str], expected: set[str]) -> None:
    assert {f"{one.category}:{one.symbol}" for one in select_instruments(patterns)} == expected


def test_a_base_coin_selects_all_of_its_options() -> None:
    chosen = select_instruments(["option:ETH"])
    assert [one.topic for one in chosen] == ["publicTrade.ETH"] * 4


def test_every_pattern_without_a_match_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        select_instruments(["linear:BTCUSDT", "linear:NOPE", "futures:BTCUSDT"])
    assert str(caught.value) == (
        'symbols: "linear:NOPE" matches nothing, expected `category:glob` of a simulated symbol\n'
        'symbols: "futures:BTCUSDT" matches nothing, '
        "expected `category:glob` of a simulated symbol"
    )


def _keys(value: object) -> object:
    return {key: _keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize(
    ("sample", "category", "symbol"),
    [
        ("rest_instruments_1.json", "linear", "BTCUSDT"),
        ("rest_instruments_3.json", "option", "BTC-26MAR27-70000-P-USDT"),
        ("rest_instruments_4.json", "spot", "BTCUSDT"),
    ],
)
def test_rows_have_the_shape_of_the_documentation(
    shared_data: Path, sample: str, category: str, symbol: str
) -> None:
    answer = json.loads((shared_data / "bybit_docs_samples" / sample).read_bytes())
    documented = answer["result"]["list"][0]
    documented.pop("symbolId", None)  # newer than most clients; nothing reads it
    (instrument,) = select_instruments([f"{category}:{symbol}"])
    row = instrument_row(instrument)
    assert _keys(row) == _keys(documented)
    assert list(row) == list(documented) or category == "spot"


def test_a_contract_before_its_launch_says_so() -> None:
    (instrument,) = select_instruments(["linear:NOVAUSDT"])
    row = instrument_row(instrument)
    assert (row["status"], row["isPreListing"]) == ("PreLaunch", True)
    assert row["preListingInfo"]["curAuctionPhase"] == "NotStarted"
