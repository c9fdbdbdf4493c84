"""What a bench found, as it is printed and as `--json` gives it."""

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final, Self

import msgspec

from tapecast.errors import TapecastError

__all__ = ["Machine", "Rate", "Report", "Table", "WrongResultError", "versions"]

_LIBRARIES: Final = ("tapecast", "msgspec", "orjson", "pysimdjson", "websockets", "uvloop")


class WrongResultError(TapecastError):
    """A contender computed or delivered something else than what it was given."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How much of something one contender did in a second.

    Attributes:
        name: The contender.
        median: Of all runs.
        lowest: Of all runs.
        highest: Of all runs.
        runs: How many there were.
        cpu_us: CPU time of this process for each, in microseconds; the median.
    """

    name: str
    median: float
    lowest: float
    highest: float
    runs: int
    cpu_us: float

    @classmethod
    def of(cls, name: str, rates: Sequence[float], cpu_us: Sequence[float]) -> Self:
        """Return the summary of the runs of one contender."""
        return cls(
            name=name,
            median=statistics.median(rates),
            lowest=min(rates),
            highest=max(rates),
            runs=len(rates),
            cpu_us=statistics.median(cpu_us),
        )


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Contenders at the same task in one run, taking turns.

    Attributes:
        task: What they did, in one line.
        unit: What the rates count.
        rates: One for each contender; the last one is tapecast's.
    """

    task: str
    unit: str
    rates: tuple[Rate, ...]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the figures come from.

    Attributes:
        cpu: Model of the processor.
        cores: Processors that this process may use.
        system: Operating system and architecture.
        python: Implementation and version.
    """

    cpu: str
    cores: int
    system: str
    python: str

    @classmethod
    def here(cls) -> Self:
        """Return this machine."""
        may_use = getattr(os, "sched_getaffinity", None)
        return cls(
            cpu=_cpu_model(),
            cores=len(may_use(0)) if may_use else os.cpu_count() or 1,
            system=f"{platform.system()} {platform.machine()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
        )

    def __str__(self) -> str:
        """Return everything in one line."""
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{self.cpu}, {cores}, {self.system}, {self.python}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run of `tapecast bench` found.

    Attributes:
        at: When it ended, in UTC.
        machine: Where.
        versions: Of the libraries that took part, by name.
        engine: Raw frames to candles.
        fanout: Messages to many clients.
    """

    machine: Machine
    versions: dict[str, str]
    engine: Table
    fanout: Table
    at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))


def versions() -> dict[str, str]:
    """Return the versions of the libraries that take part and are installed, by name."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
