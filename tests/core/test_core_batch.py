"""Batches as the fan-out needs them: finished frames, selections, joining."""

import gc
import json
import weakref
from collections.abc import Generator, Iterator

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from tapecast import Engine
from tapecast._core import Batch, Selection
from tests.core.frames import START_MS, frame_of, trade_item


def published(engine: Engine, symbols: str = "AB") -> Batch:
    """Return a batch with one trade of each symbol, their candles, stats, a gap and a line."""
    batches = [
        engine.feed(
            frame_of([trade_item(s=symbol, i=symbol)], symbol), received_ns=START_MS * 10**6
        )
        for symbol in symbols
    ]
    batches.append(engine.advance(START_MS + 61_000))
    batches.append(engine.stats(START_MS, interval_ns=10**9, counts={}))
    batches.append(engine.uncover(START_MS + 61_000, category="linear", topics=["A"]))
    batches.append(engine.upstream(START_MS, line="linear-0", state="connected"))
    return Batch.joined(batches)


def _run(parsing: Generator[None, None, Frame]) -> Frame:
    """Return what a parser comes to that has all its input."""
    with pytest.raises(StopIteration) as done:
        next(parsing)
    frame: Frame = done.value.value
    return frame


def parsed(frames: bytes) -> Iterator[bytes]:
    """Yield the payloads of frames, as an independent implementation reads them."""
    reader = StreamReader()
    reader.feed_data(frames)
    reader.feed_eof()
    while reader.buffer:
        frame = _run(Frame.parse(reader.read_exact, mask=False))
        assert frame.opcode is Opcode.TEXT
        assert frame.fin
        yield bytes(frame.data)


def test_frames_are_the_payloads_as_websocket_text_frames() -> None:
    batch = published(Engine())
    assert list(parsed(batch.frames)) == [message.payload for message in batch]
    assert b"".join(message.frame for message in batch) == batch.frames
    assert len(batch.frames) == batch.frames_bytes


@pytest.mark.parametrize("characters", [0, 100, 70_000])
def test_frames_have_headers_of_every_length(characters: int) -> None:
    batch = Engine().upstream(0, line="", state="", reason="x" * characters)
    assert list(parsed(batch.frames)) == [batch[0].payload]
    assert json.loads(batch[0].payload)["reason"] == "x" * characters


def test_joined_batches_keep_every_message_as_it_is() -> None:
    whole = published(Engine())
    assert [message.seq for message in whole] == list(range(1, len(whole) + 1))
    assert [message.symbol for message in whole] == ["A", "B", "A", "B", None, "A", None]
    assert whole.texts == [message.text for message in whole if message.text is not None]
    assert len(Batch.joined([])) == 0
    assert Batch.joined([]).frames == b""


def test_a_selection_chooses_by_type_symbol_and_number() -> None:
    batch = published(Engine())

    def chosen(selection: Selection, after_seq: int = 0) -> list[int]:
        found = batch.select(selection, after_seq=after_seq)
        assert list(parsed(found.frames)) == [message.payload for message in found]
        assert found.texts == [message.text for message in found if message.text is not None]
        return [message.seq for message in found]

    assert chosen(Selection()) == [1, 2, 3, 4, 5, 6, 7]
    assert chosen(Selection(), after_seq=5) == [6, 7]
    assert chosen(Selection(["trade", "stats"])) == [1, 2, 5]
    assert chosen(Selection(None, lambda *of: of[2] == "A")) == [1, 3, 5, 6, 7]
    assert chosen(Selection(["gap"], lambda *of: of == ("gap", "linear", "A"))) == [6]


def test_a_selection_asks_once_for_each_symbol_and_topic() -> None:
    engine, asked = Engine(), []

    def matches(kind: str, category: str, symbol: str) -> bool:
        asked.append((kind, category, symbol))
        return True

    selection = Selection(None, matches)
    for symbols in ("AB", "AB", "C"):
        published(engine, symbols).select(selection)
    trades = [("trade", "linear", symbol) for symbol in "ABC"]
    assert sorted(asked) == [("gap", "linear", "A"), *trades]


def test_what_a_selection_raises_is_raised() -> None:
    def matches(_kind: str, _category: str, symbol: str) -> bool:
        raise LookupError(symbol)

    batch = published(Engine())
    with pytest.raises(LookupError, match="A"):
        batch.select(Selection(None, matches))
    with pytest.raises(ValueError, match="type"):
        Selection(["candle"])  # type: ignore[list-item] # that is the test


def test_a_selection_and_its_owner_are_freed_together() -> None:
    class Owner:
        def __init__(self) -> None:
            self.selection = Selection(None, self.matches)

        def matches(self, *_of: str) -> bool:
            return True

    owner = weakref.ref(Owner())
    gc.collect()
    assert owner() is None
