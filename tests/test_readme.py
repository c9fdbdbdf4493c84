"""The README's three lines work as they stand."""

import contextlib
import gzip
import json
import re
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pytest
import zstandard

README: Final = Path(__file__).resolve().parents[1] / "README.md"
MINUTE_MS: Final = 1_788_488_580_000


def frame(price: str, size: str, event_ms: int) -> str:
    """Return a recorded frame of one trade, as a line."""
    trade = {"T": event_ms, "s": "BTCUSDT", "S": "Buy", "v": size, "p": price, "i": str(event_ms)}
    topic = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": event_ms}
    return json.dumps({**topic, "data": [{**trade, "BT": False, "seq": event_ms}]}) + "\n"


def snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_notebook_example_gives_the_candles_of_recorded_frames(tmp_path: Path) -> None:
    *lines, expression = snippets()[0].splitlines()
    recording = tmp_path / "frames.jsonl"
    recording.write_text(
        frame("100.5", "0.1", MINUTE_MS)
        + frame("101", "0.2", MINUTE_MS + 30_000)
        + frame("99.5", "0.3", MINUTE_MS + 60_000)
    )
    with contextlib.ExitStack() as files:

        def open_recording(name: str, mode: str) -> BinaryIO:
            assert (name, mode) == ("frames.jsonl", "rb")
            return files.enter_context(recording.open("rb"))

        namespace = {"open": open_recording}
        exec("\n".join(lines), namespace)  # noqa: S102 -- the README's own code is what is tested
        candles = eval(expression, namespace)  # noqa: S307 -- the same
    assert isinstance(candles, np.ndarray)
    assert candles.tolist() == [
        ("BTCUSDT", MINUTE_MS, 100.5, 101.0, 100.5, 101.0, 0.3),
        ("BTCUSDT", MINUTE_MS + 60_000, 99.5, 99.5, 99.5, 99.5, 0.3),
    ]


def test_the_example_of_whole_files_reads_a_recording_and_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, block = snippets()
    lines = frame("100.5", "0.1", MINUTE_MS).encode()
    (tmp_path / "frames.jsonl.zst").write_bytes(zstandard.compress(lines))
    header = "timestamp,symbol,side,size,price,trdMatchID"
    row = f"{MINUTE_MS // 1000 + 1}.5,BTCUSDT,Sell,0.2,99,f7496ecb-b174-51b9-ba56-150186ba6c27"
    archive = gzip.compress(f"{header}\n{row}\n".encode())
    (tmp_path / "BTCUSDT2026-09-01.csv.gz").write_bytes(archive)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(block, namespace)  # noqa: S102 -- the README's own code is what is tested
    [candle] = namespace["candles"]
    assert (candle["open"], candle["close"], candle["volume"]) == ("100.5", "99", "0.3")
