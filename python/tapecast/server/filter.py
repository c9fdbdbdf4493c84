"""Which messages a subscription lets through."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase, translate

from tapecast.aliases import MessageType
from tapecast.server.interfaces import StreamMessage

__all__ = ["Filter"]

_MAX_CACHED_SYMBOLS = 20_000


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
        passes_all: Whether there is nothing to filter.
    """

    __slots__ = (
        "_bare",
        "_known",
        "_patterns",
        "_qualified",
        "_types",
        "key",
        "passes_all",
        "types",
    )

    def __init__(
        self, types: Iterable[MessageType] | None = None, symbols: Iterable[str] | None = None
    ) -> None:
        self._types = None if types is None else frozenset(types)
        patterns = None if symbols is None else tuple(sorted(set(symbols)))
        self.types = None if self._types is None else tuple(sorted(self._types))
        self.key = (self.types, patterns)
        self.passes_all = types is None and symbols is None
        self._bare = _compile(pattern for pattern in patterns or () if ":" not in pattern)
        self._qualified = _compile(pattern for pattern in patterns or () if ":" in pattern)
        self._patterns = patterns or ()
        self._known: dict[tuple[str | None, str], bool] | None = None if patterns is None else {}

    @property
    def filters_symbols(self) -> bool:
        """Whether there are patterns of symbols."""
        return self._known is not None

    def passes(self, message: StreamMessage) -> bool:
        """Return whether the message belongs to the subscription."""
        if self._types is not None and message.type not in self._types:
            return False
        if self._known is not None and message.type == "gap" and message.category == "option":
            return any(_may_mean(pattern, str(message.symbol)) for pattern in self._patterns)
        return (
            self._known is None
            or message.symbol is None
            or self.matches(message.category, message.symbol)
        )

    def matches(self, category: str | None, symbol: str) -> bool:
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
