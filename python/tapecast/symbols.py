"""Which symbols are wanted, as settings and flags spell it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, get_args

from tapecast.aliases import Category
from tapecast.errors import ConfigError

__all__ = ["CATEGORIES", "Pattern", "parse_patterns"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)


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

    Options are named by base coin (`option:BTC`) and take no glob: the exchange lists them coin by
    coin and has no list of the coins.

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
            continue
        pattern = Pattern(category, tail.upper())
        if category == "option" and not (pattern.is_explicit and "-" not in tail):
            problems.append(f'symbols: "{text}", expected a base coin such as option:BTC')
        else:
            patterns[pattern] = None
    if problems:
        raise ConfigError(*problems)
    return list(patterns)
