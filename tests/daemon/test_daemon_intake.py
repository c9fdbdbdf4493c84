"""The journal's law: what went into the engine, put in again, makes the same messages."""

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast import Batch, Engine
from tapecast.aliases import CATEGORIES
from tapecast.bybit.kline import Kline
from tapecast.daemon.intake import Intake, Kind
from tapecast.errors import DecodeError

START_MS = 1_790_000_040_000


def frame(number: int, at_ms: int, price: str = "100.5") -> bytes:
    trade = {"T": at_ms, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": price, "i": str(number)}
    return json.dumps({"topic": "publicTrade.BTCUSDT", "ts": at_ms, "data": [trade]}).encode()


@dataclass
class Tape:
    """A journal in memory."""

    records: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def append(
        self,
        kind: int,
        payload: bytes,
        *,
        category: int = 0,
        line: int = 0,
        received_ns: int = 0,
    ) -> None:
        self.lines.append(line)
        self.records.append((kind, category, received_ns, payload))


@dataclass
class Bench:
    """An intake with a journal, and everything that it published."""

    tape: Tape = field(default_factory=Tape)
    published: list[bytes] = field(default_factory=list)
    mismatches: list[tuple[str, str, int]] = field(default_factory=list)
    now_ms: int = START_MS

    def __post_init__(self) -> None:
        self.intake = Intake(
            Engine(assume_covered=False, epoch="e"),
            self.take,
            wall_ns=lambda: self.now_ms * 1_000_000,
            journal=self.tape,
            on_mismatch=lambda *minute: self.mismatches.append(minute),
        )

    def take(self, batch: Batch) -> None:
        self.published += [message.payload for message in batch]

    def feed(self, raw: bytes) -> Batch:
        return self.intake.frame(raw, received_ns=self.now_ms * 1_000_000, category="linear")

    def replayed(self) -> tuple[list[bytes], Engine]:
        """Return what another engine makes of the journal, and that engine."""
        again = Intake(
            Engine(assume_covered=False, epoch="e"), lambda _: None, wall_ns=lambda: self.now_ms
        )
        batches = [again.replay(*record) for record in self.tape.records]
        return [message.payload for batch in batches for message in batch], again.engine


def kinds(bench: Bench) -> list[Kind]:
    return [Kind(kind) for kind, *_ in bench.tape.records]


def test_an_input_is_on_record_before_what_comes_of_it_is_published() -> None:
    bench = Bench()
    seen: list[int] = []
    bench.intake._publish = lambda _: seen.append(len(bench.tape.records))
    bench.feed(frame(1, START_MS))
    bench.intake.uncover(START_MS, category="linear", topics=["BTCUSDT"])
    assert seen == [1]
    bench.intake.cover(START_MS, category="linear", topics=["BTCUSDT"], settled=True)
    bench.intake.uncover(START_MS + 1, category="linear", topics=["BTCUSDT"])
    assert seen == [1, 4]


def test_a_copy_that_brings_nothing_new_is_on_record_as_a_number() -> None:
    bench = Bench()
    bench.feed(frame(1, START_MS))
    bench.feed(frame(1, START_MS))
    assert kinds(bench) == [Kind.FRAME, Kind.REPEATED]
    assert bench.replayed()[1].counts == bench.intake.engine.counts


def test_a_refused_frame_is_on_record_and_refused_again() -> None:
    bench = Bench()
    with pytest.raises(DecodeError):
        bench.feed(frame(1, START_MS, price="-1"))
    assert kinds(bench) == [Kind.FRAME]
    assert bench.replayed()[1].counts["bad_frames"] == 1


def test_a_candle_that_differs_from_the_exchanges_is_pointed_out() -> None:
    bench = Bench()
    bench.intake.cover(START_MS - 1, category="linear", topics=["BTCUSDT"], settled=True)
    bench.feed(frame(1, START_MS))
    bench.intake.advance(START_MS + 61_000)
    row = Kline("BTCUSDT", START_MS, "100.5", "100.5", "100.5", "100.5", "0.7", "70.35")
    bench.intake.klines("linear", "BTCUSDT", [row])
    assert bench.mismatches == [("linear", "BTCUSDT", START_MS)]


STEPS = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 6), st.integers(-90_000, 1_000)),
    st.tuples(st.just("bad"), st.integers(1, 6), st.integers(0, 1)),
    st.tuples(st.just("backfill"), st.integers(1, 9), st.integers(-90_000, 0)),
    st.tuples(st.just("advance"), st.integers(0, 90_000), st.just(0)),
    st.tuples(st.just("cover"), st.integers(-2_000, 2_000), st.booleans()),
    st.tuples(st.just("uncover"), st.integers(-2_000, 2_000), st.just(0)),
    st.tuples(st.just("miss"), st.integers(-60_000, 0), st.booleans()),
    st.tuples(st.just("heal"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("give_up"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("klines"), st.integers(0, 3), st.sampled_from(["0.5", "1", "0"])),
    st.tuples(st.just("stats"), st.just(0), st.just(0)),
    st.tuples(st.just("upstream"), st.just(0), st.just(0)),
)


def apply(bench: Bench, step: str, number: int, more: object) -> None:  # noqa: C901, PLR0912 -- a table
    intake, now_ms, topics = bench.intake, bench.now_ms, ["BTCUSDT"]
    match step:
        case "frame":
            bench.feed(frame(number, now_ms + int(str(more))))
        case "bad":
            with pytest.raises(DecodeError):
                bench.feed(frame(number, now_ms, price="x"))
        case "backfill":
            intake.backfill("linear", frame(number, now_ms + int(str(more))))
        case "advance":
            bench.now_ms += number
            intake.advance(bench.now_ms)
        case "cover":
            intake.cover(now_ms + number, category="linear", topics=topics, settled=bool(more))
        case "uncover":
            intake.uncover(now_ms + number, category="linear", topics=topics)
        case "miss":
            stretch = (now_ms + number, now_ms + number + 500)
            intake.miss(*stretch, category="linear", topics=topics, settled=bool(more))
        case "heal" | "give_up":
            for category, topic, from_ms, to_ms in intake.unsettled()[:number]:
                if to_ms is not None:
                    getattr(intake, step)(category, topic, from_ms, to_ms)
        case "klines":
            start_ms = (now_ms // 60_000 - number) * 60_000
            price = "100.5"
            row = Kline("BTCUSDT", start_ms, price, price, price, price, str(more), "50.25")
            intake.klines("linear", "BTCUSDT", [row])
        case "stats":
            intake.stats(
                now_ms,
                interval_ns=10**9,
                counts={"sent_messages": number},
                thread_statuses=b"[]",
                rejected_symbols=b"[]",
                latencies={},
                sections={"durability": b'"process"'},
            )
        case _:
            intake.upstream(now_ms, line="linear-1", state="connected", reason="")


@given(st.lists(STEPS, max_size=40))
def test_whatever_went_in_makes_the_same_messages_again(
    steps: list[tuple[str, int, object]],
) -> None:
    bench = Bench()
    for step in steps:
        apply(bench, *step)
    published, engine = bench.replayed()
    assert published == bench.published
    assert engine.counts == bench.intake.engine.counts
    assert engine.snapshot(history=9) == bench.intake.engine.snapshot(history=9)
    assert engine.unsettled() == bench.intake.engine.unsettled()


def test_categories_keep_their_places_on_disk() -> None:
    assert CATEGORIES == ("linear", "inverse", "spot", "option")
