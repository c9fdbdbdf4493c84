"""The simulated exchange: one server that speaks as Bybit does, over a market that never was.

It is a server like the real one and is spoken to over real sockets. Live, it follows the wall
clock; in manual mode nothing moves until a test says so.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
from aiohttp import web

from tapecast.errors import ConfigError
from tapecast.sim.connection import Ending
from tapecast.sim.desk import Desk
from tapecast.sim.faults import Script
from tapecast.sim.instruments import select_instruments
from tapecast.sim.market import Odds
from tapecast.sim.proxy import ChaosProxy
from tapecast.sim.rest import rest_routes
from tapecast.sim.sockets import not_listening
from tapecast.sim.websocket import WebSocketDoor

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tapecast.sim.connection import Connection
    from tapecast.sim.fault_log import FaultLog
    from tapecast.sim.faults import Fault
    from tapecast.sim.injections import Injection
    from tapecast.sim.instruments import Category, Instrument
    from tapecast.sim.ledger import Ledger
    from tapecast.sim.market import SimTrade

__all__ = ["SimExchange", "SimSettings", "run"]

_MAX_TICK_S: Final = 0.5
_MIN_TICK_S: Final = 0.001
_MAX_LAG_MS: Final = 5_000
_SLICE_MS: Final = 20


class SimSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the simulated exchange.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 for any free one.
        seed: Same seed and same start: the same market.
        rate: Mean trades per second over all symbols.
        symbols: What is listed, as `category:glob`; a bare glob means linear. `None` lists
            everything.
        ledger_limit: How many trades the ledger keeps; `None` keeps all.
        start_ms: When the market starts; `None` for now. A live market with a start runs from
            there at the pace of the wall clock.
        live: Whether the wall clock drives the market; if not, `SimExchange.step` and `advance_to`
            do.
        max_pending_bytes: How much may wait for one client before it is cut.
        odds: How often rare things happen.
        faults: What goes wrong, by the time from the start.
        proxy_port: TCP port of a proxy in front of it that carries out the toxics of `faults`; 0
            for any free one, `None` for no proxy.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    rate: float = 50.0
    symbols: tuple[str, ...] | None = None
    ledger_limit: int | None = 200_000
    start_ms: int | None = None
    live: bool = True
    max_pending_bytes: int = 4 << 20
    odds: Odds = Odds()
    faults: Script = Script()
    proxy_port: int | None = None

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what is listed.

        Raises:
            ConfigError: If any setting cannot be used; every problem is listed.
        """
        problems = []
        if not 0 <= self.port <= 65535:  # noqa: PLR2004 -- the range of a TCP port
            problems.append(f"port: {self.port}, expected 0 to 65535")
        if self.proxy_port is not None and not 0 <= self.proxy_port <= 65535:  # noqa: PLR2004
            problems.append(f"proxy_port: {self.proxy_port}, expected 0 to 65535")
        if self.faults.toxics and self.proxy_port is None:
            problems.append(
                f"faults: {len(self.faults.toxics)} toxics and no proxy, expected a proxy port"
            )
        if not 0 <= self.rate < float("inf"):
            problems.append(f"rate: {self.rate}, expected trades per second, 0 or more")
        if self.ledger_limit is not None and self.ledger_limit < 1:
            problems.append(f"ledger_limit: {self.ledger_limit}, expected at least 1")
        chosen: tuple[Instrument, ...] = ()
        try:
            chosen = select_instruments(self.symbols)
        except ConfigError as error:
            problems.extend(error.problems)
        if problems:
            raise ConfigError(*problems)
        return chosen


