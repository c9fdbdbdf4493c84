"""A line against the simulated exchange, over real sockets."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tapecast import decode_trades
from tapecast.aliases import Category
from tapecast.bybit import ConnectBudget
from tapecast.sim.book import SimTrade
from tapecast.sim.exchange import SimExchange, SimSettings

from .bybit_fakes import LIMIT_S, Recorder, RetryClock, line_config, running

MANUAL = SimSettings(live=False, start_ms=1_790_000_000_000, seed=3, rate=400.0)

SUBSCRIPTIONS: list[tuple[Category, tuple[str, ...]]] = [
    ("linear", ("BTCUSDT", "ETHUSDT")),
    ("spot", ("BTCUSDT",)),
    ("inverse", ("BTCUSD",)),
    ("option", ("BTC",)),
]


def numeric(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Compare price and size as numbers: trailing zeros are no part of them."""
    return (*row[:3], Decimal(row[3]), Decimal(row[4]), *row[5:])


def received(sink: Recorder, category: Category) -> list[tuple[Any, ...]]:
    return [
        numeric(tuple(row))
        for frame in sink.frames
        for row in decode_trades(frame, category=category, exact=True).tolist()
    ]


def true(trades: list[SimTrade]) -> list[tuple[Any, ...]]:
    return [
        (
            t.symbol,
            t.event_ms,
            t.taker_side,
            Decimal(t.price),
            Decimal(t.size),
            t.trade_id,
            t.exchange_seq,
            t.block_trade,
            t.rpi,
        )
        for t in trades
    ]


@pytest.mark.parametrize(("category", "topics"), SUBSCRIPTIONS)
async def test_a_line_receives_exactly_the_trades_of_its_topics(
    category: Category, topics: tuple[str, ...]
) -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(MANUAL) as sim,
        running(line_config(f"{sim.ws_url}/{category}", *topics, category=category)) as (_, sink),
    ):
        sim.step(50)
        await sink.until_subscribed()
        before = sim.ledger.total
        sim.step(1500)
        expected = true(
            [
                trade
                for _, trade in sim.ledger.entries(after=before, category=category)
                if (trade.symbol.partition("-")[0] if category == "option" else trade.symbol)
                in topics
            ]
        )
        assert expected
        await sink.until(lambda: len(received(sink, category)) >= len(expected))
        assert received(sink, category) == expected
        assert [names for names, _ in sink.subscribed] == [list(topics)]
        assert sink.states == [("connecting", ""), ("connected", "")]
    assert sink.states[2:] == [("closed", "")]


async def test_several_categories_are_received_at_once_each_on_its_own_line() -> None:
    budget = ConnectBudget()
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim:
        configs = [
            line_config(f"{sim.ws_url}/{category}", *topics, category=category)
            for category, topics in SUBSCRIPTIONS
        ]
        async with (
            running(configs[0], RetryClock(9), budget=budget) as (_, linear),
            running(configs[1], RetryClock(9), budget=budget) as (_, spot),
        ):
            await linear.until_subscribed()
            await spot.until_subscribed()
            sim.step(5, symbol=("linear", "BTCUSDT"))
            sim.step(7, symbol=("spot", "BTCUSDT"))
            await linear.until(lambda: len(received(linear, "linear")) == 5)
            await spot.until(lambda: len(received(spot, "spot")) == 7)
            assert sim.connections == 2


@pytest.mark.parametrize(
    ("code", "reason", "least_s", "most_s"),
    [
        (None, "connection lost without a close frame", 0.0, 0.25),
        (1000, "closed by the exchange: 1000", 0.0, 0.25),
        (1001, "closed by the exchange: 1001", 0.0, 0.25),
        (1008, "closed by the exchange: 1008", 30.0, 33.0),
        (1011, "closed by the exchange: 1011", 0.0, 0.25),
        (1012, "closed by the exchange: 1012", 0.0, 0.25),
    ],
)
async def test_a_lost_line_reconnects_and_subscribes_again_by_itself(
    code: int | None, reason: str, least_s: float, most_s: float
) -> None:
    """U3: the exchange closes; a policy code is waited for longer."""
    clock = RetryClock()
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(MANUAL) as sim,
        running(line_config(f"{sim.ws_url}/linear", "BTCUSDT", "ETHUSDT"), clock) as (line, sink),
    ):
        await sink.until_subscribed()
        sim.step(3, symbol=("linear", "BTCUSDT"))
        await sink.until(lambda: len(received(sink, "linear")) == 3)
        assert sim.drop_all(code) == 1
        await sink.until_subscribed(2)
        assert sink.reasons == [reason]
        assert len(clock.waits) == 1
        assert least_s <= clock.waits[0] <= most_s
        assert line.reconnects_total == 1
        assert line.closes == {"1006" if code is None else str(code): 1}
        ((lost, lost_ms),) = sink.lost
        assert lost == ["BTCUSDT", "ETHUSDT"]
        assert sink.subscribed[0][1] <= lost_ms <= sink.subscribed[1][1]
        # How late the last frame was read is taken off.
        assert lost_ms >= sink.received_ns[-1] // 1_000_000 - 1_000
        sim.step(4, symbol=("linear", "ETHUSDT"))
        await sink.until(lambda: len(received(sink, "linear")) == 7)


