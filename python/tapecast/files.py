"""Whole files on all cores: recorded frames and the exchange's archives of trades.

Python reads the files piece by piece, threads decode the pieces, and one engine absorbs them in the
order of the files: so the result does not depend on the number of threads, and no more is held than
a few pieces, whatever the size of a file.
"""

import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from tapecast._core import Block, Engine, Layout
from tapecast.aliases import Category, Rows
from tapecast.batch import ANY_MS, batch_engine, warn_of_late_trades
from tapecast.errors import DecodeError, FeedError, RecordingDamaged
from tapecast.frames import frame_topic, frame_ts_ms, is_control_frame, is_trade_frame
from tapecast.recording import Piece, Recording

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Watcher", "aggregate_files", "all_cores", "apply_files"]

StrPath: TypeAlias = str | os.PathLike[str]

_AHEAD: Final = 2
"""Pieces of each job that wait to be absorbed: none of them idles, and memory has a bound."""

_HEADER: Final = re.compile(rb"\s*[A-Za-z]\w*(,[A-Za-z]\w*)+\s*")
_SYMBOL: Final = re.compile(r"([A-Z0-9]*[A-Z][A-Z0-9]*)[-_.]")


def _ignore(recording: Recording, read_bytes: int) -> None:
    """Do nothing with progress."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watcher:
    """Who is told what happens while files are read; all in the thread that reads them."""

    bad_line: Callable[[Path, int, DecodeError], None]
    """Of a frame or row that was refused, with its file and its line, from 1."""
    damage: Callable[[RecordingDamaged], None]
    """Of a file that cannot be read to its end; what could be read of it counts."""
    progress: Callable[[Recording, int], None] = _ignore
    """Of bytes of a file that are dealt with, compressed as it is."""


@dataclass(slots=True)
class _Lines:
    """Lines on their way to the engine, or the damage that takes their place."""

    recording: Recording
    skipped: int = 0
    """Lines before them that belong to no piece: a header."""
    read_bytes: int = 0
    foreign: int = 0
    block: Block | None = None
    damage: RecordingDamaged | None = None


def apply_files(
    engine: Engine,
    recordings: Iterable[Recording],
    *,
    category: Category,
    jobs: int,
    watcher: Watcher,
) -> int:
    """Apply files in their order, as `apply_frames` would frame by frame.

    Args:
        engine: Takes them; event time is its clock.
        recordings: The files; archives are told by their first line, which names the columns.
        category: What they hold.
        jobs: How many threads decode; with one, all is done in the caller's.
        watcher: Who is told of what is refused.

    Returns:
        How many lines were neither trades nor control frames, and were passed over.

    Raises:
        FeedError: If the columns of an archive are not those of a known layout.
        OSError: If a file cannot be read.
    """
    foreign = lines = 0
    current: Recording | None = None
    broken_ms: int | None = None
    spare: list[Block] = []
    for done in _decoded(recordings, category=category, jobs=jobs, spare=spare):
        if done.recording is not current:
            current, lines = done.recording, 0
        if done.damage is not None:
            # What is lost begins within the newest minute.
            engine.refuse(None, None, category=category)
            broken_ms = engine.event_ms
            watcher.damage(done.damage)
        if done.block is None:
            continue
        lines += done.skipped
        if broken_ms is not None and done.block.first_ms is not None:
            if broken_ms < done.block.first_ms:
                engine.miss(broken_ms, done.block.first_ms, category=category, topics=None)
            broken_ms = None
        held = done.block.lines
        for number, error in engine.absorb(done.block, lines=lines):
            watcher.bad_line(current.path, lines + number + 1, error)
        lines += held
        foreign += done.foreign
        spare.append(done.block)
        watcher.progress(current, done.read_bytes)
    return foreign


def _decoded(
    recordings: Iterable[Recording], *, category: Category, jobs: int, spare: list[Block]
) -> Iterator[_Lines]:
    """Yield the pieces of all files in their order, decoded on so many threads."""

    def decode(work: _Work) -> _Lines:
        return _decode(work, category, spare.pop() if spare else Block())

    works = _works(recordings, category)
    if jobs == 1:
        yield from map(decode, works)
        return
    with (
        ThreadPoolExecutor(1, thread_name_prefix="tapecast-read") as reader,
        ThreadPoolExecutor(jobs, thread_name_prefix="tapecast-decode") as pool,
    ):
        waiting: deque[Future[_Lines]] = deque()
        failure: Exception | None = None
        try:
            coming = reader.submit(next, works, None)
            while True:
                try:
                    work = coming.result()
                except Exception as error:  # noqa: BLE001 -- raised when what came before is done
                    failure = error
                    break
                if work is None:
                    break
                coming = reader.submit(next, works, None)
                waiting.append(pool.submit(decode, work))
                if len(waiting) > _AHEAD * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
        if failure is not None:
            raise failure


_Work: TypeAlias = tuple[_Lines, Piece | None, Layout | None]
"""Lines to be, the piece that they are in, and the columns of an archive."""


def _works(recordings: Iterable[Recording], category: Category) -> Iterator[_Work]:
    for recording in recordings:
        layout: Layout | None = None
        is_first = True
        pieces = recording.pieces()
        while True:
            try:
                piece = next(pieces, None)
            except RecordingDamaged as damage:
                yield _Lines(recording, damage=damage), None, None
                break
            if piece is None:
                break
            lines = _Lines(recording, read_bytes=recording.read_bytes)
            if is_first:
                is_first = False
                header, rows = _split(piece)
                if _HEADER.fullmatch(header):
                    layout, piece, lines.skipped = _layout(recording, header, category), rows, 1
            yield lines, piece, layout


def _split(piece: Piece) -> tuple[bytes, Piece]:
    """Split the first line off a piece."""
    border = piece.body.find(b"\n", 0, piece.end)
    border = piece.end if border < 0 else border + 1
    return piece.head + piece.body[:border], Piece(b"", piece.body[border:], piece.end - border)


def _layout(recording: Recording, header: bytes, category: Category) -> Layout:
    symbol = _SYMBOL.match(recording.path.name)
    try:
        return Layout(header.strip(), category=category, symbol=symbol and symbol[1])
    except DecodeError as error:
        raise FeedError(f"{recording.path}:1: {error}") from error


def _decode(work: _Work, category: Category, block: Block) -> _Lines:
    lines, piece, layout = work
    if piece is None:
        return lines
    odd = block.decode(*piece, category=category, layout=layout)
    for item, line in odd:
        if is_trade_frame(line):
            block.settle(item, topic=frame_topic(line), ts_ms=frame_ts_ms(line))
        else:
            block.pass_over(item)
            lines.foreign += not is_control_frame(line)
    lines.block = block
    return lines


def all_cores() -> int:
    """Return how many threads can run at once in this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def aggregate_files(  # noqa: PLR0913 -- keyword-only settings
    paths: StrPath | Sequence[StrPath],
    *,
    category: Category = "linear",
    exact: bool = False,
    empty: Literal["skip", "flat"] = "skip",
    open: Literal["first_trade", "previous_close"] = "first_trade",  # noqa: A002 -- the setting's name
    include_block_trades: bool = True,
    revise_window_ms: int = ANY_MS,
    on_bad_frame: Callable[[DecodeError], None] | None = None,
    jobs: int | None = None,
) -> Rows:
    """Return the one-minute candles of recorded frames and of the exchange's archives of trades.

    As `aggregate` of the lines of all files, one after the other, but on all cores; the result is
    the same for every number of them. Memory does not grow with the files, but for the candles.

    Args:
        paths: One file or several; plain, gzip or Zstandard. They hold one raw exchange frame a
            line, or are archives of trades from `public.bybit.com` (CSV with a header, of futures
            or of spot). Those of spot must keep their names: the symbol stands there alone.
        category: What the files hold.
        exact: Whether prices and sums come as exact text in place of float64.
        empty: What a minute without trades gives: nothing, or a flat candle at the last close.
        open: What a candle opens at: its first trade, or the close before it.
        include_block_trades: Whether block trades count; archives do not tell them apart.
        revise_window_ms: How far behind the clock a trade may come and still count, in
            milliseconds; a year, where it is not given, and the last two million trades. Those that
            come later are left out, with a `RuntimeWarning`.
        on_bad_frame: Told of every frame or row that is refused, which is then left out; its minute
            is not `complete`. A note of the error names file and line.
        jobs: How many threads decode; all cores where `None`.

    Returns:
        A structured array, by symbol and then oldest first; fields as in `Engine.candles`.

    Raises:
        DecodeError: For the first malformed frame or row, unless `on_bad_frame` is given.
        FeedError: If the columns of an archive are not those of a known layout.
        OSError: If a file cannot be read. One that is damaged or cut short gives its readable part,
            with a `RuntimeWarning` that says where it ends.
        ValueError: If a setting is outside its choices.
    """
    jobs = all_cores() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}, expected at least 1")
    engine = batch_engine(
        empty=empty,
        open=open,
        include_block_trades=include_block_trades,
        revise_window_ms=revise_window_ms,
    )

    def bad_line(path: Path, line: int, error: DecodeError) -> None:
        error.add_note(f"in {path}, line {line}")
        if on_bad_frame is None:
            raise error
        on_bad_frame(error)

    damages: list[RecordingDamaged] = []
    watcher = Watcher(bad_line=bad_line, damage=damages.append)
    names = [paths] if isinstance(paths, str | os.PathLike) else paths
    recordings = [Recording(Path(name)) for name in names]
    apply_files(engine, recordings, category=category, jobs=jobs, watcher=watcher)
    for damage in damages:
        warnings.warn(str(damage), RuntimeWarning, stacklevel=2)
    warn_of_late_trades(engine, stacklevel=3)
    return engine.candles(exact=exact)
