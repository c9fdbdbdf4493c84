"""Whole files: the same as frame by frame, whatever the pieces, the threads and the damage."""

import gzip
import itertools
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapecast import Engine, aggregate, aggregate_files
from tapecast.aliases import Category
from tapecast.batch import apply_frames, batch_engine, candle_messages
from tapecast.errors import DecodeError
from tapecast.files import Watcher, all_cores, apply_files
from tapecast.recording import MAX_LINE_BYTES, Recording

START_MS = 1_790_000_040_000
MINUTE_MS = 60_000
HUGE = "9999999999999999999"
LINES = [
    b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}',
    b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{}}',
    b"{no JSON",
    b'{"topic":"publicTrade.BTCUSDT","ts":1,"data":[{"p":"-1"}]}',
    b'{"topic":"publicTrade.%s","ts":"x","data":[]}' % (b"X" * 40),
    b'{"topic":"publicTrade.BTCUSDT","ts":1790000040000,"data":[]}',
    b"\xff\xfe",
    b"",
    b" \t\x0b",
]


class Limits(TypedDict):
    """Settings of an engine in which its limits are near."""

    empty: Any
    open: Any
    include_block_trades: bool
    revise_window_ms: int
    max_trade_ids: int
    max_symbols: int


def trade(
    at_ms: int, symbol: str = "BTCUSDT", *, price: str = "100", size: str = "1", block: bool = False
) -> dict[str, Any]:
    event_ms = START_MS + at_ms
    side = "Buy" if at_ms % 2 else "Sell"
    return {
        "T": event_ms,
        "s": symbol,
        "S": side,
        "v": size,
        "p": price,
        "L": "PlusTick",
        "i": str(event_ms),
        "BT": block,
        "seq": event_ms,
    }


def message(trades: list[dict[str, Any]], *, topic: str = "BTCUSDT", ts_ms: int = 0) -> bytes:
    head = {"topic": f"publicTrade.{topic}", "type": "snapshot", "ts": START_MS + ts_ms}
    return json.dumps({**head, "data": trades}, separators=(",", ":")).encode()


def frame(at_ms: int, symbol: str = "BTCUSDT", price: str = "100") -> bytes:
    return message([trade(at_ms, symbol, price=price)], topic=symbol, ts_ms=at_ms)