async def test_many_losses_in_a_row_are_all_recovered_from() -> None:
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(MANUAL) as sim,
        running(line_config(f"{sim.ws_url}/spot", category="spot"), RetryClock(99)) as (line, sink),
    ):
        for losses in range(1, 21):
            await sink.until_subscribed(losses)
            sim.drop_all()
        await sink.until_subscribed(21)
        assert line.reconnects_total == 20
        assert len(sink.lost) == 20


@pytest.mark.parametrize(
    ("category", "good", "bad", "text"),
    [
        ("spot", "BTCUSDT", "NOPEUSDT", "Invalid symbol :[publicTrade.NOPEUSDT]"),
        (
            "linear",
            "BTCUSDT",
            "NOPEUSDT",
            "error:handler not found,topic:publicTrade.NOPEUSDT",
        ),
        ("inverse", "BTCUSD", "NOPEUSD", "error:handler not found,topic:publicTrade.NOPEUSD"),
        ("option", "BTC", "NOPE", "listed in failTopics"),
    ],
)
async def test_a_rejected_symbol_is_reported_and_the_others_go_on(
    category: Category, good: str, bad: str, text: str
) -> None:
    """U9: refused, in the form of every category."""
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(MANUAL) as sim,
        running(line_config(f"{sim.ws_url}/{category}", bad, good, category=category)) as (_, sink),
    ):
        await sink.until_subscribed()
        assert sink.rejected == [(bad, text)]
        assert [names for names, _ in sink.subscribed] == [[good]]
        sim.step(200)
        await sink.until(lambda: sink.frames)
        sim.drop_all()
        await sink.until_subscribed(2)
        # What was never received is never lost.
        assert [names for names, _ in sink.lost] == [[good]]
        assert sink.rejected == [(bad, text)] * 2


async def test_waits_grow_while_connections_are_cut_at_once_and_shrink_after_a_long_one() -> None:
    clock = RetryClock(9)
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(MANUAL) as sim,
        running(line_config(f"{sim.ws_url}/linear"), clock) as (_, sink),
    ):
        for losses in range(1, 5):
            await sink.until_subscribed(losses)
            sim.drop_all()
        await sink.until_subscribed(5)
        clock.ahead_s += 60.0
        sim.drop_all()
        await sink.until_subscribed(6)
        assert clock.waits == [0.25, 0.5, 1.0, 2.0, 0.25]


async def test_lines_share_the_budget_of_connects() -> None:
    budget = ConnectBudget(connects=1, spacing_s=0.0)
    first, second = RetryClock(), RetryClock(0)
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim:
        config = line_config(f"{sim.ws_url}/linear")
        async with (
            running(config, first, budget=budget) as (_, sink),
            running(config, second, budget=budget) as (_, waiting),
        ):
            await sink.until_subscribed()
            assert waiting.states == [("connecting", "")]
            assert second.waits == [pytest.approx(300.0, abs=1.0)]


async def test_cancelling_ends_a_line_promptly_with_its_last_words() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LIMIT_S), SimExchange(MANUAL) as sim:
        async with running(line_config(f"{sim.ws_url}/linear")) as (_, sink):
            await sink.until_subscribed()
            started_s = loop.time()
        assert loop.time() - started_s < 2.0
        assert [names for names, _ in sink.lost] == [["BTCUSDT"]]
        assert sink.states == [("connecting", ""), ("connected", ""), ("closed", "")]
        await sim.wait_connections(0)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith("linear-1") for name in names)


async def test_system_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """U30: proxies of the system."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY", "SOCKS_PROXY"):
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with (
        asyncio.timeout(LIMIT_S),
        SimExchange(MANUAL) as sim,
        running(line_config(f"{sim.ws_url}/linear"), RetryClock(0)) as (_, sink),
    ):
        await sink.until(lambda: sink.subscribed or sink.reasons)
        assert sink.reasons == []
