"""Names of the types that stand in many signatures."""

from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

__all__ = ["CATEGORIES", "Category", "KeptCandle", "MessageType", "Rows"]

Category: TypeAlias = Literal["linear", "inverse", "spot", "option"]
"""The exchange's product categories."""

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
"""All of them; their places in it are on disk and never change."""

KeptCandle: TypeAlias = tuple[
    Category,
    str,
    int,
    str,
    str,
    str,
    str,
    str,
    str,
    str | None,
    int | None,
    bool,
    str,
    bool | None,
    int,
]
"""A closed candle as a store keeps it; its fields stand with `Engine.recall`."""

MessageType: TypeAlias = Literal["stats", "trade", "ohlcv", "gap", "upstream"]
"""The types of streamed messages."""

Rows: TypeAlias = np.ndarray[tuple[Any, ...], np.dtype[np.void]]
"""A NumPy structured array; its fields stand with the function that returns it."""