@st.composite
def frames(draw: st.DrawFn, category: Category) -> bytes:
    times = st.one_of(st.integers(0, 5_000), st.integers(0, 400_000), st.integers(0, 9_000_000))
    topic = draw(st.sampled_from(["BTC", "ETH", "SOL"]))
    prices = st.sampled_from(["100", "100.5", "99.25", "0.0001", HUGE])
    sizes = st.sampled_from(["1", "0.001", "12.5", HUGE])
    names = [f"{topic}-1-C", f"{topic}-2-P"] if category == "option" else [topic]
    at_ms = draw(times)
    trades = [
        trade(
            at_ms + draw(st.sampled_from([0, 0, 0, 1, 70_000])),
            draw(st.sampled_from(names)),
            price=draw(prices),
            size=draw(sizes),
            block=draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    return message(trades, topic=topic, ts_ms=at_ms)


def contents(category: Category) -> st.SearchStrategy[list[bytes]]:
    """Draw files: lines in and out of order, again in other files, and such as cannot be read."""
    line = st.one_of(frames(category), frames(category), st.sampled_from(LINES))

    @st.composite
    def draw_files(draw: st.DrawFn) -> list[bytes]:
        lines = draw(st.lists(line, min_size=1, max_size=25))
        files = []
        for _ in range(draw(st.integers(1, 3))):
            own = draw(st.lists(st.sampled_from(lines), max_size=25))
            end = draw(st.sampled_from([b"\n", b"\r\n"]))
            files.append(end.join(own) + draw(st.sampled_from([b"", end])))
        return files

    return draw_files()


limits = st.fixed_dictionaries(
    {
        "empty": st.sampled_from(["skip", "flat"]),
        "open": st.sampled_from(["first_trade", "previous_close"]),
        "include_block_trades": st.booleans(),
        "revise_window_ms": st.sampled_from([0, 120_000, 10_000_000]),
        "max_trade_ids": st.sampled_from([3, 10, 1_000]),
        "max_symbols": st.sampled_from([2, 100]),
    }
)


def engine(given_limits: Limits) -> Engine:
    return Engine(clock="event", history_candles=100_000, recent_trades=0, **given_limits)


def state(engine: Engine) -> tuple[Any, ...]:
    """Return all that can be told of an engine, the numbers of messages included."""
    return (
        # As text, in which a VWAP of no volume equals itself.
        str(engine.candles(exact=True).tolist()),
        list(candle_messages(engine)),
        engine.counts,
        engine.symbols(),
        engine.event_ms,
        engine.seq,
    )


def written(folder: Path, files: Iterable[bytes]) -> list[Path]:
    paths = [folder / f"{number}.jsonl" for number, _ in enumerate(files)]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


class Heard:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.bad: list[tuple[str, int, str]] = []
        self.damages: list[str] = []
        self.read: list[tuple[str, int]] = []
        self.watcher = Watcher(
            bad_line=lambda path, line, error: self.bad.append((path.name, line, str(error))),
            damage=lambda damage: self.damages.append(str(damage)),
            progress=lambda recording, read: self.read.append((recording.path.name, read)),
        )


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), category=st.sampled_from(["linear", "spot", "option"]), given_limits=limits)
def test_files_give_what_feeding_frame_by_frame_gives_for_any_pieces_and_threads(
    tmp_path: Path, data: st.DataObject, category: Category, given_limits: Limits
) -> None:
    paths = written(tmp_path, data.draw(contents(category)))
    expected, bad, foreign = engine(given_limits), [], 0
    for path in paths:
        recording = Recording(path)

        def on_bad(error: DecodeError, recording: Recording = recording) -> None:
            bad.append((recording.path.name, recording.line, str(error)))

        foreign += apply_frames(expected, recording, category=category, on_bad_frame=on_bad)
    for jobs in data.draw(st.sampled_from([(1, 2), (1, 8)])):
        found, heard = engine(given_limits), Heard()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tapecast.recording._PIECE_BYTES", data.draw(st.integers(1, 2_000)))
            passed_over = apply_files(
                found,
                [Recording(path) for path in paths],
                category=category,
                jobs=jobs,
                watcher=heard.watcher,
            )
        assert (passed_over, heard.bad, heard.damages) == (foreign, bad, [])
        assert state(found) == state(expected)


def plain(data: bytes) -> bytes:
    return data


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": plain,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
}
compressions = pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)


def day(minutes: int, *, per_minute: int = 60) -> list[bytes]:
    step_ms = MINUTE_MS // per_minute
    symbols = itertools.cycle(["BTCUSDT", "ETHUSDT", "SOLUSDT"])
    return [
        frame(number * step_ms, next(symbols), price=str(100 + number % 17))
        for number in range(minutes * per_minute)
    ]


@compressions
@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_the_number_of_threads_and_the_compression_change_nothing(
    tmp_path: Path, compress: Callable[[bytes], bytes], jobs: int
) -> None:
    lines = day(120)
    halves = [b"\n".join(lines[:4_000]) + b"\n", b"\n".join(lines[3_000:])]
    paths = written(tmp_path, [compress(half) for half in halves])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._PIECE_BYTES", 10_000)
        candles = aggregate_files(paths, exact=True, jobs=jobs)
    np.testing.assert_array_equal(candles, aggregate(lines, exact=True))


def test_one_path_is_as_good_as_a_list_of_one(tmp_path: Path) -> None:
    [path] = written(tmp_path, [frame(0)])
    expected = aggregate([frame(0)], exact=True)
    for paths in (path, str(path), [str(path)], (path,)):
        np.testing.assert_array_equal(aggregate_files(paths, exact=True), expected)


def test_no_files_give_no_candles() -> None:
    assert aggregate_files([]).tolist() == []