class SimExchange:
    """A running simulated exchange; an asynchronous context manager.

    Args:
        settings: What it simulates and where it listens.
        wall_ms: The wall clock, milliseconds since the epoch.

    Attributes:
        desk: The exchange itself, without its sockets.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    def __init__(
        self, settings: SimSettings, *, wall_ms: Callable[[], int] = lambda: time.time_ns() // 10**6
    ) -> None:
        self._settings = settings
        self._wall_ms = wall_ms
        instruments = settings.instruments()
        wall_start_ms = wall_ms()
        start_ms = wall_start_ms if settings.start_ms is None else settings.start_ms
        self._offset_ms = start_ms - wall_start_ms
        self.desk: Final = Desk(
            instruments,
            start_ms=start_ms,
            seed=settings.seed,
            rate=settings.rate,
            odds=settings.odds,
            ledger_limit=settings.ledger_limit,
            script=settings.faults,
            max_pending_bytes=settings.max_pending_bytes,
            clock=self._live_ms if settings.live else None,
        )
        self.desk.on_change = self._tell_changed
        self._changed = asyncio.Event()
        door = WebSocketDoor(self.desk)
        self._routes = [
            *rest_routes(self.desk),
            web.get("/v5/public/{category:spot|linear|inverse|option}", door.handle),
        ]
        self._runner: web.AppRunner | None = None
        self._proxy: ChaosProxy | None = None
        self._port = settings.port
        self._driver: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Listen and, if live, start trading.

        Raises:
            OSError: If the address cannot be listened on.
        """
        app = web.Application()
        app.add_routes(self._routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await self._listen(runner)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        if self._settings.live:
            self._driver = asyncio.create_task(self._follow_clock(), name="sim-market")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop trading, cut every client and give the port back."""
        failure: BaseException | None = None
        if self._driver is not None:
            self._driver.cancel()
            (failure,) = await asyncio.gather(self._driver, return_exceptions=True)
        if self._proxy is not None:
            await self._proxy.__aexit__(None, None, None)
        # What faults keep waiting must not keep the exchange from ending.
        self.desk.end_faults()
        self.drop_all()
        if self._runner is not None:
            await self._runner.cleanup()
        if error is None and isinstance(failure, Exception):
            # A market that stopped by itself must not look like a quiet one.
            raise failure

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self._port

    @property
    def ws_url(self) -> str:
        """Base of the WebSocket endpoints, `ws://127.0.0.1:9000/v5/public`; a category follows."""
        return f"ws://{self._authority()}/v5/public"

    @property
    def rest_url(self) -> str:
        """Base of the REST endpoints, such as `http://127.0.0.1:9000`; a path follows it."""
        return f"http://{self._authority()}"

    @property
    def proxy(self) -> ChaosProxy | None:
        """The proxy in front of it, if it was asked for and as long as it runs."""
        return self._proxy

    @property
    def connections(self) -> int:
        """Number of open WebSocket connections."""
        return len(self.desk.connections())

    @property
    def ledger(self) -> Ledger:
        """The truth: every executed trade, whatever faults there are."""
        return self.desk.ledger

    @property
    def fault_log(self) -> FaultLog:
        """What the faults did."""
        return self.desk.log

    def now_ms(self) -> int:
        """Return the exchange's clock: the wall clock if live, else the time last played."""
        return self.desk.now_ms()

    def step(
        self,
        trades: int = 1,
        *,
        at_ms: int | None = None,
        symbol: tuple[Category, str] | None = None,
    ) -> list[SimTrade]:
        """Execute exactly so many trades, publish them, and return them; see `Desk.step`."""
        return self.desk.step(trades, at_ms=at_ms, symbol=symbol)

    def advance_to(self, now_ms: int) -> list[SimTrade]:
        """Play the market up to a time, publish its trades, and return them. For manual mode."""
        return self.desk.advance_to(now_ms)

    def inject(self, fault: Fault) -> Injection[Fault]:
        """Have something go wrong, `fault.at_ms` from now; end it with the injection's `end`."""
        return self.desk.inject(fault)

    def connections_of(self, category: Category, symbols: str = "*") -> list[Connection]:
        """Return the open connections with a topic that matches, in the order of connecting."""
        return self.desk.connections_of(category, symbols)

    def drop_all(self, code: int | None = None) -> int:
        """Cut every WebSocket connection, or close it with a code; return how many there were."""
        dropped = self.desk.connections()
        for connection in dropped:
            connection.end(Ending(code))
        return len(dropped)

    def subscribers(self, category: Category, topic: str) -> int:
        """Return how many connections are subscribed to a topic."""
        return self.desk.subscribers(category, topic)

    async def wait_subscribed(self, category: Category, topic: str, count: int = 1) -> None:
        """Wait until `count` or more connections have a topic; bound the wait outside."""
        while self.subscribers(category, topic) < count:
            await self._changed.wait()

    async def wait_connections(self, count: int) -> None:
        """Wait until exactly `count` WebSocket connections are open; bound the wait outside."""
        while self.connections != count:
            await self._changed.wait()

    async def run_until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; raise if the market's driver fails before that."""
        stopped = asyncio.ensure_future(stop.wait())
        waited: set[asyncio.Future[Any]] = {stopped}
        if self._driver is not None:
            waited.add(self._driver)
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self._driver is not None and self._driver.done():
            self._driver.result()

    async def _listen(self, runner: web.AppRunner) -> None:
        settings = self._settings
        host, port = settings.host, settings.port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise not_listening(error, host, port) from error
        self._port = runner.addresses[0][1]
        if settings.proxy_port is not None:
            script = settings.faults
            self._proxy = await ChaosProxy(
                (host, self._port),
                host=host,
                port=settings.proxy_port,
                seed=script.seed,
                toxics=script.toxics,
            ).__aenter__()

    async def _follow_clock(self) -> None:
        desk = self.desk
        while True:
            now_ms = self._live_ms()
            if now_ms - desk.played_ms > _MAX_LAG_MS:
                # The machine slept: what nobody could see is not made up for in one burst.
                desk.skip_to(now_ms)
            # In slices: clients are served also while a busy market catches up.
            slice_end_ms = max(desk.played_ms, desk.next_ms) + _SLICE_MS
            desk.advance_to(int(min(now_ms, slice_end_ms)))
            wait_s = (desk.next_ms - self._live_ms()) / 1000
            await asyncio.sleep(min(max(wait_s, _MIN_TICK_S), _MAX_TICK_S))

    def _live_ms(self) -> int:
        return self._wall_ms() + self._offset_ms

    def _tell_changed(self) -> None:
        # Whoever waits now is woken; whoever comes later waits for the next change.
        self._changed.set()
        self._changed = asyncio.Event()

    def _authority(self) -> str:
        host = self._settings.host
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"


async def run(
    settings: SimSettings, *, on_ready: Callable[[SimExchange], None], stop: asyncio.Event
) -> None:
    """Run a simulated exchange until it is told to stop.

    Args:
        settings: What it simulates and where it listens.
        on_ready: Called once it listens; the exchange knows its port and its URLs by then.
        stop: Ends it.

    Raises:
        ConfigError: If a setting cannot be used.
        OSError: If the address cannot be listened on.
    """
    async with SimExchange(settings) as exchange:
        on_ready(exchange)
        await exchange.run_until(stop)
