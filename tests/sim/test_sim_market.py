"""The simulated market: deterministic, on its grids, busy as asked."""

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapecast.sim.frames import encode_order
from tapecast.sim.instruments import INSTRUMENTS, select_instruments
from tapecast.sim.market import Market, Odds, Order, SimTrade

START_MS = 1_790_000_000_000


def played(
    seconds: int, *, seed: int = 7, rate: float = 400.0, odds: Odds | None = None
) -> list[Order]:
    market = Market(INSTRUMENTS, seed=seed, start_ms=START_MS, rate=rate, odds=odds)
    return list(market.advance(START_MS + seconds * 1000))


def trades_by_symbol(orders: list[Order]) -> dict[tuple[str, str], list[SimTrade]]:
    trades: defaultdict[tuple[str, str], list[SimTrade]] = defaultdict(list)
    for order in orders:
        for trade in order.trades:
            trades[trade.category, trade.symbol].append(trade)
    return trades


def test_the_same_seed_and_start_give_the_same_bytes() -> None:
    first = b"".join(frame for order in played(5) for frame in encode_order(order))
    second = b"".join(frame for order in played(5) for frame in encode_order(order))
    assert first == second
    assert first != b"".join(f for order in played(5, seed=8) for f in encode_order(order))


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(min_value=0, max_value=3000), max_size=8))
def test_it_does_not_matter_how_finely_time_advances(cuts: list[int]) -> None:
    market = Market(INSTRUMENTS, seed=7, start_ms=START_MS, rate=400.0)
    orders: list[Order] = []
    for cut in sorted(cuts):
        orders += market.advance(START_MS + cut)
        assert market.now_ms == START_MS + cut
    orders += market.advance(START_MS + 3000)
    assert orders == played(3)


def test_a_later_start_repeats_no_trade_id() -> None:
    def ids(start_ms: int) -> set[str]:
        market = Market(INSTRUMENTS, seed=7, start_ms=start_ms, rate=400.0)
        return {t.trade_id for o in market.advance(start_ms + 5000) for t in o.trades}

    assert not ids(START_MS) & ids(START_MS + 5000)


def test_prices_and_sizes_are_positive_and_on_their_grids() -> None:
    grids: dict[tuple[str, str], tuple[Decimal, Decimal]] = {
        (one.category, one.symbol): (Decimal(one.tick_size), Decimal(one.lot_step))
        for one in INSTRUMENTS
    }
    seen = trades_by_symbol(played(60))
    assert set(seen) == set(grids) - {("linear", "NOVAUSDT")}
    for symbol, trades in seen.items():
        tick, step = grids[symbol]
        for trade in trades:
            assert Decimal(trade.price) > 0
            assert Decimal(trade.price) % tick == 0
            assert Decimal(trade.size) > 0
            assert Decimal(trade.size) % step == 0


def test_prices_stay_plausible_for_a_day() -> None:
    instruments = select_instruments(["option:BTC", "linear:DOGEUSDT"])
    market = Market(instruments, seed=3, start_ms=START_MS, rate=0.5)
    trades = [t for order in market.advance(START_MS + 86_400_000) for t in order.trades]
    start = {one.symbol: Decimal(one.start_price) for one in instruments}
    assert len(trades) > 10_000
    assert all(
        start[t.symbol] / 4 < Decimal(t.price) < 4 * start[t.symbol]
        for t in trades
        if not t.block_trade
    )


def test_ids_and_numbers_are_as_the_exchange_gives_them() -> None:
    for (category, _symbol), trades in trades_by_symbol(played(30)).items():
        ids = [trade.trade_id for trade in trades]
        assert len(set(ids)) == len(ids)
        if category == "spot":
            assert all(len(one) == 19 and one.isdigit() for one in ids)
            assert [int(one) for one in ids] == sorted(int(one) for one in ids)
        else:
            assert all(len(one) == 36 and one[14] == "5" and one[19] in "89ab" for one in ids)


def test_one_order_is_one_time_one_side_and_one_number_above_all_before() -> None:
    orders = played(30)
    newest: dict[tuple[str, str], tuple[int, int]] = {}
    for order in orders:
        keys = {
            (t.category, t.symbol, t.event_ms, t.exchange_seq, t.taker_side) for t in order.trades
        }
        assert len(keys) == 1
        first = order.trades[0]
        symbol = (first.category, first.symbol)
        event_ms, exchange_seq = newest.get(symbol, (START_MS, 0))
        assert first.event_ms >= event_ms
        assert first.exchange_seq > exchange_seq
        newest[symbol] = (first.event_ms, first.exchange_seq)


