"""A state directory in use: its lock, what it held, its journal and its candles."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tapecast.messages.fields import Durability
from tapecast.store.candles import CandleStore
from tapecast.store.jobs import Reporter
from tapecast.store.journal import Journal
from tapecast.store.lock import StateLock
from tapecast.store.recovery import Recovered, recover
from tapecast.store.segments import Codec

__all__ = ["State", "StateOptions"]

_CANDLES: Final = "candles.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateOptions:
    """How a state directory is used.

    Attributes:
        fsync_interval_s: Time between fsyncs; none if 0.
        segment_s: Time after which the next generation of the journal is due.
        retention_days: How long candles are kept.
        codec: How records are written; the extension's by default.
        journal_reporter: Where the journal's thread reports.
        candles_reporter: Where the thread of the candles reports.
    """

    fsync_interval_s: float = 0.0
    segment_s: float = 300.0
    retention_days: int = 30
    codec: Codec | None = None
    journal_reporter: Reporter | None = None
    candles_reporter: Reporter | None = None


class State:
    """What outlives the process; a daemon that keeps nothing has none.

    After `open`: `recovered.restore` and `recovered.records`, then `journal.begin`, and only then
    anything is published.

    Attributes:
        recovered: What the last process left.
        journal: Where inputs are put on record.
        candles: Where closed candles and gaps are kept.
    """

    def __init__(
        self, lock: StateLock, recovered: Recovered, journal: Journal, candles: CandleStore
    ) -> None:
        self._lock = lock
        self.recovered = recovered
        self.journal = journal
        self.candles = candles

    @classmethod
    def open(  # noqa: PLR0913 -- clocks, by name
        cls,
        directory: Path,
        *,
        identity: str,
        monotonic_s: Callable[[], float],
        wall_ms: Callable[[], int],
        options: StateOptions | None = None,
        on_changed: Callable[[Durability], None] | None = None,
    ) -> "State":
        """Lock a state directory and look through it; this may take a while.

        Args:
            directory: The directory; it is made if it is missing.
            identity: What the state is of, as a JSON text.
            monotonic_s: A clock that never jumps.
            wall_ms: The wall clock, in milliseconds since the epoch.
            options: How it is used.
            on_changed: Told the journal's new durability whenever that changes, in the thread that
                uses the journal.

        Raises:
            StoreError: If it cannot be used: `StateLocked`, `StateTooNew`, `StateForeign` or
                `StateUnusable`.
        """
        options = StateOptions() if options is None else options
        lock = StateLock(directory, identity)
        try:
            recovered = recover(directory, codec=options.codec)
            candles = CandleStore(
                directory / _CANDLES,
                wall_ms=wall_ms,
                power=options.fsync_interval_s > 0,
                retention_days=options.retention_days,
                reporter=options.candles_reporter,
            )
        except BaseException:
            lock.release()
            raise
        journal = Journal(
            directory,
            monotonic_s=monotonic_s,
            past=recovered.past,
            fsync_interval_s=options.fsync_interval_s,
            segment_s=options.segment_s,
            on_changed=on_changed,
            codec=options.codec,
            reporter=options.journal_reporter,
        )
        return cls(lock, recovered, journal, candles)

    @property
    def durability(self) -> Durability:
        """What a published message outlives now."""
        return "degraded" if self.candles.is_degraded else self.journal.durability

    def close(self, *, clean: bool = True, timeout_s: float = 2.0) -> bool:
        """Write what waits and unlock the directory; it waits.

        Args:
            clean: Whether everything is brought to the disk, so that even after a loss of power
                the next process goes on where this one ended.
            timeout_s: How long each of candles and journal may take.

        Returns:
            Whether everything is on disk.
        """
        are_committed = self.candles.close(timeout_s)
        has_ended = self.journal.close(clean=clean, timeout_s=timeout_s)
        self._lock.release()
        return are_committed and has_ended
