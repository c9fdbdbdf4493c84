"""The composition root: everything made, joined, run, and ended in order."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from tapecast._core import Batch, Engine
from tapecast.aliases import Category
from tapecast.bybit import Rest
from tapecast.clocks import SystemClock, thread_cpu_ns
from tapecast.config import ServerSettings, Settings
from tapecast.daemon.clocks import SteadyClock
from tapecast.daemon.delays import Delays
from tapecast.daemon.exchange import Exchange
from tapecast.daemon.feed import Feed
from tapecast.daemon.healer import Healer
from tapecast.daemon.intake import Intake
from tapecast.daemon.keeper import keep_state
from tapecast.daemon.lifecycle import calm_collector, check_address
from tapecast.daemon.replay import Replay, ReplaySettings
from tapecast.daemon.restart import Restart, new_epoch
from tapecast.daemon.supervision import Supervisor
from tapecast.daemon.systemd import Systemd
from tapecast.daemon.timers import Clock, Stats, close_windows, publish_stats
from tapecast.daemon.watchdog import Watchdog
from tapecast.messages.fields import Durability
from tapecast.server import (
    Access,
    Hub,
    Listener,
    Reports,
    ServerLimits,
    check_exposure,
    raise_descriptor_limit,
    tls_context,
)
from tapecast.store import State, StateOptions
from tapecast.symbols import parse_patterns
from tapecast.telemetry import LineWriter, ThreadRegistry, Worker, logging_to

__all__ = ["Daemon", "run"]

_LOGGER = logging.getLogger(__name__)

_STALL_AFTER_S: Final = 5.0
_HISTORY_CANDLES: Final = 120
"""Candles of each symbol that the engine keeps after they can no longer be revised."""

_WRITERS_CLOSE_S: Final = 0.5


class Source(Protocol):
    """Where frames come from."""

    def check(self) -> None:
        """Raise OSError if there is nothing to be had, before anything is begun."""

    async def run(self) -> None:
        """Feed frames until there are no more, or until cancelled."""

    def counts(self) -> dict[str, int]:
        """Return its totals, under the names that stats messages give them."""


def _tell_nobody() -> None:
    """Do nothing."""


class Daemon:
    """One engine, its source, its timers and its server.

    Args:
        settings: Everything that can be set.
        registry: Where all workers appear.
        console: Takes the `text` of stats and closed candles.
        replay: Recorded frames in place of the exchange.
        counts: Returns further totals for the stats.
        clock: Time.
        state: What outlives the process; nothing does where `None`.
        on_turn: Called ten times a second, as long as the event loop moves.

    Raises:
        StoreError: If the state directory cannot be used.
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
        state: State | None = None,
        on_turn: Callable[[], None] = _tell_nobody,
    ) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._registry = registry
        self._console = console
        self._state = state
        self._on_turn = on_turn
        self._is_live = replay is None
        options = _engine_options(settings, replay)
        restart = None if state is None else Restart(state, options)
        self.engine: Final = restart.engine if restart else Engine(**options, epoch=new_epoch())
        self._delays = Delays(self._clock)
        self.hub: Final = Hub(
            self.engine,
            limits=_limits(settings.server, is_replay=replay is not None),
            on_written=self._delays.written,
        )
        self._intake = self._make_intake()
        if restart is not None:
            restart.replay(self._intake, self._recall)
        self.listener: Final = self._make_listener()
        bybit = settings.bybit
        self._rest: Final = Rest(
            bybit.rest_base, proxy=bybit.proxy, forbidden_wait_s=bybit.forbidden_wait_s
        )
        self._healer = self._make_healer() if self._is_live and settings.bybit.backfill else None
        self._feed = Feed(
            self._intake,
            registry=registry,
            wall_ms=self._clock.wall_ms,
            heals=self._healer is not None,
            on_published=self._delays.published,
            on_gap=self._wake_healer,
            steady=self._clock if isinstance(self._clock, SteadyClock) else None,
        )
        self._source = self._make_source(replay)
        self._stats = self._make_stats(counts)
        if restart is not None:
            restart.mark_missed(self._intake)

    def _make_intake(self) -> Intake:
        state = self._state
        return Intake(
            self.engine,
            self._publish,
            wall_ns=self._clock.wall_ns,
            journal=None if state is None else state.journal,
            keep=None if state is None else state.candles.put_payloads,
            on_mismatch=self._reconcile,
        )

    def _make_listener(self) -> Listener:
        server = self.settings.server
        return Listener(
            self.hub,
            self._clock,
            host=self.settings.host,
            port=self.settings.port,
            access=Access(allowed_origins=server.allowed_origins, token=server.token),
            tls=tls_context(server.tls_cert, server.tls_key),
            reports=Reports(health=lambda: {"durability": self._durability}),
        )

    def _make_healer(self) -> Healer:
        bybit, candles = self.settings.bybit, self.settings.candles
        return Healer(
            self._intake,
            self._rest,
            self._clock,
            deadline_s=bybit.backfill_deadline_s,
            grace_ms=candles.grace_ms,
            revise_window_ms=candles.revise_window_ms,
        )

    def _make_stats(self, counts: Callable[[], dict[str, int]]) -> Stats:
        return Stats(
            self._intake,
            registry=self._registry,
            clock=self._clock,
            counts=lambda: {
                **self.hub.counts.as_dict(),
                **self._source.counts(),
                **self._gap_counts(),
                **counts(),
            },
            rejected=self._feed.rejected,
            latencies=self._delays.by_name,
            sections=self._sections,
        )

    def _gap_counts(self) -> dict[str, int]:
        """Return the totals of filling gaps."""
        if self._healer is None:
            return {}
        return {**self._rest.counts(), **self._healer.counts()}

    def _sections(self) -> dict[str, bytes]:
        """Return what stats tell beside the engine's figures and the counts."""
        sections = {"durability": msgspec.json.encode(self._durability)}
        if isinstance(self._source, Exchange):
            sections["lines"] = msgspec.json.encode(self._source.statuses())
        verified, mismatched, largest = self.engine.audit
        if verified or mismatched:
            # The exact text is a number of JSON as it is.
            difference = b"null" if largest is None else largest.encode()
            figures = b'{"verified":%d,"mismatched":%d,"largest_difference":%s}'
            sections["audit"] = figures % (verified, mismatched, difference)
        return sections

    @property
    def _durability(self) -> Durability:
        return "none" if self._state is None else self._state.durability

    def _make_source(self, replay: ReplaySettings | None) -> Source:
        if replay is None:
            return Exchange(
                parse_patterns(self.settings.symbols),
                self.settings.bybit,
                feed=self._feed,
                rest=self._rest,
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

    async def run(
        self,
        stop: asyncio.Event,
        *,
        on_ready: Callable[[int], None],
        on_stopping: Callable[[], None] = _tell_nobody,
    ) -> None:
        """Serve until `stop` is set or a replay is done; then close clients and return.

        Args:
            stop: Ends it.
            on_ready: Called with the port once it listens.
            on_stopping: Called when it begins to end, for whatever reason.

        Raises:
            OSError: If the address cannot be listened on, or a recording cannot be read.
            FeedError: If a recording is damaged.
            InternalFault: If a part of it failed that must not.
        """
        self._source.check()
        # Its watch lasts until all clients are gone: their handlers use the engine, too.
        async with Supervisor() as supervisor, self._rest, self.listener:
            on_ready(self.listener.port)
            for worker, work in self._work():
                supervisor.start(worker.name, _watched(worker, work))
            supervisor.start("source", self._source.run(), may_end=not self._is_live)
            try:
                await supervisor.wait(stop)
            finally:
                on_stopping()
                # After a fault nothing may touch the engine, also while clients are closed.
                await supervisor.end()
            # What was published last shall be read before the connections close.
            self.hub.flush_all()

    def _work(self) -> Iterable[tuple[Worker, Coroutine[Any, Any, None]]]:
        """Return every task beside the source, and where it reports."""

        def worker(name: str) -> Worker:
            return self._registry.register(name, stall_after_s=_STALL_AFTER_S)

        broadcaster, partials, stats = map(worker, ("broadcaster", "partials", "stats-publisher"))
        yield broadcaster, self.hub.run(self._clock, beat=_waits_between(broadcaster))
        yield partials, self.hub.run_partials(self._clock, beat=_waits_between(partials))
        loop = worker("loop-watch")
        yield loop, self._delays.watch_loop(worker=loop, on_turn=self._on_turn)
        yield stats, publish_stats(self._stats, self._clock, worker=stats)
        if self._is_live:
            timer, grace_ms = worker("engine-timer"), self.settings.candles.grace_ms
            yield timer, close_windows(self._tick, self._clock, grace_ms=grace_ms, worker=timer)
        if self._healer is not None:
            yield self._registry.register("healer"), self._healer.run()
        if self._state is not None:
            keeper = self._registry.register("state-keeper")
            yield keeper, keep_state(self._state, self.engine, self._clock, worker=keeper)

    def _wake_healer(self) -> None:
        if self._healer is not None:
            self._healer.wake()

    def _reconcile(self, category: Category, symbol: str, start_ms: int) -> None:
        if self._healer is not None:
            self._healer.reconcile(category, symbol, start_ms)

    def _tick(self, now_ms: int) -> None:
        self._feed.tick(now_ms)
        self._intake.advance(now_ms)

    def _publish(self, batch: Batch) -> None:
        self.hub.publish(batch, published_ns=self._clock.monotonic_ns())
        for line in batch.texts:
            self._console(line)

    def _recall(self, batch: Batch, published_ns: int) -> None:
        """Keep for clients that come back what the last process published."""
        ago_ns = max(0, self._clock.wall_ns() - published_ns)
        self.hub.recall(batch, at_s=(self._clock.monotonic_ns() - ago_ns) / 1e9)

    def _is_congested(self) -> bool:
        limits = self.hub.limits
        return (
            self.hub.queued_bytes > limits.flush_bytes
            or self.listener.pending_bytes > limits.max_pending_bytes // 4
        )


def _engine_options(settings: Settings, replay: ReplaySettings | None) -> dict[str, Any]:
    candles = settings.candles
    first = parse_patterns(settings.symbols)[0].category
    return {
        "grace_ms": candles.grace_ms,
        "revise_window_ms": candles.revise_window_ms,
        "empty": candles.empty,
        "open": candles.open,
        "include_block_trades": candles.include_block_trades,
        "clock": "wall" if replay is None else "event",
        "primary_category": first if replay is None else replay.category,
        # In a replay there are no subscriptions: what was recorded counts as what there was.
        "assume_covered": replay is not None,
        "history_candles": _HISTORY_CANDLES,
    }


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
    clock = SteadyClock(SystemClock())
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns, cpu_ns=thread_cpu_ns)
    console = LineWriter(stdout, _writer(registry, "console-writer"), on_failed=_console_has_gone)
    logs = LineWriter(stderr, _writer(registry, "log-writer"))

    watchdog = Watchdog(_writer(registry, "watchdog"), monotonic_s=clock.monotonic_s)
    systemd = Systemd()

    def counts() -> dict[str, int]:
        return {
            "dropped_lines": console.dropped_total + logs.dropped_total,
            "loop_stalls": watchdog.stalls_total,
            "clock_steps": clock.steps_total,
        }

    def stopping() -> None:
        systemd.stopping()
        # From now on the loop may wait for the disk.
        watchdog.close()

    def turn() -> None:
        watchdog.beat()
        systemd.alive(clock.monotonic_s())

    def ready(port: int) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        _LOGGER.info("listening on ws://%s:%d/ws/status", host, port)
        if replay is None and settings.state_dir == "none":
            _LOGGER.info("state_dir is none: nothing is kept for the time after this process")
        calm_collector()
        systemd.ready()
        watchdog.start()

    raise_descriptor_limit()
    console.start()
    logs.start()
    try:
        with logging_to(logs, level=settings.log.level, style=settings.log.format):
            check_exposure(
                settings.host,
                token=settings.server.token,
                allow_public=settings.server.allow_public,
            )
            # Before anything of the state is touched.
            check_address(settings.host, settings.port)
            with _state_of(settings, clock, registry, is_replay=replay is not None) as state:
                daemon = Daemon(
                    settings,
                    registry=registry,
                    console=console.put,
                    replay=replay,
                    counts=counts,
                    clock=clock,
                    state=state,
                    on_turn=turn,
                )
                await daemon.run(stop, on_ready=ready, on_stopping=stopping)
            _LOGGER.info("stopped")
    finally:
        systemd.close()
        watchdog.close()
        console.close(_WRITERS_CLOSE_S)
        logs.close(_WRITERS_CLOSE_S)


