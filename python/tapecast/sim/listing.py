"""Rows of `/v5/market/instruments-info`, in the shape that each category has on the real exchange.

Source: https://bybit-exchange.github.io/docs/v5/market/instrument
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tapecast.sim.digits import scaled_integer

if TYPE_CHECKING:
    from tapecast.sim.instruments import Instrument

__all__ = ["instrument_row"]

_LAUNCH_MS: Final = "1585526400000"

_PRE_LISTING: Final = {
    "curAuctionPhase": "NotStarted",
    "phases": [{"phase": "NotStarted", "startTime": "1735113600000", "endTime": ""}],
    "auctionFeeInfo": {"auctionFeeRate": "0", "takerFeeRate": "0.001", "makerFeeRate": "0.0004"},
    "skipCallAuction": False,
}


def instrument_row(instrument: Instrument) -> dict[str, Any]:
    """Return the row of one instrument as plain JSON values, keys in the exchange's order."""
    if instrument.category == "spot":
        return _spot_row(instrument)
    if instrument.category == "option":
        return _option_row(instrument)
    return _futures_row(instrument)


def _times(step: str, factor: int) -> str:
    return f"{Decimal(step) * factor:f}"


def _spot_row(instrument: Instrument) -> dict[str, Any]:
    step = instrument.lot_step
    return {
        "symbol": instrument.symbol,
        "baseCoin": instrument.base_coin,
        "quoteCoin": instrument.quote_coin,
        "innovation": "0",
        "status": instrument.status,
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": step,
            "quotePrecision": "0.0000001",
            "minOrderQty": step,
            "maxOrderQty": _times(step, 83_000_000),
            "minOrderAmt": "5",
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": _times(step, 83_000_000),
            "maxMarketOrderQty": _times(step, 41_500_000),
            "postOnlyMaxLimitOrderSize": _times(step, 83_000_000),
        },
        "priceFilter": {"tickSize": instrument.tick_size},
        "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
        "symbolType": "",
    }


def _futures_row(instrument: Instrument) -> dict[str, Any]:
    step = instrument.lot_step
    pre_listing = instrument.status == "PreLaunch"
    return {
        "symbol": instrument.symbol,
        "contractType": instrument.contract_type,
        "status": instrument.status,
        "baseCoin": instrument.base_coin,
        "quoteCoin": instrument.quote_coin,
        "launchTime": _LAUNCH_MS,
        "deliveryTime": str(instrument.delivery_ms),
        "deliveryFeeRate": "",
        "priceScale": str(scaled_integer(instrument.tick_size)[1]),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": instrument.tick_size,
            "maxPrice": _times(instrument.tick_size, 19_999_998),
            "tickSize": instrument.tick_size,
        },
        "lotSizeFilter": {
            "maxOrderQty": _times(step, 1_190_000),
            "minOrderQty": step,
            "qtyStep": step,
            "postOnlyMaxOrderQty": _times(step, 1_190_000),
            "maxMktOrderQty": _times(step, 500_000),
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": instrument.settle_coin,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": pre_listing,
        "preListingInfo": _PRE_LISTING if pre_listing else None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "symbolType": "",
    }


def _option_row(instrument: Instrument) -> dict[str, Any]:
    coin, date, strike, right, settle = instrument.symbol.split("-")
    return {
        "symbol": instrument.symbol,
        "status": instrument.status,
        "baseCoin": coin,
        "quoteCoin": instrument.quote_coin,
        "settleCoin": settle,
        "optionsType": "Call" if right == "C" else "Put",
        "launchTime": "1743669649256",
        "deliveryTime": str(instrument.delivery_ms),
        "deliveryFeeRate": "0.00015",
        "priceFilter": {
            "minPrice": instrument.tick_size,
            "maxPrice": _times(instrument.tick_size, 222_000),
            "tickSize": instrument.tick_size,
        },
        "lotSizeFilter": {
            "maxOrderQty": _times(instrument.lot_step, 50_000),
            "minOrderQty": instrument.lot_step,
            "qtyStep": instrument.lot_step,
        },
        "displayName": f"{coin}{settle}-{date}-{strike}-{right}",
    }
