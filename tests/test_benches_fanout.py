"""The benches of the fan-out run with a handful of clients: nobody reads their timings here."""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benches"))
import fanout
import fanout_daemon
import fanout_exchange
import fanout_run
from fanout_loads import LOADS
from fanout_run import Contender, Measured, Plan

LIMIT_S = 60.0
TINY = ["--runs", "1", "--clients", "5", "--seconds", "0.1", "--per-s", "50", "--cores", "any"]

pytestmark = pytest.mark.usefixtures("built")


@pytest.fixture(scope="session")
def built() -> None:
    """Build the client and the baseline."""
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not on the PATH")
    fanout_run.build()


async def counted(port: int, *options: str) -> dict[str, Any]:
    """Run the counting client and return what it prints."""
    async with asyncio.timeout(LIMIT_S):
        client = await asyncio.create_subprocess_exec(
            fanout_run.BUILT / "release" / "fanout-client",
            *("--port", str(port), "--until", "upstream", "--send", "hello", *options),
            stdout=asyncio.subprocess.PIPE,
        )
        text, _ = await client.communicate()
    assert client.returncode == 0
    found: dict[str, Any] = json.loads(text)
    return found


async def counted_of(messages: Sequence[bytes], *options: str) -> dict[str, Any]:
    """Send each client these messages, with a ping amid them that it must answer."""

    async def handle(connection: ServerConnection) -> None:
        assert await connection.recv() == "hello"
        for message in messages[:-1]:
            await connection.send(message, text=True)
        await (await connection.ping())
        await connection.send(messages[-1], text=True)
        await connection.wait_closed()

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        return await counted(port, *options)


def trade(seq: int, size: int = 0) -> bytes:
    return b'{"type":"trade","seq":%d,"rest":"%s"}' % (seq, b"x" * size)


async def test_the_client_counts_messages_and_bytes_of_every_length_exactly() -> None:
    trades = [trade(seq, size) for seq, size in enumerate([0, 60, 90, 91, 300, 65_500, 70_000], 1)]
    end = b'{"type":"upstream","seq":8}'
    found = await counted_of([b'{"type":"snapshot","seq":0}', *trades, end], "--clients", "2")
    assert found["is_complete"]
    assert found["types"] == {"snapshot": 2, "trade": 14, "upstream": 2}
    assert [one["messages"] for one in found["clients"]] == [7, 7]
    assert {one["bytes"] for one in found["clients"]} == {sum(map(len, trades))}
    assert (found["missing"], found["repeated"], found["announced"]) == (0, 0, 0)


async def test_the_client_finds_holes_repeats_and_what_was_announced_as_dropped() -> None:
    gap = b'{"type":"gap","scope":"client","dropped":3,"from_seq":3,"to_seq":5,"seq":3}'
    messages = [*map(trade, (1, 2)), gap, *map(trade, (6, 6, 8)), b'{"type":"upstream","seq":9}']
    found = await counted_of(messages)
    assert (found["messages"], found["missing"]) == (5, 4)
    assert (found["repeated"], found["announced"]) == (1, 3)


async def test_clients_that_do_not_read_or_read_slowly_leave_the_others_alone() -> None:
    messages = [*(trade(seq, 1_000) for seq in range(1, 201)), b'{"type":"upstream","seq":201}']
    options = ["--never-read", "1", "--slow", "1", "--slow-bytes-per-s", "10000"]
    found = await counted_of(messages, "--clients", "3", *options)
    never, slow, eager = found["clients"]
    assert (never["role"], slow["role"], eager["role"]) == ("never", "slow", "eager")
    assert never["messages"] == 0
    assert slow["messages"] < 200
    assert eager["messages"] == 200
    assert found["is_complete"]


async def test_the_client_stops_at_a_number_of_messages_or_in_any_case_at_its_time() -> None:
    messages = [*map(trade, range(1, 6)), b'{"type":"stats","seq":6}']
    found = await counted_of(messages, "--messages", "5")
    assert (found["is_complete"], found["messages"]) == (True, 5)
    found = await counted_of(messages, "--messages", "6", "--seconds", "0.1")
    assert not found["is_complete"]


@pytest.mark.parametrize("name", LOADS)
def test_every_load_runs_and_every_client_reads_exactly_what_was_published(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    load = LOADS[name]
    # All contenders in one of the saturated loads are enough.
    some = ["--only", "tapecast"] if name in {"saturated-10", "saturated-1000"} else []
    fanout.main(["--loads", name, "--json", *TINY, *some])
    found = json.loads(capsys.readouterr().out)["loads"][name]
    expected = [one for one in load.contenders if not some or one.program == "tapecast"]
    assert list(found) == [one.name for one in expected]
    for runs in found.values():
        assert all(value >= 0 for run in runs for value in run.values())


def test_a_table_names_contenders_figures_ratios_and_targets() -> None:
    load = LOADS["saturated-100"]
    runs = {one: [{"k messages/s": 100.0 * one.joined}] for one in load.contenders}
    lines = fanout.table(load, runs).splitlines()
    assert lines[2] == "| contender | k messages/s |"
    assert lines[4] == "| websockets.broadcast, one at a time | 100 [100..100] |"
    assert lines[8] == "| tapecast, 10 at a time | 1,000 [1,000..1,000] 10.00x |"
    assert [line.rpartition(": ")[2] for line in lines[9:] if line] == ["missed.", "met."]


def test_a_count_that_is_wrong_fails_the_run() -> None:
    plan = Plan(clients=2, seconds=0.05)
    found = fanout_run.run(Contender("send"), plan)
    found.check()
    for wrong in ({"messages": found.published - 1}, {"missing": 1}, {"repeated": 1}):
        changed = {**found.client["clients"][1], **wrong}
        client = {**found.client, "clients": [found.client["clients"][0], changed]}
        with pytest.raises(AssertionError):
            replace(found, client=client).check()
    with pytest.raises(AssertionError):
        Measured.check(replace(found, plan=replace(plan, clients=3)))


def test_a_schedule_has_exactly_the_trades_of_its_rates() -> None:
    assert sum(fanout_exchange.schedule(5_000, 4, 50_000, 0.1)) == 29_000
    assert sum(fanout_exchange.schedule(333, 1, 0, 0)) == 333
    assert max(fanout_exchange.schedule(5_000, 4, 50_000, 0.1)) == 250


def test_the_whole_daemon_loses_nothing() -> None:
    load = fanout_daemon.DaemonLoad(symbols=30, per_s=400, seconds=0.5, clients=3)
    figures = fanout_daemon.run(load)
    assert figures["trades"] == 200
    assert fanout_daemon.table({"steady": [figures]}).count("\n| steady | 200.0 ") == 1
