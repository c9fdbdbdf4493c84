"""The toxics of a proxy that are at work, and whom they befall."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from tapecast.sim.toxics import Toxic

if TYPE_CHECKING:
    from tapecast.sim.toxics import Stream

__all__ = ["Cabinet", "Dose"]

_ToxicT = TypeVar("_ToxicT", bound=Toxic)
_ToxicT_co = TypeVar("_ToxicT_co", bound=Toxic, covariant=True)


class Dose(Generic[_ToxicT_co]):
    """One toxic in a proxy.

    Args:
        number: Its number, from 1.
        toxic: What it does.

    Attributes:
        number: The same.
        toxic: The same.
        removed: Set when it was removed, also before it began.
    """

    def __init__(self, number: int, toxic: _ToxicT_co) -> None:
        self.number = number
        self.toxic = toxic
        self.removed = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether it was removed."""
        return self.removed.is_set()

    def end(self) -> None:
        """Mark it as removed."""
        self.removed.set()


class Cabinet:
    """The toxics that are at work.

    Args:
        seed: Of whom they befall.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._doses: list[Dose[Toxic]] = []
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """An event that is set at the next change."""
        return self._changed

    def add(self, dose: Dose[Toxic]) -> None:
        """Put a toxic to work."""
        self._doses.append(dose)
        self._tell_changed()

    def remove(self, dose: Dose[Toxic]) -> bool:
        """Take a toxic off and return whether it was at work."""
        if dose not in self._doses:
            return False
        self._doses.remove(dose)
        self._tell_changed()
        return True

    def holds(self, dose: Dose[Toxic]) -> bool:
        """Tell whether a toxic is at work."""
        return dose in self._doses

    def first(
        self, kind: type[_ToxicT], connection: int, stream: Stream | None = None
    ) -> Dose[_ToxicT] | None:
        """Return the oldest toxic of a kind that befalls a connection, or one direction of it."""
        for dose in self._doses:
            toxic = dose.toxic
            if (
                isinstance(toxic, kind)
                and (stream is None or toxic.stream in {"both", stream})
                and self._befalls(dose, connection)
            ):
                return cast("Dose[_ToxicT]", dose)
        return None

    def _befalls(self, dose: Dose[Toxic], connection: int) -> bool:
        toxicity = dose.toxic.toxicity
        if toxicity >= 1:
            return True
        key = f"{self._seed}:{dose.number}:{connection}"
        return Random(key).random() < toxicity  # noqa: S311 -- reproducible trouble

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