def test_an_order_walks_one_way_through_the_book() -> None:
    for order in played(30):
        prices = [Decimal(trade.price) for trade in order.trades]
        ordered = sorted(prices, reverse=order.trades[0].taker_side == "Sell")
        assert prices == ordered


def test_tick_directions_follow_the_prices() -> None:
    for trades in trades_by_symbol(played(30)).values():
        for before, after in pairwise(trades):
            old, new = Decimal(before.price), Decimal(after.price)
            if new > old:
                assert after.tick_direction == "PlusTick"
            elif new < old:
                assert after.tick_direction == "MinusTick"
            else:
                rising = before.tick_direction.endswith("PlusTick")
                assert after.tick_direction == ("ZeroPlusTick" if rising else "ZeroMinusTick")


def test_the_rate_is_the_mean_of_trades_per_second() -> None:
    trades = sum(len(order.trades) for order in played(600, rate=100.0))
    assert trades / 600 == pytest.approx(100.0, rel=0.1)


def test_arrivals_come_in_bursts() -> None:
    per_second = [0] * 600
    for order in played(599, rate=50.0):
        per_second[(order.trades[0].event_ms - START_MS) // 1000] += 1
    mean = sum(per_second) / len(per_second)
    variance = sum((count - mean) ** 2 for count in per_second) / len(per_second)
    assert variance > 3 * mean  # a plain Poisson process has a variance equal to its mean


def test_ordinary_orders_match_at_most_thirty_trades() -> None:
    lengths = [len(o.trades) for o in played(60, odds=Odds(sweep=0.0, next_match=0.95))]
    assert max(lengths) == 30
    assert min(lengths) == 1


def test_rare_things_happen_as_often_as_told() -> None:
    orders = played(20, rate=3000.0, odds=Odds(sweep=1.0))
    assert all(200 <= len(o.trades) <= 2600 for o in orders if not o.trades[0].block_trade)
    blocks = played(20, odds=Odds(block_trade=1.0))
    assert {trade.block_trade for order in blocks for trade in order.trades} == {True}
    rpi = trades_by_symbol(played(20, odds=Odds(rpi=1.0, block_trade=0.0)))
    assert all(
        trade.rpi == (category != "option")
        for (category, _), trades in rpi.items()
        for trade in trades
    )


def test_option_trades_carry_their_greeks_and_no_other_does() -> None:
    for (category, _), trades in trades_by_symbol(played(30)).items():
        for trade in trades:
            greeks = (trade.mark_price, trade.index_price, trade.mark_iv, trade.iv)
            if category == "option":
                assert all(Decimal(text) > 0 for text in greeks)
            else:
                assert greeks == ("", "", "", "")


def test_an_order_can_be_placed_at_a_time_on_a_symbol() -> None:
    market = Market(INSTRUMENTS, seed=7, start_ms=START_MS, rate=0.0)
    order = market.order_at(START_MS + 50, max_trades=1, symbol=("spot", "BTCUSDT"))
    (trade,) = order.trades
    assert (trade.category, trade.symbol, trade.event_ms) == ("spot", "BTCUSDT", START_MS + 50)
    assert list(market.advance(START_MS + 10**6)) == []


def test_what_cannot_be_played_is_refused() -> None:
    market = Market(INSTRUMENTS, seed=7, start_ms=START_MS, rate=0.0)
    with pytest.raises(ValueError, match=r"^time is 5 ms, expected at least 1790000000000 ms$"):
        market.order_at(5)
    with pytest.raises(
        ValueError, match=r'^symbol is "linear:NOVAUSDT", expected one that trades$'
    ):
        market.order_at(START_MS, symbol=("linear", "NOVAUSDT"))
    with pytest.raises(
        ValueError,
        match=r"^market has no arrivals, expected a rate above 0 and a symbol that trades$",
    ):
        market.next_order()
    silent = Market(select_instruments(["NOVAUSDT"]), seed=7, start_ms=START_MS, rate=5.0)
    assert list(silent.advance(START_MS + 60_000)) == []
    with pytest.raises(
        ValueError, match=r"^market has no symbol that trades, expected at least one$"
    ):
        silent.order_at(START_MS + 60_000)
