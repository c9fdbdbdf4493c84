"""The one way to start: what the last process left is replayed, and goes on.

There is no other end than a crash as far as the start is concerned: a clean end only makes the
journal stop in the right place.
"""

import logging
import secrets
from collections.abc import Callable
from typing import Any, Final

from tapecast._core import Batch, Engine
from tapecast.aliases import CATEGORIES, Category
from tapecast.daemon.coverage import CLOCK_MARGIN_MS
from tapecast.daemon.intake import Intake
from tapecast.store import Damage, State

__all__ = ["Restart", "new_epoch"]

_LOGGER = logging.getLogger(__name__)

_NS_PER_MS: Final = 1_000_000


def new_epoch() -> str:
    """Return a name for a numbering that nobody has seen yet."""
    return secrets.token_hex(6)


class Restart:
    """Brings an engine to where the last process left it.

    Args:
        state: The state directory.
        options: Settings of the engine, as its constructor takes them.

    Attributes:
        engine: The engine: restored from a checkpoint, or new.
    """

    def __init__(self, state: State, options: dict[str, Any]) -> None:
        self._state = state
        self._options = options
        self._is_same = True
        self._damages: list[Damage] = []
        self._last_ns = 0
        restored = state.recovered.restore(self._restored)
        self.engine: Final = restored or Engine(**options, epoch=new_epoch())

    def _restored(self, checkpoint: bytes) -> Engine:
        engine = Engine.restored(checkpoint, **self._options)
        # With other settings the same inputs make other candles than those that were published.
        self._is_same = Engine.restored(checkpoint).checkpoint() == engine.checkpoint()
        return engine

    def replay(self, intake: Intake, recall: Callable[[Batch, int], None]) -> None:
        """Apply what came after the checkpoint, and begin the journal of this process.

        Args:
            intake: Applies records.
            recall: Takes what was published then, and when, in nanoseconds since the epoch.

        Raises:
            StateUnusable: If the state directory cannot be written to.
        """
        state = self._state
        is_same = self._is_same and state.recovered.is_same_numbering
        replayed = 0
        for item in state.recovered.records():
            if isinstance(item, Damage):
                self._damages.append(item)
                is_same = False
                continue
            self._last_ns = max(self._last_ns, item.received_ns)
            replayed += 1
            try:
                batch = intake.replay(item.kind, item.category, item.received_ns, item.payload)
            except ValueError as error:
                # What was numbered otherwise before damage cannot be numbered so again.
                if is_same:
                    _LOGGER.warning("a record of the journal does not fit the others: %s", error)
                is_same = False
            else:
                recall(batch, item.received_ns)
        # It is no input: what is replayed must not depend on it.
        self.engine.recall(state.candles.history(self._options["history_candles"]).result())
        if not is_same:
            self.engine.renumber(new_epoch())
        state.journal.begin(self.engine.checkpoint(), renumbered=not is_same)
        if not state.recovered.is_empty:
            numbering = "goes on" if is_same else "begins anew"
            _LOGGER.info("%d records were replayed, the numbering %s", replayed, numbering)

    def mark_missed(self, intake: Intake) -> None:
        """Open gaps where nobody received: in damaged stretches, and since the last process."""
        for category, topics in self._topics().items():
            for damage in self._damages:
                from_ms = (damage.from_ns or 0) // _NS_PER_MS - CLOCK_MARGIN_MS
                to_ms = (damage.to_ns or self._last_ns) // _NS_PER_MS + CLOCK_MARGIN_MS
                if damage.from_ns is not None and to_ms > from_ms:
                    intake.miss(from_ms, to_ms, category=category, topics=topics, settled=False)
            if self._last_ns:
                at_ms = self._last_ns // _NS_PER_MS - CLOCK_MARGIN_MS
                intake.uncover(at_ms, category=category, topics=topics)

    def _topics(self) -> dict[Category, list[str]]:
        """Return the topics of all symbols known, by category."""
        topics: dict[Category, dict[str, None]] = {category: {} for category in CATEGORIES}
        for category, symbol in self.engine.symbols():
            topic = symbol.partition("-")[0] if category == "option" else symbol
            topics[category][topic] = None
        return {category: list(names) for category, names in topics.items() if names}
