"""`tapecast check-config`: what it prints is a settings file, and every problem comes at once."""

import tomllib
from pathlib import Path

import pytest

from tapecast.config import load

from .commands import invoke, run

LEVELS = '"debug" or "info" or "warning" or "error"'
PATTERN = "category:SYMBOL or category:GLOB with one of linear, inverse, spot, option"


def test_the_defaults_are_a_file_that_loads_back_to_the_same(tmp_path: Path) -> None:
    result = invoke("check-config")
    assert (result.exit_code, result.stderr) == (0, "")
    path = tmp_path / "tapecast.toml"
    path.write_text(result.stdout)
    assert load(path, environ={}) == load(None, environ={})
    assert result.stdout.startswith('host = "127.0.0.1"\nport = 8848\nsymbols = ["linear:BTCUSDT",')
    assert "\n[candles]\ngrace_ms = 1000\n" in result.stdout


@pytest.mark.parametrize(
    "flags",
    [
        {"--host": 'h\U0001f600\x7f\\"é', "--port": "0"},
        {"--symbols": "option:BTC, spot:*USDC", "--candles-include-block-trades": "no"},
        {"--bybit-proxy": "http://u:p@h:1", "--bybit-network": "testnet"},
        {"--bybit-backoff-base-s": "1e-7", "--bybit-backoff-cap-s": "86400"},
        {"--server-ping-interval-s": "0.1", "--log-level": "debug", "--log-format": "json"},
    ],
)
def test_any_settings_load_back_to_the_same(tmp_path: Path, flags: dict[str, str]) -> None:
    result = invoke("check-config", *(word for pair in flags.items() for word in pair))
    assert (result.exit_code, result.stderr) == (0, "")
    path = tmp_path / "tapecast.toml"
    path.write_text(result.stdout, encoding="utf-8")
    again = invoke("check-config", "--config", path)
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert load(path, environ={}) != load(None, environ={})


def test_flags_go_before_variables_and_variables_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tapecast.toml"
    path.write_text('port = 1\nhost = "a"\nsymbols = ["X"]\n[candles]\ngrace_ms = 1\n')
    result = invoke(
        *("check-config", "--config", path, "--port", 3),
        TAPECAST_PORT="2",
        TAPECAST_HOST="b",
        TAPECAST_CANDLES__GRACE_MS="2",
    )
    found = tomllib.loads(result.stdout)
    assert (found["port"], found["host"], found["symbols"]) == (3, "b", ["X"])
    assert found["candles"]["grace_ms"] == 2


def test_the_file_may_be_named_by_a_variable_and_a_flag_goes_before_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text("port = 1\n")
    second.write_text("port = 2\n")
    by_variable = invoke("check-config", TAPECAST_CONFIG=str(first))
    assert tomllib.loads(by_variable.stdout)["port"] == 1
    by_flag = invoke("check-config", "--config", second, TAPECAST_CONFIG=str(first))
    assert tomllib.loads(by_flag.stdout)["port"] == 2


def test_every_problem_of_every_place_is_a_line_and_the_exit_code_is_2(tmp_path: Path) -> None:
    path = tmp_path / "tapecast.toml"
    path.write_text('prot = 1\n[candles]\nempty = "zero"\n')
    result = invoke(
        *("check-config", "--config", path, "--port", 99999, "--symbols", "futures:BTC"),
        TAPECAST_LOG__LEVEL="loud",
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"tapecast: prot: unknown setting, expected port ({path})",
        f'tapecast: candles.empty: "zero", expected "skip" or "flat" ({path})',
        f'tapecast: log.level: "loud", expected {LEVELS} (TAPECAST_LOG__LEVEL)',
        'tapecast: port: "99999", expected an integer from 0 to 65535 (--port)',
        f'tapecast: symbols: "futures:BTC", expected {PATTERN} (--symbols)',
    ]


def test_a_missing_file_is_a_problem_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    result = run("check-config", "--config", path, "--port", "x")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"tapecast: {path}: no such file or directory, expected a TOML file",
        'tapecast: port: "x", expected an integer from 0 to 65535 (--port)',
    ]
