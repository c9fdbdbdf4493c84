"""Refused frames in the log: some of them, raw, and how many more there were."""

import logging
from collections import deque
from typing import Final

from tapecast.errors import DecodeError

__all__ = ["Samples"]

_LOGGER = logging.getLogger(__name__)

_SAMPLES: Final = 10
_WINDOW_MS: Final = 60_000
_SAMPLE_BYTES: Final = 4096


class Samples:
    """Logs refused frames, but not more of them than a reader can use."""

    def __init__(self) -> None:
        self._logged_ms: deque[int] = deque(maxlen=_SAMPLES)
        self._unlogged = 0

    def log(self, frame: bytes, error: DecodeError, *, source: str, now_ms: int) -> None:
        """Log a frame, unless there were too many lately.

        Args:
            frame: As it was received.
            error: Why it was refused.
            source: The line that brought it.
            now_ms: The wall clock.
        """
        oldest_ms = self._logged_ms[0] if len(self._logged_ms) == _SAMPLES else None
        # A clock that was set back must not silence the samples.
        if oldest_ms is not None and 0 <= now_ms - oldest_ms < _WINDOW_MS:
            self._unlogged += 1
            return
        self._logged_ms.append(now_ms)
        more = f" ({self._unlogged} more before it were not logged)" * bool(self._unlogged)
        self._unlogged = 0
        raw = frame[:_SAMPLE_BYTES]
        _LOGGER.warning("%s: frame was refused: %s; it is %r%s", source, error, raw, more)
