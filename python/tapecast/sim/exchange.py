"""The simulated exchange: one server that speaks as Bybit does, over a market that never was.

It is a server like the real one and is spoken to over real sockets. Live, it follows the wall
clock; in manual mode nothing moves until a test says so.
"""

from __future__ import annotations

import asyncio
import os
import time
from random import Random
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
from aiohttp import web

from tapecast.errors import ConfigError
from tapecast.sim.frames import encode_order
from tapecast.sim.instruments import CATEGORIES, select_instruments
from tapecast.sim.klines import KlineBook
from tapecast.sim.ledger import Ledger
from tapecast.sim.market import Market, Odds
from tapecast.sim.queries import MarketData
from tapecast.sim.rest import rest_routes
from tapecast.sim.websocket import SimHub

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tapecast.sim.instruments import Category, Instrument
    from tapecast.sim.market import Order, SimTrade

__all__ = ["SimExchange", "SimSettings", "run"]

_MAX_TICK_S: Final = 0.5
_MIN_TICK_S: Final = 0.001
_MAX_LAG_MS: Final = 5_000
_SLICE_MS: Final = 20
_ID_LETTERS: Final = "0123456789abcdefghijklmnopqrstuv"


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

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what is listed.

        Raises:
            ConfigError: If any setting cannot be used; every problem is listed.
        """
        problems = []
        if not 0 <= self.port <= 65535:  # noqa: PLR2004 -- the range of a TCP port
            problems.append(f"port: {self.port}, expected 0 to 65535")
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
        self.ledger: Final = Ledger(settings.ledger_limit)
        self._klines = KlineBook()
        self._market = Market(
            instruments,
            seed=settings.seed,
            start_ms=start_ms,
            rate=settings.rate,
            odds=settings.odds,
        )
        # Names of connections are drawn apart: who connects must not change what is traded.
        self._names = Random(settings.seed)  # noqa: S311 -- names, not keys
        self._hub = SimHub(
            _topics(instruments),
            now_ms=self.now_ms,
            connection_id=self._connection_id,
            max_pending_bytes=settings.max_pending_bytes,
        )
        data = MarketData(instruments, ledger=self.ledger, klines=self._klines)
        self._routes = [
            *rest_routes(data, ledger=self.ledger, now_ms=self.now_ms),
            web.get("/v5/public/{category:spot|linear|inverse|option}", self._hub.handle),
        ]
        self._runner: web.AppRunner | None = None
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
        host, port = self._settings.host, self._settings.port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            # Name resolution has numbers of its own, below zero on Linux.
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else error.strerror or str(error)
            text = f"cannot listen on {host}:{port}: {reason.lower()}"
            raise OSError(error.errno, text) from error
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]
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
        self._hub.drop_all(None)
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
    def connections(self) -> int:
        """Number of open WebSocket connections."""
        return len(self._hub)

    def now_ms(self) -> int:
        """Return the exchange's clock: the wall clock if live, else the time last played."""
        return self._wall_ms() + self._offset_ms if self._settings.live else self._market.now_ms

    def step(
        self,
        trades: int = 1,
        *,
        at_ms: int | None = None,
        symbol: tuple[Category, str] | None = None,
    ) -> list[SimTrade]:
        """Execute exactly so many trades, publish them, and return them. For manual mode.

        Args:
            trades: How many; they come in as many orders as the market makes of them.
            at_ms: When all of them happen; by default each order comes at the market's own time,
                or, for one symbol, at the current time.
            symbol: Category and symbol; any by default.

        Raises:
            ValueError: If `at_ms` is in the past or nothing can trade.
        """
        executed: list[SimTrade] = []
        while (remaining := trades - len(executed)) > 0:
            if at_ms is None and symbol is None:
                order = self._market.next_order(max_trades=remaining)
            else:
                moment_ms = self._market.now_ms if at_ms is None else at_ms
                order = self._market.order_at(moment_ms, max_trades=remaining, symbol=symbol)
            self._publish(order)
            executed.extend(order.trades)
        return executed

    def advance_to(self, now_ms: int) -> list[SimTrade]:
        """Play the market up to a time, publish its trades, and return them. For manual mode."""
        executed: list[SimTrade] = []
        for order in self._market.advance(now_ms):
            self._publish(order)
            executed.extend(order.trades)
        return executed

    def drop_all(self, code: int | None = None) -> int:
        """Cut every WebSocket connection, or close it with a code; return how many there were."""
        return self._hub.drop_all(code)

    def subscribers(self, category: Category, topic: str) -> int:
        """Return how many connections are subscribed to a topic."""
        return self._hub.subscribers(category, topic)

    async def wait_subscribed(self, category: Category, topic: str, count: int = 1) -> None:
        """Wait until `count` or more connections have a topic; bound the wait outside."""
        while self._hub.subscribers(category, topic) < count:
            await self._hub.wait_changed()

    async def wait_connections(self, count: int) -> None:
        """Wait until exactly `count` WebSocket connections are open; bound the wait outside."""
        while len(self._hub) != count:
            await self._hub.wait_changed()

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

    def _publish(self, order: Order) -> None:
        self.ledger.append(order.trades)
        for trade in order.trades:
            self._klines.add(trade)
        category = order.trades[0].category
        if self._hub.subscribers(category, order.topic):
            self._hub.publish(category, order.topic, encode_order(order))

    async def _follow_clock(self) -> None:
        while True:
            now_ms = self.now_ms()
            if now_ms - self._market.now_ms > _MAX_LAG_MS:
                # The machine slept: what nobody could see is not made up for in one burst.
                self._market.skip_to(now_ms)
            # In slices: clients are served also while a busy market catches up.
            slice_end_ms = max(self._market.now_ms, self._market.next_ms) + _SLICE_MS
            self.advance_to(int(min(now_ms, slice_end_ms)))
            wait_s = (self._market.next_ms - self.now_ms()) / 1000
            await asyncio.sleep(min(max(wait_s, _MIN_TICK_S), _MAX_TICK_S))

    def _connection_id(self) -> str:
        letters = "".join(self._names.choices(_ID_LETTERS, k=24))
        return f"{letters[:20]}-{letters[20:]}"

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


def _topics(instruments: tuple[Instrument, ...]) -> dict[Category, frozenset[str]]:
    return {
        category: frozenset(one.topic for one in instruments if one.category == category)
        for category in CATEGORIES
    }
