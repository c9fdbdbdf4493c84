"""The package without its compiled part, and the engine where it is not meant to be used."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import tapecast
from tapecast import Engine

LIMIT_S = 60.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No module named 'tapecast._core', expected"), (b"\x7fELF of another machine", "")],
    ids=["missing", "foreign"],
)
def test_a_compiled_part_that_cannot_be_loaded_is_one_clear_error(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    copy = tmp_path / "tapecast"
    compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(tapecast.__file__).parent, copy, ignore=compiled)
    if content is not None:
        (copy / "_core.abi3.so").write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-c", "import tapecast"],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: tapecast's compiled part cannot be loaded: {reason}")
    assert last.endswith(
        ", expected tapecast._core of the wheel for this Python and machine "
        "(pip install --force-reinstall tapecast)"
    )


def frame(event_ms: int) -> bytes:
    return (
        b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":%d,"data":[{"T":%d,"s":"BTCUSDT",'
        b'"S":"Buy","v":"1","p":"100","i":"%d","BT":false}]}' % (event_ms, event_ms, event_ms)
    )


def test_an_engine_that_another_thread_uses_raises_and_stays_whole() -> None:
    engine = Engine(epoch="e", clock="event")
    frames = [frame(1_790_000_000_000 + number) for number in range(20_000)]
    refusals: list[str] = []
    rounds = 0
    while not refusals and rounds < 100:
        # The same trades again take time, and change nothing.
        thread = threading.Thread(target=lambda: engine.feed_many(frames, received_ns=1))
        thread.start()
        while thread.is_alive() and not refusals:
            try:
                engine.symbols()
            except RuntimeError as error:
                refusals.append(str(error))
        thread.join(LIMIT_S)
        rounds += 1
    assert refusals == ["Already mutably borrowed"]
    assert engine.symbols() == [("linear", "BTCUSDT")]
    assert engine.seq == 20_000
