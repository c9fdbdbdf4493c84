"""The exchange's archives of trades: rows by their header, exact, and told from recordings."""

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapecast import aggregate_files
from tapecast._core import Block, Layout
from tapecast.aliases import Category
from tapecast.batch import batch_engine
from tapecast.errors import DecodeError, FeedError

from .test_files import START_MS, frame

FUTURES = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional"
)
SPOT = "id,timestamp,price,volume,side,rpi"
UUID = "f7496ecb-b174-51b9-ba56-150186ba6c27"
NAME = "BTCUSDT_2026-09-21.csv"


def futures_row(
    seconds: str, price: str = "5.2390", size: str = "0.86", *, number: int = 0, side: str = "Sell"
) -> str:
    identity = f"{number:08x}{UUID[8:]}"
    return f"{seconds},FXSUSDT,{side},{size},{price},PlusTick,{identity},4.50554e+08,{size},4.5"


def written(folder: Path, *lines: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([*lines, ""]))
    return path


def rows(candles: Any, *names: str) -> list[tuple[Any, ...]]:  # noqa: ANN401 -- a structured array
    found: list[tuple[Any, ...]] = candles[list(names)].tolist()
    return found


OHLCV = ("symbol", "start_ms", "open", "high", "low", "close", "volume", "turnover", "buy_volume")


def test_rows_of_futures_become_candles(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        FUTURES,
        futures_row("1790000040.0001", number=1),
        futures_row("1790000040.0009", "5.25", "1e2", number=2, side="Buy"),
        futures_row("1790000099.9999", "5", number=3),
        futures_row("1790000100", "6", number=4),
    )
    assert rows(aggregate_files(path, exact=True), *OHLCV) == [
        ("FXSUSDT", START_MS, "5.239", "5.25", "5", "5", "101.72", "533.80554", "100"),
        ("FXSUSDT", START_MS + 60_000, "6", "6", "6", "6", "0.86", "5.16", "0"),
    ]


def test_rows_of_spot_become_candles_of_the_symbol_in_the_files_name(tmp_path: Path) -> None:
    lines = [
        *(SPOT, f"1,{START_MS},100.5,0.1,buy,0", f"2,{START_MS},100.25,2,sell,1"),
        f"3,{START_MS + 60_000},7,1,sell,0",
    ]
    path = written(tmp_path, *lines, name=NAME)
    assert rows(aggregate_files(path, category="spot", exact=True), *OHLCV) == [
        ("BTCUSDT", START_MS, "100.5", "100.5", "100.25", "100.25", "2.1", "210.55", "0.1"),
        ("BTCUSDT", START_MS + 60_000, "7", "7", "7", "7", "1", "7", "0"),
    ]


@pytest.mark.parametrize("name", ["BTCUSDT_2026-09-21.csv.gz", "BTCUSDT-2026-09.csv.gz"])
def test_names_of_days_and_months_name_the_symbol(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(f"{SPOT}\n1,{START_MS},1,1,buy,0\n".encode()))
    assert aggregate_files(path, category="spot")["symbol"].tolist() == ["BTCUSDT"]


def test_a_column_of_symbols_goes_before_the_name(tmp_path: Path) -> None:
    path = written(tmp_path, f"{SPOT},symbol", f"1,{START_MS},1,1,buy,0,ETHUSDT", name=NAME)
    assert aggregate_files(path, category="spot")["symbol"].tolist() == ["ETHUSDT"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_blank_lines_and_a_missing_last_end_change_nothing(
    tmp_path: Path, end: str
) -> None:
    given_rows = [futures_row(f"179000004{number}.5", number=number) for number in range(5)]
    expected = aggregate_files(written(tmp_path, FUTURES, *given_rows), exact=True)
    path = tmp_path / "b.csv"
    path.write_text(end.join([FUTURES, "", *given_rows[:2], " ", *given_rows[2:]]), newline="")
    np.testing.assert_array_equal(aggregate_files(path, exact=True), expected)


def test_columns_are_found_by_their_names_in_any_order(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "price,size,side,symbol,trdMatchID,timestamp,RPI",
        f"5.2390,0.86,Sell,FXSUSDT,{UUID},1790000040.0001,1",
    )
    assert rows(aggregate_files(path, exact=True), "symbol", "open", "volume") == [
        ("FXSUSDT", "5.239", "0.86")
    ]


def test_the_same_rows_in_two_files_count_once(tmp_path: Path) -> None:
    futures = [futures_row("1790000040.5", number=number) for number in range(4)]
    paths = [
        written(tmp_path, FUTURES, *futures[:3]),
        written(tmp_path, FUTURES, *futures[1:], name="b.csv"),
    ]
    assert aggregate_files(paths)["trades"].tolist() == [4]
    path = written(tmp_path, SPOT, *(f"{n},{START_MS},1,1,buy,0" for n in range(3)), name=NAME)
    assert aggregate_files([path, path], category="spot")["trades"].tolist() == [3]


def test_row_numbers_of_spot_that_begin_anew_the_next_day_are_other_trades(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, SPOT, *(f"{n},{START_MS + day},1,1,buy,0" for n in range(3)), name=name)
        for day, name in ((0, NAME), (86_400_000, "BTCUSDT_2026-09-22.csv"))
    ]
    assert aggregate_files(paths, category="spot")["trades"].tolist() == [3, 3]


