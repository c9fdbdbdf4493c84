"""What is kept for a slow subscriber, in which order, and what is announced as dropped."""

from collections.abc import Iterable
from typing import Any

import pytest

from tapecast._core import Batch
from tapecast.messages import decode_message
from tapecast.server.backlog import Backlog
from tapecast.server.share import Share, shares_of

from .server_fakes import FakeEngine, parsed


def backlog(*, keeps: bool = True, piece_bytes: int = 100_000) -> Backlog:
    return Backlog(keeps=keeps, piece_bytes=piece_bytes)


def share_of(*batches: Batch) -> Share:
    (share,) = shares_of(Batch.joined(batches), max_bytes=1 << 30)
    return share


def taken(withheld: Backlog) -> list[dict[str, Any]]:
    """Return all messages that are left to write."""
    messages: list[dict[str, Any]] = []
    while (piece := withheld.take()) is not None:
        found = list(parsed(piece.frames))
        assert piece.messages == len(found)
        assert piece.streamed == sum(message.get("scope") != "client" for message in found)
        messages += found
    assert (withheld.bytes, withheld.messages) == (0, 0)
    return messages


def shown(messages: Iterable[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(message["type"], message["seq"]) for message in messages]


def gap(dropped: int, from_seq: int, to_seq: int) -> dict[str, Any]:
    body = {"topic": "status", "type": "gap", "scope": "client", "dropped": dropped}
    return {**body, "from_seq": from_seq, "to_seq": to_seq, "seq": from_seq}


def test_the_newest_of_each_kind_comes_in_order_and_the_rest_is_announced() -> None:
    engine, withheld = FakeEngine(), backlog()
    assert withheld.add(share_of(engine.stats(), engine.candle(), engine.stats())) == 2
    assert withheld.add(share_of(engine.revision(), engine.stats())) == 3
    messages = taken(withheld)
    # 1 stats, 2 trade, 3 candle, 4 stats, 5 trade, 6 candle again, 7 stats
    assert messages[0] == gap(5, 1, 5)
    assert shown(messages[1:]) == [("ohlcv", 6), ("stats", 7)]


def test_the_announcement_stands_where_the_first_dropped_message_would() -> None:
    engine, withheld = FakeEngine(), backlog()
    withheld.add(share_of(engine.gap(), engine.line(), engine.trades(2), engine.gap()))
    messages = taken(withheld)
    assert shown(messages) == [("gap", 1), ("upstream", 2), ("gap", 3), ("gap", 5)]
    assert messages[2] == gap(2, 3, 4)
    assert [message["seq"] for message in messages] == sorted(
        message["seq"] for message in messages
    )


def test_what_was_not_dropped_needs_no_announcement() -> None:
    engine, withheld = FakeEngine(), backlog()
    assert withheld.add(share_of(engine.gap(), engine.stats())) == 0
    assert shown(taken(withheld)) == [("gap", 1), ("stats", 2)]
    assert taken(withheld) == []


def test_where_nothing_is_kept_everything_is_announced() -> None:
    engine, withheld = FakeEngine(), backlog(keeps=False)
    assert withheld.add(share_of(engine.gap(), engine.candle(), engine.stats())) == 4
    assert withheld.add(share_of(engine.line())) == 1
    assert taken(withheld) == [gap(5, 1, 5)]


def test_gaps_and_changes_of_lines_replace_nothing() -> None:
    engine, withheld = FakeEngine(), backlog()
    withheld.add(share_of(*(engine.gap() for _ in range(5)), *(engine.line() for _ in range(5))))
    assert [seq for _, seq in shown(taken(withheld))] == list(range(1, 11))


def test_what_is_lined_up_is_written_whatever_comes_after_it() -> None:
    engine, withheld = FakeEngine(), backlog(piece_bytes=1)
    withheld.add(share_of(engine.trades(2), engine.stats(), engine.gap()))
    piece = withheld.take()
    assert piece is not None
    assert list(parsed(piece.frames)) == [gap(2, 1, 2)]
    withheld.add(share_of(engine.trades(3), engine.stats()))
    messages = taken(withheld)
    assert shown(messages) == [("stats", 3), ("gap", 4), ("gap", 5), ("stats", 8)]
    assert messages[2] == gap(3, 5, 7)


@pytest.mark.parametrize("piece_bytes", [1, 400, 100_000])
def test_pieces_are_no_larger_than_asked(piece_bytes: int) -> None:
    engine, withheld = FakeEngine(), backlog(piece_bytes=piece_bytes)
    withheld.add(share_of(engine.trades(), *(engine.gap() for _ in range(9))))
    held_bytes = withheld.bytes
    assert withheld.messages == 9
    sizes = []
    while (piece := withheld.take()) is not None:
        assert len(piece.frames) <= piece_bytes or piece.messages == 1
        sizes.append(len(piece.frames))
    # The announcement was not yet made.
    assert held_bytes < sum(sizes) < held_bytes + 150


def test_the_announcement_is_of_the_contract() -> None:
    engine, withheld = FakeEngine(), backlog()
    withheld.add(share_of(engine.trades()))
    piece = withheld.take()
    assert piece is not None
    assert decode_message(piece.frames[2:]).type == "gap"
