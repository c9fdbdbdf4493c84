"""`tapecast candles`: its three formats against each other, and what it cannot read."""

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tapecast import aggregate
from tapecast.batch import apply_frames, batch_engine, candle_messages
from tapecast.recording import Recording

from .commands import BAD, BAD_TEXT, frame, invoke

FRAMES = [
    frame(0, "80681.90", "0.010"),
    frame(30_000, "80682", "0.1"),
    frame(61_000, "3120.550", "2", symbol="ETHUSDT"),
    frame(62_000, "80680.5", "0.000001"),
    b'{"op":"pong"}\n',
    b"\n",
]
FIELDS = [
    *("category", "symbol", "start_ms", "end_ms", "open", "high", "low", "close", "volume"),
    *("turnover", "buy_volume", "trades", "vwap", "closed", "complete", "revision"),
]
CATEGORIES = "is not one of 'linear', 'inverse', 'spot', 'option'"
NO_JSON = (
    "frame was refused: frame is not JSON (key must be a string), expected one JSON object (byte 1)"
)
TABLE = """\
time              category  symbol      open     high      low    close    volume   turnover  buy_volume  trades              vwap  complete  revision
2026-09-21 14:14  linear    BTCUSDT  80681.9    80682  80681.9    80682      0.11   8875.019        0.11       2  80681.9909090909      true         0
2026-09-21 14:15  linear    BTCUSDT  80680.5  80680.5  80680.5  80680.5  0.000001  0.0806805    0.000001       1           80680.5     false         0  in progress
2026-09-21 14:15  linear    ETHUSDT  3120.55  3120.55  3120.55  3120.55         2     6241.1           2       1           3120.55     false         0  in progress
"""  # noqa: E501 -- as wide as it is


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b"".join(FRAMES))
    return path


def printed(path: Path, style: str, *more: str) -> str:
    result = invoke("candles", path, "--format", style, *more)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_the_table_is_for_people(recording: Path) -> None:
    assert printed(recording, "table") == TABLE


def test_csv_has_every_digit_of_the_exact_candles(recording: Path) -> None:
    rows = list(csv.reader(io.StringIO(printed(recording, "csv"))))
    candles = aggregate(Recording(recording), exact=True)
    assert rows[0] == list(candles.dtype.names or ()) == FIELDS
    assert len(rows) == 4
    for texts, row in zip(rows[1:], candles.tolist(), strict=True):
        for text, value in zip(texts, row, strict=True):
            expected = json.dumps(value) if isinstance(value, bool | int | float) else value
            assert text == expected


def test_jsonl_is_the_messages_of_the_stream(recording: Path) -> None:
    engine = batch_engine()
    apply_frames(engine, Recording(recording), category="linear")
    messages = b"".join(message + b"\n" for message in candle_messages(engine))
    assert printed(recording, "jsonl") == messages.decode()


def test_the_formats_say_the_same(recording: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(recording, "csv"))))
    messages = [json.loads(line) for line in printed(recording, "jsonl").splitlines()]
    assert [(row["symbol"], int(row["start_ms"])) for row in rows] == [
        (message["symbol"], message["start"]) for message in messages
    ]
    for row, message in zip(rows, messages, strict=True):
        assert int(row["end_ms"]) == message["timestamp"]
        for name in {*FIELDS} - {"start_ms", "end_ms"}:
            as_json = row[name] if isinstance(message[name], str) else json.loads(row[name])
            assert as_json == message[name], name
    header, *lines = printed(recording, "table").splitlines()
    columns = header.split()
    for row, line in zip(rows, lines, strict=True):
        start = datetime.fromtimestamp(int(row["start_ms"]) / 1000, UTC)
        assert line.startswith(f"{start:%Y-%m-%d %H:%M} ")
        shown = dict(zip(columns[1:], line.split()[2:], strict=False))
        assert shown == {name: row[name] for name in columns[1:]}
        assert ("in progress" in line) == (row["closed"] == "false")


