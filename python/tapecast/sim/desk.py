"""The simulated exchange without sockets: a market, its clients and its faults on one clock.

Nothing moves by itself: the clock is set by whoever owns the desk. The server over sockets is one
such owner, a test in memory is another. What happens is a function of the settings, the script and
the calls, however finely the clock is moved.
"""

from __future__ import annotations

from collections import defaultdict
from fnmatch import fnmatchcase
from itertools import chain
from random import Random
from typing import TYPE_CHECKING, Final

from tapecast.sim.agenda import Agenda
from tapecast.sim.answers import Answers
from tapecast.sim.connection import Connection, DataFrame, Ending
from tapecast.sim.delivery import Delivery
from tapecast.sim.fault_log import FaultLog
from tapecast.sim.faults import (
    Close,
    Drop,
    Huge,
    Maintenance,
    RefuseHandshake,
    Script,
    StallHandshake,
)
from tapecast.sim.frames import MAX_TRADES_PER_FRAME, encode_order
from tapecast.sim.injections import Board, Injection
from tapecast.sim.instruments import CATEGORIES
from tapecast.sim.kline_pushes import PUSH_MS, KlinePushes
from tapecast.sim.klines import KlineBook
from tapecast.sim.ledger import Ledger
from tapecast.sim.market import Market
from tapecast.sim.protocol import KLINE_PREFIX, Session, name_of
from tapecast.sim.queries import MarketData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tapecast.sim.answers import Answer
    from tapecast.sim.faults import Fault
    from tapecast.sim.instruments import Category, Instrument
    from tapecast.sim.market import Odds, Order, SimTrade

__all__ = ["Desk", "HandshakeFailed"]

_ID_LETTERS: Final = "0123456789abcdefghijklmnopqrstuv"


class HandshakeFailed(ConnectionError):  # noqa: N818 -- what happens
    """An upgrade that does not lead to a connection.

    Attributes:
        injection: The fault: `RefuseHandshake`, `StallHandshake` or `Maintenance`.
    """

    def __init__(
        self, injection: Injection[RefuseHandshake | StallHandshake | Maintenance]
    ) -> None:
        fault = injection.fault
        if isinstance(fault, RefuseHandshake):
            text = f"handshake was answered HTTP {fault.status}, expected 101"
        elif isinstance(fault, StallHandshake):
            text = "handshake was not answered, expected HTTP 101"
        else:
            text = "connection was reset, expected a handshake"
        super().__init__(text)
        self.injection = injection


