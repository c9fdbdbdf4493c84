"""What happens on the exchange's side, turned into what the engine publishes."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tapecast.aliases import Category
from tapecast.bybit import Line
from tapecast.bybit.kline import Kline
from tapecast.daemon.clocks import SteadyClock
from tapecast.daemon.coverage import Coverage
from tapecast.daemon.intake import Intake
from tapecast.daemon.samples import Samples
from tapecast.errors import DecodeError
from tapecast.frames import frame_topic, frame_ts_ms
from tapecast.messages.fields import LineState
from tapecast.telemetry import LineFigures, ThreadRegistry, Worker

__all__ = ["MEND_AFTER_MS", "Feed"]

_LOGGER = logging.getLogger(__name__)


def _not_measured(_received_ns: int) -> None:
    """Measure nothing."""


MEND_AFTER_MS: Final = 1_000
"""How long after a refused frame its gap stays open, so that a series of them is one gap."""


def _nobody_heals() -> None:
    """Leave gaps as they are."""


class Feed:
    """Hands on what lines bring, and keeps account of what was and was not received.

    It is the sink of every line; nothing in it waits or raises.

    Args:
        intake: Takes frames, coverage and changes of lines.
        registry: Where lines appear as workers.
        wall_ms: The wall clock, in milliseconds since the epoch.
        heals: Whether somebody fills gaps; if not, they are given up when they end.
        on_published: Told the time of receipt of each frame of a line once all of it is published.
        on_gap: Called whenever there may be a gap to fill.
        steady: The clock, if it wants to know when the exchange made frames.

    Attributes:
        rejected: The exchange's reason by symbol that it refuses at present.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        intake: Intake,
        *,
        registry: ThreadRegistry,
        wall_ms: Callable[[], int],
        heals: bool = False,
        on_published: Callable[[int], None] = _not_measured,
        on_gap: Callable[[], None] = _nobody_heals,
        steady: SteadyClock | None = None,
    ) -> None:
        self.rejected: dict[tuple[Category, str], str] = {}
        self._intake = intake
        self._registry = registry
        self._wall_ms = wall_ms
        self._heals = heals
        self._on_published = on_published
        self._on_gap = on_gap
        self._steady = steady
        self._workers: dict[str, Worker] = {}
        self._figures: dict[str, LineFigures] = {}
        self._numbers: dict[str, int] = {}
        self._states: dict[str, tuple[LineState, str]] = {}
        self._coverage = Coverage()
        # Topics that a line is subscribed to, and when those of refused frames count again.
        self._subscribed: dict[str, set[str]] = {}
        self._mended_ms: dict[tuple[str, Category, str], int] = {}
        self._samples = Samples()

    def worker(self, name: str) -> Worker:
        """Return the handle of a line, registered when it is first asked for."""
        if name not in self._workers:
            worker = self._workers[name] = self._registry.register(name)
            worker.line = self._figures[name] = LineFigures()
            self._numbers[name] = len(self._numbers)
        return self._workers[name]

    def figures(self, name: str) -> LineFigures:
        """Return what a line brought, as far as the other lines are concerned."""
        self.worker(name)
        return self._figures[name]

    def apply(self, frame: bytes, *, received_ns: int, category: Category, source: str) -> bool:
        """Apply one recorded trade frame; return whether it was accepted."""
        try:
            self._intake.frame(frame, received_ns=received_ns, category=category)
        except DecodeError as error:
            self._samples.log(frame, error, source=source, now_ms=self._wall_ms())
            return False
        return True

    def replay(self, frame: bytes, *, received_ns: int, category: Category) -> None:
        """Apply a recorded trade frame; one that is refused is a gap at its own time."""
        if not self.apply(frame, received_ns=received_ns, category=category, source="replay"):
            self._intake.refuse(frame, category=category)

    def on_frame(self, line: Line, frame: bytes, received_ns: int) -> None:
        """Apply a line's trade frame; one that is refused opens a gap in its topic."""
        category, name = line.config.category, line.config.name
        if self._steady is not None and self._steady.is_torn:
            ts_ms = frame_ts_ms(frame)
            if ts_ms is not None:
                self._steady.observe(ts_ms)
        worker = self.worker(name)
        worker.beat(1)
        # Whether another frame comes is the market's affair; a silent line is the session's.
        worker.idle()
        try:
            batch = self._intake.frame(
                frame, received_ns=received_ns, category=category, line=self._numbers[name]
            )
        except DecodeError as error:
            self._samples.log(frame, error, source=name, now_ms=self._wall_ms())
            self._refuse(line, frame, received_ns // 1_000_000)
            return
        figures = self._figures[name]
        figures.wins += batch.fresh_trades
        figures.duplicates += batch.repeated_trades
        self._on_published(received_ns)

    def _refuse(self, line: Line, frame: bytes, now_ms: int) -> None:
        """Take note that the line did not bring the trades of a frame."""
        name, category = line.config.name, line.config.category
        topic = frame_topic(frame)
        # Whose trades were in an unreadable frame, nobody knows: any topic of the line's.
        topics = line.config.topics if topic is None else (topic,)
        lost = [topic for topic in topics if topic in self._subscribed.get(name, ())]
        self._lose(name, category, lost, now_ms)
        self._mended_ms |= {(name, category, topic): now_ms + MEND_AFTER_MS for topic in lost}

    def on_klines(self, line: Line, klines: Sequence[Kline]) -> None:
        """Compare candles with those of the exchange that a line has brought."""
        for kline in klines:
            self._intake.klines(line.config.category, kline.symbol, [kline])

    def on_state(self, line: Line, state: LineState, reason: str) -> None:
        """Publish a change of a line."""
        name = line.config.name
        worker = self.worker(name)
        if state == "connected":
            worker.running()
            worker.idle()
        elif state == "reconnecting":
            worker.failed(reason)
            worker.restarted()
        elif state == "closed":
            worker.stopped()
        if self._states.get(name) == (state, reason):
            # One attempt after the other fails in the same way: no change.
            return
        self._states[name] = (state, reason)
        level = logging.WARNING if state in {"reconnecting", "stale"} else logging.INFO
        _LOGGER.log(level, "line %s is %s%s", name, state, f": {reason}" * bool(reason))
        self._intake.upstream(self._wall_ms(), line=name, state=state, reason=reason)

    def state_of(self, line: str) -> LineState:
        """Return what a line is doing."""
        return self._states.get(line, ("starting", ""))[0]

    def on_subscribed(self, line: Line, topics: Sequence[str], at_ms: int) -> None:
        """Count these topics as received from now on."""
        name, category = line.config.name, line.config.category
        for topic in topics:
            if self.rejected.pop((category, topic), None) is not None:
                _LOGGER.info("symbol %s:%s is accepted now", category, topic)
            self._mended_ms.pop((name, category, topic), None)
        self._subscribed.setdefault(name, set()).update(topics)
        self._regain(name, category, topics, at_ms)

    def on_lost(self, line: Line, topics: Sequence[str], at_ms: int) -> None:
        """Count these topics as missed from now on, unless another line carries them."""
        name, category = line.config.name, line.config.category
        self._subscribed.get(name, set()).difference_update(topics)
        for topic in topics:
            self._mended_ms.pop((name, category, topic), None)
        self._lose(name, category, topics, at_ms)

    def on_rejected(self, line: Line, topic: str, reason: str) -> None:
        """Keep a refused symbol in sight; it is logged when it is refused first."""
        self.reject(line.config.category, topic, reason)

    def reject(self, category: Category, symbol: str, reason: str) -> None:
        """Keep a symbol in sight that cannot be had."""
        if self.rejected.get((category, symbol)) != reason:
            _LOGGER.warning("symbol %s:%s is rejected: %s", category, symbol, reason)
        self.rejected[category, symbol] = reason

    def tick(self, now_ms: int) -> None:
        """Count the topics of refused frames again whose time is over."""
        over = [key for key, due_ms in self._mended_ms.items() if due_ms <= now_ms]
        for name, category, topic in over:
            del self._mended_ms[name, category, topic]
            self._regain(name, category, [topic], now_ms)

    def _lose(self, line: str, category: Category, topics: Iterable[str], at_ms: int) -> None:
        """Tell what is missed once a line has lost topics; those with the same stretch at once."""
        holes: dict[tuple[int, int], list[str]] = {}
        lost: dict[int, list[str]] = {}
        for topic in topics:
            loss = self._coverage.lose(line, (category, topic), at_ms)
            if loss is None:
                continue
            for hole in loss.holes:
                holes.setdefault(hole, []).append(topic)
            if loss.lost_ms is not None:
                lost.setdefault(loss.lost_ms, []).append(topic)
        for (from_ms, to_ms), names in holes.items():
            settled = not self._heals
            self._intake.miss(from_ms, to_ms, category=category, topics=names, settled=settled)
        for from_ms, names in lost.items():
            self._intake.uncover(from_ms, category=category, topics=names)
        if holes or lost:
            self._on_gap()

    def _regain(self, line: str, category: Category, topics: Sequence[str], at_ms: int) -> None:
        gained: dict[int, list[str]] = {}
        for topic in topics:
            since_ms = self._coverage.gain(line, (category, topic), at_ms)
            if since_ms is not None:
                gained.setdefault(since_ms, []).append(topic)
        for since_ms, names in gained.items():
            settled = not self._heals
            self._intake.cover(since_ms, category=category, topics=names, settled=settled)
        if gained:
            self._on_gap()
