"""Which topics are wanted: explicit symbols, or globs over what the exchange lists."""

from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from tapecast.aliases import Category
from tapecast.bybit.topics import MAX_ARGS_CHARS, args_chars, kline_topic_of, topic_of
from tapecast.symbols import Pattern

__all__ = ["Instruments", "plan", "resolve"]

Instruments: TypeAlias = Callable[[Category], Awaitable[list[dict[str, Any]]]]
"""Returns the exchange's rows of a category's instruments."""


async def resolve(
    patterns: Sequence[Pattern], instruments: Instruments
) -> tuple[dict[Category, list[str]], list[Pattern]]:
    """Return the wanted symbols by category, and the globs that match nothing.

    Categories come in the order of the patterns, symbols in that of the patterns and of the
    exchange's list, each once. A category of which nothing matches is there without symbols.
    Explicit symbols are not looked up: the exchange refuses them one by one if it has to.

    Raises:
        FeedError: If a category's instruments cannot be listed.
    """
    names: dict[Category, dict[str, None]] = {}
    listed: dict[Category, list[str]] = {}
    unmatched = []
    for pattern in patterns:
        wanted = names.setdefault(pattern.category, {})
        if pattern.is_explicit:
            wanted[pattern.glob] = None
            continue
        if pattern.category not in listed:
            listed[pattern.category] = _names(pattern.category, await instruments(pattern.category))
        found = [name for name in listed[pattern.category] if fnmatchcase(name, pattern.glob)]
        wanted.update(dict.fromkeys(found))
        if not found:
            unmatched.append(pattern)
    return {category: list(wanted) for category, wanted in names.items()}, unmatched


def _names(category: Category, rows: list[dict[str, Any]]) -> list[str]:
    key = "baseCoin" if category == "option" else "symbol"
    trading = [row for row in rows if row.get("status", "Trading") == "Trading"]
    return list(dict.fromkeys(str(row[key]) for row in trading if key in row))


def plan(names: Sequence[str], *, most: int, audit: bool = False) -> list[tuple[str, ...]]:
    """Spread topics over lines: at most `most` each, and no more characters than one may have.

    Args:
        names: Symbols, or base coins for options.
        most: Most of them on a line.
        audit: Whether a line carries the exchange's own candles beside the trades.
    """
    lines: list[list[str]] = []
    chars = 0
    for name in names:
        size = args_chars(topic_of(name)) + (args_chars(kline_topic_of(name)) if audit else 0)
        if not lines or len(lines[-1]) == most or chars + size > MAX_ARGS_CHARS:
            lines.append([])
            chars = 0
        lines[-1].append(name)
        chars += size
    return [tuple(line) for line in lines]
