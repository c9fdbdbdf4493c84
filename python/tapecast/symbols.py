"""Which symbols are wanted, as settings and flags spell it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, get_args

from tapecast.aliases import Category
from tapecast.errors import ConfigError

__all__ = ["CATEGORIES", "Pattern", "parse_patterns"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
_CATEGORY_OF: Final[dict[str, Category]] = {category: category for category in CATEGORIES}
_EXCERPT_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Pattern:
    """Wanted symbols of one category; for options, base coins.

    Attributes:
        category: The category.
        glob: A name, or a glob over names, in upper case.
    """

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

    Names are put in capitals, and what stands twice is taken once; the order stays.

    Options are named by base coin (`option:BTC`) and take no glob: the exchange lists them coin by
    coin and has no list of the coins.

    Raises:
        ConfigError: Every text that is none.
    """
    patterns: dict[Pattern, None] = {}
    problems = []
    for text in texts:
        head, colon, tail = text.strip().rpartition(":")
        category = _CATEGORY_OF.get(head if colon else "linear")
        name = tail.upper()
        if category is None or not name.isprintable() or not name or " " in name:
            expected = f"category:SYMBOL or category:GLOB with one of {', '.join(CATEGORIES)}"
        elif category == "option" and (not Pattern(category, name).is_explicit or "-" in name):
            expected = "a base coin such as option:BTC"
        else:
            patterns[Pattern(category, name)] = None
            continue
        shown = json.dumps(text[:_EXCERPT_CHARS], ensure_ascii=not text.isprintable())
        problems.append(f"symbols: {shown}, expected {expected}")
    if problems:
        raise ConfigError(*problems)
    return list(patterns)
