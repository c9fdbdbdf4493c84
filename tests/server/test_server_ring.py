"""What is kept for clients that come back: no hole, within its bounds, found by number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.server.ring import Ring

from .server_fakes import FakeEngine


def ring_of(
    engine: FakeEngine,
    *,
    max_messages: int = 10_000,
    max_bytes: int = 1 << 20,
    max_age_s: float = 100.0,
    page_bytes: int = 1_000,
) -> Ring:
    return Ring(
        lambda: engine.epoch,
        max_messages=max_messages,
        max_bytes=max_bytes,
        max_age_s=max_age_s,
        page_bytes=page_bytes,
    )


def kept_after(ring: Ring, seq: int) -> list[int]:
    """Return the numbers of what is kept after a number, page by page."""
    seqs: list[int] = []
    while (page := ring.page_after("e-1", seq)) is not None:
        seqs += [message.seq for message in page.batch if message.seq > seq]
        seq = page.last_seq
    return seqs


def test_everything_after_a_number_is_found_page_by_page() -> None:
    engine = FakeEngine()
    ring = ring_of(engine)
    for _ in range(20):
        ring.append(engine.trades(3), at_s=0.0)
    for seq in range(61):
        assert ring.holds_after("e-1", seq)
        assert kept_after(ring, seq) == list(range(seq + 1, 61))
    assert not ring.holds_after("e-1", 61)
    assert not ring.holds_after("e-2", 60)
    assert (ring.messages, ring.last_seq) == (60, 60)


def test_before_anything_was_appended_nothing_is_held() -> None:
    ring = ring_of(FakeEngine())
    assert not ring.holds_after("e-1", 0)
    assert not ring.holds_after("e-1", -1)
    assert ring.page_after("e-1", 0) is None
    assert ring.bytes_after("e-1", 0) == 0


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=60),
    max_messages=st.integers(0, 100),
    max_bytes=st.integers(0, 20_000),
    max_age_s=st.floats(0.1, 50.0),
)
def test_all_three_bounds_hold_and_what_is_kept_is_the_newest_without_a_hole(
    sizes: list[int], max_messages: int, max_bytes: int, max_age_s: float
) -> None:
    engine = FakeEngine()
    ring = ring_of(
        engine, max_messages=max_messages, max_bytes=max_bytes, max_age_s=max_age_s, page_bytes=900
    )
    at_s: dict[int, float] = {}
    for number, size in enumerate(sizes):
        batch = engine.trades(size)
        at_s |= {message.seq: float(number) for message in batch}
        ring.append(batch, at_s=float(number))
        assert ring.messages <= max_messages
        assert ring.bytes <= max_bytes
        kept = kept_after(ring, engine.seq - ring.messages)
        assert kept == list(range(engine.seq - ring.messages + 1, engine.seq + 1))
        assert all(number - at_s[seq] <= max_age_s for seq in kept)
        assert not ring.holds_after("e-1", engine.seq - ring.messages - 1)
        assert ring.holds_after("e-1", engine.seq)


def test_with_room_little_more_than_a_page_is_forgotten_too_early() -> None:
    engine = FakeEngine()
    ring = ring_of(engine, max_messages=6_400, max_bytes=1 << 30, page_bytes=1 << 20)
    for _ in range(10_000):
        ring.append(engine.trades(), at_s=0.0)
        assert ring.messages >= min(engine.seq, 6_400 - 100)


def test_bytes_after_a_number_are_those_of_its_page_and_the_following() -> None:
    engine = FakeEngine()
    ring = ring_of(engine)
    sizes = []
    for _ in range(40):
        batch = engine.trades()
        sizes.append(batch.frames_bytes)
        ring.append(batch, at_s=0.0)
    for seq in range(41):
        exact = sum(sizes[seq:])
        assert exact <= ring.bytes_after("e-1", seq) <= exact + 1_300 * (seq < 40)


@pytest.mark.parametrize("epoch", ["e-1", "e-2"])
def test_what_does_not_follow_empties_the_ring(epoch: str) -> None:
    engine = FakeEngine()
    ring = ring_of(engine)
    ring.append(engine.trades(5), at_s=0.0)
    engine.trades()
    engine.epoch = epoch
    ring.append(engine.trades(2), at_s=0.0)
    assert ring.epoch == epoch
    assert ring.messages == 2
    assert not ring.holds_after("e-1", 5)
    assert ring.holds_after(epoch, 6)


def test_a_message_larger_than_the_ring_is_not_kept_and_the_next_is() -> None:
    engine = FakeEngine()
    ring = ring_of(engine, max_bytes=1_000)
    ring.append(engine.trades(2), at_s=0.0)
    ring.append(engine.line(5_000), at_s=0.0)
    assert (ring.messages, ring.bytes) == (0, 0)
    assert not ring.holds_after("e-1", 2)
    ring.append(engine.trades(), at_s=0.0)
    assert kept_after(ring, 3) == [4]
