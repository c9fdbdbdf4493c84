"""The simulated instruments: real names, tick sizes and lot steps, prices of a plausible day."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec

from tapecast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CATEGORIES", "INSTRUMENTS", "Category", "Instrument", "select_instruments"]

Category: TypeAlias = Literal["spot", "linear", "inverse", "option"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)

# What part of all orders goes to each category.
_SHARE: Final[dict[Category, float]] = {
    "linear": 0.60,
    "spot": 0.28,
    "inverse": 0.08,
    "option": 0.04,
}

_MARCH_27_MS: Final = (
    1806048000000  # 2027-03-26 08:00 UTC, when the contracts 26MAR27 and H27 are delivered
)
_JUNE_27_MS: Final = 1813910400000  # 2027-06-25 08:00 UTC


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol of one category.

    Attributes:
        category: Market that it trades in; the same symbol may exist in several.
        symbol: The exchange's name of it.
        base_coin: What is bought; for an option, the coin that its topic is called after.
        quote_coin: What its price is in.
        settle_coin: What it is settled in; empty for spot.
        contract_type: The exchange's word, such as `LinearPerpetual`; empty for spot and option.
        tick_size: Smallest price step, as text with the decimals that linear and inverse prices
            are printed with.
        lot_step: Smallest size step, as text in the same manner.
        start_price: First price of the random walk; a multiple of `tick_size` with as many
            decimals.
        index_price: Price of the underlying, options only.
        status: `Trading`, or `PreLaunch` for a contract that is listed but does not trade yet.
        delivery_ms: When it expires; 0 for those that never do.
        weight: Part of all orders that it gets, relative to the other instruments.
    """

    category: Category
    symbol: str
    base_coin: str
    quote_coin: str
    settle_coin: str = ""
    contract_type: str = ""
    tick_size: str
    lot_step: str
    start_price: str
    index_price: str = ""
    status: str = "Trading"
    delivery_ms: int = 0
    weight: float = 0.0

    @property
    def topic(self) -> str:
        """The topic that its trades are published on; options share one per base coin."""
        return f"publicTrade.{self.base_coin if self.category == 'option' else self.symbol}"


# Base coin, tick size, lot step, start price: the busiest first.
_LINEAR_USDT: Final = """
    BTC 0.10 0.001 82642.90
    ETH 0.01 0.01 3105.47
    SOL 0.010 0.1 120.650
    XRP 0.0001 0.1 2.1874
    DOGE 0.00001 1 0.16842
    1000PEPE 0.0000001 100 0.0057912
    BNB 0.10 0.01 842.30
    SUI 0.00010 10 1.72340
    HYPE 0.001 0.01 34.212
    ADA 0.0001 1 0.5210
    LINK 0.001 0.1 13.482
    AVAX 0.0010 0.1 15.1170
    LTC 0.01 0.1 94.53
    WIF 0.0001 1 0.4473
    TON 0.0001 0.1 1.9025
    BCH 0.10 0.01 487.60
    DOT 0.0001 0.1 2.4519
    TRX 0.00001 1 0.28416
    NEAR 0.001 0.1 1.874
    ARB 0.00001 0.1 0.21738
    APT 0.0001 0.01 2.6640
    OP 0.0001 0.1 0.3981
    INJ 0.001 0.1 5.802
    ATOM 0.001 0.1 2.497
    FIL 0.001 0.1 1.616
    BOME 0.000001 100 0.001544
"""

# Symbol, base coin, quote coin, tick size, lot step, start price.
_SPOT: Final = """
    BTCUSDT BTC USDT 0.1 0.000001 82680.0
    ETHUSDT ETH USDT 0.01 0.00001 3106.12
    SOLUSDT SOL USDT 0.01 0.0001 120.69
    XRPUSDT XRP USDT 0.0001 0.01 2.1881
    BTCUSDC BTC USDC 0.1 0.000001 82671.3
    DOGEUSDT DOGE USDT 0.00001 0.1 0.16850
    MNTUSDT MNT USDT 0.0001 0.01 1.0842
    ETHUSDC ETH USDC 0.01 0.00001 3105.80
    PEPEUSDT PEPE USDT 0.0000000001 1 0.0000057930
    SUIUSDT SUI USDT 0.0001 0.01 1.7240
    ADAUSDT ADA USDT 0.0001 0.01 0.5212
    LINKUSDT LINK USDT 0.001 0.001 13.490
    SHIBUSDT SHIB USDT 0.000000001 1 0.000008534
    LTCUSDT LTC USDT 0.01 0.00001 94.55
"""

_INVERSE: Final = """
    BTCUSD BTC USD 0.10 1 82586.40
    ETHUSD ETH USD 0.05 1 3104.85
    SOLUSD SOL USD 0.010 1 120.620
    XRPUSD XRP USD 0.0001 1 2.1869
    BTCUSDH27 BTC USD 0.50 1 83360.50
"""