def test_csv_leaves_a_vwap_without_volume_empty(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(frame(0, "100") + frame(121_000, "101"))
    rows = list(csv.DictReader(io.StringIO(printed(path, "csv", "--empty", "flat"))))
    assert [(row["volume"], row["vwap"]) for row in rows] == [("1", "100"), ("0", ""), ("1", "101")]


@pytest.mark.parametrize(
    ("flags", "opens"),
    [
        ([], ["100", "101"]),
        (["--empty", "flat"], ["100", "100", "101"]),
        (["--open", "previous_close"], ["100", "100"]),
    ],
)
def test_empty_minutes_and_opens_follow_their_flags(
    tmp_path: Path, flags: list[str], opens: list[str]
) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(frame(0, "100") + frame(121_000, "101"))
    rows = csv.DictReader(io.StringIO(printed(path, "csv", *flags)))
    assert [row["open"] for row in rows] == opens


def test_block_trades_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    block = frame(1, "200", "500").replace(b'"BT": false', b'"BT": true')
    path.write_bytes(frame(0, "100") + block)

    def high(*flags: str) -> Any:  # noqa: ANN401 -- of a message
        return json.loads(printed(path, "jsonl", *flags))["high"]

    assert (high(), high("--without-block-trades")) == (200, 100)


def test_several_files_of_any_compression_are_one_recording(
    tmp_path: Path, recording: Path
) -> None:
    parts = [tmp_path / name for name in ("a", "b.gz", "c.zst")]
    parts[0].write_bytes(FRAMES[0])
    parts[1].write_bytes(gzip.compress(FRAMES[1] + FRAMES[2]))
    parts[2].write_bytes(zstandard.compress(b"".join(FRAMES[3:])))
    result = invoke("candles", "--format", "csv", *parts)
    assert (result.exit_code, result.stdout) == (0, printed(recording, "csv"))


def test_the_number_of_jobs_changes_nothing(recording: Path) -> None:
    assert {printed(recording, "csv", "--jobs", jobs) for jobs in ("1", "2", "7")} == {
        printed(recording, "csv")
    }


def test_an_archive_of_trades_is_read_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_2026-09-21.csv.gz"
    lines = ["id,timestamp,price,volume,side,rpi", "1,1790000040000,80681.9,0.01,buy,0"]
    path.write_bytes(gzip.compress("\n".join([*lines, "2,1790000040001,x,1,buy,0"]).encode()))
    result = invoke("candles", path, "--category", "spot", "--format", "csv")
    [row] = csv.DictReader(io.StringIO(result.stdout))
    assert (row["symbol"], row["close"], row["volume"]) == ("BTCUSDT", "80681.9", "0.01")
    assert result.exit_code == 1
    assert result.stderr == (
        f"tapecast: {path}:3: frame was refused: trade price is x, expected a positive decimal "
        "(byte 16)\n"
    )


def test_an_archive_of_another_category_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_2026-09-21.csv"
    path.write_text("id,timestamp,price,volume,side\n1,1790000040000,80681.9,0.01,buy\n")
    result = invoke("candles", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f'tapecast: {path}:1: category is "linear", expected spot, whose columns these are '
        "(byte 0)\n"
    )


@pytest.mark.parametrize("category", ["linear", "inverse", "spot"])
def test_the_category_is_what_the_flag_says(recording: Path, category: str) -> None:
    lines = printed(recording, "jsonl", "--category", category).splitlines()
    assert {json.loads(line)["category"] for line in lines} == {category}


def test_options_are_told_by_their_own_names(tmp_path: Path) -> None:
    name = b"BTC-25JUN27-106000-C-USDT"
    path = tmp_path / "frames.jsonl"
    path.write_bytes(
        frame(0, "5", symbol=name.decode()).replace(b"publicTrade." + name, b"publicTrade.BTC")
    )
    [row] = csv.DictReader(io.StringIO(printed(path, "csv", "--category", "option")))
    assert (row["category"], row["symbol"]) == ("option", name.decode())


def test_a_recorded_session_is_printed_exactly(shared_data: Path) -> None:
    path = shared_data / "bybit_spot_l2xl" / "ws_spot_BTCUSDC.jsonl"
    [candle] = aggregate(Recording(path), category="spot", exact=True)
    [row] = csv.DictReader(io.StringIO(printed(path, "csv", "--category", "spot")))
    for name in ("open", "high", "low", "close", "volume", "turnover", "buy_volume"):
        assert row[name] == candle[name]
    assert int(row["trades"]) == candle["trades"] == 24


def test_bad_frames_are_reported_with_file_and_line_and_left_out(
    tmp_path: Path, recording: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(FRAMES[0] + b"\n" + BAD + b"\n" + FRAMES[1] + b"{no JSON\r\n")
    result = invoke("candles", recording, bad, "--format", "csv")
    assert result.exit_code == 1
    assert result.stdout == printed(recording, "csv")
    assert result.stderr.splitlines() == [
        f"tapecast: {bad}:3: {BAD_TEXT}",
        f"tapecast: {bad}:5: {NO_JSON}",
    ]


def test_of_many_bad_frames_ten_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes((BAD + b"\n") * 12 + frame(0, "100"))
    result = invoke("candles", path, "--format", "jsonl")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["close"] == 100
    assert result.stderr.splitlines() == [
        *(f"tapecast: {path}:{line}: {BAD_TEXT}" for line in range(1, 11)),
        "tapecast: 12 frames were refused in all",
    ]


def test_trades_that_come_too_late_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "late.jsonl"
    path.write_bytes(frame(0, "100") + frame(1_000_000, "100") + frame(1, "50") + frame(2, "50"))
    result = invoke("candles", path, "--format", "csv", "--revise-window-ms", "600000")
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 3)
    assert result.stderr == "tapecast: 2 trades came too late and are in no candle\n"


def test_recordings_in_any_order_and_twice_give_the_same_candles(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for number, path in enumerate(paths):
        times = range(number * 3_600_000, (number + 1) * 3_600_000, 20_000)
        path.write_bytes(b"".join(frame(at_ms, str(100 + at_ms % 7)) for at_ms in times))
    in_order = invoke("candles", *paths, "--format", "csv")
    backwards = invoke("candles", *reversed(paths), *paths, "--format", "csv")
    without_revisions = [
        [line.rpartition(",")[0] for line in result.stdout.splitlines()]
        for result in (in_order, backwards)
    ]
    assert without_revisions[0] == without_revisions[1]
    assert len(without_revisions[0]) == 1 + 180
    assert (in_order.stderr, backwards.stderr) == ("", "")
    assert (in_order.exit_code, backwards.exit_code) == (0, 0)


@pytest.mark.parametrize(
    ("style", "stdout"), [("table", ""), ("csv", ",".join(FIELDS) + "\n"), ("jsonl", "")]
)
@pytest.mark.parametrize("content", [b"", b'{"op":"pong"}\n'])
def test_a_file_without_trades_says_so(
    tmp_path: Path, style: str, stdout: str, content: bytes
) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(content)
    result = invoke("candles", path, "--format", style)
    assert (result.exit_code, result.stdout) == (0, stdout)
    assert result.stderr == "tapecast: no candles: no trade was read\n"


def test_a_recording_of_something_else_is_told_and_failed(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b'{"topic":"trade.X"}\n{"topic":"trade.Y"}\n{"op":"pong"}\n')
    result = invoke("candles", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "tapecast: 2 frames are no public trades of the v5 interface and were passed over",
        "tapecast: no candles: no trade was read",
    ]


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, recording: Path) -> None:
    missing = tmp_path / "none.jsonl"
    result = invoke("candles", recording, missing)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"tapecast: {missing}: no such file or directory\n"
    result = invoke("candles", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"tapecast: {tmp_path}: is a directory\n"


def test_a_file_that_is_cut_short_gives_what_can_be_read_and_says_where_it_ends(
    tmp_path: Path, recording: Path
) -> None:
    path = tmp_path / "day.gz"
    path.write_bytes(gzip.compress(b"".join(FRAMES), mtime=0)[:-1])
    size = path.stat().st_size
    result = invoke("candles", path, "--format", "csv")
    assert result.exit_code == 1
    prices = [line.split(",")[4:12] for line in printed(recording, "csv").splitlines()]
    assert [line.split(",")[4:12] for line in result.stdout.splitlines()] == prices
    assert result.stderr == (
        f"tapecast: {path}: gzip data is cut short at byte {size}, expected a whole recording\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "Missing argument 'FILES...'."),
        (["--timeframe", "5m", "x"], "Invalid value for '--timeframe': '5m' is not '1m'."),
        (["--jobs", "0", "x"], "Invalid value for '--jobs': 0 is not in the range x>=1."),
        (["--category", "x", "x"], f"Invalid value for '--category': 'x' {CATEGORIES}."),
    ],
)
def test_misuse_is_told_and_the_exit_code_is_2(arguments: list[str], error: str) -> None:
    result = invoke("candles", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"Error: {error}"
