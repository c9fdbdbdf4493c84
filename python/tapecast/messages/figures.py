"""What stats messages are made of."""

from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from tapecast.aliases import Category
from tapecast.messages.fields import Count, LineState, Milliseconds, NonEmpty

__all__ = ["Audit", "Delay", "LineStatus", "RejectedSymbol", "ThreadStatus"]


class ThreadStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One worker of the daemon.

    Attributes:
        name: Name of the worker.
        kind: An operating system thread or an asyncio task.
        state: What it is doing; `stalled` if it should have reported and did not.
        messages: Units of work done so far.
        rate: Units of work per second over the last interval.
        restarts: How often it was started again.
        last_active_ms: When it last reported, in milliseconds; null if it never did.
        cpu_percent: Processor use over the last interval; threads only.
        error: Why it failed; null if it did not.
        wins: Trades that it brought first; lines to the exchange only.
        duplicates: Trades that it brought and that were known already; lines only.
        lag_ms: How long after it was made its last frame was read; lines only.
    """

    name: NonEmpty
    kind: Literal["thread", "task"]
    state: Literal["starting", "running", "idle", "stalled", "stopped", "failed"]
    messages: Count
    rate: float
    restarts: Count
    last_active_ms: Milliseconds | None
    cpu_percent: float | None = None
    error: str | None = None
    wins: Count | UnsetType = UNSET
    duplicates: Count | UnsetType = UNSET
    lag_ms: int | UnsetType | None = UNSET


class LineStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One connection to the exchange.

    Attributes:
        name: Its name, such as `linear-1a`; those that differ in the letter alone carry the same.
        category: The exchange's market.
        state: What it is doing.
        symbols: How many symbols (of options: base coins) it is to carry.
        lag_ms: How long after it was made its last frame was read; null before the first.
        wins: Trades that it brought first.
        duplicates: Trades that it brought and that were known already.
        reconnects: How often it was connected again.
    """

    name: NonEmpty
    category: Category
    state: LineState
    symbols: Count
    lag_ms: int | None
    wins: Count
    duplicates: Count
    reconnects: Count


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How our candles compare with the exchange's own.

    Attributes:
        verified: Candles that were equal in every field.
        mismatched: Candles that were not.
        largest_difference: The largest difference of any field, exact; null if there was none.
    """

    verified: Count
    mismatched: Count
    largest_difference: Decimal | None


class RejectedSymbol(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A symbol that was asked for and that the exchange refuses; it is asked for again and again.

    Attributes:
        category: Market in which it was asked for.
        symbol: The symbol, or the base coin of options.
        reason: The exchange's own words.
    """

    category: Category
    symbol: NonEmpty
    reason: str


class Delay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long something took over an interval, in milliseconds, to 1 %.

    Attributes:
        count: How often it was measured.
        p50: Half of the times were no longer; null if there were none.
        p99: 99 % of them were no longer.
        max: The longest.
    """

    count: Count
    p50: float | None
    p99: float | None
    max: float | None
