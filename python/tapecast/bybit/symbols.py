"""Which topics are wanted: explicit symbols, or globs over what the exchange lists."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias, get_args

from tapecast.aliases import Category
from tapecast.errors import ConfigError
from tapecast.bybit.protocol import MAX_ARGS_CHARS, topic_of

__all__ = ["Instruments", "Pattern", "parse_patterns", "plan", "resolve"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)

Instruments: TypeAlias = Callable[[Category], Awaitable[list[dict[str, Any]]]]
"""Returns the exchange's rows of a category's instruments."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Wanted symbols of one category; for options, base coins."""

    category: Category
    glob: str

    @property
    def is_explicit(self) -> bool:
        """Whether it names one symbol, which needs no list of the exchange's."""
        return not any(character in self.glob for character in "*?[")

    def __str__(self) -> str:
        """Return the spelling of the settings."""
        return f"{self.category}:{self.glob}"


def parse_patterns(texts: Iterable[str]) -> list[Pattern]:
    """Read `category:SYMBOL` or `category:GLOB`; without a category, linear.

    Raises:
        ConfigError: Every text that is none.
    """
    patterns: dict[Pattern, None] = {}
    problems = []
    for text in texts:
        head, colon, tail = text.strip().rpartition(":")
        category = next((known for known in CATEGORIES if known == (head or "linear")), None)
        if category is None or not tail or (colon and not head):
            names = ", ".join(CATEGORIES)
            problems.append(
                f'symbols: "{text}", expected category:SYMBOL or category:GLOB with one of {names}'
            )
        else:
            patterns[Pattern(category, tail.upper())] = None
    if problems:
        raise ConfigError(*problems)
    return list(patterns)


async def resolve(
    patterns: Sequence[Pattern], instruments: Instruments
) -> tuple[dict[Category, list[str]], list[Pattern]]:
    """Return the wanted symbols by category, and the globs that match nothing.

    Categories come in the order of the patterns, symbols in that of the exchange's list.
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


def plan(names: Sequence[str], *, most: int) -> list[tuple[str, ...]]:
    """Spread topics over lines: at most `most` each, and no more characters than one may have."""
    lines: list[list[str]] = []
    chars = 0
    for name in names:
        size = len(topic_of(name))
        if not lines or len(lines[-1]) == most or chars + size > MAX_ARGS_CHARS:
            lines.append([])
            chars = 0
        lines[-1].append(name)
        chars += size
    return [tuple(line) for line in lines]
