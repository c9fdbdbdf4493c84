"""cryptofeed: `message_handler` for each frame, with its `OHLCV` aggregate as the callback.

The aggregate's windows follow the wall clock, so that all of the input is checked as one window.
"""

import asyncio
from collections.abc import Callable

from cryptofeed.backends.aggregate import OHLCV
from cryptofeed.defines import TRADES
from cryptofeed.exchanges import Bybit
from cryptofeed.symbols import Symbols
from measuring import Candles, run

_NEVER_S = 10**9


class _Connection:
    """What the handler asks of a connection."""

    address = "wss://stream.bybit.com/v5/public/linear"
    uuid = "bench"


async def _nothing(*_: object) -> None:
    pass


def fold(frames: list[bytes]) -> Callable[[], Candles]:
    """Return the candles' reader."""
    names = {frame.split(b'"', 4)[3].partition(b".")[2].decode() for frame in frames}
    standard = {f"{name.removesuffix('USDT')}-USDT-PERP": name for name in names}
    Symbols.set(Bybit.id, standard, {"instrument_type": {}})
    aggregate = OHLCV(_nothing, window=_NEVER_S)
    feed = Bybit(symbols=list(standard), channels=[TRADES], callbacks={TRADES: aggregate})

    async def handle() -> None:
        connection = _Connection()
        for frame in frames:
            await feed.message_handler(frame.decode(), connection, 0.0)

    asyncio.run(handle())
    fields = ("open", "high", "low", "close", "volume")
    return lambda: {
        (standard[symbol], 0): tuple(data[field] for field in fields)
        for symbol, data in aggregate.data.items()
    }


if __name__ == "__main__":
    run("cryptofeed", fold, one_window=True)
