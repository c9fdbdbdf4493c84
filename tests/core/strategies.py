"""What hypothesis draws: trades, frames, clocks and settings."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.core.frames import START_MS, Category
from tests.reference import MINUTE_MS, RefSettings

Arrival: TypeAlias = tuple[Category, str, dict[str, Any]]
"""A trade as it stands in a frame, with its category and topic."""

INSTRUMENTS: list[tuple[Category, str, str]] = [
    ("linear", "BTCUSDT", "BTCUSDT"),
    ("spot", "BTCUSDT", "BTCUSDT"),
    ("inverse", "BTCUSD", "BTCUSD"),
    ("option", "BTC", "BTC-25JUN27-106000-C-USDT"),
    ("option", "BTC", "BTC-25JUN27-106000-P-USDT"),
]
_OFFSETS = (0, 1, 999, 1_000, 30_000, 59_000, 59_999)
_MINUTES = 5


@dataclass(frozen=True)
class Step:
    """One call of the engine; for `feed`, which trades arrive."""

    kind: str
    at_ms: int
    arrivals: tuple[int, ...]


def decimal_text(units: int, scale: int, zeros: int) -> str:
    """Return `units / 10**scale` as text, with that many zeros too many at its end."""
    digits = str(units).rjust(scale + 1, "0")
    if scale == 0:
        return digits
    return f"{digits[:-scale]}.{digits[-scale:]}{'0' * zeros}"


def trade_id(number: int) -> str:
    """Return a trade id in one of the forms that the exchange uses, or used."""
    forms = (
        f"{2290000000000000000 + number}",
        f"ab76cb24-30df-59ce-8a55-{number:012x}",
        f"odd-{number}-\u00e9",
    )
    return forms[number % len(forms)]


@st.composite
def _trades(draw: st.DrawFn) -> list[Arrival]:
    prices = st.tuples(
        st.integers(1, 10**9) | st.integers(1, 9), st.integers(0, 8), st.integers(0, 2)
    )
    sizes = st.tuples(
        st.integers(1, 10**6) | st.integers(1, 9), st.integers(0, 6), st.integers(0, 2)
    )
    places = st.tuples(
        st.sampled_from(INSTRUMENTS),
        st.integers(0, _MINUTES - 1),
        st.sampled_from(_OFFSETS),
        st.integers(0, 7),
    )
    drawn = draw(st.lists(st.tuples(places, prices, sizes), min_size=1, max_size=9))
    trades: list[Arrival] = []
    for number, (place, price, size) in enumerate(drawn):
        (category, topic, symbol), minute, offset, flags = place
        item = {
            "T": START_MS + minute * MINUTE_MS + offset,
            "s": symbol,
            "S": "Buy" if flags & 1 else "Sell",
            "v": decimal_text(*size),
            "p": decimal_text(*price),
            "i": trade_id(number),
            "BT": flags & 6 == 6,
            # Each has a number of its own, but not in the order of arrival.
            "seq": 900_000 + number * 7 % 11 * 100 + number,
        }
        trades.append((category, topic, item))
    return trades


trades = _trades()


def settings(*, revise_windows_ms: tuple[int, ...]) -> st.SearchStrategy[RefSettings]:
    """Draw every combination of the settings that shape candles."""
    return st.builds(
        RefSettings,
        grace_ms=st.sampled_from((0, 1_000, 61_500)),
        revise_window_ms=st.sampled_from(revise_windows_ms),
        empty=st.sampled_from(("skip", "flat")),
        open=st.sampled_from(("first_trade", "previous_close")),
        include_block_trades=st.booleans(),
        clock=st.sampled_from(("wall", "event")),
        assume_covered=st.booleans(),
    )


def steps(count: int) -> st.SearchStrategy[list[Step]]:
    """Draw calls of the engine that deliver some of `count` trades, some of them repeatedly."""
    arrivals = st.lists(st.integers(0, count - 1), min_size=1, max_size=5).map(tuple)
    kinds = ("feed", "feed", "feed", "advance", "advance", "cover", "uncover")
    times = st.integers(0, (_MINUTES + 3) * 4).map(lambda quarter: START_MS + quarter * 15_000)
    step = st.builds(Step, kind=st.sampled_from(kinds), at_ms=times, arrivals=arrivals)
    return st.lists(step, min_size=1, max_size=8)


@st.composite
def _scenarios(draw: st.DrawFn) -> tuple[RefSettings, list[Arrival], list[Step]]:
    pool = draw(trades)
    chosen = draw(settings(revise_windows_ms=(0, 60_000, 150_000, 600_000)))
    return chosen, pool, draw(steps(len(pool)))


scenarios = _scenarios()
