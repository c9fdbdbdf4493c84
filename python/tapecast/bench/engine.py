"""Raw frames to candles, contenders taking turns."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import Final

from tapecast.bench.contenders import check, contenders
from tapecast.bench.results import Rate, Table

__all__ = ["measure_engine"]

_CHECKED_FRAMES: Final = 5_000


def measure_engine(
    frames: Sequence[bytes],
    trades: int,
    *,
    seconds: float,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Table:
    """Fold the same frames by every contender that is installed, again and again.

    Args:
        frames: What is folded.
        trades: How many trades they carry.
        seconds: When no further turn begins; each contender has at least one.
        on_progress: Told the share that is done, from 0 to 1.

    Raises:
        WrongResultError: If a contender's candles are not the exact ones; checked before anything
            is timed.
    """
    found = contenders()
    check(frames[:_CHECKED_FRAMES], found)
    rates: dict[str, list[float]] = {name: [] for name in found}
    cpu_us: dict[str, list[float]] = {name: [] for name in found}
    begin_s = time.perf_counter()
    spent_s = 0.0
    while spent_s < seconds or not spent_s:
        for name, contender in found.items():
            gc.collect()
            start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
            contender(frames)
            cpu_us[name].append((time.process_time_ns() - start_cpu_ns) / 1e3 / trades)
            rates[name].append(trades * 1e9 / (time.perf_counter_ns() - start_ns))
            spent_s = time.perf_counter() - begin_s
            on_progress(min(1.0, spent_s / seconds))
    return Table(
        task=f"raw frames to one-minute candles: {len(frames):,} frames, {trades:,} trades",
        unit="trades/s",
        rates=tuple(Rate.of(name, rates[name], cpu_us[name]) for name in found),
    )
