"""The bench of whole files runs, on a tiny recording: nobody reads its timings here."""

from pathlib import Path

import pytest

from .test_benches import load


def test_it_prints_a_row_for_everyone_who_takes_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load("corpus")
    bench = load("candles")
    bench.main(["--frames", "300", "--runs", "1", "--markdown", "--folder", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" trades, 1 runs:")
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert rows[1:] == list(bench.contenders())
    assert lines[-1].startswith("Peak memory on all cores: ") == Path("/proc/self/status").exists()
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_time_what_is_wrong(tmp_path: Path) -> None:
    corpus, bench = load("corpus"), load("candles")
    path = tmp_path / "linear.jsonl"
    trades = corpus.write_corpus(path, 50)
    bench.check(path, trades)
    with pytest.raises(AssertionError):
        bench.check(path, trades + 1)
