"""The journal: every input of the engine, on record before what comes of it is published.

A record is one write into the page cache, which outlives the process. Checkpoints and fsyncs are
the affair of a thread. All methods are for one thread, the event loop's, and none but `begin` and
`close` waits for a disk.
"""

import errno
import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from tapecast.errors import StateUnusable
from tapecast.messages.fields import Durability
from tapecast.store.disk import (
    create_log,
    reason_of,
    replace_file,
    sync_data,
    sync_directory,
    sync_file,
)
from tapecast.store.jobs import JobThread, Reporter
from tapecast.store.life import Life
from tapecast.store.recovery import JOURNAL, Past
from tapecast.store.segments import (
    HEAD_KIND,
    Checkpoint,
    Codec,
    LogHead,
    checkpoint_path,
    checkpoint_pieces,
    core_codec,
    log_path,
    numbers_in,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["RETRY_S", "Journal"]

RETRY_S: Final = 5.0
"""How long after a failure the disk is tried again."""

_LOGGER = logging.getLogger(__name__)
_LOOK_S: Final = 0.1
"""How often what the thread has done is looked at."""

_LOG_BYTES: Final = 256 << 20
_NEVER: Final = float("inf")
_Done: TypeAlias = Callable[[BaseException | None], None]


class Journal:
    """Generations of a checkpoint and the records after it.

    After a failure nothing is on record until a new generation is begun, which needs a checkpoint:
    `needs_checkpoint` asks for it.

    Args:
        directory: The state directory, locked and recovered.
        monotonic_s: A clock that never jumps.
        past: What recovery found.
        fsync_interval_s: Time between fsyncs; none if 0, so that a loss of power loses records.
        segment_s: Time after which the next generation is due.
        on_changed: Told the new durability whenever it changes.
        codec: How records are written; the extension's by default.
        reporter: Where the thread reports.

    Attributes:
        durability: What a published message outlives now; `degraded` if not even the process.
        lost_total: Records that could not be written.
    """

    def __init__(  # noqa: PLR0913 -- settings and clocks, by name
        self,
        directory: Path,
        *,
        monotonic_s: Callable[[], float],
        past: Past | None = None,
        fsync_interval_s: float = 0.0,
        segment_s: float = 300.0,
        on_changed: Callable[[Durability], None] | None = None,
        codec: Codec | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        past = Past() if past is None else past
        self.durability: Durability = "degraded"
        self.lost_total = 0
        self._directory = directory
        self._folder = directory / JOURNAL
        self._life = Life(directory)
        self._monotonic_s = monotonic_s
        self._fsync_interval_s = fsync_interval_s
        self._segment_s = segment_s
        self._on_changed = on_changed
        self._codec = core_codec() if codec is None else codec
        self._thread = JobThread("journal", reporter)
        self._jobs: deque[tuple[Future[None], _Done]] = deque()
        # The present log; none while degraded.
        self._descriptor: int | None = None
        self._number = past.number
        self._end = past.previous_bytes
        self._synced_end = 0
        self._last_ns = past.last_ns
        # Whether everything published is on record, so that older generations lead up to it.
        self._is_whole = False
        self._breaks = 0
        self._has_begun = False
        self._is_checkpointing = False
        self._checkpoints = list(past.checkpoints)
        self._released = 0
        self._dropped = 0
        self._due_s = _NEVER
        self._look_s = 0.0
        self._synced_s = 0.0

    @property
    def needs_checkpoint(self) -> bool:
        """Whether `rotate` is to be called with a checkpoint of this moment."""
        return not self._is_checkpointing and self._monotonic_s() >= self._due_s

    def begin(self, checkpoint: bytes, *, renumbered: bool) -> int:
        """Begin the first generation of this process, before anything is published; it waits.

        Args:
            checkpoint: The engine's state after recovery.
            renumbered: Whether messages are numbered anew, so that what is on record does not lead
                up to this state.

        Returns:
            Its number.

        Raises:
            StateUnusable: If it cannot be written.
        """
        self._is_whole = not renumbered
        try:
            if renumbered:
                self._life.unmark()
            self._life.begin()
            self._open_next()
            path = checkpoint_path(self._folder, self._number)
            content = Checkpoint(checkpoint, not self._is_whole, self._last_ns)
            pieces = checkpoint_pieces(content, self._codec)
            replace_file(path, pieces, sync=self._fsync_interval_s > 0)
            self._life.mark()
        except OSError as error:
            raise StateUnusable(str(self._directory), reason_of(error)) from error
        self._checkpoints.append(self._number)
        self._is_whole = self._has_begun = True
        self._synced_s = self._monotonic_s()
        self._tell()
        return self._number

    def append(
        self, kind: int, payload: bytes, *, category: int = 0, line: int = 0, received_ns: int = 0
    ) -> None:
        """Write one record before this returns, or give up being durable; never raises.

        Args:
            kind: What the payload is, below 255.
            payload: The input.
            category: What it is of.
            line: What it came by.
            received_ns: Wall clock at its receipt, in nanoseconds since the epoch.
        """
        if self._monotonic_s() >= self._look_s:
            self.tick()
        if self._descriptor is None:
            self.lost_total += 1
            if self._is_whole:
                self._break(ValueError("it is closed"))
            return
        try:
            record = self._codec.encode(kind, category, line, received_ns, payload)
            self._write(self._descriptor, record)
        except (OSError, ValueError) as error:
            self.lost_total += 1
            self._break(error)
            return
        self._end += len(record)
        self._last_ns = received_ns or self._last_ns
        if self._end >= _LOG_BYTES:
            self._due_s = min(self._due_s, self._monotonic_s())

    def rotate(self, checkpoint: bytes) -> int | None:
        """Begin the next generation; its log is in use when this returns.

        Args:
            checkpoint: The engine's state at this moment. A thread writes it.

        Returns:
            Its number; None if it could not be begun, which is tried again later.
        """
        old, old_number, sync = self._descriptor, self._number, self._fsync_interval_s > 0
        if not self._is_whole:
            self._unmark()
        try:
            self._open_next()
        except OSError as error:
            self._due_s = self._monotonic_s() + RETRY_S
            if self._is_whole:
                _LOGGER.warning("journal: no next generation yet (%s)", reason_of(error))
            return None
        if old is not None:
            self._do(partial(_finish, old, sync=sync), self._on_synced)
        if sync:
            self._do(partial(sync_directory, self._folder), self._on_synced)
        number, breaks = self._number, self._breaks
        content = Checkpoint(checkpoint, not self._is_whole, self._last_ns)
        pieces = checkpoint_pieces(content, self._codec)
        path = checkpoint_path(self._folder, number)
        self._is_checkpointing = True
        job = partial(replace_file, path, pieces, sync=sync)
        self._do(job, partial(self._on_checkpoint, number, breaks))
        _LOGGER.debug("journal: generation %d follows %d", number, old_number)
        return number

    def release(self, number: int) -> None:
        """Say that candles of all generations before this one are in the store of candles.

        They are dropped once two newer checkpoints are on disk.
        """
        self._released = max(self._released, number)
        self._drop()

    def tick(self) -> None:
        """Look at what the thread has done, and have it fsync if that is due; cheap.

        Each record does so, too: to be called where none comes for a while.
        """
        now_s = self._monotonic_s()
        self._look_s = now_s + _LOOK_S
        while self._jobs and self._jobs[0][0].done():
            future, done = self._jobs.popleft()
            if not future.cancelled():
                done(future.exception())
        if (
            0 < self._fsync_interval_s <= now_s - self._synced_s
            and self._descriptor is not None
            and self._end > self._synced_end
        ):
            self._synced_s, self._synced_end = now_s, self._end
            self._do(partial(sync_data, self._descriptor), self._on_synced)

    def close(self, *, clean: bool, timeout_s: float = 2.0) -> bool:
        """End; it waits.

        Args:
            clean: Whether everything is brought to the disk, so that even after a loss of power
                the next process goes on where this one ended.
            timeout_s: How long it may take.

        Returns:
            Whether that was done.
        """
        self._due_s = _NEVER
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._do(partial(os.close, descriptor), lambda _: None)
        if clean and self._has_begun:
            self._do(self._sync_all, self._on_cleaned)
        has_ended = self._thread.close(timeout_s)
        self.tick()
        return has_ended

    # The files.

    def _open_next(self) -> None:
        """Make the next log, with its head, the present one.

        Raises:
            OSError: If that is not possible; the present one stays then.
        """
        head = LogHead(previous_bytes=self._end, is_break=not self._is_whole)
        payload = msgspec.json.encode(head)
        record = self._codec.encode(HEAD_KIND, 0, 0, self._last_ns, payload)
        path = log_path(self._folder, self._number + 1)
        descriptor = create_log(path)
        try:
            self._write(descriptor, record)
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        self._descriptor = descriptor
        self._number += 1
        self._end, self._synced_end = len(record), 0
        self._due_s = self._monotonic_s() + self._segment_s

    def _write(self, descriptor: int, record: bytes) -> None:
        written = os.write(descriptor, record)
        if written != len(record):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _sync_all(self) -> None:
        """Bring everything to the disk, and take note that this process ends in order."""
        for suffix, path_of in (("log", log_path), ("ckpt", checkpoint_path)):
            for number in numbers_in(self._folder, suffix):
                sync_file(path_of(self._folder, number))
        sync_directory(self._folder)
        self._life.end()

    def _drop(self) -> None:
        """Drop what neither a restart nor the store of candles needs any more."""
        if len(self._checkpoints) < 2:  # noqa: PLR2004 -- the newest two are kept
            return
        end = min(self._released, self._checkpoints[-2])
        if end > self._dropped:
            self._dropped = end
            self._checkpoints = [number for number in self._checkpoints if number >= end]
            self._do(partial(_remove_before, self._folder, end), self._on_other)

    # What the thread has done.

    def _do(self, job: Callable[[], None], done: _Done) -> None:
        self._jobs.append((self._thread.submit(job), done))

    def _on_checkpoint(self, number: int, breaks: int, error: BaseException | None) -> None:
        self._is_checkpointing = False
        if error is not None:
            self._due_s = self._monotonic_s() + RETRY_S
            if self._is_whole:
                _LOGGER.warning("journal: checkpoint %d not written (%s)", number, _text(error))
            return
        self._checkpoints.append(number)
        if not self._is_whole and breaks == self._breaks:
            try:
                self._life.mark()
            except OSError:
                self._due_s = self._monotonic_s() + RETRY_S
                return
            self._is_whole = True
            _LOGGER.info("journal: everything is on record again, from generation %d", number)
            self._tell()
        self._drop()

    def _on_synced(self, error: BaseException | None) -> None:
        # What the kernel could not bring to the disk it may have let go of.
        if error is not None and self._is_whole:
            self._break(error)

    def _on_other(self, error: BaseException | None) -> None:
        if error is not None:
            _LOGGER.warning("journal: old generations not removed (%s)", _text(error))

    def _on_cleaned(self, error: BaseException | None) -> None:
        if error is not None:
            _LOGGER.warning("journal: not brought to the disk at the end (%s)", _text(error))

    def _break(self, error: BaseException) -> None:
        """Give up the present log, and say so before anything more is published."""
        # Its marker goes first: what is published from now on is not on record.
        self._unmark()
        self._breaks += 1
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.ftruncate(descriptor, self._end)
            self._do(partial(os.close, descriptor), lambda _: None)
        self._due_s = self._monotonic_s() + RETRY_S
        if self._is_whole:
            self._is_whole = False
            _LOGGER.warning("journal: nothing is on record now (%s)", _text(error))
            self._tell()

    def _unmark(self) -> None:
        try:
            self._life.unmark()
        except OSError as error:
            _LOGGER.warning("journal: its marker stays (%s)", reason_of(error))

    def _tell(self) -> None:
        durability: Durability = "degraded"
        if self._is_whole:
            durability = "power" if self._fsync_interval_s > 0 else "process"
        if durability != self.durability:
            self.durability = durability
            if self._on_changed is not None:
                self._on_changed(durability)


def _finish(descriptor: int, *, sync: bool) -> None:
    """Close a log, brought to the disk if asked for."""
    try:
        if sync:
            sync_data(descriptor)
    finally:
        os.close(descriptor)


def _remove_before(folder: Path, end: int) -> None:
    """Remove generations, the oldest first, so that those that stay are a row at any moment."""
    for number in numbers_in(folder, "log"):
        if number < end:
            log_path(folder, number).unlink(missing_ok=True)
    for number in numbers_in(folder, "ckpt"):
        if number < end:
            checkpoint_path(folder, number).unlink(missing_ok=True)


def _text(error: BaseException) -> str:
    return reason_of(error) if isinstance(error, Exception) else type(error).__name__