@contextmanager
def _state_of(
    settings: Settings, clock: Clock, registry: ThreadRegistry, *, is_replay: bool
) -> Iterator[State | None]:
    """Open the state directory, and close it; None if nothing is to be kept."""
    if is_replay or settings.state_dir == "none":
        yield None
        return
    store = settings.store
    state = State.open(
        Path(settings.state_dir),
        identity=msgspec.json.encode({"exchange": settings.bybit.ws_base}).decode(),
        monotonic_s=clock.monotonic_s,
        wall_ms=clock.wall_ms,
        options=StateOptions(
            fsync_interval_s=store.fsync_interval_s,
            segment_s=store.segment_s,
            retention_days=store.retention_days,
            journal_reporter=_writer(registry, "journal-writer"),
            candles_reporter=_writer(registry, "candle-writer"),
        ),
        on_changed=_tell_durability,
    )
    is_clean = False
    try:
        yield state
        is_clean = True
    finally:
        state.close(clean=is_clean)


def _tell_durability(durability: Durability) -> None:
    level = logging.WARNING if durability == "degraded" else logging.INFO
    _LOGGER.log(level, "durability is %s", durability)


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


async def _watched(worker: Worker, work: Coroutine[Any, Any, None]) -> None:
    with worker.watch():
        await work


def _limits(settings: ServerSettings, *, is_replay: bool) -> ServerLimits:
    known = {field.name for field in fields(ServerLimits)}
    limits = ServerLimits(**settings.model_dump(include=known))
    if not is_replay:
        return limits
    # A replay waits for its clients, and drops nothing for those who read at all.
    return replace(limits, slow_policy="disconnect", soft_pending_bytes=limits.max_pending_bytes)
