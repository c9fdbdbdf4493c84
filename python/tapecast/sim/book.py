"""One simulated symbol: its walk on the tick grid, its sizes on the lot step, its trade ids."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Final

import msgspec

from tapecast.sim.digits import fixed_text, scaled_integer, stripped_text

if TYPE_CHECKING:
    from random import Random

    from tapecast.sim.instruments import Category, Instrument

__all__ = ["SimTrade", "SymbolBook"]

_EPOCH_2020_MS: Final = 1_577_836_800_000

_MEDIAN_NOTIONAL: Final = (
    250.0  # quote units of a typical trade; inverse contracts are worth one of them each
)
_SIZE_SIGMA: Final = 1.5
_MAX_MEDIANS: Final = (
    20_000  # cap of a size, in medians, so that one draw cannot outweigh a whole day
)
_STEP_OF_PRICE: Final = 3e-5  # standard deviation of one order's move, relative to the price
_PULL: Final = 1e-5  # pull towards the start price, so that a demo of days stays plausible
_NEXT_LEVEL: Final = 0.25  # how often the next match of an order is one or two ticks deeper
_GREEK_SCALE: Final = 8


class SimTrade(msgspec.Struct, frozen=True, gc=False):
    """One executed trade: what the simulated exchange knows to be true.

    Attributes:
        category: Market of the symbol.
        symbol: The traded symbol; for options the contract.
        event_ms: When it was matched, milliseconds since the epoch.
        taker_side: `Buy` or `Sell`.
        price: Exact text, as the category's frames print it.
        size: Exact text, as the category's frames print it.
        trade_id: Unique within the symbol.
        exchange_seq: The order's number; all trades of one order share it.
        tick_direction: `PlusTick` and so on, against the trade before it in the symbol; frames of
            spot and option leave it out.
        block_trade: Whether it was a block trade.
        rpi: Whether it was a retail price improvement trade; never for options.
        mark_price: Options only, as are the three below; empty otherwise.
        index_price: Price of the underlying.
        mark_iv: Implied volatility of the mark price.
        iv: Implied volatility of this trade.
    """

    category: Category
    symbol: str
    event_ms: int
    taker_side: str
    price: str
    size: str
    trade_id: str
    exchange_seq: int
    tick_direction: str
    block_trade: bool = False
    rpi: bool = False
    mark_price: str = ""
    index_price: str = ""
    mark_iv: str = ""
    iv: str = ""


class SymbolBook:
    """State of one symbol; every draw comes from the `Random` that is passed in.

    Args:
        instrument: What is traded.
        index: Position of the symbol in the market; keeps spot ids and numbers of symbols apart.
        start_ms: When the market starts; ids of a later start are above those of an earlier one.
    """

    def __init__(self, instrument: Instrument, *, index: int, start_ms: int) -> None:
        self.instrument = instrument
        self._tick_units, self._price_scale = scaled_integer(instrument.tick_size)
        self._lot_units, self._lot_scale = scaled_integer(instrument.lot_step)
        self._text = fixed_text if instrument.category in {"linear", "inverse"} else stripped_text
        price_units, price_scale = scaled_integer(instrument.start_price)
        start_units = price_units * int(10 ** (self._price_scale - price_scale))
        self._anchor_ticks = start_units // self._tick_units
        self._mid_ticks = self._anchor_ticks
        self._last_ticks = self._anchor_ticks
        self._rising = True
        self._sigma_ticks = max(0.6, self._anchor_ticks * _STEP_OF_PRICE)
        self._median_lots = self._typical_lots()
        elapsed_ms = max(0, start_ms - _EPOCH_2020_MS)
        self._spot_id = (
            2_200_000_000_000_000_000 + index * 10_000_000_000_000_000 + elapsed_ms * 1000
        )
        self._exchange_seq = elapsed_ms + index * 1_000_000_000

    def _typical_lots(self) -> float:
        lot = float(self.instrument.lot_step)
        if self.instrument.category == "inverse":
            return _MEDIAN_NOTIONAL
        if self.instrument.category == "option":
            return max(1.0, 0.1 / lot)
        return max(1.0, _MEDIAN_NOTIONAL / (float(self.instrument.start_price) * lot))

    def open_order(self, rng: Random) -> None:
        """Begin the next taker order: the walk moves on and the exchange's number rises."""
        pull = _PULL * (self._anchor_ticks - self._mid_ticks)
        moved = self._mid_ticks + round(rng.gauss(pull, self._sigma_ticks))
        self._mid_ticks = self._bounded(moved)
        self._exchange_seq += rng.randint(1, 40)

    def match(
        self, rng: Random, *, event_ms: int, buy: bool, count: int, rpi_chance: float
    ) -> list[SimTrade]:
        """Return the `count` trades of the open order: buyers walk up the book, sellers down."""
        direction = 1 if buy else -1
        ticks = self._mid_ticks + (1 if buy else 0)
        trades = []
        for position in range(count):
            if position and rng.random() < _NEXT_LEVEL:
                ticks = max(1, ticks + direction * rng.randint(1, 2))
            rpi = self.instrument.category != "option" and rng.random() < rpi_chance
            trades.append(self._trade(rng, event_ms=event_ms, buy=buy, ticks=ticks, rpi=rpi))
        self._mid_ticks = self._bounded(ticks)
        return trades

    def block(self, rng: Random, *, event_ms: int, buy: bool) -> list[SimTrade]:
        """Return one block trade: large, and a little off the market, which it does not move."""
        ticks = max(1, self._mid_ticks + round(rng.gauss(0.0, 4 * self._sigma_ticks)))
        lots = self._lots(rng) * 200
        return [self._trade(rng, event_ms=event_ms, buy=buy, ticks=ticks, block_lots=lots)]

    def _bounded(self, ticks: int) -> int:
        # Half and double the start price: options have few ticks, and a walk of days must not
        # reach zero.
        return min(max(ticks, 1, self._anchor_ticks // 2), 2 * self._anchor_ticks + 2)

    def _lots(self, rng: Random) -> int:
        drawn = rng.lognormvariate(math.log(self._median_lots), _SIZE_SIGMA)
        return max(1, round(min(drawn, self._median_lots * _MAX_MEDIANS)))

    def _trade(  # noqa: PLR0913 -- keyword-only: one trade has that many properties
        self,
        rng: Random,
        *,
        event_ms: int,
        buy: bool,
        ticks: int,
        rpi: bool = False,
        block_lots: int = 0,
    ) -> SimTrade:
        direction = self._tick_direction(ticks)
        lots = block_lots or self._lots(rng)
        mark_price, index_price, mark_iv, iv = self._greeks(rng, ticks)
        return SimTrade(
            category=self.instrument.category,
            symbol=self.instrument.symbol,
            event_ms=event_ms,
            taker_side="Buy" if buy else "Sell",
            price=self._text(ticks * self._tick_units, self._price_scale),
            size=self._text(lots * self._lot_units, self._lot_scale),
            trade_id=self._next_id(rng),
            exchange_seq=self._exchange_seq,
            tick_direction=direction,
            block_trade=block_lots > 0,
            rpi=rpi,
            mark_price=mark_price,
            index_price=index_price,
            mark_iv=mark_iv,
            iv=iv,
        )

    def _tick_direction(self, ticks: int) -> str:
        if ticks == self._last_ticks:
            return "ZeroPlusTick" if self._rising else "ZeroMinusTick"
        self._rising = ticks > self._last_ticks
        self._last_ticks = ticks
        return "PlusTick" if self._rising else "MinusTick"

    def _next_id(self, rng: Random) -> str:
        if self.instrument.category == "spot":
            # Numbers skip on the real exchange too: a gap in them says nothing about lost trades.
            self._spot_id += rng.choice((1, 1, 1, 2, 4))
            return str(self._spot_id)
        return str(uuid.UUID(int=rng.getrandbits(128), version=5))

    def _greeks(self, rng: Random, ticks: int) -> tuple[str, str, str, str]:
        if self.instrument.category != "option":
            return "", "", "", ""
        price_units = ticks * self._tick_units * int(10 ** (_GREEK_SCALE - self._price_scale))
        index_units, _ = scaled_integer(self.instrument.index_price)
        mark = price_units * rng.randint(985_000, 1_015_000) // 1_000_000
        index = index_units * rng.randint(998_000, 1_002_000) // 1_000_000
        mark_iv = rng.randint(1_200, 8_900)
        return (
            stripped_text(mark, _GREEK_SCALE),
            stripped_text(index, _GREEK_SCALE),
            stripped_text(mark_iv, 4),
            stripped_text(mark_iv + rng.randint(-90, 90), 4),
        )
