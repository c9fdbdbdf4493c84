"""What is due when, on the exchange's own clock."""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Agenda"]


class Agenda:
    """Actions by the time at which they are due; those of one time in the order of noting."""

    def __init__(self) -> None:
        self._actions: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()

    @property
    def next_ms(self) -> float:
        """When the first action is due; infinite if none is."""
        return self._actions[0][0] if self._actions else math.inf

    def note(self, due_ms: int, action: Callable[[int], None]) -> None:
        """Have an action called with its time when that has come."""
        heapq.heappush(self._actions, (due_ms, next(self._numbers), action))

    def pop(self) -> tuple[int, Callable[[int], None]]:
        """Take the first action and its time off.

        Raises:
            IndexError: If there is none.
        """
        due_ms, _, action = heapq.heappop(self._actions)
        return due_ms, action
