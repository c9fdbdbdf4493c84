"""The benches of peers, without the peers: how they are checked, and how they are left out."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .test_benches import BENCHES, load

PEERS = BENCHES / "peers"
EXACT = {
    ("A", 0): ("1", "3", "1", "2", "0.1"),
    ("A", 60_000): ("2", "5", "2", "4", "0.2"),
    ("B", 0): ("7", "7", "7", "7", "1"),
}


def found(**changes: tuple[float, ...]) -> dict[tuple[str, int], Any]:
    """Return candles of floats; some of them changed, by symbol and start."""
    candles: dict[tuple[str, int], Any] = {
        key: tuple(map(float, values)) for key, values in EXACT.items()
    }
    for name, values in changes.items():
        symbol, _, start = name.partition("_")
        candles[symbol, int(start)] = values
    return candles


def test_exact_candles_have_no_differences_and_rounded_sums_neither() -> None:
    measuring = load("peers/measuring")
    assert measuring.differences(EXACT, found(B_0=(7, 7, 7, 7, 1 + 1e-12))) == []


def test_a_wrong_a_missing_and_a_further_candle_are_differences() -> None:
    candles = found(B_0=(7, 7, 7, 7.5, 1), C_0=(1, 1, 1, 1, 1))
    del candles["A", 0]
    assert sorted(load("peers/measuring").differences(EXACT, candles)) == [
        "('A', 0) is missing",
        "('B', 0) is (7, 7, 7, 7.5, 1), expected ('7', '7', '7', '7', '1')",
        "('C', 0) is too much",
    ]


def test_the_last_candle_of_each_symbol_may_be_missing_where_nothing_closes_it() -> None:
    candles = found()
    del candles["A", 60_000], candles["B", 0]
    measuring = load("peers/measuring")
    assert measuring.differences(EXACT, candles, without_last=True) == []
    del candles["A", 0]
    assert measuring.differences(EXACT, candles, without_last=True) == ["('A', 0) is missing"]


def test_one_window_over_all_holds_the_first_open_and_the_last_close() -> None:
    whole = load("peers/measuring").whole(EXACT)
    assert whole["A", 0] == (1.0, 5.0, 1.0, 4.0, pytest.approx(0.3))
    assert whole["B", 0] == (7.0, 7.0, 7.0, 7.0, 1.0)


def test_peers_that_are_not_installed_are_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load("peers/run")
    monkeypatch.setattr(run, "PLACE", tmp_path)
    run.main(["--frames", "50", "--runs", "1"])
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"{name} is not installed (make bench-peers does it)"
        for name in ("ccxt", "cryptofeed", "nautilus_trader", "tardis-dev")
    ]
    rows = [line for line in printed.out.splitlines() if line.startswith("| tapecast")]
    assert len(rows) == 1


@pytest.mark.parametrize("path", sorted(PEERS.glob("*.py")), ids=lambda path: path.name)
def test_a_script_of_a_peer_is_python_that_every_environment_understands(path: Path) -> None:
    assert ast.parse(path.read_text(), feature_version=(3, 11)).body


def test_the_script_of_tardis_dev_is_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on the PATH")
    words = [node, "--check", str(PEERS / "peer_tardis_dev.js")]
    subprocess.run(words, check=True, timeout=30)  # noqa: S603 -- our own script


def test_a_peer_whose_candles_are_wrong_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "corpus").write_bytes(b"{}\n")
    (tmp_path / "exact").write_text('{"trades": 1, "candles": [["A", 0, "1", "1", "1", "1", "1"]]}')
    code = "import measuring\nmeasuring.run('pytest', lambda frames: dict)"
    words = [sys.executable, "-c", code, *("corpus", "exact", "1")]
    done = subprocess.run(  # noqa: S603 -- this interpreter
        words, check=False, capture_output=True, text=True, timeout=30, cwd=tmp_path,
        env={"PYTHONPATH": str(PEERS)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "pytest: 1 candles are wrong, such as: ('A', 0) is missing\n"
