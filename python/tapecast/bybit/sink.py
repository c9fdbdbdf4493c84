"""Who is told of what happens on a line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tapecast.bybit.kline import Kline
from tapecast.messages.fields import UpstreamState

if TYPE_CHECKING:
    from tapecast.bybit.client import Line

__all__ = ["LineSink"]


class LineSink(Protocol):
    """Who is told of everything that happens on a line; its methods must not block or raise."""

    def on_frame(self, line: "Line", frame: bytes, received_ns: int) -> None:
        """Take one trade frame, raw, with the wall clock at receipt."""

    def on_state(self, line: "Line", state: UpstreamState, reason: str) -> None:
        """Take note of what the line does, and why.

        `stale` is followed by `reconnecting`, `closed` by nothing.
        """

    def on_subscribed(self, line: "Line", topics: Sequence[str], at_ms: int) -> None:
        """Take note that these topics (symbols, or base coins) are received from `at_ms` on.

        It is the wall clock when the acknowledgement was read, in milliseconds, so it is not too
        early but for a difference between our clock and the exchange's.
        """

    def on_lost(self, line: "Line", topics: Sequence[str], at_ms: int) -> None:
        """Take note that these topics were received up to `at_ms`, and no longer are.

        It is the wall clock when the last frame was read, in milliseconds. A trade that was on its
        way then, or that our clock is ahead of, has an earlier time and is missed all the same.
        It may be told of a line that lives on: of topics that are subscribed anew.
        """

    def on_rejected(self, line: "Line", topic: str, reason: str) -> None:
        """Take note that the exchange refused a topic, once more each time that it is asked for.

        `on_subscribed` takes it back.
        """

    def on_klines(self, line: "Line", klines: Sequence[Kline]) -> None:
        """Take the exchange's own candles of minutes that are over, more than once perhaps."""
