"""What happens on the exchange's side, turned into what the engine publishes."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tapecast._core import Batch, Engine
from tapecast.aliases import Category
from tapecast.batch import mark_refused
from tapecast.bybit import Line
from tapecast.errors import DecodeError
from tapecast.frames import frame_topic
from tapecast.telemetry import ThreadRegistry, Worker

__all__ = ["CLOCK_MARGIN_MS", "MEND_AFTER_MS", "Feed"]

_LOGGER = logging.getLogger(__name__)


def _not_measured(_received_ns: int) -> None:
    """Measure nothing."""


CLOCK_MARGIN_MS: Final = 500
"""How far a stretch of missed trades is widened at both ends.

Trades are matched by the exchange's clock and the stretch is read off ours: a trade on the way when
the line was lost has an earlier time than we saw last, and clocks were seen 150 ms apart.
"""

MEND_AFTER_MS: Final = 1_000
"""How long after a refused frame its gap stays open, so that a series of them is one gap."""

_SAMPLES: Final = 10
_SAMPLES_WINDOW_MS: Final = 60_000
_SAMPLE_BYTES: Final = 4096


class Feed:
    """Applies frames to the engine and keeps account of what was and was not received.

    It is the sink of every line; nothing in it waits or raises.

    Args:
        engine: Takes frames and changes of lines.
        publish: Takes what the engine publishes.
        registry: Where lines appear as workers.
        wall_ms: The wall clock, in milliseconds since the epoch.
        on_published: Told the time of receipt of each frame of a line once all of it is published.

    Attributes:
        rejected: The exchange's reason by symbol that it refuses at present.
    """

    def __init__(
        self,
        engine: Engine,
        publish: Callable[[Batch], None],
        *,
        registry: ThreadRegistry,
        wall_ms: Callable[[], int],
        on_published: Callable[[int], None] = _not_measured,
    ) -> None:
        self.rejected: dict[tuple[Category, str], str] = {}
        self._engine = engine
        self._publish = publish
        self._registry = registry
        self._wall_ms = wall_ms
        self._on_published = on_published
        self._workers: dict[str, Worker] = {}
        self._states: dict[str, tuple[str, str]] = {}
        # Topics that their line carries at present, and when the gaps of refused frames end.
        self._carried: set[tuple[Category, str]] = set()
        self._mended_ms: dict[tuple[Category, str], int] = {}
        self._sampled_ms: deque[int] = deque(maxlen=_SAMPLES)
        self._unsampled = 0

    def worker(self, name: str) -> Worker:
        """Return the handle of a line, registered when it is first asked for."""
        if name not in self._workers:
            self._workers[name] = self._registry.register(name)
        return self._workers[name]

    def apply(self, frame: bytes, *, received_ns: int, category: Category, source: str) -> bool:
        """Apply one trade frame and publish what comes of it; return whether it was accepted."""
        try:
            batch = self._engine.feed(frame, received_ns=received_ns, category=category)
        except DecodeError as error:
            self._sample(frame, error, source)
            return False
        self._publish(batch)
        return True

    def replay(self, frame: bytes, *, received_ns: int, category: Category) -> None:
        """Apply a recorded trade frame; one that is refused is a gap at its own time."""
        if not self.apply(frame, received_ns=received_ns, category=category, source="replay"):
            self._publish(mark_refused(self._engine, frame, category=category))

    def on_frame(self, line: Line, frame: bytes, received_ns: int) -> None:
        """Apply a line's trade frame; one that is refused opens a gap in its topic."""
        category = line.config.category
        worker = self.worker(line.config.name)
        worker.beat(1)
        # Whether another frame comes is the market's affair; a silent line is the session's.
        worker.idle()
        if self.apply(frame, received_ns=received_ns, category=category, source=line.config.name):
            self._on_published(received_ns)
            return
        topic = frame_topic(frame)
        # Whose trades were in an unreadable frame, nobody knows: any topic of the line's.
        names = line.config.topics if topic is None else (topic,)
        lost = [name for name in names if (category, name) in self._carried]
        now_ms = received_ns // 1_000_000
        self._lose(category, lost, now_ms)
        self._mended_ms |= {(category, name): now_ms + MEND_AFTER_MS for name in lost}

    def on_state(self, line: Line, state: str, reason: str) -> None:
        """Publish a change of a line."""
        worker = self.worker(line.config.name)
        if state == "connected":
            worker.running()
            worker.idle()
        elif state == "reconnecting":
            worker.failed(reason)
            worker.restarted()
        elif state == "closed":
            worker.stopped()
        if self._states.get(line.config.name) == (state, reason):
            # One attempt after the other fails in the same way: no change.
            return
        self._states[line.config.name] = (state, reason)
        level = logging.WARNING if state in {"reconnecting", "stale"} else logging.INFO
        _LOGGER.log(level, "line %s is %s%s", line.config.name, state, f": {reason}" * bool(reason))
        now_ms = self._wall_ms()
        batch = self._engine.upstream(now_ms, line=line.config.name, state=state, reason=reason)
        self._publish(batch)

    def on_subscribed(self, line: Line, topics: Sequence[str], at_ms: int) -> None:
        """Count these topics as received from now on."""
        category = line.config.category
        for topic in topics:
            if self.rejected.pop((category, topic), None) is not None:
                _LOGGER.info("symbol %s:%s is accepted now", category, topic)
            self._carried.add((category, topic))
        self._regain(category, topics, at_ms)

    def on_lost(self, line: Line, topics: Sequence[str], at_ms: int) -> None:
        """Count these topics as missed from now on."""
        category = line.config.category
        for topic in topics:
            self._carried.discard((category, topic))
            self._mended_ms.pop((category, topic), None)
        self._lose(category, topics, at_ms)

    def on_rejected(self, line: Line, topic: str, reason: str) -> None:
        """Keep a refused symbol in sight; it is logged when it is refused first."""
        self.reject(line.config.category, topic, reason)

    def reject(self, category: Category, symbol: str, reason: str) -> None:
        """Keep a symbol in sight that cannot be had."""
        if self.rejected.get((category, symbol)) != reason:
            _LOGGER.warning("symbol %s:%s is rejected: %s", category, symbol, reason)
        self.rejected[category, symbol] = reason

    def tick(self, now_ms: int) -> None:
        """End the gaps of refused frames that are over."""
        over = [key for key, due_ms in self._mended_ms.items() if due_ms <= now_ms]
        for category, topic in over:
            del self._mended_ms[category, topic]
            self._regain(category, [topic], now_ms)

    def _lose(self, category: Category, topics: Iterable[str], at_ms: int) -> None:
        names = list(topics)
        if names:
            from_ms = at_ms - CLOCK_MARGIN_MS
            self._publish(self._engine.uncover(from_ms, category=category, topics=names))

    def _regain(self, category: Category, topics: Sequence[str], at_ms: int) -> None:
        to_ms = at_ms + CLOCK_MARGIN_MS
        self._publish(self._engine.cover(to_ms, category=category, topics=topics))

    def _sample(self, frame: bytes, error: DecodeError, source: str) -> None:
        """Log a refused frame, but not more of them than a reader can use."""
        now_ms = self._wall_ms()
        oldest_ms = self._sampled_ms[0] if len(self._sampled_ms) == _SAMPLES else None
        # A clock that was set back must not silence the samples.
        if oldest_ms is not None and 0 <= now_ms - oldest_ms < _SAMPLES_WINDOW_MS:
            self._unsampled += 1
            return
        self._sampled_ms.append(now_ms)
        more = f" ({self._unsampled} more before it were not logged)" * bool(self._unsampled)
        self._unsampled = 0
        raw = frame[:_SAMPLE_BYTES]
        _LOGGER.warning("%s: frame was refused: %s; it is %r%s", source, error, raw, more)
