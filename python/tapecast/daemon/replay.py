"""The recorded source: frames from files in place of the exchange, at any pace."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

import msgspec

from tapecast.aliases import Category
from tapecast.daemon.feed import Feed
from tapecast.daemon.timers import Clock
from tapecast.frames import frame_ts_ms, is_control_frame, is_trade_frame
from tapecast.recording import Recording
from tapecast.telemetry import Worker

__all__ = ["Replay", "ReplaySettings"]

_LOGGER = logging.getLogger(__name__)

_READ_FRAMES: Final = 500
_TURN_FRAMES: Final = 32
_POLL_S: Final = 0.005
_PATIENCE_S: Final = 5.0


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How recorded frames are played.

    Attributes:
        recordings: The files, in their order.
        category: What the frames carry; they do not say it themselves.
        speed: How many recorded seconds pass in one; `None` for as fast as it goes.
        wait_clients: How many subscribers there must be before it begins.
    """

    recordings: tuple[Recording, ...]
    category: Category = "linear"
    speed: float | None = 1.0
    wait_clients: int = 0


class Replay:
    """Plays recorded frames once.

    Times are those at which the exchange made the frames (`ts`). At full speed it goes no faster
    than its clients read: they are to see all of it.

    Args:
        settings: What is played, and how.
        feed: Takes the frames.
        clock: Time.
        worker: Where it reports.
        subscribers: Returns how many subscribers there are.
        is_congested: Returns whether more waits for a client, or in the hub, than should.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        settings: ReplaySettings,
        *,
        feed: Feed,
        clock: Clock,
        worker: Worker,
        subscribers: Callable[[], int],
        is_congested: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._clock = clock
        self._worker = worker
        self._subscribers = subscribers
        self._is_congested = is_congested
        self._first_ts_ms: int | None = None
        self._started_s = 0.0
        self._unknown_total = 0

    def check(self) -> None:
        """Raise OSError if a file is not there."""
        for recording in self._settings.recordings:
            recording.path.stat()

    def counts(self) -> dict[str, int]:
        """Return the totals that a live source has; a replay loses nothing."""
        return {"reconnects": 0, "unknown_frames": self._unknown_total}

    async def run(self) -> None:
        """Play everything and return once the clients have it, or do not read on.

        Raises:
            OSError: If a file cannot be read.
            FeedError: If a file is damaged or is no recording.
        """
        while self._subscribers() < self._settings.wait_clients:
            self._worker.idle()
            await self._clock.sleep(_POLL_S)
        self._worker.running()
        frames = chain.from_iterable(self._settings.recordings)
        played = 0
        # Files are read, and decompressed, in a thread: a slow disk must not stop the stream.
        while portion := await asyncio.to_thread(_take, frames):
            for frame in portion:
                await self._wait_for(frame, played)
                if is_trade_frame(frame):
                    self._apply(frame)
                else:
                    self._unknown_total += not is_control_frame(frame)
                played += 1
        await self._until_read()
        _LOGGER.info(
            "replay is done: %d frames, of which %d are unknown", played, self._unknown_total
        )
        self._worker.stopped()

    def _apply(self, frame: bytes) -> None:
        self._worker.beat(1)
        received_ns = self._clock.wall_ns()
        self._feed.replay(frame, received_ns=received_ns, category=self._settings.category)

    async def _wait_for(self, frame: bytes, played: int) -> None:
        """Wait until a frame is due."""
        if self._settings.speed is None:
            if played % _TURN_FRAMES == 0:
                await asyncio.sleep(0)
                await self._until_read()
            return
        ts_ms = frame_ts_ms(frame)
        now_s = self._clock.monotonic_s()
        if ts_ms is None:
            return
        if self._first_ts_ms is None:
            self._first_ts_ms, self._started_s = ts_ms, now_s
        played_s = (ts_ms - self._first_ts_ms) / 1000 / self._settings.speed
        wait_s = self._started_s + played_s - now_s
        if wait_s > 0:
            self._worker.idle()
            await self._clock.sleep(wait_s)
        elif played % _TURN_FRAMES == 0:
            await asyncio.sleep(0)

    async def _until_read(self) -> None:
        """Wait while clients have too much before them, but not for ever for one that hangs."""
        patient_until_s = self._clock.monotonic_s() + _PATIENCE_S
        while self._is_congested() and self._clock.monotonic_s() < patient_until_s:
            await self._clock.sleep(_POLL_S)


def _take(frames: Iterator[bytes]) -> Sequence[bytes]:
    return list(islice(frames, _READ_FRAMES))
