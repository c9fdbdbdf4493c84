"""Many frames in one call: as one by one, and none is lost for the fault of another."""

import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast import Batch, DecodeError, Engine
from tapecast._core import Block

from .frames import LATER_NS, Category, frame_of, trade_item

BAD = b'{"topic":"publicTrade.BTCUSDT","data":[{"p":"-1"}]}'


def frame(at: int, symbol: str = "BTCUSDT") -> bytes:
    return frame_of([trade_item(at, s=symbol, i=str(at))], symbol)


def payloads(batch: Batch) -> list[bytes]:
    return [message.payload for message in batch]


@given(
    frames=st.lists(
        st.one_of(
            st.builds(frame, st.integers(0, 400_000), st.sampled_from(["BTCUSDT", "ETHUSDT"])),
            st.just(BAD),
        ),
        max_size=20,
    ),
    clock=st.sampled_from(["wall", "event"]),
)
def test_one_call_publishes_what_one_call_for_each_frame_publishes(
    frames: list[bytes], clock: Literal["wall", "event"]
) -> None:
    single, many = Engine(clock=clock), Engine(clock=clock)
    expected: list[bytes] = []
    bad: list[tuple[int, str]] = []
    for index, each in enumerate(frames):
        try:
            expected += payloads(single.feed(each, received_ns=LATER_NS))
        except DecodeError as error:
            bad.append((index, str(error)))
    batch, refused = many.feed_many(frames, received_ns=LATER_NS)
    assert payloads(batch) == expected
    assert [(index, str(error)) for index, error in refused] == bad
    assert (many.counts, many.seq) == (single.counts, single.seq)


def test_a_refused_frame_comes_beside_the_batch_as_the_error_that_feed_raises() -> None:
    engine = Engine()
    batch, refused = engine.feed_many([frame(0), BAD, frame(1), b"{"], received_ns=LATER_NS)
    assert [message.type for message in batch] == ["trade", "trade"]
    assert [index for index, _ in refused] == [1, 3]
    error = refused[0][1]
    assert type(error) is DecodeError
    with pytest.raises(DecodeError) as caught:
        engine.feed(BAD, received_ns=LATER_NS)
    assert error.args == caught.value.args
    assert engine.counts["bad_frames"] == 3


def test_no_frames_publish_nothing() -> None:
    batch, refused = Engine().feed_many([], received_ns=LATER_NS)
    assert (len(batch), refused) == (0, [])


@pytest.mark.parametrize("category", ["linear", "inverse", "spot"])
def test_the_category_is_the_callers_word(category: Category) -> None:
    batch, _ = Engine().feed_many([frame(0)], received_ns=LATER_NS, category=category)
    assert [message.category for message in batch] == [category]


@pytest.mark.parametrize(
    ("frames", "more", "exception"),
    [
        ([frame(0), "{}"], {}, TypeError),
        (frame(0), {}, TypeError),
        ([frame(0)], {"category": "x"}, ValueError),
    ],
    ids=["text", "one frame in place of many", "no category"],
)
def test_a_wrong_call_applies_nothing(
    frames: Any,  # noqa: ANN401 -- wrong ones
    more: dict[str, Any],
    exception: type[Exception],
) -> None:
    engine = Engine()
    with pytest.raises(exception):
        engine.feed_many(frames, received_ns=LATER_NS, **more)
    assert engine.counts["frames"] == 0


FRAMES = [frame_of([trade_item(n, i=f"{n}-{k}") for k in range(50)]) for n in range(20)]
LINES = b"\n".join(FRAMES)


def feed_many() -> None:
    Engine(clock="event").feed_many(FRAMES, received_ns=LATER_NS)


def decode() -> Block:
    block = Block()
    block.decode(b"", LINES, len(LINES), category="linear")
    return block


@pytest.mark.parametrize("call", [feed_many, decode], ids=["feed_many", "decode"])
def test_other_threads_run_meanwhile(call: Callable[[], object]) -> None:
    assert lets_others_run(call)


def test_other_threads_run_while_a_block_is_absorbed() -> None:
    blocks = [decode() for _ in range(200)]
    engine = Engine(clock="event")
    assert lets_others_run(lambda: engine.absorb(blocks.pop()))


def lets_others_run(call: Callable[[], object]) -> bool:
    """Call until another thread got its turn, which it is not given between two calls."""
    go, ran = threading.Event(), list[bool]()

    def other() -> None:
        go.wait(60)
        ran.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1_000)
    try:
        go.set()
        for _ in range(200):
            call()
            if ran:
                return True
        return False
    finally:
        sys.setswitchinterval(interval_s)
        thread.join(60)
