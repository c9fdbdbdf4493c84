"""nautilus_trader: its adapter's decoder and one `TimeBarAggregator` for each symbol."""

from collections.abc import Callable
from decimal import Decimal

from measuring import Candles, run
from nautilus_trader.adapters.bybit.schemas.ws import decoder_ws_trade
from nautilus_trader.common.component import TestClock
from nautilus_trader.data.aggregation import TimeBarAggregator
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Price, Quantity

_MINUTE_NS = 60_000_000_000


def _instrument(name: str, price_precision: int, size_precision: int) -> CryptoPerpetual:
    identity = InstrumentId.from_str(f"{name}.BYBIT")
    return CryptoPerpetual(
        instrument_id=identity,
        raw_symbol=Symbol(name),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=price_precision,
        size_precision=size_precision,
        price_increment=Price(10**-price_precision, price_precision),
        size_increment=Quantity(10**-size_precision, size_precision),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )


def fold(frames: list[bytes]) -> Callable[[], Candles]:
    """Return the candles' reader."""
    decode = decoder_ws_trade().decode
    clock = TestClock()
    bars: list[Bar] = []
    known: dict[str, tuple[CryptoPerpetual, TimeBarAggregator]] = {}
    next_ns = 0
    for frame in frames:
        for trade in decode(frame).data:
            event_ns = trade.T * 1_000_000
            if event_ns >= next_ns:
                for event in clock.advance_time(event_ns):
                    event.handle()
                next_ns = event_ns // _MINUTE_NS * _MINUTE_NS + _MINUTE_NS
            if trade.s not in known:
                places = (len(text.partition(".")[2]) for text in (trade.p, trade.v))
                instrument = _instrument(trade.s, *places)
                kind = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-INTERNAL")
                aggregator = TimeBarAggregator(
                    instrument,
                    kind,
                    bars.append,
                    clock,
                    interval_type="right-open",
                    timestamp_on_close=False,
                    build_with_no_updates=False,
                )
                known[trade.s] = instrument, aggregator
            instrument, aggregator = known[trade.s]
            tick = trade.parse_to_trade_tick(
                instrument.id, instrument.price_precision, instrument.size_precision, event_ns
            )
            aggregator.handle_trade_tick(tick)
    return lambda: dict(map(_candle, bars))


def _candle(bar: Bar) -> tuple[tuple[str, int], tuple[Decimal, ...]]:
    values = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    symbol = bar.bar_type.instrument_id.symbol.value
    return (symbol, bar.ts_event // 1_000_000), tuple(value.as_decimal() for value in values)


if __name__ == "__main__":
    run("nautilus_trader", fold, without_last=True)
