"""The group of commands: help, version, and what is no command."""

import importlib.metadata
import re
import subprocess
import sys

import pytest

from .commands import LIMIT_S, invoke, run

EXAMPLES = {
    "bench": ["tapecast bench", "tapecast bench --seconds 5 --json > here.json"],
    "candles": [
        "tapecast candles day.jsonl.zst",
        "tapecast candles --category spot --format csv a.jsonl.gz b.jsonl.gz > candles.csv",
    ],
    "check-config": [
        "tapecast check-config --config tapecast.toml",
        "tapecast check-config --symbols 'linear:*USDT' > tapecast.toml",
    ],
    "demo": [
        "npx wscat -c ws://127.0.0.1:8848/ws/status",
        '> {"action":"subscribe","topic":"status"}',
    ],
    "serve": [
        "tapecast serve --symbols BTCUSDT,ETHUSDT",
        "tapecast serve --symbols 'linear:*USDT,spot:BTC*' --port 9000",
        "tapecast serve --config tapecast.toml",
        "tapecast serve --speed 10 --replay monday.jsonl.zst tuesday.jsonl.zst",
    ],
    "sim": [
        "tapecast sim --rate 500",
        "tapecast serve --bybit-ws-url ws://127.0.0.1:8850/v5/public \\",
        "               --bybit-rest-url http://127.0.0.1:8850 --symbols 'linear:*USDT'",
    ],
}


def test_help_lists_the_commands_and_what_they_do() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert result.stdout.partition("Commands:\n")[2] == (
        "  bench         Measure this machine.\n"
        "  candles       Print the candles of recorded frames.\n"
        "  check-config  Check the settings and print them.\n"
        "  demo          Run the daemon against the simulated exchange.\n"
        "  serve         Run the daemon.\n"
        "  sim           Run the simulated exchange alone.\n"
    )


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", EXAMPLES)
def test_help_of_each_command_shows_its_examples_line_by_line(command: str, flag: str) -> None:
    result = invoke(command, flag)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    first = lines.index(f"    {EXAMPLES[command][0]}")
    shown = lines[first : first + len(EXAMPLES[command])]
    assert shown == [f"    {example}" for example in EXAMPLES[command]]
    assert "\\b" not in result.stdout


@pytest.mark.parametrize("command", ["check-config", "demo", "serve"])
def test_help_spells_defaults_as_they_must_be_typed(command: str) -> None:
    text = re.sub(r"\s+", "", invoke(command, "--help").stdout)
    assert "[default:linear:BTCUSDT,linear:ETHUSDT,linear:SOLUSDT,spot:BTCUSDT]" in text
    assert "trueorfalse.[default:true]" in text


def test_version_is_that_of_the_package() -> None:
    result = run("--version")
    version = importlib.metadata.version("tapecast")
    assert (result.returncode, result.stdout) == (0, f"tapecast, version {version}\n")


def test_the_package_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "tapecast", "--version"]
    result = subprocess.run(  # noqa: S603 -- the command under test
        words, check=False, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (result.returncode, result.stdout[:18]) == (0, "tapecast, version ")


def test_version_loads_no_server() -> None:
    code = (
        "import sys\nfrom tapecast.cli import main\nsys.argv = ['tapecast', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n"
        "    print(sorted({'aiohttp', 'pydantic', 'rich', 'websockets'} & {*sys.modules}))"
    )
    result = subprocess.run(  # noqa: S603 -- this interpreter
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert result.stdout.splitlines()[1] == "[]"


def test_an_unknown_command_says_where_to_look() -> None:
    result = invoke("candels")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Usage: tapecast [OPTIONS] COMMAND [ARGS]...\n"
        "Try 'tapecast --help' for help.\n"
        "\n"
        "Error: No such command 'candels'.\n"
    )


def test_an_unknown_flag_is_a_misuse() -> None:
    result = invoke("serve", "--prot", "1")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: No such option '--prot'.")
