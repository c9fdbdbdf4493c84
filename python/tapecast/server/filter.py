"""Which messages a subscription lets through."""

import re
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase, translate
from typing import Final

from tapecast._core import Batch, Selection
from tapecast.aliases import Category, MessageType

__all__ = ["Filter"]

_MAX_CACHED_SYMBOLS = 20_000
_EVERYTHING: Final = Selection()


class Filter:
    """The types and symbols of a subscription, compiled once.

    A pattern is a case-sensitive glob. One that holds a colon is matched against `category:SYMBOL`,
    any other against the symbol alone, in every category. Messages without a symbol pass whatever
    the patterns are, and a gap of options passes if a pattern may mean contracts of its coin.

    Args:
        types: Types to let through; None for all.
        symbols: Patterns of symbols to let through; None for all.

    Attributes:
        key: Equal for filters that let the same through; hashable.
        types: The types in a fixed order, or None.
    """

    __slots__ = (
        "_bare",
        "_known",
        "_patterns",
        "_qualified",
        "_selection",
        "key",
        "types",
    )

    def __init__(
        self, types: Iterable[MessageType] | None = None, symbols: Iterable[str] | None = None
    ) -> None:
        patterns = None if symbols is None else tuple(sorted(set(symbols)))
        self.types = None if types is None else tuple(sorted(set(types)))
        self.key = (self.types, patterns)
        self._bare = _compile(pattern for pattern in patterns or () if ":" not in pattern)
        self._qualified = _compile(pattern for pattern in patterns or () if ":" in pattern)
        self._patterns = patterns or ()
        self._known: dict[tuple[str, str], bool] | None = None if patterns is None else {}
        self._selection = (
            None
            if types is None and symbols is None
            else Selection(self.types, None if symbols is None else self._wants)
        )

    @property
    def filters_symbols(self) -> bool:
        """Whether there are patterns of symbols."""
        return self._known is not None

    @property
    def key_bytes(self) -> int:
        """About what the key takes in memory."""
        return sum(map(sys.getsizeof, (*self.key, *self._patterns)))

    def of(self, batch: Batch, *, after_seq: int = 0) -> Batch:
        """Return the messages that belong to the subscription and come after a number."""
        if self._selection is not None:
            return batch.select(self._selection, after_seq=after_seq)
        if not after_seq or not len(batch) or batch[0].seq > after_seq:
            return batch
        return batch.select(_EVERYTHING, after_seq=after_seq)

    def _wants(self, kind: MessageType, category: Category, symbol: str) -> bool:
        """Return whether the patterns let messages about a symbol, or about a topic, through."""
        if kind == "gap" and category == "option":
            return any(_may_mean(pattern, symbol) for pattern in self._patterns)
        return self.matches(category, symbol)

    def matches(self, category: str, symbol: str) -> bool:
        """Return whether the patterns let a symbol through; remembered for each symbol."""
        if self._known is None:
            return True
        known = self._known.get((category, symbol))
        if known is None:
            known = bool(
                self._bare.fullmatch(symbol) or self._qualified.fullmatch(f"{category}:{symbol}")
            )
            if len(self._known) >= _MAX_CACHED_SYMBOLS:
                self._known.clear()
            self._known[category, symbol] = known
        return known


def _may_mean(pattern: str, coin: str) -> bool:
    """Return whether a pattern may match contracts of a base coin, `BTC-25JUN27-106000-C-USDT`.

    Only what stands before the first wildcard can rule that out.
    """
    category, colon, name = pattern.rpartition(":")
    if colon and not fnmatchcase("option", category):
        return False
    literal = re.split(r"[*?\[]", name, maxsplit=1)[0]
    contracts = f"{coin}-"
    return contracts.startswith(literal) or literal.startswith(contracts)


def _compile(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression that matches what any of the globs matches; without globs, nothing."""
    return re.compile("|".join(map(translate, patterns)) or "(?!)")
