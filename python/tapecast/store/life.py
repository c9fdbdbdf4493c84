"""What a state directory says of the process that used it last: how it ended, and in which boot."""

from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from tapecast.store.disk import replace_file, sync_directory

__all__ = ["Life"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Source: https://www.kernel.org/doc/html/latest/admin-guide/sysctl/kernel.html#random."""


class _Record(msgspec.Struct, frozen=True):
    """The content of the file.

    Attributes:
        boot_id: Identifier of the boot in which it was written; None where the system has none.
        is_clean: Whether the process ended in order, with everything brought to the disk.
    """

    boot_id: str | None
    is_clean: bool


class Life:
    """Two files: `life`, and the marker `durable`.

    The marker is there exactly while everything that was published is in the journal. It is so in
    the page cache alone; of a loss of power the identifier of the boot tells.

    Args:
        directory: The state directory.
        boot_id_path: Where the system names its boot.
    """

    def __init__(self, directory: Path, *, boot_id_path: Path = _BOOT_ID) -> None:
        self._directory = directory
        self._path = directory / "life"
        self._marker = directory / "durable"
        self._boot_id_path = boot_id_path

    @property
    def has_marker(self) -> bool:
        """Whether everything that was published is in the journal, unless power was lost since."""
        return self._marker.exists()

    @property
    def is_whole(self) -> bool:
        """Whether the journal, as it is now, holds everything that the last process published."""
        if not self.has_marker:
            return False
        try:
            last = msgspec.json.decode(self._path.read_bytes(), type=_Record)
        except (OSError, msgspec.DecodeError):
            return False
        return last.is_clean or (last.boot_id is not None and last.boot_id == self._boot_id())

    def begin(self) -> None:
        """Take note that a process begins to publish.

        Raises:
            OSError: If that cannot be brought to the disk.
        """
        # Were it lost with the power, the clean end of the process before would seem to be ours.
        self._write(is_clean=False)

    def end(self) -> None:
        """Take note that it ended, after everything else was brought to the disk.

        Raises:
            OSError: If that cannot be brought to the disk.
        """
        sync_directory(self._directory)
        self._write(is_clean=True)

    def mark(self) -> None:
        """Make the marker."""
        self._marker.touch(mode=0o600)

    def unmark(self) -> None:
        """Remove the marker."""
        self._marker.unlink(missing_ok=True)

    def _write(self, *, is_clean: bool) -> None:
        record = _Record(boot_id=self._boot_id(), is_clean=is_clean)
        replace_file(self._path, [msgspec.json.encode(record)], sync=True)

    def _boot_id(self) -> str | None:
        with suppress(OSError):
            return self._boot_id_path.read_text(encoding="ascii", errors="replace").strip() or None
        return None