def test_a_bad_frame_raises_with_a_note_of_file_and_line(tmp_path: Path) -> None:
    paths = written(tmp_path, [frame(0) + b"\n", b"\n" + frame(1) + b"\n{no JSON\n{no JSON\n"])
    with pytest.raises(DecodeError) as caught:
        aggregate_files(paths)
    assert caught.value.__notes__ == [f"in {paths[1]}, line 3"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_bad_frames_are_told_in_their_order_and_in_the_callers_thread(
    tmp_path: Path, jobs: int
) -> None:
    lines = [frame(number) if number % 10 else b"{bad %d" % number for number in range(500)]
    paths = written(tmp_path, [b"\n".join(lines)] * 2)
    notes: list[str] = []
    threads: set[int] = set()

    def on_bad_frame(error: DecodeError) -> None:
        notes.extend(error.__notes__)
        threads.add(threading.get_ident())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._PIECE_BYTES", 1_000)
        aggregate_files(paths, on_bad_frame=on_bad_frame, jobs=jobs)
    assert notes == [f"in {path}, line {line}" for path in paths for line in range(1, 501, 10)]
    assert threads == {threading.get_ident()}


def test_what_the_listener_raises_comes_through_and_leaves_no_thread(tmp_path: Path) -> None:
    paths = written(tmp_path, [b"{bad\n" + b"\n".join(day(30))])

    def refuse(error: DecodeError) -> None:
        raise KeyError(str(error))

    before = threading.active_count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._PIECE_BYTES", 1_000)
        with pytest.raises(KeyError):
            aggregate_files(paths, on_bad_frame=refuse, jobs=4)
    assert threading.active_count() == before


def test_late_trades_are_left_out_with_a_warning_that_points_at_the_caller(tmp_path: Path) -> None:
    paths = written(tmp_path, [frame(1_000_000), frame(0)])
    with pytest.warns(RuntimeWarning) as caught:
        candles = aggregate_files(paths, revise_window_ms=600_000)
    [warning] = caught
    assert str(warning.message) == "1 trades came too late and are in no candle"
    assert warning.filename == __file__
    assert candles["start_ms"].tolist() == [START_MS + 960_000]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_file_that_is_cut_short_gives_its_readable_part_and_a_warning(
    tmp_path: Path, name: str, jobs: int
) -> None:
    lines = day(300)
    data = COMPRESSIONS[name](b"\n".join(lines))
    [path] = written(tmp_path, [data[: len(data) * 9 // 10]])
    with pytest.warns(RuntimeWarning) as caught:
        candles = aggregate_files(path, exact=True, jobs=jobs)
    [warning] = caught
    size = path.stat().st_size
    label = {"gzip": "gzip", "zstd": "Zstandard"}[name]
    assert str(warning.message) == (
        f"{path}: {label} data is cut short at byte {size}, expected a whole recording"
    )
    assert warning.filename == __file__
    whole = aggregate(lines, exact=True)
    trades = int(candles["trades"].sum())
    assert len(lines) * 3 // 4 < trades < len(lines)
    np.testing.assert_array_equal(candles, aggregate(lines[:trades], exact=True))
    assert len(candles) < len(whole)


def test_damage_in_the_middle_names_its_place_and_keeps_what_came_before(tmp_path: Path) -> None:
    lines = day(600)
    data = bytearray(gzip.compress(b"\n".join(lines)))
    at = len(data) // 2
    data[at : at + 64] = bytes(64)
    [path] = written(tmp_path, [bytes(data)])
    heard = Heard()
    found = engine_of_files([path], heard)
    [text] = heard.damages
    assert text.startswith(f"{path}: gzip data is damaged near byte ")
    trades = found.counts["trade_messages"]
    assert len(lines) // 4 < trades < len(lines)


def engine_of_files(
    paths: Iterable[Path], heard: Heard, *, empty: Literal["skip", "flat"] = "skip"
) -> Engine:
    found = batch_engine(empty=empty)
    recordings = [Recording(path) for path in paths]
    apply_files(found, recordings, category="linear", jobs=2, watcher=heard.watcher)
    return found


def complete(engine: Engine) -> dict[int, bool]:
    """Return whether each closed minute is complete, by its number."""
    candles = engine.candles()
    closed = candles[candles["closed"]]
    numbers = ((closed["start_ms"] - START_MS) // MINUTE_MS).tolist()
    return dict(zip(numbers, closed["complete"].tolist(), strict=True))


def test_minutes_that_a_damaged_file_may_have_held_are_not_complete(tmp_path: Path) -> None:
    cut = gzip.compress(b"".join(frame(number * MINUTE_MS) + b"\n" for number in range(3)))[:-1]
    rest = b"\n".join(frame(at_ms) for at_ms in (360_000, 420_000, 480_000, 482_000))
    heard = Heard()
    found = engine_of_files(written(tmp_path, [cut, rest]), heard, empty="flat")
    assert len(heard.damages) == 1
    # It broke off within a second of the second minute.
    lost = dict.fromkeys(range(1, 6), False)
    assert complete(found) == {0: True, **lost, 6: True, 7: True}


def test_a_file_that_goes_on_before_the_damage_keeps_its_own_minutes(tmp_path: Path) -> None:
    begin = [frame(number * MINUTE_MS + 30_000) for number in range(3)]
    cut = gzip.compress(b"\n".join(begin) + b"\n")[:-1]
    whole = b"\n".join(frame(number * MINUTE_MS + 2_000) for number in range(6))
    found = engine_of_files(written(tmp_path, [cut, whole]), Heard())
    assert complete(found) == {0: False, 1: True, 2: False, 3: True, 4: True}


def test_a_line_without_end_is_damage_and_the_lines_before_it_count(tmp_path: Path) -> None:
    [path] = written(tmp_path, [frame(0) + b"\n" + b"x" * (MAX_LINE_BYTES + (1 << 20))])
    heard = Heard()
    found = engine_of_files([path], heard)
    assert found.counts["trade_messages"] == 1
    [text] = heard.damages
    assert text.startswith(f"{path}: a line near byte ")
    assert text.endswith("is longer than 16777216 bytes, expected one frame a line")


def test_progress_is_told_in_bytes_of_each_file(tmp_path: Path) -> None:
    paths = written(tmp_path, [b"\n".join(day(60)), gzip.compress(b"\n".join(day(60)))])
    heard = Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._PIECE_BYTES", 50_000)
        engine_of_files(paths, heard)
    for path in paths:
        seen = [read for name, read in heard.read if name == path.name]
        assert seen == sorted(seen)
        assert len(seen) > 3
        assert seen[-1] == path.stat().st_size


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        aggregate_files([*written(tmp_path, [frame(0)]), tmp_path / "none"])
    assert caught.value.filename == str(tmp_path / "none")


@pytest.mark.parametrize("jobs", [0, -1])
def test_less_than_one_job_is_refused(jobs: int) -> None:
    with pytest.raises(ValueError, match=rf"\Ajobs is {jobs}, expected at least 1\Z"):
        aggregate_files([], jobs=jobs)


@pytest.mark.parametrize(
    ("given_settings", "text"),
    [
        ({"empty": "x"}, 'empty is "x", expected "skip" or "flat"'),
        ({"category": "x"}, 'category is "x", expected linear, inverse, spot or option'),
    ],
)
def test_settings_outside_their_choices_are_refused(
    tmp_path: Path, given_settings: dict[str, Any], text: str
) -> None:
    paths = written(tmp_path, [frame(0)])
    with pytest.raises(ValueError, match=r"\A.*\Z") as caught:
        aggregate_files(paths, **given_settings)
    assert str(caught.value) == text


def test_all_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= all_cores() <= (os.cpu_count() or 1)


def test_pieces_are_not_kept(tmp_path: Path) -> None:
    """A hundred times more data takes no more memory: the decoded pieces in flight are counted."""
    [path] = written(tmp_path, [b"\n".join([frame(0)] * 20_000)])
    most = 0
    held: list[int] = []

    class Counting(Recording):
        def pieces(self) -> Any:  # noqa: ANN401 -- pieces
            nonlocal most
            for piece in super().pieces():
                held.append(len(held))
                most = max(most, len(held) - told)
                yield piece

    told = 0

    def progress(_recording: Recording, _read_bytes: int) -> None:
        nonlocal told
        told += 1

    watcher = Watcher(bad_line=lambda *_: None, damage=lambda _: None, progress=progress)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._PIECE_BYTES", 4_000)
        engine = Engine(clock="event")
        apply_files(engine, [Counting(path)], category="linear", jobs=3, watcher=watcher)
    assert told > 500
    assert most <= 2 * 3 + 2


def test_a_recorded_session_gives_what_aggregate_gives(shared_data: Path) -> None:
    path = shared_data / "bybit_spot_l2xl" / "ws_spot_BTCUSDC.jsonl"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        candles = aggregate_files(path, category="spot", exact=True)
    np.testing.assert_array_equal(candles, aggregate(Recording(path), category="spot", exact=True))