class Desk:
    """One simulated exchange.

    Args:
        instruments: Everything that is listed.
        start_ms: Where its clock begins.
        seed: Same seed and same start: the same market.
        rate: Mean trades per second over all symbols.
        odds: How often rare things happen.
        ledger_limit: How many trades and how many deeds of faults are kept; `None` keeps all.
        script: Faults by the time from the start.
        max_pending_bytes: How much may wait for one client before it is cut; `None` for no limit.
        clock: A clock that runs by itself; by default the time is the one last played.

    Attributes:
        ledger: The truth: every trade, whatever faults there are.
        log: What the faults did.
        start_ms: Where its clock began.
        on_change: Called when a connection comes, goes or changes its subscriptions.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only settings
        self,
        instruments: Sequence[Instrument],
        *,
        start_ms: int,
        seed: int = 0,
        rate: float = 50.0,
        odds: Odds | None = None,
        ledger_limit: int | None = None,
        script: Script | None = None,
        max_pending_bytes: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        script = script or Script()
        self.ledger: Final = Ledger(ledger_limit)
        self.log: Final = FaultLog(ledger_limit)
        self.start_ms: Final = start_ms
        self.on_change: Callable[[], None] | None = None
        self._moment_ms = start_ms
        self._clock = clock
        self._max_pending_bytes = max_pending_bytes
        self._market = Market(instruments, seed=seed, start_ms=start_ms, rate=rate, odds=odds)
        # Names of connections are drawn apart: who connects must not change what is traded.
        self._names = Random(seed)  # noqa: S311 -- names, not keys
        self._topics = _topics(instruments)
        self._agenda = Agenda()
        self._board = Board(script.seed, self.log)
        self._delivery = Delivery(self._board, self._agenda)
        self._klines = KlineBook()
        data = MarketData(instruments, ledger=self.ledger, klines=self._klines)
        self._answers = Answers(data, self._board)
        self._pushes = KlinePushes(
            self._klines,
            row_of=lambda category, symbol, kline: self._answers.kline_row(
                category, symbol, kline, over="websocket"
            ),
        )
        self._pushing = False
        self._connections: dict[Connection, None] = {}
        self._connected = 0
        self._subscribers: defaultdict[tuple[Category, str], dict[Connection, None]]
        self._subscribers = defaultdict(dict)
        self._injections: list[Injection[Fault]] = []
        for fault in script.faults:
            self.inject(fault)

    @property
    def next_ms(self) -> float:
        """When something happens next by itself; infinite if nothing ever does."""
        return min(self._market.next_ms, self._agenda.next_ms)

    @property
    def played_ms(self) -> int:
        """The time up to which everything has happened."""
        return self._moment_ms

    def now_ms(self) -> int:
        """Return the exchange's clock."""
        return self._moment_ms if self._clock is None else self._clock()

    def step(
        self,
        trades: int = 1,
        *,
        at_ms: int | None = None,
        symbol: tuple[Category, str] | None = None,
    ) -> list[SimTrade]:
        """Execute exactly so many trades, publish them, and return them.

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
                moment_ms = self._moment_ms if at_ms is None else at_ms
                order = self._market.order_at(moment_ms, max_trades=remaining, symbol=symbol)
            self._play(order)
            executed.extend(order.trades)
        return executed

    def advance(self, by_ms: int) -> list[SimTrade]:
        """Play so many milliseconds, publish what is traded, and return it."""
        return self.advance_to(self._moment_ms + by_ms)

    def advance_to(self, until_ms: int) -> list[SimTrade]:
        """Play up to and including a time, publish what is traded, and return it."""
        executed: list[SimTrade] = []
        for order in self._market.advance(until_ms):
            self._play(order)
            executed.extend(order.trades)
        self._pass(until_ms)
        return executed

    def skip_to(self, now_ms: int) -> None:
        """Let time pass without a trade, as after a suspended machine wakes up."""
        self._market.skip_to(now_ms)
        self._pass(now_ms)

    def connect(self, category: Category) -> Connection:
        """Connect a client.

        Raises:
            HandshakeFailed: If a fault keeps it from it.
        """
        self.admit(category)
        letters = "".join(self._names.choices(_ID_LETTERS, k=24))
        session = Session(
            category,
            connection_id=f"{letters[:20]}-{letters[20:]}",
            known_topics=self._topics[category],
        )
        self._connected += 1
        connection = Connection(
            number=self._connected,
            category=category,
            session=session,
            owner=self,
            board=self._board,
            max_pending_bytes=self._max_pending_bytes,
        )
        self._connections[connection] = None
        self._tell_changed()
        return connection

    def admit(self, category: Category) -> None:
        """Let a handshake pass.

        Raises:
            HandshakeFailed: If a fault keeps it from it.
        """
        board = self._board
        keeping: Iterator[Injection[RefuseHandshake | StallHandshake | Maintenance]] = chain(
            board.of_category(Maintenance, category),
            board.of_category(StallHandshake, category),
            board.of_category(RefuseHandshake, category),
        )
        for injection in keeping:
            board.record(injection, "refused", at_ms=self.now_ms(), topic=category)
            raise HandshakeFailed(injection)

    def connections_of(self, category: Category, symbols: str = "*") -> list[Connection]:
        """Return the open connections with a topic that matches, in the order of connecting.

        Args:
            category: Their endpoint.
            symbols: Glob of what they are subscribed to; `*` also finds those without any topic.
        """
        return [
            one
            for one in self._connections
            if one.category == category
            and (
                symbols == "*" or any(fnmatchcase(name_of(topic), symbols) for topic in one.topics)
            )
        ]

    def connections(self) -> list[Connection]:
        """Return the open connections in the order of connecting."""
        return list(self._connections)

    def subscribers(self, category: Category, topic: str) -> int:
        """Return how many connections are subscribed to a topic."""
        return len(self._subscribers.get((category, topic), ()))

    def rest(self, path: str, query: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Ask the REST API and return the HTTP status and the body.

        Raises:
            TimeoutError: If a fault keeps the query from being answered.
            ConnectionResetError: During maintenance.
        """
        answer = self.answer(path, query or {})
        return answer.status, answer.body

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """Ask the REST API; as `rest`, with everything that the answer has."""
        return self._answers.answer(path, query, now_ms=self.now_ms())

    def inject(self, fault: Fault) -> Injection[Fault]:
        """Have something go wrong, `fault.at_ms` from now; end it with the injection's `end`."""
        begin_ms = self.now_ms() + fault.at_ms
        injection = Injection(len(self._injections) + 1, fault, begin_ms=begin_ms, on_end=self._end)
        self._injections.append(injection)
        if fault.at_ms == 0:
            self._begin(injection, begin_ms)
        else:
            self._agenda.note(begin_ms, lambda now_ms: self._begin(injection, now_ms))
        return injection

    def end_faults(self) -> None:
        """End every fault, and keep those to come from beginning."""
        for injection in self._injections:
            injection.end()

    # What a connection needs of its owner.

    def subscribed(
        self, connection: Connection, before: AbstractSet[str], after: AbstractSet[str]
    ) -> None:
        """Take note of a connection's other subscriptions."""
        for topic in before - after:
            del self._subscribers[connection.category, topic][connection]
        for topic in [topic for topic in after if topic not in before]:
            self._subscribers[connection.category, topic][connection] = None
            if topic.startswith(KLINE_PREFIX) and not self._pushing:
                self._pushing = True
                self._agenda.note((self.now_ms() // PUSH_MS + 1) * PUSH_MS, self._push_klines)
        self._tell_changed()

    def left(self, connection: Connection) -> None:
        """Take note that a connection has ended."""
        del self._connections[connection]
        for topic in connection.topics:
            self._subscribers[connection.category, topic].pop(connection, None)
        self._tell_changed()

    def _play(self, order: Order) -> None:
        now_ms = order.trades[0].event_ms
        self._pass(now_ms)
        self.ledger.append(order.trades)
        for trade in order.trades:
            self._klines.add(trade)
        self._pushes.add(order)
        category = order.trades[0].category
        if not self.subscribers(category, order.topic):
            return
        for frame in _data_frames(order):
            self._publish(category, frame, now_ms)

    def _publish(self, category: Category, frame: DataFrame, now_ms: int) -> None:
        for connection in list(self._subscribers.get((category, frame.topic), ())):
            self._delivery.send(connection, frame, now_ms)

    def _pass(self, until_ms: int) -> None:
        """Carry out what is due until a time; it comes before the trades of its millisecond."""
        while self._agenda.next_ms <= until_ms:
            due_ms, action = self._agenda.pop()
            self._moment_ms = max(self._moment_ms, due_ms)
            action(due_ms)
        self._moment_ms = max(self._moment_ms, until_ms)

    def _push_klines(self, now_ms: int) -> None:
        wanted = [place for place, connections in self._subscribers.items() if connections]
        for category, frame in self._pushes.due(now_ms, wanted):
            self._publish(category, frame, now_ms)
        self._pushing = any(topic.startswith(KLINE_PREFIX) for _, topic in wanted)
        if self._pushing:
            self._agenda.note(now_ms + PUSH_MS, self._push_klines)

    def _begin(self, injection: Injection[Fault], now_ms: int) -> None:
        if injection.over:
            return
        self._board.begin(injection, self._connections)
        self._board.record(injection, "began", at_ms=now_ms)
        fault = injection.fault
        if isinstance(fault, Drop | Close | Huge):
            self._strike(injection, now_ms)
            injection.end()
            return
        if isinstance(fault, Maintenance):
            self._strike(injection, now_ms)
        if fault.for_ms is not None:
            self._agenda.note(now_ms + fault.for_ms, lambda _: injection.end())

    def _end(self, injection: Injection[Fault]) -> None:
        if self._board.end(injection):
            self._board.record(injection, "ended", at_ms=self.now_ms())

    def _strike(self, injection: Injection[Fault], now_ms: int) -> None:
        """Do at once what a fault does to the connections of this moment."""
        fault = injection.fault
        for one in [one for one in self._connections if self._board.befalls(injection, one)]:
            if isinstance(fault, Huge):
                one.send(_huge(fault.size_bytes), now_ms)
                self._board.record(injection, "sent", at_ms=now_ms, connection=one)
            elif isinstance(fault, Close):
                one.end(Ending(fault.code, fault.reason))
                self._board.record(injection, "closed", at_ms=now_ms, connection=one)
            else:
                one.end(Ending(None))
                self._board.record(injection, "cut", at_ms=now_ms, connection=one)

    def _tell_changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def _data_frames(order: Order) -> Iterator[DataFrame]:
    symbol = order.trades[0].symbol
    for place, payload in enumerate(encode_order(order)):
        first = place * MAX_TRADES_PER_FRAME
        trades = order.trades[first : first + MAX_TRADES_PER_FRAME]
        ids = tuple(trade.trade_id for trade in trades)
        yield DataFrame(order.sent_ms, order.topic, symbol, payload, ids)


def _huge(size_bytes: int) -> bytes:
    head, tail = b'{"topic":"publicTrade.HUGE","pad":"', b'"}'
    return head + b"x" * (size_bytes - len(head) - len(tail)) + tail


def _topics(instruments: Sequence[Instrument]) -> dict[Category, frozenset[str]]:
    topics: dict[Category, set[str]] = {category: set() for category in CATEGORIES}
    for one in instruments:
        # Observed: options accept klines, and send none.
        topics[one.category] |= {one.topic, KLINE_PREFIX + one.symbol}
    return {category: frozenset(those) for category, those in topics.items()}
