"""Faults in their time: which are active, whom they befall, and what chance says."""

from __future__ import annotations

from collections import defaultdict
from fnmatch import fnmatchcase
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

from tapecast.sim.fault_log import FaultEvent
from tapecast.sim.faults import (
    Fault,
    OnConnections,
    OnFrames,
    OnRest,
    RefuseSubscribe,
    kind_of,
)
from tapecast.sim.protocol import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tapecast.sim.connection import Connection, DataFrame
    from tapecast.sim.fault_log import Deed, FaultLog
    from tapecast.sim.instruments import Category

__all__ = ["Board", "Injection"]

_FaultT = TypeVar("_FaultT", bound=Fault)
_FaultT_co = TypeVar("_FaultT_co", bound=Fault, covariant=True)


class Injection(Generic[_FaultT_co]):
    """One fault that was injected.

    Args:
        number: Its number, from 1.
        fault: What it is.
        begin_ms: When it begins, by the exchange's clock.
        on_end: Takes it off.

    Attributes:
        number: The same.
        fault: The same.
        begin_ms: The same.
        chosen: Numbers of the connections that it befalls; `None` for all.
    """

    def __init__(
        self,
        number: int,
        fault: _FaultT_co,
        *,
        begin_ms: int,
        on_end: Callable[[Injection[Fault]], None],
    ) -> None:
        self.number = number
        self.fault = fault
        self.begin_ms = begin_ms
        self.chosen: frozenset[int] | None = None
        self._on_end = on_end
        self._over = False

    @property
    def over(self) -> bool:
        """Whether it has ended, or never will begin."""
        return self._over

    def end(self) -> None:
        """End it now, or keep it from beginning; what it still holds back is sent in its time."""
        if not self._over:
            self._over = True
            self._on_end(self)


class Board:
    """The faults that are active.

    Args:
        seed: Of everything that is left to chance.
        log: Where deeds are recorded.
    """

    def __init__(self, seed: int, log: FaultLog) -> None:
        self._seed = seed
        self._log = log
        self._active: defaultdict[type[Fault], list[Injection[Fault]]] = defaultdict(list)
        self._count = 0

    @property
    def quiet(self) -> bool:
        """Whether no fault is active."""
        return self._count == 0

    def begin(self, injection: Injection[Fault], connections: Iterable[Connection]) -> None:
        """Make a fault active; the connections that it befalls are chosen now."""
        injection.chosen = self._choice(injection, list(connections))
        self._active[type(injection.fault)].append(injection)
        self._count += 1

    def end(self, injection: Injection[Fault]) -> bool:
        """Take a fault off and return whether it was active."""
        active = self._active[type(injection.fault)]
        if injection not in active:
            return False
        active.remove(injection)
        self._count -= 1
        return True

    def of_category(self, kind: type[_FaultT], category: Category) -> Iterator[Injection[_FaultT]]:
        """Yield the active faults of a kind that befall a category, oldest first."""
        if self._count == 0:
            return
        for injection in self._of(kind):
            if fnmatchcase(category, injection.fault.category):
                yield injection

    def of_connection(
        self, kind: type[_FaultT], connection: Connection
    ) -> Iterator[Injection[_FaultT]]:
        """Yield the active faults of a kind that befall a connection, oldest first."""
        for injection in self.of_category(kind, connection.category):
            if self.befalls(injection, connection):
                yield injection

    def of_frame(
        self, kind: type[_FaultT], connection: Connection, frame: DataFrame
    ) -> Iterator[Injection[_FaultT]]:
        """Yield the active faults of a kind that befall a frame to a connection, oldest first."""
        for injection in self.of_category(kind, connection.category):
            fault, chosen = injection.fault, injection.chosen
            if (
                isinstance(fault, OnFrames)
                and (chosen is None or connection.number in chosen)
                and fnmatchcase(frame.topic, fault.topics)
                and _named(fault.symbols, frame)
            ):
                yield injection

    def of_query(
        self, kind: type[_FaultT], path: str, query: Mapping[str, str], number: int
    ) -> Iterator[Injection[_FaultT]]:
        """Yield the active faults of a kind that befall a REST query, oldest first.

        Args:
            kind: Which faults.
            path: What is asked.
            query: Its parameters.
            number: Of the query, for chance.
        """
        for injection in self._of(kind):
            fault = injection.fault
            if (
                fnmatchcase(query.get("category", ""), fault.category)
                and fnmatchcase(query.get("symbol", ""), fault.symbols)
                and (
                    not isinstance(fault, OnRest)
                    or (
                        fnmatchcase(path, fault.path)
                        and self.happens(injection, fault.probability, "rest", number)
                    )
                )
            ):
                yield injection

    def befalls(self, injection: Injection[Fault], connection: Connection) -> bool:
        """Tell whether a fault of connections befalls one of them."""
        if injection.chosen is not None:
            return connection.number in injection.chosen
        return _matches(injection.fault, connection)

    def draw(self, injection: Injection[Fault], *key: object) -> float:
        """Return a number from 0 to 1 that depends on the seed, the fault and the key alone."""
        text = f"{self._seed}:{injection.number}:{key}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest()) / (1 << 64)

    def happens(self, injection: Injection[Fault], probability: float, *key: object) -> bool:
        """Draw whether something of a probability happens."""
        return probability >= 1 or self.draw(injection, *key) < probability

    def rng(self, injection: Injection[Fault], *key: object) -> Random:
        """Return a source of chance that depends on the seed, the fault and the key alone."""
        return Random(f"{self._seed}:{injection.number}:{key}")  # noqa: S311 -- reproducible faults

    def record(  # noqa: PLR0913 -- keyword-only: a deed has that many sides
        self,
        injection: Injection[Fault],
        deed: Deed,
        *,
        at_ms: int,
        connection: Connection | None = None,
        topic: str = "",
        trade_ids: tuple[str, ...] = (),
    ) -> None:
        """Record what a fault did."""
        fault = injection.fault
        self._log.append(
            FaultEvent(
                at_ms=at_ms,
                fault=injection.number,
                kind=kind_of(fault),
                deed=deed,
                connection=None if connection is None else connection.number,
                category="" if connection is None else connection.category,
                topic=topic,
                trade_ids=trade_ids,
            )
        )

    def _of(self, kind: type[_FaultT]) -> list[Injection[_FaultT]]:
        # Keyed by the type of the fault itself.
        return list(self._active.get(kind, ()))  # type: ignore[arg-type]

    def _choice(
        self, injection: Injection[Fault], connections: list[Connection]
    ) -> frozenset[int] | None:
        fault = injection.fault
        if not isinstance(fault, OnConnections) or fault.connection == "all":
            return None
        candidates = [one.number for one in connections if _matches(fault, one)]
        if not candidates:
            return frozenset()
        if fault.connection == "random":
            place = int(self.draw(injection, "connection") * len(candidates))
            return frozenset({candidates[min(place, len(candidates) - 1)]})
        return frozenset(candidates[fault.connection : fault.connection + 1])


def _matches(fault: Fault, connection: Connection) -> bool:
    if not fnmatchcase(connection.category, fault.category):
        return False
    # A connection whose subscriptions are refused has none yet.
    if fault.symbols == "*" or isinstance(fault, RefuseSubscribe):
        return True
    return any(fnmatchcase(name_of(topic), fault.symbols) for topic in connection.topics)


def _named(symbols: str, frame: DataFrame) -> bool:
    return (
        symbols == "*"
        or fnmatchcase(frame.symbol, symbols)
        or fnmatchcase(name_of(frame.topic), symbols)
    )
