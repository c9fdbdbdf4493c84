"""The composition root: everything made, joined, run, and ended in order."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import fields, replace
from typing import Any, Final, Protocol

from tapecast._core import Batch, Engine
from tapecast.clocks import SystemClock, thread_cpu_ns
from tapecast.config import ServerSettings, Settings
from tapecast.daemon.delays import Delays
from tapecast.daemon.exchange import Exchange
from tapecast.daemon.feed import Feed
from tapecast.daemon.lifecycle import calm_collector
from tapecast.daemon.replay import Replay, ReplaySettings
from tapecast.daemon.timers import Clock, Stats, close_windows, publish_stats
from tapecast.errors import FeedError
from tapecast.server import Hub, Listener, ServerLimits
from tapecast.symbols import parse_patterns
from tapecast.telemetry import LineWriter, ThreadRegistry, Worker, logging_to

__all__ = ["Daemon", "run"]

_LOGGER = logging.getLogger(__name__)

_STALL_AFTER_S: Final = 5.0
_WRITERS_CLOSE_S: Final = 0.5


class Source(Protocol):
    """Where frames come from."""

    def check(self) -> None:
        """Raise OSError if there is nothing to be had, before anything is begun."""

    async def run(self) -> None:
        """Feed frames until there are no more, or until cancelled."""

    def counts(self) -> dict[str, int]:
        """Return its totals, under the names that stats messages give them."""


class Daemon:
    """One engine, its source, its timers and its server.

    Args:
        settings: Everything that can be set.
        registry: Where all workers appear.
        console: Takes the `text` of stats and closed candles.
        replay: Recorded frames in place of the exchange.
        counts: Returns further totals for the stats.
        clock: Time.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only
        self,
        settings: Settings,
        *,
        registry: ThreadRegistry,
        console: Callable[[str], None],
        replay: ReplaySettings | None = None,
        counts: Callable[[], dict[str, int]] = dict,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._registry = registry
        self._console = console
        self.engine: Final = _engine(settings, replay)
        self._delays = Delays(self._clock)
        self.hub: Final = Hub(
            self.engine,
            limits=_limits(settings.server, is_replay=replay is not None),
            on_written=self._delays.written,
        )
        self.listener: Final = Listener(
            self.hub, self._clock, host=settings.host, port=settings.port
        )
        self._feed = Feed(
            self.engine,
            self._publish,
            registry=registry,
            wall_ms=self._clock.wall_ms,
            on_published=self._delays.published,
        )
        self._is_live = replay is None
        self._source = self._make_source(replay)
        self._stats = Stats(
            self.engine,
            registry=registry,
            clock=self._clock,
            counts=lambda: {**self.hub.counts.as_dict(), **self._source.counts(), **counts()},
            rejected=self._feed.rejected,
            latencies=self._delays.by_name,
        )

    def _make_source(self, replay: ReplaySettings | None) -> Source:
        if replay is None:
            return Exchange(
                parse_patterns(self.settings.symbols),
                self.settings.bybit,
                feed=self._feed,
                clock=self._clock,
                worker=self._registry.register("symbols"),
            )
        return Replay(
            replay,
            feed=self._feed,
            clock=self._clock,
            worker=self._registry.register("replay"),
            subscribers=lambda: self.hub.subscribers,
            is_congested=self._is_congested,
        )

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[int], None]) -> None:
        """Serve until `stop` is set or a replay is done; then close clients and return.

        Args:
            stop: Ends it.
            on_ready: Called with the port once it listens.

        Raises:
            OSError: If the address cannot be listened on, or a recording cannot be read.
            FeedError: If a recording is damaged.
        """
        self._source.check()
        async with self.listener:
            on_ready(self.listener.port)
            workers = [
                asyncio.create_task(_watched(*work), name=work[0].name) for work in self._work()
            ]
            source = asyncio.create_task(self._source.run(), name="source")
            stopped = asyncio.create_task(stop.wait(), name="stop")
            try:
                done, _ = await asyncio.wait(
                    [*workers, source, stopped], return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                await _end([source, *workers, stopped])
                # What was published last shall be read before the connections close.
                self.hub.flush_all()
            for task in done:
                _raise(task)

    def _work(self) -> Iterable[tuple[Worker, Coroutine[Any, Any, None]]]:
        """Return every task beside the source, and where it reports."""

        def worker(name: str) -> Worker:
            return self._registry.register(name, stall_after_s=_STALL_AFTER_S)

        broadcaster, partials, stats = map(worker, ("broadcaster", "partials", "stats-publisher"))
        yield broadcaster, self.hub.run(self._clock, beat=_waits_between(broadcaster))
        yield partials, self.hub.run_partials(self._clock, beat=_waits_between(partials))
        loop = worker("loop-watch")
        yield loop, self._delays.watch_loop(worker=loop)
        yield stats, publish_stats(self._stats, self._publish, self._clock, worker=stats)
        if self._is_live:
            timer, grace_ms = worker("engine-timer"), self.settings.candles.grace_ms
            yield timer, close_windows(self._tick, self._clock, grace_ms=grace_ms, worker=timer)

    def _tick(self, now_ms: int) -> None:
        self._feed.tick(now_ms)
        self._publish(self.engine.advance(now_ms))

    def _publish(self, batch: Batch) -> None:
        self.hub.publish(batch, published_ns=self._clock.monotonic_ns())
        for line in batch.texts:
            self._console(line)

    def _is_congested(self) -> bool:
        limits = self.hub.limits
        return (
            self.hub.queued_bytes > limits.flush_bytes
            or self.listener.pending_bytes > limits.max_pending_bytes // 4
        )


def _engine(settings: Settings, replay: ReplaySettings | None) -> Engine:
    candles = settings.candles
    first = parse_patterns(settings.symbols)[0].category
    return Engine(
        grace_ms=candles.grace_ms,
        revise_window_ms=candles.revise_window_ms,
        empty=candles.empty,
        open=candles.open,
        include_block_trades=candles.include_block_trades,
        clock="wall" if replay is None else "event",
        primary_category=first if replay is None else replay.category,
        # In a replay there are no subscriptions: what was recorded counts as what there was.
        assume_covered=replay is not None,
        epoch=secrets.token_hex(6),
    )


async def run(
    settings: Settings,
    *,
    stop: asyncio.Event,
    replay: ReplaySettings | None = None,
    stdout: int = 1,
    stderr: int = 2,
) -> None:
    """Run the daemon of `tapecast serve`, with its console and its logs.

    Args:
        settings: Everything that can be set.
        stop: Ends it.
        replay: Recorded frames in place of the exchange.
        stdout: Descriptor for the console lines.
        stderr: Descriptor for the logs.

    Raises:
        OSError: If the address cannot be listened on, or a recording cannot be read.
        FeedError: If a recording is damaged.
    """
    clock = SystemClock()
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns, cpu_ns=thread_cpu_ns)
    console = LineWriter(stdout, _writer(registry, "console-writer"), on_failed=_console_has_gone)
    logs = LineWriter(stderr, _writer(registry, "log-writer"))

    def dropped() -> dict[str, int]:
        return {"dropped_lines": console.dropped_total + logs.dropped_total}

    def ready(port: int) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        _LOGGER.info("listening on ws://%s:%d/ws/status", host, port)
        calm_collector()

    console.start()
    logs.start()
    try:
        with logging_to(logs, level=settings.log.level, style=settings.log.format):
            daemon = Daemon(
                settings, registry=registry, console=console.put, replay=replay, counts=dropped
            )
            await daemon.run(stop, on_ready=ready)
            _LOGGER.info("stopped")
    finally:
        console.close(_WRITERS_CLOSE_S)
        logs.close(_WRITERS_CLOSE_S)


