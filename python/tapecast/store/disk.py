"""Files that are whole or not there, and what makes them outlive a loss of power."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = [
    "TEMPORARY_SUFFIX",
    "create_log",
    "reason_of",
    "replace_file",
    "sync_data",
    "sync_directory",
    "sync_file",
]

TEMPORARY_SUFFIX: Final = ".tmp"
_MODE: Final = 0o600
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)
sync_data: Final = getattr(os, "fdatasync", os.fsync)
"""Bring what was written to a descriptor to the disk."""


def create_log(path: Path) -> int:
    """Make an empty file and return its descriptor, which writes at the end only."""
    return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | _BINARY, _MODE)


def replace_file(path: Path, pieces: Iterable[bytes], *, sync: bool) -> None:
    """Write a file under a temporary name, then give it its own.

    Args:
        path: The file; what it held stays until the new content is complete.
        pieces: The content.
        sync: Whether it outlives a loss of power from then on.

    Raises:
        OSError: If it cannot be written; nothing is left of it then.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | _BINARY
    try:
        with os.fdopen(os.open(temporary, flags, _MODE), "wb") as file:
            file.writelines(pieces)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Bring a whole file to the disk."""
    descriptor = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Bring the names in a directory to the disk, where the system has that."""
    if sys.platform != "win32":
        sync_file(path)


def reason_of(error: Exception) -> str:
    """Say in lower case why something failed."""
    text = error.strerror if isinstance(error, OSError) else None
    text = text or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
