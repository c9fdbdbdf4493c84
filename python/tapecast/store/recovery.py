"""What the journal still holds at the start of the daemon, however the last one ended."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from tapecast.errors import StateUnusable
from tapecast.store.disk import TEMPORARY_SUFFIX, reason_of
from tapecast.store.life import Life
from tapecast.store.quarantine import Quarantine
from tapecast.store.segments import (
    HEAD_KIND,
    Codec,
    LogHead,
    Record,
    Tail,
    checkpoint_path,
    core_codec,
    log_path,
    numbers_in,
    read_checkpoint,
    read_log,
)

__all__ = ["JOURNAL", "Damage", "Past", "Recovered", "recover"]

JOURNAL: Final = "journal"
"""Folder of the journal's files in the state directory."""

_LOGGER = logging.getLogger(__name__)
_T = TypeVar("_T")


class Damage(NamedTuple):
    """Inputs between two records that are not on record, or not any more.

    Attributes:
        from_ns: Receipt of the record before them, in nanoseconds since the epoch; `None` if there
            is none.
        to_ns: Receipt of the record after them; `None` if there is none: up to the end of the last
            process.
    """

    from_ns: int | None
    to_ns: int | None


class Past(NamedTuple):
    """What a new journal has to know of the old one.

    Attributes:
        number: Number of the last generation; 0 before the first.
        previous_bytes: Where its log ends.
        checkpoints: Generations whose checkpoints are good, in order.
        last_ns: Receipt of the last record, in nanoseconds since the epoch; 0 if there is none.
    """

    number: int = 0
    previous_bytes: int = 0
    checkpoints: tuple[int, ...] = ()
    last_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Log:
    """What was found in one log.

    Attributes:
        head: Its head; None if that is not there or damaged.
        end: Where its last whole record ends.
        damages: Damaged stretches in it.
        last_ns: Receipt of its last record; 0 if there is none.
    """

    head: LogHead | None
    end: int
    damages: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class _Start:
    """A good checkpoint.

    Attributes:
        is_first: Whether older generations cannot be replayed up to it.
        last_ns: Receipt of the last record before it.
    """

    is_first: bool
    last_ns: int


class Recovered:
    """The journal as the last process left it: where to begin, and what followed.

    Attributes:
        is_empty: Whether there is nothing at all, as at the very first start.
        start: Generation whose checkpoint was restored; None before `restore` or if there is none.
    """

    def __init__(
        self,
        directory: Path,
        codec: Codec,
        starts: dict[int, _Start],
        logs: dict[int, _Log],
    ) -> None:
        self._folder = directory / JOURNAL
        self._quarantine = Quarantine(directory)
        self._codec = codec
        self._starts = starts
        self._logs = logs
        self._is_end_whole = Life(directory).is_whole
        self.start: int | None = None
        self.is_empty = not starts and not logs

    @property
    def past(self) -> Past:
        """What a new journal has to know."""
        number = max((*self._logs, *self._starts), default=0)
        times = [log.last_ns for log in self._logs.values()]
        times += [start.last_ns for start in self._starts.values()]
        return Past(
            number=number,
            previous_bytes=self._logs[number].end if number in self._logs else 0,
            checkpoints=tuple(sorted(self._starts)),
            last_ns=max(times, default=0),
        )

    @property
    def is_same_numbering(self) -> bool:
        """Whether what follows from checkpoint and records is all that was ever published.

        If not, numbers may have been published that would be used again: the epoch must change.
        """
        return self.start is not None and self._is_end_whole and self.damages == 0

    @property
    def damages(self) -> int:
        """How many stretches are missing or damaged in what is replayed."""
        return self._damages_from(self.start)

    def restore(self, make: Callable[[bytes], _T]) -> _T | None:
        """Return what the best checkpoint makes.

        That is the newest but one, so that what clients may ask for again is published again; but
        an older or newer one if something after it is missing.

        Args:
            make: Makes it of the state; a ValueError says that it cannot be made, and the
                next one is tried.

        Returns:
            None if there is no good checkpoint.
        """
        for number in self._by_preference():
            path = checkpoint_path(self._folder, number)
            try:
                made = make(read_checkpoint(path, self._codec).data)
            except (OSError, ValueError) as error:
                self._refuse(path, error)
                del self._starts[number]
                continue
            self.start = number
            return made
        return None

    def records(self) -> Iterator[Record | Damage]:
        """Yield everything after the restored checkpoint, in order; files are read in slices.

        Without a checkpoint that is everything there is.
        """
        first = self._first_log(self.start)
        start_ns = self._starts[self.start].last_ns if self.start is not None else 0
        last_ns = start_ns or None
        is_missing = self.start is None
        for number in range(first, self.past.number + 1):
            is_missing = is_missing or self._is_broken_before(number, first)
            if number not in self._logs:
                continue
            for item in read_log(log_path(self._folder, number), self._codec):
                if not isinstance(item, Record):
                    is_missing = is_missing or not (isinstance(item, Tail) and item.is_torn)
                elif item.kind != HEAD_KIND:
                    if is_missing:
                        yield Damage(last_ns, item.received_ns or None)
                        is_missing = False
                    yield item
                    last_ns = item.received_ns or last_ns
        if not self.is_empty and (is_missing or not self._is_end_whole):
            yield Damage(last_ns, None)

    def _refuse(self, path: Path, error: Exception) -> None:
        with suppress(OSError):
            self._quarantine.move(path, f"checkpoint cannot be used ({reason_of(error)})")

    def _by_preference(self) -> list[int]:
        """Return the generations to begin from, the best first."""
        newest_first = sorted(self._starts, reverse=True)
        floor = max((n for n in newest_first if self._starts[n].is_first), default=0)
        second = next((number for number in newest_first[1:] if number >= floor), None)

        def rank(number: int) -> tuple[bool, int, bool, int]:
            damages = self._damages_from(number)
            return number < floor, damages, damages > 0 or number != second, -number

        return sorted(newest_first, key=rank)

    def _first_log(self, start: int | None) -> int:
        return min(self._logs, default=1) if start is None else start

    def _damages_from(self, start: int | None) -> int:
        first = self._first_log(start)
        inside = sum(log.damages for number, log in self._logs.items() if number >= first)
        numbers = range(first, self.past.number + 1)
        return inside + sum(self._is_broken_before(number, first) for number in numbers)

    def _is_broken_before(self, number: int, first: int) -> bool:
        """Say whether something is missing between a log and the one before it."""
        if number not in self._logs:
            # Each checkpoint has a log, which was there before it.
            return True
        before = self._logs.get(number - 1)
        if number == first or before is None:
            return False
        head = self._logs[number].head
        return head is None or head.is_break or head.previous_bytes != before.end


