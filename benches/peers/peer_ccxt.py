"""ccxt.pro: `handle_message` for each frame, then `build_ohlcvc` of its trades."""

import json
from collections.abc import Callable

import ccxt.pro
from measuring import Candles, run


class _Client:
    """What the handler asks of a connection."""

    url = "wss://stream.bybit.com/v5/public/linear"

    def resolve(self, _result: object, _name: str) -> None:
        """Nobody waits."""


def fold(frames: list[bytes]) -> Callable[[], Candles]:
    """Return the candles' reader."""
    exchange, client = ccxt.pro.bybit(), _Client()
    candles: dict[tuple[str, int], list[float]] = {}
    for frame in frames:
        message = json.loads(frame)
        exchange.handle_message(client, message)
        symbol = message["topic"].partition(".")[2]
        kept = exchange.trades[exchange.safe_symbol(symbol, None, None, "contract")]
        # What `watch_trades` gives is the newest of what it keeps, made into candles by the caller.
        newest = [kept[at] for at in range(-len(message["data"]), 0)]
        for start, opened, high, low, close, volume, _ in exchange.build_ohlcvc(newest, "1m"):
            known = candles.setdefault((symbol, start), [opened, high, low, close, 0.0])
            known[1], known[2], known[3] = max(known[1], high), min(known[2], low), close
            known[4] += volume
    return lambda: candles


if __name__ == "__main__":
    run("ccxt", fold)
