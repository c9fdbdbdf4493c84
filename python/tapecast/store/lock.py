"""A state directory: made, used by one process at a time, of one layout and one daemon."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from tapecast.errors import StateForeign, StateLocked, StateTooNew, StateUnusable
from tapecast.store.disk import TEMPORARY_SUFFIX, reason_of, replace_file, sync_directory

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FORMAT", "StateLock"]

FORMAT: Final = 1
"""Version of the layout of a state directory, the files of the journal included."""

_LOCK: Final = "lock"
_FORMAT: Final = "format"
_IDENTITY: Final = "identity"
_PID_BYTES: Final = 20
_LOCKED_BYTE: Final = 1 << 30
"""Locked bytes cannot be read by others on Windows; so it is one far behind the number."""

_BEFORE_FORMAT: Final = frozenset({_LOCK, _FORMAT + TEMPORARY_SUFFIX, "lost+found"})
"""What may stand in a directory that is none of ours yet."""


class StateLock:
    """A state directory that this process alone uses, until it ends or releases it.

    Args:
        directory: The directory; it is made if it is missing.
        identity: What the state is of, as a JSON text; the first one that uses it sets it.

    Raises:
        StateLocked: If another process uses it.
        StateTooNew: If it was written by a newer tapecast.
        StateForeign: If its identity is another one.
        StateUnusable: If it cannot be written to, or holds what is none of ours.
    """

    def __init__(self, directory: Path, identity: str) -> None:
        self._directory = directory
        self._descriptor: int | None = None
        try:
            self._make()
            self._descriptor = self._locked()
            self._check_format()
            self._check_identity(identity)
        except OSError as error:
            self.release()
            raise StateUnusable(str(directory), reason_of(error)) from error
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let others use the directory."""
        if self._descriptor is not None:
            # Who waits for the file to be gone would lock another file than who holds it.
            os.close(self._descriptor)
            self._descriptor = None

    def _make(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True)
            sync_directory(self._directory.parent)

    def _locked(self) -> int:
        descriptor = os.open(self._directory / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _lock(self, descriptor: int) -> None:
        if not _try_lock(descriptor):
            raise StateLocked(str(self._directory), _pid_in(descriptor))

    def _check_format(self) -> None:
        path = self._directory / _FORMAT
        if not path.exists():
            others = {entry.name for entry in self._directory.iterdir()} - _BEFORE_FORMAT
            if others:
                raise StateUnusable(
                    str(self._directory),
                    f'it holds "{min(others)}" and no state',
                    "a state directory, or an empty one",
                )
            replace_file(path, [b"%d\n" % FORMAT], sync=True)
            return
        text = path.read_bytes()[:_PID_BYTES].strip()
        if not text.isdigit() or int(text) == 0:
            raise StateUnusable(
                str(self._directory),
                f'its format is "{text.decode(errors="replace")}"',
                "the version of its layout",
            )
        if int(text) > FORMAT:
            raise StateTooNew(str(path), int(text), FORMAT)

    def _check_identity(self, identity: str) -> None:
        path = self._directory / _IDENTITY
        if not path.exists():
            replace_file(path, [identity.encode()], sync=True)
            return
        found = path.read_bytes()
        if _value_of(found) != _value_of(identity.encode()):
            raise StateForeign(str(self._directory), found.decode(errors="replace"), identity)


def _value_of(text: bytes) -> object:
    """Return what a JSON text means, or the text if it is none."""
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(text)
    return text


def _try_lock(descriptor: int) -> bool:
    """Lock a file until the descriptor is closed; return whether that was possible."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _pid_in(descriptor: int) -> int | None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, _PID_BYTES).strip()
    return int(text) if text.isdigit() else None
