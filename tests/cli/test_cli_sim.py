"""`tapecast sim` and `tapecast demo`: where they are, how they end, and what they refuse."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.e2e.process import tapecast

from .commands import invoke, run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_simulated_exchange_says_where_it_is_and_ends_with_0(
    number: signal.Signals,
) -> None:
    async with tapecast("sim", "--port", "0", "--rate", "500") as sim:
        url = (await sim.logged(r"^ledger    (http://127\.0\.0\.1:\d+/sim/ledger)$"))[1]
        port = url.split(":")[2].split("/")[0]
        assert sim.stderr == [
            f"WebSocket ws://127.0.0.1:{port}/v5/public/CATEGORY",
            f"REST      http://127.0.0.1:{port}/v5/market/…",
            f"ledger    http://127.0.0.1:{port}/sim/ledger",
        ]
        assert await sim.end(number) == 0
    assert (sim.stdout, len(sim.stderr)) == ([], 3)


async def test_faults_and_a_proxy_say_where_they_are(tmp_path: Path) -> None:
    script = tmp_path / "trouble.toml"
    script.write_text('[[faults]]\nkind = "mute"\n[[toxics]]\nkind = "latency"\n')
    flags = ("--port", "0", "--faults", str(script), "--faults-seed", "3", "--proxy-port", "0")
    async with tapecast("sim", *flags) as sim:
        await sim.logged(r"^faults    http://127\.0\.0\.1:\d+/sim/faults$")
        await sim.logged(r"^proxy     127\.0\.0\.1:\d+, in front of both$")
        assert await sim.end() == 0
    assert (sim.stdout, len(sim.stderr)) == ([], 5)


async def test_random_faults_are_an_hour_of_trouble() -> None:
    async with tapecast("sim", "--port", "0", "--faults", "random", "--rate", "500") as sim:
        await sim.logged(r"^faults    http://127\.0\.0\.1:\d+/sim/faults$")
        assert await sim.end() == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "no such file or directory, expected a script"),
        ("[[faults]]\nkind = 3", "expected `str`, got `int` - at `$.faults[0].kind`"),
        (
            '[[faults]]\nkind = "moon"',
            "invalid value 'moon' - at `$.faults[0].kind`, expected a script of faults",
        ),
    ],
)
def test_a_script_that_cannot_be_read_is_one_line(
    tmp_path: Path, text: str | None, problem: str
) -> None:
    script = tmp_path / "trouble.toml"
    if text is not None:
        script.write_text(text)
    result = invoke("sim", "--faults", str(script))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"tapecast: {script}: {problem}\n"


def test_toxics_without_a_proxy_are_a_problem(tmp_path: Path) -> None:
    script = tmp_path / "trouble.toml"
    script.write_text('[[toxics]]\nkind = "down"\n')
    result = invoke("sim", "--faults", str(script))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "tapecast: faults: 1 toxics and no proxy, expected a proxy port\n"


RATE = "expected trades per second, 0 or more"
GLOB = "matches nothing, expected `category:glob` of a simulated symbol"


@pytest.mark.parametrize("command", ["sim", "demo"])
@pytest.mark.parametrize(("rate", "shown"), [("-1", "-1.0"), ("nan", "nan"), ("inf", "inf")])
def test_a_rate_that_is_none_is_told_and_nothing_starts(
    command: str, rate: str, shown: str
) -> None:
    result = invoke(command, f"--rate={rate}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"tapecast: rate: {shown}, {RATE}\n"


def test_every_problem_of_the_simulated_exchange_is_a_line() -> None:
    result = invoke(
        "sim", "--port", "70000", "--rate=-1", "--symbols", "linear:NOPE,BTCUSDT,spot:X*"
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert sorted(result.stderr.splitlines()) == [
        "tapecast: port: 70000, expected 0 to 65535",
        f"tapecast: rate: -1.0, {RATE}",
        f'tapecast: symbols: "linear:NOPE" {GLOB}',
    ]


def test_problems_of_both_sides_of_the_demo_are_told_at_once() -> None:
    result = invoke("demo", "--rate=-1", "--port", "x", "--symbols", "moon:X")
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.split()[1] for line in result.stderr.splitlines()] == [
        *("rate:", "port:", "symbols:"),
    ]


def test_a_rate_that_is_no_number_is_a_misuse() -> None:
    result = invoke("demo", "--rate", "many")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == (
        "Error: Invalid value for '--rate': 'many' is not a valid float."
    )


async def test_a_port_in_use_is_one_line() -> None:
    async with tapecast("sim", "--port", "0") as first:
        port = (await first.logged(r"^WebSocket ws://127\.0\.0\.1:(\d+)/"))[1]
        second = await asyncio.to_thread(run, "sim", "--port", port)
        assert (second.returncode, second.stdout, second.stderr) == (
            98,
            "",
            (
                f"tapecast: cannot listen on 127.0.0.1:{port}: address already in use; "
                "end what uses it, or listen elsewhere (--host, --port)\n"
            ),
        )
        assert await first.end() == 0


async def test_the_demo_runs_both_in_one_process_and_ends_with_0() -> None:
    async with tapecast("demo", "--port", "0", "--rate", "500") as demo:
        await demo.url()
        await demo.printed(r"Z stats frames [1-9]\d* ")
        assert await demo.end(signal.SIGINT) == 0
    assert demo.stderr[-1].endswith("info tapecast.daemon.app: stopped")
