"""A Bybit that never was: market, WebSocket and REST servers, and the ledger of the truth."""
