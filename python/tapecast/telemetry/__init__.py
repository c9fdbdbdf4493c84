"""What the daemon says of itself: its workers, its console lines, its logs."""

from tapecast.telemetry.logs import logging_to
from tapecast.telemetry.threads import LineFigures, ThreadRegistry, Worker
from tapecast.telemetry.writer import LineWriter

__all__ = ["LineFigures", "LineWriter", "ThreadRegistry", "Worker", "logging_to"]
