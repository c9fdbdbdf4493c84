"""What subscribers share: frames cut at messages, and what slow ones keep of them."""

import pytest

from tapecast._core import Batch
from tapecast.server.share import Share, shares_of

from .server_fakes import FakeEngine, parsed


@pytest.fixture
def batch() -> Batch:
    engine = FakeEngine()
    batches = (
        engine.trades(3),
        engine.candle(),
        engine.stats(),
        engine.gap(),
        engine.revision(),
        engine.stats(),
        engine.line(),
    )
    return Batch.joined(batches)


@pytest.mark.parametrize("window_bits", [0, 11])
@pytest.mark.parametrize("max_bytes", [1, 500, 700, 100_000])
def test_a_batch_is_cut_at_messages(batch: Batch, max_bytes: int, window_bits: int) -> None:
    shares = list(shares_of(batch, max_bytes=max_bytes, window_bits=window_bits))
    frames = b"".join(share.frames for share in shares)
    assert [message["seq"] for message in parsed(frames)] == list(range(1, len(batch) + 1))
    assert sum(share.count for share in shares) == len(batch)
    assert all(len(share.frames) <= max_bytes or share.count == 1 for share in shares)
    plain_bytes = [sum(len(one.payload) for one in share.messages) for share in shares]
    assert all(
        size <= max_bytes or share.count == 1
        for size, share in zip(plain_bytes, shares, strict=True)
    )
    assert (len(shares) == 1) == (sum(plain_bytes) <= max_bytes)
    for share in shares:
        seqs = [message["seq"] for message in parsed(share.frames)]
        assert (share.first_seq, share.last_seq) == (seqs[0], seqs[-1])


def test_of_nothing_there_is_no_share() -> None:
    assert list(shares_of(Batch.joined([]), max_bytes=1)) == []


@pytest.mark.parametrize("window_bits", [0, 11])
def test_what_comes_after_a_number_is_a_share_again(batch: Batch, window_bits: int) -> None:
    (share,) = shares_of(batch, max_bytes=100_000, window_bits=window_bits)
    later = share.after(4)
    assert later is not None
    assert [message["seq"] for message in parsed(later.frames)] == list(range(5, len(batch) + 1))
    assert later.after(4) is not None
    assert later.after(len(batch)) is None


def test_trades_are_dropped_and_all_else_is_kept_by_what_it_is_about(batch: Batch) -> None:
    (share,) = shares_of(batch, max_bytes=100_000)
    types = [message.type for message in batch]
    assert share.trades == [seq for seq, kind in enumerate(types, start=1) if kind == "trade"]
    kept = {message.seq: message for message in share.kept}
    assert list(kept) == [seq for seq, kind in enumerate(types, start=1) if kind != "trade"]
    for seq, message in kept.items():
        assert [found["seq"] for found in parsed(message.frame)] == [seq]
    keys = [message.key for message in kept.values() if types[message.seq - 1] == "stats"]
    assert keys == [keys[0]] * 2
    keys = [message.key for message in kept.values() if types[message.seq - 1] == "ohlcv"]
    assert keys == [keys[0]] * 2
    assert len({message.key for message in kept.values()}) == len(kept) - 2


def test_candles_of_other_symbols_categories_or_minutes_are_about_something_else() -> None:
    engine = FakeEngine()
    candles = [
        message
        for batch in (
            engine.candle(),
            engine.candle("ETHUSDT"),
            engine.candle("BTCUSDT", "spot"),
            engine.candle(),
        )
        for message in batch
        if message.type == "ohlcv"
    ]
    assert len({message.key for message in Share(candles, b"").kept}) == 4
