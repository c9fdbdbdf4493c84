"""Recorded frames in place of the exchange: pace, order, and the end."""

import asyncio
import json
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from tapecast import Engine, aggregate
from tapecast.daemon import ReplaySettings
from tapecast.daemon.feed import Feed
from tapecast.daemon.intake import Intake
from tapecast.daemon.replay import Replay
from tapecast.errors import FeedError
from tapecast.messages import Ohlcv, Snapshot, Trade
from tapecast.recording import Recording
from tapecast.telemetry import ThreadRegistry

from .harness import MINUTE_MS, START_MS, running, subscriber, write_frames
from .test_daemon_timers import PlayedClock

ACK = b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}'


def frame(number: int, event_ms: int, *, symbol: str = "BTCUSDT") -> bytes:
    trade = {"T": event_ms, "s": symbol, "S": "Buy", "v": "0.5", "p": "100.5", "i": str(number)}
    topic = {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": event_ms + 1}
    return json.dumps({**topic, "data": [{**trade, "BT": False, "seq": number}]}).encode()


def replay_of(path: Path, clock: PlayedClock, engine: Engine, speed: float | None) -> Replay:
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    return Replay(
        ReplaySettings(recordings=(Recording(path),), speed=speed),
        feed=Feed(
            Intake(engine, lambda _: None, wall_ns=clock.wall_ns),
            registry=registry,
            wall_ms=clock.wall_ms,
        ),
        clock=clock,
        worker=registry.register("replay"),
        subscribers=lambda: 0,
        is_congested=lambda: False,
    )


@pytest.mark.parametrize(
    ("speed", "slept_s"), [(1.0, [2.0, 0.5]), (10.0, [0.2, 0.05]), (0.5, [4.0, 1.0]), (None, [])]
)
async def test_frames_keep_their_distance_in_time_divided_by_the_speed(
    tmp_path: Path, speed: float | None, slept_s: list[float]
) -> None:
    times_ms = [START_MS, START_MS, START_MS + 2_000, START_MS + 1_000, START_MS + 2_500]
    frames = [frame(number, time_ms) for number, time_ms in enumerate(times_ms)]
    clock, engine = PlayedClock(sleeps=10**9), Engine(clock="event")
    await replay_of(write_frames(tmp_path / "r", frames), clock, engine, speed).run()
    assert clock.slept_s == slept_s
    assert engine.counts["trade_messages"] == 5


async def test_control_frames_are_passed_over_and_bad_ones_counted(tmp_path: Path) -> None:
    frames = [ACK, frame(1, START_MS), b"{not JSON", frame(2, START_MS + 1), b'{"op":"pong"}']
    clock, engine = PlayedClock(sleeps=10**9), Engine(clock="event")
    await replay_of(write_frames(tmp_path / "r", frames), clock, engine, None).run()
    assert (engine.counts["frames"], engine.counts["bad_frames"]) == (3, 1)


async def test_the_minute_of_a_refused_frame_is_not_complete(tmp_path: Path) -> None:
    minutes = [frame(number, START_MS + number * MINUTE_MS) for number in range(6)]
    bad = frame(9, START_MS + 2 * MINUTE_MS + 30_000).replace(b"100.5", b"-1")
    path = write_frames(tmp_path / "r", [*minutes[:3], bad, *minutes[3:]])
    clock, engine = PlayedClock(sleeps=10**9), Engine(clock="event")
    await replay_of(path, clock, engine, None).run()
    candles = engine.candles()
    closed = candles[candles["closed"]]
    assert closed["complete"].tolist() == [True, True, False, True]
    assert engine.counts["gaps"] == 1


async def test_a_damaged_recording_ends_the_replay_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    path.write_bytes(b"\x1f\x8bno gzip data")
    clock = PlayedClock(sleeps=10**9)
    with pytest.raises(FeedError, match=r"r\.gz: gzip data is damaged"):
        await replay_of(path, clock, Engine(), None).run()


async def test_a_missing_recording_is_told_before_anything_listens(tmp_path: Path) -> None:
    settings = ReplaySettings(recordings=(Recording(tmp_path / "none.jsonl"),))
    with pytest.raises(FileNotFoundError):
        async with running(replay=settings):
            pytest.fail("it runs")


async def test_a_client_that_was_waited_for_sees_the_whole_recording_and_then_the_end(
    tmp_path: Path,
) -> None:
    frames = [frame(number, START_MS + 100 * number) for number in range(3_000)]
    path = write_frames(tmp_path / "day.jsonl", frames)
    settings = ReplaySettings(recordings=(Recording(path),), speed=None, wait_clients=1)
    async with running(replay=settings) as run, subscriber(run.url) as client:
        with pytest.raises(ConnectionClosedError, match="received 1012"):
            await client.find(Snapshot, seq=-1)
        await run.task
    assert isinstance(client.messages[0], Snapshot)
    assert [trade.trade_id for trade in client.all(Trade)] == [str(n) for n in range(3_000)]
    candles = aggregate(frames)
    closed = candles[candles["closed"]]
    assert [(one.start, one.trades) for one in client.all(Ohlcv)] == list(
        zip(closed["start_ms"].tolist(), closed["trades"].tolist(), strict=True)
    )


async def test_the_clock_of_a_replay_is_the_greatest_time_in_it(tmp_path: Path) -> None:
    frames = [frame(1, START_MS), frame(2, START_MS + MINUTE_MS + 999)]
    path = write_frames(tmp_path / "day.jsonl", frames)
    settings = ReplaySettings(recordings=(Recording(path),), speed=None)
    async with running(replay=settings) as run:
        run.clock.set(START_MS + 3_600_000)
        await run.task
        assert not [line for line in run.console if " ohlcv " in line]
        late = frame(3, START_MS + MINUTE_MS + 1_000)
        run.daemon.engine.feed(late, received_ns=0)
        (candle,) = run.daemon.engine.candles()[:1]
    assert candle["closed"]


async def test_stopping_ends_a_replay_in_the_middle(tmp_path: Path) -> None:
    frames = [frame(1, START_MS), frame(2, START_MS + 3_600_000)]
    path = write_frames(tmp_path / "day.jsonl", frames)
    settings = ReplaySettings(recordings=(Recording(path),), wait_clients=1)
    async with running(replay=settings) as run, subscriber(run.url) as client:
        await client.find(Trade, trade_id="1")
        run.stop.set()
        with pytest.raises(ConnectionClosed):
            await client.find(Trade, trade_id="2")
        async with asyncio.timeout(5):
            await run.task
    assert [trade.trade_id for trade in client.all(Trade)] == ["1"]
