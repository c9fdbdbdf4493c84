"""What frames and changes of lines make of the stream, without sockets."""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tapecast import Engine, Message
from tapecast.aliases import Category
from tapecast.bybit import Line, LineConfig
from tapecast.daemon.coverage import CLOCK_MARGIN_MS
from tapecast.daemon.feed import MEND_AFTER_MS, Feed
from tapecast.daemon.intake import Intake
from tapecast.telemetry import ThreadRegistry

if TYPE_CHECKING:
    from tapecast.messages.fields import LineState

NOW_MS = 1_790_000_050_000


def frame(symbol: str = "BTCUSDT", price: str = "100.5", number: int = 1) -> bytes:
    trade = {"T": NOW_MS, "s": symbol, "S": "Buy", "v": "1", "p": price, "i": str(number)}
    return json.dumps({"topic": f"publicTrade.{symbol}", "ts": NOW_MS, "data": [trade]}).encode()


@dataclass
class Bench:
    """A feed, and what it published, decoded."""

    published: list[dict[str, Any]] = field(default_factory=list)
    now_ms: int = NOW_MS
    clock_ns: int = 0

    def __post_init__(self) -> None:
        self.engine = Engine(assume_covered=False)
        self.registry = ThreadRegistry(monotonic_ns=lambda: self.clock_ns)
        self.measured_ns: list[int] = []
        self.feed = Feed(
            Intake(self.engine, self.publish, wall_ns=lambda: self.now_ms * 1_000_000),
            registry=self.registry,
            wall_ms=lambda: self.now_ms,
            on_published=self.measured_ns.append,
        )

    def publish(self, batch: Iterable[Message]) -> None:
        self.published += [json.loads(message.payload) for message in batch]

    def line(self, *topics: str, name: str = "linear-1", category: Category = "linear") -> Line:
        """Return a line that is subscribed."""
        config = LineConfig(name=name, category=category, topics=topics, url="ws://127.0.0.1:9")
        line = Line(config, self.feed)
        self.feed.on_subscribed(line, topics, self.now_ms - 10_000)
        return line

    def receive(self, line: Line, raw: bytes) -> None:
        self.feed.on_frame(line, raw, self.now_ms * 1_000_000)

    def gaps(self) -> list[tuple[str, str, int, int]]:
        """Return symbol, state, and both ends relative to the start."""
        return [
            (gap["symbol"], gap["state"], gap["from"] - NOW_MS, gap["to"] - NOW_MS)
            for gap in self.published
            if gap["type"] == "gap"
        ]

    def worker(self) -> tuple[str, int, int, str | None]:
        self.clock_ns += 1  # figures are of the time since the last look
        (status,) = self.registry.statuses(now_ns=self.clock_ns, wall_ms=self.now_ms)
        return status.state, status.messages, status.restarts, status.error


def test_a_good_frame_is_published_and_counted_for_its_line() -> None:
    bench = Bench()
    bench.receive(bench.line("BTCUSDT"), frame())
    assert [message["type"] for message in bench.published] == ["trade"]
    assert bench.worker() == ("running", 1, 0, None)


def test_frames_that_were_published_are_measured_from_their_receipt() -> None:
    bench = Bench()
    line = bench.line("BTCUSDT")
    bench.receive(line, frame())
    bench.receive(line, frame(price="-1"))
    assert bench.measured_ns == [NOW_MS * 1_000_000]


def test_a_refused_frame_opens_a_gap_in_its_topic_alone_and_it_ends_by_itself() -> None:
    bench = Bench()
    line = bench.line("BTCUSDT", "ETHUSDT")
    bench.receive(line, frame(price="-1"))
    opened = ("BTCUSDT", "open", -CLOCK_MARGIN_MS, -CLOCK_MARGIN_MS)
    assert bench.gaps() == [opened]
    bench.feed.tick(NOW_MS + MEND_AFTER_MS - 1)
    assert bench.gaps() == [opened]
    bench.feed.tick(NOW_MS + MEND_AFTER_MS)
    ended = ("BTCUSDT", "unhealed", -CLOCK_MARGIN_MS, MEND_AFTER_MS + CLOCK_MARGIN_MS)
    assert bench.gaps() == [opened, ended]
    assert bench.engine.counts["bad_frames"] == 1


def test_a_series_of_refused_frames_is_one_gap() -> None:
    bench = Bench()
    line = bench.line("BTCUSDT")
    for step in range(5):
        bench.now_ms = NOW_MS + step * (MEND_AFTER_MS - 1)
        bench.feed.tick(bench.now_ms)
        bench.receive(line, frame(price="x"))
    bench.feed.tick(bench.now_ms + MEND_AFTER_MS)
    assert [state for _, state, _, _ in bench.gaps()] == ["open", "unhealed"]


def test_a_frame_that_cannot_be_read_may_have_been_any_topics_of_its_line() -> None:
    bench = Bench()
    bench.line("XRPUSDT", name="linear-2")
    line = bench.line("BTCUSDT", "ETHUSDT")
    bench.receive(line, b'{"topic":"publicTrade.BTC')
    assert [(symbol, state) for symbol, state, _, _ in bench.gaps()] == [
        ("BTCUSDT", "open"),
        ("ETHUSDT", "open"),
    ]


def test_a_lost_line_keeps_its_gaps_open_until_it_is_subscribed_again() -> None:
    bench = Bench()
    line = bench.line("BTCUSDT")
    bench.receive(line, frame(price="x"))
    bench.feed.on_lost(line, ["BTCUSDT"], NOW_MS)
    bench.feed.tick(NOW_MS + 10 * MEND_AFTER_MS)
    assert [state for _, state, _, _ in bench.gaps()] == ["open"]
    bench.feed.on_subscribed(line, ["BTCUSDT"], NOW_MS + 20_000)
    assert bench.gaps()[1:] == [("BTCUSDT", "unhealed", -CLOCK_MARGIN_MS, 20_000 + CLOCK_MARGIN_MS)]


