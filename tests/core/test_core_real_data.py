"""Real frames decode to what `json` and `Decimal` read; foreign ones are refused in clear words."""

import csv
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from tapecast import DecodeError, Engine, decode_trades
from tapecast.messages import decode_message
from tests.core.frames import Category, candle_row, exact_rows, expected_trade, frame_of, trade_item
from tests.core.test_core_decoding import row
from tests.reference import RefEngine, RefSettings, RefTrade, parse_frame, plain


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def singles(shared_data: Path) -> list[tuple[Category, bytes]]:
    """Return the single captured frames with their categories."""
    folder = shared_data / "bybit_ws_singles"
    with (folder / "publicTrade_singles.tsv").open(newline="") as table:
        said = [record["category"] for record in csv.DictReader(table, delimiter="\t")]
    # The last is two real frames merged by hand, of which a linear one comes first.
    names = [name.split()[0].split("(")[0] for name in said[:-1]] + ["linear"]
    frames = lines(folder / "publicTrade_singles.jsonl")
    return [(cast("Category", name), frame) for name, frame in zip(names, frames, strict=True)]


def reserialised(shared_data: Path) -> list[tuple[Category, bytes]]:
    frames = lines(shared_data / "bybit_ws_tardis" / "publicTrade_reserialised.jsonl")
    names: list[Category] = ["inverse", "linear", "option", "spot", "spot"]
    return list(zip(names, frames, strict=True))


def spot_session(shared_data: Path) -> list[tuple[Category, bytes]]:
    frames = lines(shared_data / "bybit_spot_l2xl" / "ws_spot_BTCUSDC.jsonl")
    return [("spot", frame) for frame in frames if b'"topic"' in frame]


def samples(shared_data: Path) -> list[tuple[Category, bytes]]:
    return [("linear", (shared_data / "bybit_docs_samples/ws_publicTrade_1.json").read_bytes())]


SOURCES = {
    "singles": (singles, 22, 94),
    "reserialised": (reserialised, 5, 10),
    "spot session": (spot_session, 16, 24),
    "documentation": (samples, 1, 1),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_real_frame_decodes_to_what_json_and_decimal_read(
    shared_data: Path, source: str
) -> None:
    read, frames, trades = SOURCES[source]
    known = read(shared_data)
    expected = [parse_frame(frame, category) for category, frame in known]
    assert (len(known), sum(map(len, expected))) == (frames, trades)
    for (category, frame), its_trades in zip(known, expected, strict=True):
        for rule in (category, None):
            rows = decode_trades(frame, category=rule, exact=True).tolist()
            assert rows == [row(trade) for trade in its_trades]
        doubles = decode_trades(frame)
        assert doubles["price"].tolist() == [float(trade.price) for trade in its_trades]
        assert doubles["size"].tolist() == [float(trade.size) for trade in its_trades]


@pytest.mark.parametrize("source", SOURCES)
def test_every_real_frame_publishes_its_trades_and_makes_the_references_candles(
    shared_data: Path, source: str
) -> None:
    read, _, _ = SOURCES[source]
    settings = RefSettings(clock="event", open="previous_close", revise_window_ms=10_000_000_000)
    engine, reference = Engine(**settings.as_arguments()), RefEngine(settings)
    number = 0
    known = sorted(read(shared_data), key=lambda item: parse_frame(item[1], item[0])[0].event_ms)
    for category, frame in known:
        published = reference.feed(frame, category)
        messages = engine.feed(frame, received_ns=0, category=category)
        decoded = [
            decode_message(message.payload) for message in messages if message.type == "trade"
        ]
        fresh = [item for item in published if isinstance(item, RefTrade)]
        first = messages[0].seq if messages else 0
        assert decoded == [
            expected_trade(trade, first + at, number + at + 1) for at, trade in enumerate(fresh)
        ]
        number += len(fresh)
    candles = [
        candle_row(category, symbol, candle)
        for (category, symbol, _), candle in reference.published.items()
    ] + [
        candle_row(category, symbol, candle)
        for category, symbol in reference.symbols
        for candle in reference.in_progress(category, symbol)
    ]
    assert sorted(exact_rows(engine)) == sorted(candles)
    assert engine.counts["duplicate_trades"] == reference.duplicates
    assert engine.counts["late_trades"] == reference.late == 0


def test_control_frames_of_the_exchange_are_refused_as_what_they_are(shared_data: Path) -> None:
    frames = lines(shared_data / "bybit_ws_singles" / "control_frames.jsonl")
    texts: Counter[str] = Counter()
    for frame in frames:
        with pytest.raises(DecodeError) as caught:
            decode_trades(frame)
        texts[str(caught.value)] += 1
    no_topic = 'frame is without "topic", expected a publicTrade message (byte 0)'
    no_trades = (
        'data is {"failTopics":[],"successTopics":["kline.1.BTC-25JUN27-106000-P-…, '
        "expected an array of trades (byte 62)"
    )
    assert texts == {no_topic: 13, no_trades: 1}


def test_frames_from_before_v5_are_refused_by_their_topic_and_the_stream_goes_on(
    shared_data: Path,
) -> None:
    engine = Engine()
    texts: Counter[str] = Counter()
    frames = lines(shared_data / "legacy_bybit_v2_cryptofeed" / "trade_v2.jsonl")
    for frame in frames:
        with pytest.raises(DecodeError) as caught:
            engine.feed(frame, received_ns=0)
        assert (caught.value.kind, caught.value.position) == ("bad_topic", 9)
        texts[str(caught.value)] += 1
    assert texts['topic is "trade.BTCUSD", expected "publicTrade.<symbol>" (byte 9)'] == 63
    assert texts['topic is "trade.BCHUSDT", expected "publicTrade.<symbol>" (byte 9)'] == 15
    assert texts.total() == engine.counts["bad_frames"] == 142
    assert engine.symbols() == []
    assert len(engine.feed(frame_of([trade_item()]), received_ns=10**18 * 2)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ws_kline_1", 'topic is "kline.5.BTCUSDT", expected "publicTrade.<symbol>" (byte 15)'),
        ("ws_connect_8", 'frame is without "topic", expected a publicTrade message (byte 0)'),
        ("rest_kline_1", 'frame is without "topic", expected a publicTrade message (byte 0)'),
        (
            "rest_recent_trade_1",
            'frame is without "topic", expected a publicTrade message (byte 0)',
        ),
    ],
)
def test_other_messages_of_the_exchange_are_no_trade_messages(
    shared_data: Path, name: str, text: str
) -> None:
    frame = (shared_data / "bybit_docs_samples" / f"{name}.json").read_bytes()
    with pytest.raises(DecodeError) as caught:
        decode_trades(frame)
    assert str(caught.value) == text


def test_numbers_of_the_public_archive_are_read_exactly_exponents_and_noise_included(
    shared_data: Path,
) -> None:
    path = shared_data / "bybit_public_csv_bbgo" / "FXSUSDT-ticks-2023-10-10.csv"
    with path.open(newline="") as table:
        records = list(csv.DictReader(table))
    columns = ("size", "price", "grossValue", "homeNotional", "foreignNotional")
    texts = [record[name] for record in records for name in columns]
    assert len(records) == 15
    assert any("e+" in text for text in texts)
    for text in texts:
        [price] = decode_trades(frame_of([trade_item(p=text)]), exact=True)["price"]
        assert price == plain(Decimal(text))
