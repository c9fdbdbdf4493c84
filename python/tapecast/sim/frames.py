"""Trade frames as each category of the exchange writes them: its keys, numbers and limits.

Shapes: real frames of 2026. Limit: https://bybit-exchange.github.io/docs/v5/websocket/public/trade
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapecast.sim.market import Order, SimTrade

__all__ = ["MAX_TRADES_PER_FRAME", "encode_order"]

MAX_TRADES_PER_FRAME: Final = 1024

_encoder = msgspec.json.Encoder()


def encode_order(order: Order) -> list[bytes]:
    """Return the frames of one order, each one JSON text.

    More than 1,024 trades take several frames of the same `seq`.
    """
    trades = order.trades
    return [
        _encoder.encode(_frame(order, trades[first : first + MAX_TRADES_PER_FRAME]))
        for first in range(0, len(trades), MAX_TRADES_PER_FRAME)
    ]


def _frame(order: Order, trades: Sequence[SimTrade]) -> dict[str, Any]:
    first = trades[0]
    if first.category == "spot":
        data = [_spot_row(trade) for trade in trades]
        return {"topic": order.topic, "ts": order.sent_ms, "type": "snapshot", "data": data}
    if first.category == "option":
        return {
            "topic": order.topic,
            "ts": order.sent_ms,
            "type": "snapshot",
            "id": f"{order.topic}-{first.exchange_seq}-{order.sent_ms}",
            "data": [_option_row(trade) for trade in trades],
        }
    data = [_futures_row(trade) for trade in trades]
    return {"topic": order.topic, "type": "snapshot", "ts": order.sent_ms, "data": data}


def _futures_row(trade: SimTrade) -> dict[str, Any]:
    return {
        "T": trade.event_ms,
        "s": trade.symbol,
        "S": trade.taker_side,
        "v": trade.size,
        "p": trade.price,
        "L": trade.tick_direction,
        "i": trade.trade_id,
        "BT": trade.block_trade,
        "RPI": trade.rpi,
        "seq": trade.exchange_seq,
    }


def _spot_row(trade: SimTrade) -> dict[str, Any]:
    return {
        "i": trade.trade_id,
        "T": trade.event_ms,
        "p": trade.price,
        "v": trade.size,
        "S": trade.taker_side,
        "seq": trade.exchange_seq,
        "s": trade.symbol,
        "BT": trade.block_trade,
        "RPI": trade.rpi,
    }


def _option_row(trade: SimTrade) -> dict[str, Any]:
    return {
        "i": trade.trade_id,
        "T": trade.event_ms,
        "p": trade.price,
        "v": trade.size,
        "S": trade.taker_side,
        "seq": trade.exchange_seq,
        "s": trade.symbol,
        "BT": trade.block_trade,
        "mP": trade.mark_price,
        "iP": trade.index_price,
        "mIv": trade.mark_iv,
        "iv": trade.iv,
    }
