"""Damaged files, kept for whoever wants to know what happened to them."""

import logging
import os
import shutil
from pathlib import Path
from typing import Final

__all__ = ["Quarantine"]

_LOGGER = logging.getLogger(__name__)
_MAX_FILES: Final = 32
"""More than that are of no further use, and a disk that goes bad must not be filled by them."""


class Quarantine:
    """The folder `quarantine` of a state directory; its oldest files make room for newer ones.

    Args:
        directory: The state directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "quarantine"

    def move(self, path: Path, reason: str) -> None:
        """Take a file out of use, with one line in the log.

        Raises:
            OSError: If it can be neither moved nor removed.
        """
        try:
            target = self._free_name(path)
            path.replace(target)
        except OSError:
            # What cannot be kept must not stand in the way of every start from now on.
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            _LOGGER.warning("%s: %s; removed", path, reason)
            return
        _LOGGER.warning("%s: %s; moved to %s", path, reason, target)

    def copy(self, path: Path, reason: str) -> None:
        """Keep a copy of a file that stays in use, with one line in the log."""
        try:
            for known in self._directory.glob(f"{path.name}*"):
                if known.samefile(path):
                    return
            target = self._free_name(path)
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
        except OSError as error:
            _LOGGER.warning("%s: %s; not copied (%s)", path, reason, error.strerror)
            return
        _LOGGER.warning("%s: %s; copied to %s", path, reason, target)

    def _free_name(self, path: Path) -> Path:
        """Make the folder and room in it, and return the name under which a file is kept."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        kept = sorted(self._directory.iterdir(), key=lambda file: file.lstat().st_ctime_ns)
        for old in kept[: max(0, len(kept) - _MAX_FILES + 1)]:
            old.unlink()
        target, number = self._directory / path.name, 0
        while target.exists():
            number += 1
            target = self._directory / f"{path.name}.{number}"
        return target