# Name without the settling coin, tick size, lot step, start price.
_OPTION: Final = """
    BTC-26MAR27-80000-C 5 0.01 7420
    BTC-26MAR27-80000-P 5 0.01 4685
    BTC-26MAR27-90000-C 5 0.01 3210
    BTC-26MAR27-70000-P 5 0.01 1880
    BTC-25JUN27-106000-C 5 0.01 1735
    BTC-25JUN27-106000-P 5 0.01 23510
    ETH-26MAR27-3000-C 0.1 0.1 341.5
    ETH-26MAR27-3000-P 0.1 0.1 228.2
    ETH-26MAR27-3600-C 0.1 0.1 118.7
    ETH-25JUN27-4000-C 0.1 0.1 142.4
"""

_INDEX_PRICE: Final = {"BTC": "82631.18491835", "ETH": "3105.22740615"}


def _rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def _linear() -> Iterator[Instrument]:
    for coin, tick, step, price in _rows(_LINEAR_USDT):
        yield Instrument(
            category="linear",
            symbol=f"{coin}USDT",
            base_coin=coin,
            quote_coin="USDT",
            settle_coin="USDT",
            contract_type="LinearPerpetual",
            tick_size=tick,
            lot_step=step,
            start_price=price,
        )
    others = [
        ("BTCPERP", "BTC", "USDC", "LinearPerpetual", "0.10", "0.001", "82629.50", 0),
        ("ETHPERP", "ETH", "USDC", "LinearPerpetual", "0.01", "0.01", "3104.91", 0),
        (
            "BTCUSDT-26MAR27",
            "BTC",
            "USDT",
            "LinearFutures",
            "0.50",
            "0.001",
            "83411.50",
            _MARCH_27_MS,
        ),
    ]
    for symbol, coin, settle, contract, tick, step, price, delivery_ms in others:
        yield Instrument(
            category="linear",
            symbol=symbol,
            base_coin=coin,
            quote_coin=settle,
            settle_coin=settle,
            contract_type=contract,
            tick_size=tick,
            lot_step=step,
            start_price=price,
            delivery_ms=delivery_ms,
        )
    yield Instrument(
        category="linear",
        symbol="NOVAUSDT",
        base_coin="NOVA",
        quote_coin="USDT",
        settle_coin="USDT",
        contract_type="LinearPerpetual",
        tick_size="0.0001",
        lot_step="1",
        start_price="0.7500",
        status="PreLaunch",
    )


def _spot() -> Iterator[Instrument]:
    for symbol, base, quote, tick, step, price in _rows(_SPOT):
        yield Instrument(
            category="spot",
            symbol=symbol,
            base_coin=base,
            quote_coin=quote,
            tick_size=tick,
            lot_step=step,
            start_price=price,
        )


def _inverse() -> Iterator[Instrument]:
    for symbol, base, quote, tick, step, price in _rows(_INVERSE):
        dated = symbol.endswith("H27")
        yield Instrument(
            category="inverse",
            symbol=symbol,
            base_coin=base,
            quote_coin=quote,
            settle_coin=base,
            contract_type="InverseFutures" if dated else "InversePerpetual",
            tick_size=tick,
            lot_step=step,
            start_price=price,
            delivery_ms=_MARCH_27_MS if dated else 0,
        )


def _option() -> Iterator[Instrument]:
    for name, tick, step, price in _rows(_OPTION):
        coin, date, _strike, _right = name.split("-")
        yield Instrument(
            category="option",
            symbol=f"{name}-USDT",
            base_coin=coin,
            quote_coin="USDT",
            settle_coin="USDT",
            tick_size=tick,
            lot_step=step,
            start_price=price,
            index_price=_INDEX_PRICE[coin],
            delivery_ms=_MARCH_27_MS if date == "26MAR27" else _JUNE_27_MS,
        )


def _weighted(instruments: Iterator[Instrument]) -> list[Instrument]:
    """Give the instruments Zipf's activity: the second gets half the orders of the first."""
    listed = list(instruments)
    total = sum(1 / rank for rank in range(1, len(listed) + 1))
    return [
        msgspec.structs.replace(
            one,
            weight=_SHARE[one.category] / rank / total if one.status == "Trading" else 0.0,
        )
        for rank, one in enumerate(listed, start=1)
    ]


INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    *_weighted(_linear()),
    *_weighted(_spot()),
    *_weighted(_inverse()),
    *_weighted(_option()),
)
"""Every instrument that the simulated exchange can list, the busiest of each category first."""


def select_instruments(patterns: Sequence[str] | None) -> tuple[Instrument, ...]:
    """Return the instruments that match any of the patterns, in the order of the table.

    Args:
        patterns: `category:glob`, where the glob is of a symbol or, for options, of a symbol or a
            base coin; a bare glob means `linear`, as in the daemon's own settings. `None` selects
            every instrument.

    Raises:
        ConfigError: If a pattern matches nothing; every such pattern is listed.
    """
    if patterns is None:
        return INSTRUMENTS
    chosen: set[int] = set()
    problems = []
    for pattern in patterns:
        category, _, glob = pattern.rpartition(":")
        matches = {
            index
            for index, one in enumerate(INSTRUMENTS)
            if one.category == (category or "linear")
            and (fnmatchcase(one.symbol, glob) or (category == "option" and one.base_coin == glob))
        }
        if not matches:
            problems.append(
                f'symbols: "{pattern}" matches nothing, '
                "expected `category:glob` of a simulated symbol"
            )
        chosen |= matches
    if problems:
        raise ConfigError(*problems)
    return tuple(INSTRUMENTS[index] for index in sorted(chosen))
