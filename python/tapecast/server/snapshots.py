"""Snapshots for those who join: each made once for all who ask for the same at one `seq`."""

from collections.abc import Sequence
from typing import Final

from tapecast.aliases import MessageType
from tapecast.messages.fields import EVENT_TYPES
from tapecast.server.filter import Filter
from tapecast.server.interfaces import EngineView

__all__ = ["Snapshots"]

_MAX_CACHED_BYTES: Final = 16 << 20


class Snapshots:
    """Keeps the snapshots of the newest `seq`, as far as there is room.

    Args:
        engine: Where snapshots come from.
    """

    def __init__(self, engine: EngineView) -> None:
        self._engine = engine
        self._cached: dict[object, bytes] = {}
        self._cached_bytes = 0
        self._seq = -1

    def get(self, chosen: Filter, history: int | None) -> bytes:
        """Return the snapshot of the present.

        Args:
            chosen: Types and symbols that it holds.
            history: Closed candles per symbol; None for the newest alone.
        """
        if self._seq != self._engine.seq:
            self._forget()
            self._seq = self._engine.seq
        key = (chosen.key, history)
        snapshot = self._cached.get(key)
        if snapshot is None:
            snapshot = self._engine.snapshot(
                history=history or 0, types=_sections(chosen, history), symbols=self._names(chosen)
            )
            size = len(snapshot) + chosen.key_bytes
            if self._cached_bytes + size > _MAX_CACHED_BYTES:
                self._forget()
            self._cached[key] = snapshot
            self._cached_bytes += size
        return snapshot

    def _forget(self) -> None:
        self._cached.clear()
        self._cached_bytes = 0

    def _names(self, chosen: Filter) -> set[str] | None:
        """Return the known symbols that a filter lets through, as `category:SYMBOL`."""
        if not chosen.filters_symbols:
            return None
        return {
            f"{category}:{symbol}"
            for category, symbol in self._engine.symbols()
            if chosen.matches(category, symbol)
        }


def _sections(chosen: Filter, history: int | None) -> Sequence[MessageType] | None:
    """Return the types that a snapshot may hold; None for all."""
    if history != 0:
        return chosen.types
    # The engine takes a history of 0 as "the newest candle", but who asked for 0 candles wants
    # none.
    return [name for name in chosen.types or EVENT_TYPES if name != "ohlcv"]
