"""A Bybit that never was: market, WebSocket and REST servers, and the ledger of the truth."""

from tapecast.sim.exchange import SimExchange, SimSettings, run

__all__ = ["SimExchange", "SimSettings", "run"]