def test_a_trade_of_an_archive_and_of_a_recording_counts_once(tmp_path: Path) -> None:
    line = frame(500, "FXSUSDT").replace(
        f'"i":"{START_MS + 500}"'.encode(), f'"i":"00000001{UUID[8:]}"'.encode()
    )
    recording = tmp_path / "a.jsonl"
    recording.write_bytes(line)
    archive = written(tmp_path, FUTURES, futures_row("1790000040.5", number=1))
    for paths in ([recording, archive], [archive, recording]):
        assert aggregate_files(paths)["trades"].tolist() == [1]


@pytest.mark.parametrize("piece_bytes", [1, 100, 333, 10_000])
@pytest.mark.parametrize("jobs", [1, 4])
def test_within_a_millisecond_the_order_of_the_file_decides(
    tmp_path: Path, piece_bytes: int, jobs: int
) -> None:
    """More rows than any piece holds; their ids are in no order."""
    prices = [str(1 + number * 7 % 97) for number in range(96)]
    given_rows = [
        futures_row("1790000040.123", price, number=(number * 31) % 96)
        for number, price in enumerate(prices)
    ]
    path = written(tmp_path, FUTURES, *given_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._PIECE_BYTES", piece_bytes)
        [candle] = aggregate_files(path, exact=True, jobs=jobs)
    assert (candle["open"], candle["close"], candle["trades"]) == (prices[0], prices[-1], 96)


SYMBOLS = "1 to 32 characters without white space or control characters"
BAD_ROWS = [
    ("1790000040.5,FXSUSDT,Sell,1,-1,", "trade price is -1, expected a positive decimal (byte 28)"),
    ("1790000040.5,FXSUSDT,Sell,,5,", "trade size is , expected a positive decimal (byte 26)"),
    ("1790000040.5,FXSUSDT,Hold,1,5,", "taker side is Hold, expected Buy or Sell (byte 21)"),
    (
        "1.5e9,FXSUSDT,Sell,1,5,",
        "trade time is 1.5e9, expected seconds from 0 to 4102444799 (byte 0)",
    ),
    (
        "1790000040.5,FXS USDT,Sell,1,5,",
        f"symbol is FXS USDT, expected {SYMBOLS} (byte 13)",
    ),
]


@pytest.mark.parametrize(("start", "text"), BAD_ROWS, ids=[text[:16] for _, text in BAD_ROWS])
def test_a_bad_row_is_told_with_its_line_and_left_out(
    tmp_path: Path, start: str, text: str
) -> None:
    good = [futures_row(f"179000004{number}.5", number=number) for number in range(2)]
    bad = f"{start}PlusTick,{UUID},1,1,1"
    path = written(tmp_path, FUTURES, good[0], "", bad, good[1])
    with pytest.raises(DecodeError) as caught:
        aggregate_files(path)
    assert str(caught.value) == text
    assert caught.value.__notes__ == [f"in {path}, line 4"]
    errors: list[DecodeError] = []
    candles = aggregate_files(path, on_bad_frame=errors.append)
    assert (candles["trades"].tolist(), len(errors)) == ([2], 1)


def test_a_row_of_another_length_than_the_header_is_told(tmp_path: Path) -> None:
    row = f"1790000040.5,FXSUSDT,Sell,1,5,PlusTick,{UUID}"
    with pytest.raises(DecodeError) as caught:
        aggregate_files(written(tmp_path, FUTURES, row))
    assert str(caught.value) == (
        f"row is fewer columns than the header, expected 10 (byte {len(row)})"
    )
    with pytest.raises(DecodeError, match="row is more columns than the header, expected 10"):
        aggregate_files(written(tmp_path, FUTURES, futures_row("1790000040.5") + ",1"))


def test_the_minute_of_a_bad_row_is_not_complete(tmp_path: Path) -> None:
    lines = [futures_row(f"{1_790_000_040 + 60 * n}.0", number=n) for n in range(5)]
    lines.insert(3, futures_row("1790000170.5", "-5", number=9))
    candles = aggregate_files(written(tmp_path, FUTURES, *lines), on_bad_frame=lambda _: None)
    assert candles["complete"].tolist() == [True, True, False, False, False]
    assert candles["closed"].tolist() == [True, True, True, False, False]


MILLISECONDS = "whole milliseconds from 0 to 4102444799999"
SPOT_BAD = [
    ("x,1790000040000,1,1,buy,0", "trade id is x, expected a whole number below 2^64 (byte 0)"),
    (
        "1,1790000040.5,1,1,buy,0",
        f"trade time is 1790000040.5, expected {MILLISECONDS} (byte 2)",
    ),
    ("1,1790000040000,1,1,buy,2", "RPI flag is 2, expected 0 or 1 (byte 24)"),
]


@pytest.mark.parametrize(("row", "text"), SPOT_BAD)
def test_a_bad_row_of_spot_is_told(tmp_path: Path, row: str, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        aggregate_files(written(tmp_path, SPOT, row, name=NAME), category="spot")
    assert str(caught.value) == text


EITHER = 'a column "trdMatchID" (futures) or "id" (spot)'
NAMED = 'a column "symbol", or a name of the file that begins with one'
HEADERS: list[tuple[str, Category, str]] = [
    (
        "timestamp,price,side",
        "linear",
        f'header is "timestamp,price,side", expected {EITHER} (byte 0)',
    ),
    (
        f"{FUTURES},isBlock",
        "linear",
        f'column is "isBlock", expected one of {FUTURES.replace(",", ", ")}, RPI (byte 98)',
    ),
    (
        "timestamp,trdMatchID,side,size,price",
        "linear",
        f'header is "timestamp,trdMatchID,side,size,price", expected {NAMED} (byte 0)',
    ),
    (
        "timestamp,symbol,side,price,trdMatchID",
        "inverse",
        'header is "timestamp,symbol,side,price,trdMatchID", expected a column "size" (byte 0)',
    ),
    (
        "id,timestamp,price,volume,side,price",
        "spot",
        'column is "price", expected each column once (byte 31)',
    ),
    (
        FUTURES,
        "spot",
        'category is "spot", expected linear or inverse, whose columns these are (byte 0)',
    ),
    (SPOT, "linear", 'category is "linear", expected spot, whose columns these are (byte 0)'),
    (
        FUTURES,
        "option",
        'category is "option", expected linear or inverse, whose columns these are (byte 0)',
    ),
]


@pytest.mark.parametrize(("header", "category", "text"), HEADERS)
def test_a_header_of_no_known_layout_names_file_and_column(
    tmp_path: Path, header: str, category: Category, text: str
) -> None:
    path = written(tmp_path, header, "1,2,3", name="lower.csv")
    with pytest.raises(FeedError) as caught:
        aggregate_files(path, category=category)
    assert str(caught.value) == f"{path}:1: {text}"


def test_a_header_alone_gives_no_candles(tmp_path: Path) -> None:
    assert aggregate_files(written(tmp_path, FUTURES)).tolist() == []


def test_archives_of_several_days_and_compressions_are_one_series(tmp_path: Path) -> None:
    lines = [futures_row(f"{1_790_000_040 + 7 * n}.25", number=n) for n in range(500)]
    expected = aggregate_files(written(tmp_path, FUTURES, *lines), exact=True)
    paths = [tmp_path / "1.csv", tmp_path / "2.csv.gz"]
    paths[0].write_text("\n".join([FUTURES, *lines[:200]]))
    paths[1].write_bytes(gzip.compress("\n".join([FUTURES, *lines[150:]]).encode()))
    np.testing.assert_array_equal(aggregate_files(paths, exact=True), expected)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    trades=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=300_000_000),
            st.decimals("0.000001", "99999", places=6),
            st.decimals("0.000001", "99999", places=6),
            st.booleans(),
        ),
        min_size=1,
        max_size=40,
    ),
    piece_bytes=st.integers(min_value=1, max_value=4_000),
)
def test_any_rows_fold_as_decimals_do(
    tmp_path: Path, trades: list[tuple[int, Decimal, Decimal, bool]], piece_bytes: int
) -> None:
    """Times are drawn in microseconds after the start; prices with an exponent, sizes without."""
    given_rows, minutes = [], dict[int, list[tuple[Decimal, Decimal]]]()
    for number, (at_us, price, size, buys) in enumerate(
        sorted(trades, key=lambda it: it[0] // 1000)
    ):
        seconds, micros = divmod(START_MS * 1000 + at_us, 1_000_000)
        text = f"{price:e}" if number % 2 else f"{price:f}"
        side = "Buy" if buys else "Sell"
        time = f"{seconds}.{micros:06d}"
        given_rows.append(futures_row(time, text, f"{size:f}", number=number, side=side))
        minutes.setdefault(seconds // 60 * 60_000, []).append((price, size))
    path = written(tmp_path, FUTURES, *given_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tapecast.recording._PIECE_BYTES", piece_bytes)
        candles = aggregate_files(path, exact=True, jobs=2)
    found = {
        start_ms: tuple(map(Decimal, values))
        for start_ms, *values in rows(
            candles, "start_ms", "open", "high", "low", "close", "volume", "turnover"
        )
    }
    assert found == {
        start_ms: (
            of_minute[0][0],
            max(price for price, _ in of_minute),
            min(price for price, _ in of_minute),
            of_minute[-1][0],
            sum(size for _, size in of_minute),
            sum(price * size for price, size in of_minute),
        )
        for start_ms, of_minute in minutes.items()
    }


@settings(max_examples=300, deadline=None)
@given(line=st.binary(max_size=120), which=st.sampled_from(["linear", "spot"]))
def test_no_row_breaks_the_reader(line: bytes, which: Category) -> None:
    header = (SPOT if which == "spot" else FUTURES).encode()
    layout = Layout(header, category=which, symbol="BTCUSDT")
    block, engine = Block(), batch_engine()
    assert block.decode(b"", line, len(line), category=which, layout=layout) == []
    refused = engine.absorb(block)
    assert len(refused) + engine.counts["trade_messages"] <= line.count(b"\n") + 1


@settings(max_examples=300, deadline=None)
@given(header=st.one_of(st.binary(max_size=80), st.permutations(FUTURES.split(",")).map(",".join)))
def test_no_header_breaks_the_reader(header: bytes | str) -> None:
    data = header.encode() if isinstance(header, str) else header
    if isinstance(header, str):
        Layout(data, category="linear", symbol=None)
        return
    with pytest.raises(DecodeError) as caught:
        Layout(data, category="linear", symbol=None)
    assert caught.value.kind == "bad_header"


def test_the_exchanges_own_archive_is_read_exactly(shared_data: Path) -> None:
    path = shared_data / "bybit_public_csv_bbgo" / "FXSUSDT-ticks-2023-10-10.csv"
    header, *lines = path.read_text().splitlines()
    assert header == FUTURES
    candles = aggregate_files(path, exact=True)
    minutes = dict[int, list[list[str]]]()
    for line in lines:
        cells = line.split(",")
        minutes.setdefault(int(cells[0].split(".")[0]) // 60 * 60_000, []).append(cells)
    assert candles["start_ms"].tolist() == list(minutes)
    for candle, of_minute in zip(candles, minutes.values(), strict=True):
        pairs = [(Decimal(cells[4]), Decimal(cells[3])) for cells in of_minute]
        assert Decimal(candle["open"]) == pairs[0][0]
        assert Decimal(candle["close"]) == pairs[-1][0]
        assert Decimal(candle["volume"]) == sum(size for _, size in pairs)
        assert Decimal(candle["turnover"]) == sum(price * size for price, size in pairs)
        assert int(candle["trades"]) == len(pairs)
