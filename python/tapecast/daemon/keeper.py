"""What is on disk, kept in order while the daemon runs: checkpoints, and what they replace."""

import asyncio
from typing import Final

from tapecast._core import Engine
from tapecast.daemon.timers import Clock
from tapecast.store import State
from tapecast.telemetry import Worker

__all__ = ["keep_state"]

_LOOK_S: Final = 1.0


async def keep_state(state: State, engine: Engine, clock: Clock, *, worker: Worker) -> None:
    """Begin new generations of the journal when they are due, until cancelled.

    An old one is dropped only when the candles of its time are committed.

    Args:
        state: The state directory.
        engine: What checkpoints are made of.
        clock: Time.
        worker: Where this reports.
    """
    while True:
        await clock.sleep(_LOOK_S)
        worker.beat(1)
        state.journal.tick()
        if not state.journal.needs_checkpoint:
            continue
        dropped = state.candles.dropped_total
        generation = state.journal.rotate(engine.checkpoint())
        worker.idle()
        is_committed = await asyncio.wrap_future(state.candles.flush())
        if generation is not None and is_committed and state.candles.dropped_total == dropped:
            state.journal.release(generation)