def test_refused_frames_are_sampled_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    line = bench.line("BTCUSDT")
    for number in range(25):
        bench.receive(line, frame(price="x", number=number))
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == (
        'linear-1: frame was refused: trade price is "x", expected a positive decimal (byte 127); '
        f"it is {frame(price='x', number=0)!r}"
    )
    bench.now_ms += 60_000
    bench.receive(line, frame(price="x"))
    assert caplog.messages[10].endswith(" (15 more before it were not logged)")


def test_a_line_tells_its_state_to_clients_and_to_the_registry() -> None:
    bench = Bench()
    line = bench.line("BTCUSDT")
    changes: list[tuple[LineState, str]] = [
        ("connecting", ""),
        ("connected", ""),
        ("reconnecting", "HTTP 502 on connecting"),
    ]
    for state, reason in changes:
        bench.feed.on_state(line, state, reason)
    assert [
        (message["line"], message["state"], message["reason"]) for message in bench.published
    ] == [
        ("linear-1", "connecting", ""),
        ("linear-1", "connected", ""),
        ("linear-1", "reconnecting", "HTTP 502 on connecting"),
    ]
    assert bench.worker() == ("starting", 0, 1, "HTTP 502 on connecting")
    bench.feed.on_state(line, "connected", "")
    assert bench.worker() == ("running", 0, 1, None)
    bench.feed.on_state(line, "closed", "")
    assert bench.worker() == ("stopped", 0, 1, None)


def test_a_quiet_line_is_idle_and_never_stalled() -> None:
    bench = Bench()
    line = bench.line("BTCUSDT")
    bench.feed.on_state(line, "connected", "")
    bench.receive(line, frame())
    bench.clock_ns = 3_600 * 10**9
    assert bench.worker()[0] == "idle"


def test_a_refused_symbol_is_logged_once_and_forgotten_when_it_is_accepted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tapecast")
    bench = Bench()
    line = bench.line("BTCUSDT", name="spot-1", category="spot")
    for _ in range(3):
        bench.feed.on_rejected(line, "NOPEUSDT", "Invalid symbol :[publicTrade.NOPEUSDT]")
    assert bench.feed.rejected == {("spot", "NOPEUSDT"): "Invalid symbol :[publicTrade.NOPEUSDT]"}
    bench.feed.on_subscribed(line, ["NOPEUSDT"], NOW_MS)
    assert bench.feed.rejected == {}
    assert caplog.messages == [
        "symbol spot:NOPEUSDT is rejected: Invalid symbol :[publicTrade.NOPEUSDT]",
        "symbol spot:NOPEUSDT is accepted now",
    ]


def test_the_loss_of_one_line_of_two_is_no_gap() -> None:
    bench = Bench()
    first = bench.line("BTCUSDT", name="linear-1a")
    second = bench.line("BTCUSDT", name="linear-1b")
    bench.feed.on_lost(first, ["BTCUSDT"], NOW_MS + 10_000)
    assert bench.gaps() == []
    bench.feed.on_lost(second, ["BTCUSDT"], NOW_MS + 20_000)
    opened_ms = 20_000 - CLOCK_MARGIN_MS
    assert bench.gaps() == [("BTCUSDT", "open", opened_ms, opened_ms)]


def test_a_frame_that_one_line_of_two_spoils_is_no_gap() -> None:
    bench = Bench()
    first = bench.line("BTCUSDT", name="linear-1a")
    bench.line("BTCUSDT", name="linear-1b")
    bench.receive(first, frame(price="x"))
    assert bench.gaps() == []


def test_a_frame_that_all_lines_spoil_is_a_gap() -> None:
    bench = Bench()
    lines = [bench.line("BTCUSDT", name=f"linear-1{letter}") for letter in "ab"]
    bench.now_ms += 10_000
    for line in lines:
        bench.receive(line, frame(price="x"))
    assert [state for _, state, _, _ in bench.gaps()] == ["open"]


def test_a_hole_that_a_dead_line_was_thought_to_cover_is_a_gap_that_is_over() -> None:
    bench = Bench()
    first = bench.line("BTCUSDT", name="linear-1a")
    second = bench.line("BTCUSDT", name="linear-1b")
    bench.feed.on_lost(first, ["BTCUSDT"], NOW_MS + 20_000)
    bench.feed.on_subscribed(first, ["BTCUSDT"], NOW_MS + 21_000)
    bench.feed.on_lost(second, ["BTCUSDT"], NOW_MS + 10_000)
    hole = (20_000 - CLOCK_MARGIN_MS, 21_000 + CLOCK_MARGIN_MS)
    assert bench.gaps() == [("BTCUSDT", "unhealed", *hole)]


def test_who_brought_a_trade_first_is_counted_for_each_line() -> None:
    bench = Bench()
    lines = [bench.line("BTCUSDT", name=f"linear-1{letter}") for letter in "ab"]
    for line in lines:
        bench.receive(line, frame())
    figures = [bench.feed.figures(line.config.name) for line in lines]
    assert [(one.wins, one.duplicates) for one in figures] == [(1, 0), (0, 1)]


def test_attempts_that_fail_alike_are_one_change() -> None:
    bench = Bench()
    line = bench.line("BTCUSDT")
    for reason in ("refused", "refused", "refused", "HTTP 502", "refused"):
        bench.feed.on_state(line, "reconnecting", reason)
    assert [message["reason"] for message in bench.published] == ["refused", "HTTP 502", "refused"]
    assert bench.worker()[2] == 5
