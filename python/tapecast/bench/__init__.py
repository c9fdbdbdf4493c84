"""Measures the engine and the fan-out on any machine; every result is checked."""

from tapecast.bench.engine import measure_engine
from tapecast.bench.fanout import measure_fanout
from tapecast.bench.results import Machine, Rate, Report, Table, WrongResultError, versions

__all__ = [
    "Machine",
    "Rate",
    "Report",
    "Table",
    "WrongResultError",
    "measure_engine",
    "measure_fanout",
    "versions",
]