def _console_has_gone(error: OSError) -> None:
    _LOGGER.warning("nothing is printed any more, the stream goes on: stdout: %s", error.strerror)


def _writer(registry: ThreadRegistry, name: str) -> Worker:
    return registry.register(name, kind="thread", stall_after_s=_STALL_AFTER_S)


def _waits_between(worker: Worker) -> Callable[[int], None]:
    """Return a beat that reports handled messages, and idleness where there were none."""

    def beat(messages: int) -> None:
        if messages:
            worker.beat(messages)
        else:
            worker.idle()

    return beat


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks one after the other, the source first, and wait for each."""
    for task in tasks:
        task.cancel()
        await asyncio.wait([task])


async def _watched(worker: Worker, work: Coroutine[Any, Any, None]) -> None:
    with worker.watch():
        await work


def _raise(task: asyncio.Task[Any]) -> None:
    """Raise what ended a task; a fault of ours is logged with its traceback."""
    error = task.exception()
    if error is None:
        return
    if not isinstance(error, OSError | FeedError):
        _LOGGER.critical("task %s failed", task.get_name(), exc_info=error)
    raise error


def _limits(settings: ServerSettings, *, is_replay: bool) -> ServerLimits:
    known = {field.name for field in fields(ServerLimits)}
    limits = ServerLimits(**settings.model_dump(include=known))
    if not is_replay:
        return limits
    # A replay waits for its clients, and drops nothing for those who read at all.
    return replace(limits, slow_policy="disconnect", soft_pending_bytes=limits.max_pending_bytes)
