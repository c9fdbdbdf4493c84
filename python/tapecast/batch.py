"""Candles of recorded frames, in one go."""

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec

from tapecast._core import Batch, Engine
from tapecast.aliases import Category, Rows
from tapecast.errors import DecodeError
from tapecast.frames import frame_topic, frame_ts_ms, is_control_frame, is_trade_frame

__all__ = ["ANY_MS", "aggregate", "apply_frames", "batch_engine", "candle_messages", "mark_refused"]

ANY_MS: Final = 366 * 86_400_000
"""The longest time that an engine takes, a year: in an ordinary recording no trade is too late."""

_MAX_TRADE_IDS: Final = 2_000_000
"""Ids that are remembered, so that memory has a bound: the oldest minutes of a longer recording are
final, and only what is further out of order than so many trades comes too late."""


def batch_engine(
    *,
    empty: Literal["skip", "flat"] = "skip",
    open: Literal["first_trade", "previous_close"] = "first_trade",  # noqa: A002 -- the setting's name
    include_block_trades: bool = True,
    revise_window_ms: int = ANY_MS,
) -> Engine:
    """Return an engine for recorded frames: event time is its clock, and it keeps every candle."""
    return Engine(
        clock="event",
        empty=empty,
        open=open,
        include_block_trades=include_block_trades,
        revise_window_ms=revise_window_ms,
        max_trade_ids=_MAX_TRADE_IDS,
        history_candles=sys.maxsize,
        recent_trades=0,
    )


def apply_frames(
    engine: Engine,
    frames: Iterable[bytes],
    *,
    category: Category,
    on_bad_frame: Callable[[DecodeError], None] | None = None,
) -> int:
    """Feed recorded frames in their order; acknowledgements and other control frames are skipped.

    Args:
        engine: Takes the frames.
        frames: One frame each, as UTF-8 bytes.
        category: What they carry.
        on_bad_frame: Told of every frame that the engine refused, which is then left out.

    Returns:
        How many frames were neither trades nor control frames, and were passed over.

    Raises:
        DecodeError: For the first refused frame, if nobody wants to be told.
        TypeError: If a frame is no bytes.
    """
    foreign = 0
    for number, frame in enumerate(frames, start=1):
        if type(frame) is not bytes:
            raise TypeError(
                f"frame {number} is of type {type(frame).__name__}, expected bytes, "
                "such as the lines of a file opened in binary mode"
            )
        if not frame or frame.isspace():
            continue
        if not is_trade_frame(frame):
            foreign += not is_control_frame(frame)
            continue
        try:
            engine.feed(frame, received_ns=0, category=category)
        except DecodeError as error:
            if on_bad_frame is None:
                error.add_note(f"in frame {number}")
                raise
            mark_refused(engine, frame, category=category)
            on_bad_frame(error)
    return foreign


def mark_refused(engine: Engine, frame: bytes, *, category: Category) -> Batch:
    """Take note that a recorded frame was refused: its trades are missing in their minute.

    Args:
        engine: What refused it.
        frame: The frame. Where its topic cannot be read, any topic known so far is meant; where its
            time cannot be read, the greatest time seen, and both where they are far apart.
        category: What the frame carries.

    Returns:
        What must be published: a gap for each topic, and candles that are incomplete now.
    """
    return engine.refuse(frame_topic(frame), frame_ts_ms(frame), category=category)


def aggregate(  # noqa: PLR0913 -- keyword-only settings
    frames: Iterable[bytes],
    *,
    category: Category = "linear",
    exact: bool = False,
    empty: Literal["skip", "flat"] = "skip",
    open: Literal["first_trade", "previous_close"] = "first_trade",  # noqa: A002 -- the setting's name
    include_block_trades: bool = True,
    revise_window_ms: int = ANY_MS,
    on_bad_frame: Callable[[DecodeError], None] | None = None,
) -> Rows:
    """Return the one-minute candles of recorded frames.

    Each trade counts once, whatever the order and however often its frame comes. The clock is the
    greatest match time seen, of any symbol. Minutes that have not ended a second before it are
    still open: neither `closed` nor `complete`. The minute in which the frames begin is `complete`
    only if its first trade falls on its first millisecond.

    Args:
        frames: Raw exchange frames as UTF-8 bytes, such as the lines of an open file; blank lines
            and control frames (acknowledgements, pongs) are skipped.
        category: What the frames carry; they do not say it themselves.
        exact: Whether prices and sums come as exact text in place of float64.
        empty: What a minute without trades gives: nothing, or a flat candle at the last close.
        open: What a candle opens at: its first trade, or the close before it.
        include_block_trades: Whether block trades count.
        revise_window_ms: How far behind the clock a trade may come and still count, in
            milliseconds; a year, where it is not given, and the last two million trades. Those that
            come later are left out, with a `RuntimeWarning`.
        on_bad_frame: Told of every frame that is refused, which is then left out; its minute is not
            `complete`.

    Returns:
        A structured array, by symbol and then oldest first; fields as in `Engine.candles`.

    Raises:
        DecodeError: For the first malformed frame, unless `on_bad_frame` is given; a note names its
            number, from 1.
        TypeError: If a frame is no bytes, such as the lines of a file opened in text mode.
        ValueError: If a setting is outside its choices.
    """
    engine = batch_engine(
        empty=empty,
        open=open,
        include_block_trades=include_block_trades,
        revise_window_ms=revise_window_ms,
    )
    apply_frames(engine, frames, category=category, on_bad_frame=on_bad_frame)
    warn_of_late_trades(engine, stacklevel=3)
    return engine.candles(exact=exact)


def warn_of_late_trades(engine: Engine, *, stacklevel: int) -> None:
    """Warn of trades that are in no candle because they came too late."""
    if late := engine.counts["late_trades"]:
        text = f"{late} trades came too late and are in no candle"
        warnings.warn(text, RuntimeWarning, stacklevel=stacklevel)


class _Candles(msgspec.Struct):
    """The part of a snapshot that holds candles."""

    ohlcv: list[msgspec.Raw] = []


_DECODER: Final = msgspec.json.Decoder(_Candles)


def candle_messages(engine: Engine) -> Iterator[bytes]:
    """Yield the final `ohlcv` message of every candle, by symbol and then oldest first."""
    snapshot = engine.snapshot(history=sys.maxsize, types=["ohlcv"], in_progress=True)
    for candle in _DECODER.decode(snapshot).ohlcv:
        yield bytes(candle)
