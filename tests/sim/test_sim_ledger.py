"""The ledger: every trade in order, bounded when told."""

from tapecast.sim.instruments import INSTRUMENTS
from tapecast.sim.ledger import Ledger
from tapecast.sim.market import Market, SimTrade

START_MS = 1_790_000_000_000


def some_trades(seconds: int = 20) -> list[SimTrade]:
    market = Market(INSTRUMENTS, seed=5, start_ms=START_MS, rate=200.0)
    return [t for o in market.advance(START_MS + seconds * 1000) for t in o.trades]


def test_it_keeps_every_trade_in_order() -> None:
    trades = some_trades()
    ledger = Ledger()
    ledger.append(trades)
    assert list(ledger) == trades
    assert (len(ledger), ledger.total, ledger.dropped) == (len(trades), len(trades), 0)
    assert list(ledger.entries()) == list(enumerate(trades, start=1))


def test_it_filters_by_category_and_symbol_and_resumes_after_a_number() -> None:
    trades = some_trades()
    ledger = Ledger()
    ledger.append(trades)
    spot = [t for t in trades if t.category == "spot" and t.symbol == "BTCUSDT"]
    assert ledger.trades("spot", "BTCUSDT") == spot
    assert ledger.trades("inverse") == [t for t in trades if t.category == "inverse"]
    after = len(trades) - 3
    assert list(ledger.entries(after=after)) == list(enumerate(trades[-3:], start=after + 1))
    assert list(ledger.entries(after=len(trades) + 10)) == []


def test_a_limit_drops_the_oldest_and_keeps_their_numbers_used() -> None:
    trades = some_trades()
    ledger = Ledger(limit=100)
    ledger.append(trades)
    assert list(ledger) == trades[-100:]
    assert (ledger.total, ledger.dropped) == (len(trades), len(trades) - 100)
    assert next(ledger.entries()) == (len(trades) - 99, trades[-100])


def test_recent_trades_are_newest_first_and_outlive_the_limit() -> None:
    trades = some_trades()
    ledger = Ledger(limit=1)
    ledger.append(trades)
    busiest = [t for t in trades if t.category == "linear" and t.symbol == "BTCUSDT"]
    assert ledger.recent("linear", "BTCUSDT") == busiest[::-1][:1000]
    assert ledger.recent("linear", "NOVAUSDT") == []
