"""tapecast.bybit."""