def recover(directory: Path, *, codec: Codec | None = None) -> Recovered:
    """Look through the journal, cut what is torn, and set aside what is damaged.

    Args:
        directory: The state directory, locked.
        codec: How records are found; the extension's by default.

    Raises:
        StateUnusable: If the directory cannot be read or written.
    """
    codec = core_codec() if codec is None else codec
    folder = directory / JOURNAL
    quarantine = Quarantine(directory)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()
        starts = _find_starts(folder, codec, quarantine)
        logs = _find_logs(folder, codec, quarantine)
    except OSError as error:
        raise StateUnusable(str(directory), reason_of(error)) from error
    recovered = Recovered(directory, codec, starts, logs)
    if not recovered.is_empty:
        _LOGGER.info(
            "journal: %d checkpoints and %d logs, the last one of generation %d",
            len(starts),
            len(logs),
            recovered.past.number,
        )
    return recovered


def _find_starts(folder: Path, codec: Codec, quarantine: Quarantine) -> dict[int, _Start]:
    starts = {}
    for number in numbers_in(folder, "ckpt"):
        path = checkpoint_path(folder, number)
        try:
            _, is_first, last_ns = read_checkpoint(path, codec)
        except (OSError, ValueError) as error:
            quarantine.move(path, f"checkpoint cannot be used ({reason_of(error)})")
            continue
        starts[number] = _Start(is_first, last_ns)
    return starts


def _find_logs(folder: Path, codec: Codec, quarantine: Quarantine) -> dict[int, _Log]:
    logs = {}
    numbers = numbers_in(folder, "log")
    for number in numbers:
        path = log_path(folder, number)
        if not path.is_file():
            quarantine.move(path, "no log, but something else")
            continue
        log, torn_at = _look_through(path, codec)
        if log.damages:
            quarantine.copy(path, f"log has {log.damages} damaged stretches")
        if torn_at is not None and number == numbers[-1]:
            os.truncate(path, torn_at)
        if number == numbers[-1] and log.end == 0 and not log.damages:
            # The process ended before its head was written.
            path.unlink()
            continue
        logs[number] = log
    return logs


def _look_through(path: Path, codec: Codec) -> tuple[_Log, int | None]:
    """Return what stands in a log, and where a torn record begins in it."""
    head: LogHead | None = None
    damages = last_ns = size_bytes = 0
    torn_at = None
    for item in read_log(path, codec):
        match item:
            case Record():
                if size_bytes == 0 and item.kind == HEAD_KIND:
                    with suppress(msgspec.DecodeError):
                        head = msgspec.json.decode(item.payload, type=LogHead)
                last_ns = item.received_ns or last_ns
                size_bytes += item.size_bytes
            case Tail(is_torn=True):
                torn_at = item.from_byte
            case Tail():
                damages += 1
            case _:
                damages += 1
                size_bytes = item.to_byte
    return _Log(head, size_bytes, damages, last_ns), torn_at
