"""The simulated market: who trades when.

Seeded and pure: time is an argument, nothing is read or sent.
The whole history is a function of the instruments, the seed, the start and the rate: however
finely `advance` is called, the same trades come out.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from tapecast.sim.book import SimTrade, SymbolBook

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapecast.sim.instruments import Category, Instrument

__all__ = ["MAX_MATCHES", "Market", "Odds", "Order", "SimTrade"]

MAX_MATCHES: Final = 30
"""Most trades of one ordinary order; a sweep has more."""

_SWEEP_MATCHES: Final = (200, 2600)  # trades of a sweep: beyond 1024 its frame is split

# Two states of the market, their mean lengths and how much busier a burst is than a calm stretch.
_CALM_MS: Final = 9_000.0
_BURST_MS: Final = 1_000.0
_BURST_FACTOR: Final = 6.0


class Odds(msgspec.Struct, frozen=True, kw_only=True):
    """How often rare things happen, as probabilities.

    Attributes:
        next_match: That an order goes on matching after each trade.
        sweep: That an order is a sweep of hundreds or thousands of trades.
        block_trade: That an order is a block trade.
        rpi: That a trade is a retail price improvement trade.
    """

    next_match: float = 0.45
    sweep: float = 0.00005
    block_trade: float = 0.0005
    rpi: float = 0.02

    def trades_per_order(self) -> float:
        """Return the mean number of trades of one order."""
        ordinary = sum(self.next_match**position for position in range(MAX_MATCHES))
        swept = sum(_SWEEP_MATCHES) / 2
        matched = self.sweep * swept + (1 - self.sweep) * ordinary
        return self.block_trade + (1 - self.block_trade) * matched


class Order(msgspec.Struct, frozen=True, gc=False):
    """One taker order and the trades that it matched, all at one time and with one exchange number.

    Attributes:
        topic: Where it is published.
        sent_ms: When the exchange makes its frame, a little after the match.
        trades: At least one, in the order of matching.
    """

    topic: str
    sent_ms: int
    trades: tuple[SimTrade, ...]


class _Arrivals:
    """Times of orders: a Poisson process whose rate alternates between calm and burst."""

    def __init__(self, rng: Random, *, start_ms: float, per_second: float) -> None:
        self._rng = rng
        share = _BURST_MS / (_CALM_MS + _BURST_MS)
        # The mean over both states is the rate that was asked for.
        self._calm_per_ms = per_second / 1000 / (1 - share + share * _BURST_FACTOR)
        self._burst = False
        self._switch_ms = start_ms + rng.expovariate(1 / _CALM_MS)
        self.next_ms = start_ms
        self.draw(start_ms)

    def draw(self, from_ms: float) -> None:
        """Draw the first arrival after `from_ms`; it is infinitely far off when the rate is 0."""
        if self._calm_per_ms <= 0:
            self.next_ms = math.inf
            return
        now_ms = from_ms
        while True:
            rate = self._calm_per_ms * (_BURST_FACTOR if self._burst else 1.0)
            arrival_ms = now_ms + self._rng.expovariate(rate)
            if arrival_ms < self._switch_ms:
                self.next_ms = arrival_ms
                return
            # Waiting times have no memory: at the switch, draw anew with the other rate.
            now_ms = max(now_ms, self._switch_ms)
            self._burst = not self._burst
            self._switch_ms = now_ms + self._rng.expovariate(
                1 / (_BURST_MS if self._burst else _CALM_MS)
            )


class Market:
    """A market of many symbols.

    Args:
        instruments: What is listed; those of weight 0 never trade.
        seed: Same seed, start, rate and instruments: same trades, to the last digit.
        start_ms: Nothing happens before it.
        rate: Mean trades per second over all symbols; 0 for a market that only trades when it is
            told to.
        odds: How often rare things happen.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        seed: int,
        start_ms: int,
        rate: float,
        odds: Odds | None = None,
    ) -> None:
        # The start is part of the seed: a restarted exchange must not repeat the trade ids of its
        # former life.
        self._rng = Random(f"{seed}:{start_ms}")  # noqa: S311 -- a reproducible market, not a key
        self._odds = odds or Odds()
        self._books = [
            SymbolBook(one, index=index, start_ms=start_ms)
            for index, one in enumerate(instruments)
            if one.weight > 0
        ]
        self._by_name = {
            (book.instrument.category, book.instrument.symbol): book for book in self._books
        }
        self._cumulative = list(accumulate(book.instrument.weight for book in self._books))
        self._now_ms = start_ms
        self._arrivals = _Arrivals(
            self._rng,
            start_ms=start_ms,
            per_second=rate / self._odds.trades_per_order() if self._books else 0.0,
        )

    @property
    def now_ms(self) -> int:
        """The time up to which the market has been played."""
        return self._now_ms

    @property
    def next_ms(self) -> float:
        """When the next order arrives by itself; infinite if none ever does."""
        return self._arrivals.next_ms

    def advance(self, until_ms: int) -> Iterator[Order]:
        """Play up to and including `until_ms` and yield every order on the way, oldest first."""
        while self._arrivals.next_ms < until_ms + 1:
            yield self.next_order()
        self._now_ms = max(self._now_ms, until_ms)

    def next_order(self, *, max_trades: int | None = None) -> Order:
        """Play the next order at its own time of arrival.

        Raises:
            ValueError: If no order ever arrives, because the rate is 0 or nothing trades.
        """
        if math.isinf(self._arrivals.next_ms):
            raise ValueError(
                "market has no arrivals, expected a rate above 0 and a symbol that trades"
            )
        arrival_ms = self._arrivals.next_ms
        order = self._execute(max(self._now_ms, int(arrival_ms)), self._pick(), max_trades)
        self._arrivals.draw(arrival_ms)
        return order

    def order_at(
        self,
        event_ms: int,
        *,
        max_trades: int | None = None,
        symbol: tuple[Category, str] | None = None,
    ) -> Order:
        """Play one order at a time of the caller's choice; arrivals before it are left out.

        Args:
            event_ms: When it is matched; not before anything that was played already.
            max_trades: Most trades that it may match.
            symbol: Category and symbol; drawn by activity if not given.

        Raises:
            ValueError: If `event_ms` is in the past or the symbol does not trade.
        """
        self.skip_to(event_ms)
        if symbol is None:
            return self._execute(event_ms, self._pick(), max_trades)
        book = self._by_name.get(symbol)
        if book is None:
            raise ValueError(f'symbol is "{symbol[0]}:{symbol[1]}", expected one that trades')
        return self._execute(event_ms, book, max_trades)

    def skip_to(self, now_ms: int) -> None:
        """Let the time until `now_ms` pass without a trade, as after a suspended machine wakes up.

        Raises:
            ValueError: If `now_ms` is in the past.
        """
        if now_ms < self._now_ms:
            raise ValueError(f"time is {now_ms} ms, expected at least {self._now_ms} ms")
        self._now_ms = now_ms
        if self._arrivals.next_ms < now_ms:
            self._arrivals.draw(now_ms)

    def _pick(self) -> SymbolBook:
        if not self._books:
            raise ValueError("market has no symbol that trades, expected at least one")
        point = self._rng.random() * self._cumulative[-1]
        return self._books[min(bisect_right(self._cumulative, point), len(self._books) - 1)]

    def _execute(self, event_ms: int, book: SymbolBook, max_trades: int | None) -> Order:
        rng = self._rng
        self._now_ms = event_ms
        buy = rng.random() < 0.5  # noqa: PLR2004 -- a fair coin
        book.open_order(rng)
        if rng.random() < self._odds.block_trade:
            trades = book.block(rng, event_ms=event_ms, buy=buy)
        else:
            count = self._matches()
            if max_trades is not None:
                count = min(count, max_trades)
            trades = book.match(
                rng, event_ms=event_ms, buy=buy, count=count, rpi_chance=self._odds.rpi
            )
        # Observed from match to frame: 0 to 2 ms, and 21 to 23 ms for options.
        delay_ms = (
            rng.randint(21, 23) if book.instrument.category == "option" else rng.randint(0, 2)
        )
        return Order(book.instrument.topic, event_ms + delay_ms, tuple(trades))

    def _matches(self) -> int:
        if self._rng.random() < self._odds.sweep:
            return self._rng.randint(*_SWEEP_MATCHES)
        count = 1
        while count < MAX_MATCHES and self._rng.random() < self._odds.next_match:
            count += 1
        return count
