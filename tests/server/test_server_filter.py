"""Which messages a subscription lets through."""

import pytest

from tapecast._core import Batch
from tapecast.server.filter import Filter

from .server_fakes import FakeEngine


def passes(chosen: Filter, batch: Batch) -> list[str]:
    """Return the types of the messages that a filter lets through."""
    return [message.type for message in chosen.of(batch)]


def test_without_types_and_symbols_everything_passes() -> None:
    engine = FakeEngine()
    batch = Batch.joined([engine.trades(), engine.stats()])
    assert Filter().of(batch) is batch


def test_types_hold_for_messages_with_and_without_symbol() -> None:
    engine, chosen = FakeEngine(), Filter(types=["trade", "stats"])
    assert passes(chosen, engine.candle()) == ["trade"]
    assert passes(chosen, engine.stats()) == ["stats"]
    assert passes(chosen, engine.line()) == []


def test_symbols_hold_only_for_messages_with_a_symbol() -> None:
    engine, chosen = FakeEngine(), Filter(symbols=["ETHUSDT"])
    assert passes(chosen, engine.gap("ETHUSDT")) == ["gap"]
    assert passes(chosen, engine.gap("BTCUSDT")) == []
    assert passes(chosen, engine.line()) == ["upstream"]


@pytest.mark.parametrize(
    "pattern",
    [
        *("BTC-25JUN27-*", "BTC*", "option:BTC-25JUN27-1-C", "*-C-USDT", "*25JUN27*", "BTC*27-*"),
        *("[A-C]TC-*", "BTC*C-USDT", "option:*JUN*", "BTC?25JUN27*", "opt*:BTC-*"),
    ],
)
def test_a_gap_of_options_passes_to_whoever_has_contracts_of_its_coin(pattern: str) -> None:
    gap = FakeEngine().gap("BTC", "option")
    assert passes(Filter(symbols=[pattern]), gap) == ["gap"]
    assert passes(Filter(symbols=["ETH-25JUN27-*", "spot:BTC*"]), gap) == []


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("BTCUSDT", {"linear:BTCUSDT", "spot:BTCUSDT"}),
        ("BTC*", {"linear:BTCUSDT", "spot:BTCUSDT", "option:BTC-27NOV26-90000-C"}),
        ("btc*", set()),
        ("spot:BTC*", {"spot:BTCUSDT"}),
        ("*:BTCUSDT", {"linear:BTCUSDT", "spot:BTCUSDT"}),
        ("?THUSDT", {"linear:ETHUSDT"}),
        ("[EB]*T", {"linear:ETHUSDT", "linear:BTCUSDT", "spot:BTCUSDT"}),
        ("[z-a]", set()),
        ("*", {"linear:BTCUSDT", "spot:BTCUSDT", "linear:ETHUSDT", "option:BTC-27NOV26-90000-C"}),
        ("USDT", set()),
    ],
)
def test_each_pattern_matches_exactly_its_symbols(pattern: str, matching: set[str]) -> None:
    symbols = [
        ("linear", "BTCUSDT"),
        ("spot", "BTCUSDT"),
        ("linear", "ETHUSDT"),
        ("option", "BTC-27NOV26-90000-C"),
    ]
    chosen = Filter(symbols=[pattern])
    found = {
        f"{category}:{symbol}" for category, symbol in symbols if chosen.matches(category, symbol)
    }
    assert found == matching


def test_filters_that_let_the_same_through_share_a_key() -> None:
    assert (
        Filter(["trade", "stats"], ["B*", "A*"]).key == Filter(["stats", "trade"], ["A*", "B*"]).key
    )
    assert Filter(["trade"]).key != Filter(symbols=["trade"]).key


def test_what_is_known_of_symbols_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapecast.server.filter._MAX_CACHED_SYMBOLS", 3)
    chosen = Filter(symbols=["S1*"])
    matches = [chosen.matches("spot", f"S{number}") for number in range(20)]
    assert [number for number, match in enumerate(matches) if match] == [1, *range(10, 20)]
    assert chosen._known is not None
    assert len(chosen._known) <= 3


def test_a_pattern_made_to_backtrack_is_matched_in_no_time() -> None:
    assert not Filter(symbols=["*a" * 1000 + "b"]).matches("spot", "a" * 5000)
