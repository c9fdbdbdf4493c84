"""What becomes of a frame of data on its way to one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tapecast.sim.faults import Corrupt, Hole, Late, Lose, Mute, Repeat, Shuffle

if TYPE_CHECKING:
    from random import Random

    from tapecast.sim.agenda import Agenda
    from tapecast.sim.connection import Connection, DataFrame
    from tapecast.sim.fault_log import Deed
    from tapecast.sim.faults import Fault
    from tapecast.sim.injections import Board, Injection

__all__ = ["Delivery", "damaged"]

_NOISE: Final = b'{}[]",:0a\\\t~'


class Delivery:
    """Sends frames as the faults let them.

    Args:
        board: The faults.
        agenda: What is held back is sent from there.
    """

    def __init__(self, board: Board, agenda: Agenda) -> None:
        self._board = board
        self._agenda = agenda
        # What a shuffle has gathered, by its injection and the connection.
        self._gathered: dict[tuple[int, int], list[DataFrame]] = {}

    def send(self, connection: Connection, frame: DataFrame, now_ms: int) -> None:
        """Send a frame to a connection, or whatever the active faults make of that."""
        if self._board.quiet:
            connection.send(frame.payload, frame.sent_ms)
            return
        if self._withheld(connection, frame, now_ms):
            return
        for lose in self._board.of_frame(Lose, connection, frame):
            key = (*_key(frame), *(() if lose.fault.alike else (connection.number,)))
            if self._board.happens(lose, lose.fault.probability, *key):
                self._record(lose, "withheld", connection, frame, now_ms)
                return
        frame = self._corrupted(connection, frame, now_ms)
        self._repeat(connection, frame, now_ms)
        if not self._held_back(connection, frame, now_ms):
            connection.send(frame.payload, frame.sent_ms)

    def _withheld(self, connection: Connection, frame: DataFrame, now_ms: int) -> bool:
        hole = next(self._board.of_connection(Hole, connection), None)
        holder: Injection[Hole | Mute] | None = hole or next(
            self._board.of_connection(Mute, connection), None
        )
        if holder is None:
            return False
        self._record(holder, "withheld", connection, frame, now_ms)
        return True

    def _corrupted(self, connection: Connection, frame: DataFrame, now_ms: int) -> DataFrame:
        for injection in self._board.of_frame(Corrupt, connection, frame):
            key = (*_key(frame), connection.number)
            if self._board.happens(injection, injection.fault.probability, *key):
                self._record(injection, "corrupted", connection, frame, now_ms)
                rng = self._board.rng(injection, *key)
                return frame._replace(payload=damaged(frame.payload, rng, injection.fault.form))
        return frame

    def _repeat(self, connection: Connection, frame: DataFrame, now_ms: int) -> None:
        for injection in self._board.of_frame(Repeat, connection, frame):
            fault = injection.fault
            if self._board.happens(injection, fault.probability, *_key(frame), connection.number):
                self._record(injection, "repeated", connection, frame, now_ms)
                self._release_at(now_ms + fault.after_ms, [frame], connection, None)

    def _held_back(self, connection: Connection, frame: DataFrame, now_ms: int) -> bool:
        """Keep a frame for later and return whether that was done."""
        for late in self._board.of_frame(Late, connection, frame):
            key = (*_key(frame), connection.number)
            if self._board.happens(late, late.fault.probability, *key):
                more = self._board.draw(late, "spread", *key) * late.fault.spread_ms
                self._record(late, "delayed", connection, frame, now_ms)
                due_ms = now_ms + late.fault.by_ms + int(more)
                self._release_at(due_ms, [frame], connection, late)
                return True
        for shuffle in self._board.of_frame(Shuffle, connection, frame):
            key = (*_key(frame), connection.number)
            if self._board.happens(shuffle, shuffle.fault.probability, *key):
                self._record(shuffle, "delayed", connection, frame, now_ms)
                self._gather(shuffle, connection, frame, now_ms)
                return True
        return False

    def _gather(
        self, shuffle: Injection[Shuffle], connection: Connection, frame: DataFrame, now_ms: int
    ) -> None:
        place = (shuffle.number, connection.number)
        if place in self._gathered:
            self._gathered[place].append(frame)
            return
        self._gathered[place] = [frame]
        window_ms = shuffle.fault.window_ms
        passed = (now_ms - shuffle.begin_ms) // window_ms
        end_ms = shuffle.begin_ms + (passed + 1) * window_ms

        def let_go(due_ms: int) -> None:
            frames = self._gathered.pop(place)
            self._board.rng(shuffle, connection.number, due_ms).shuffle(frames)
            self._release(due_ms, frames, connection, shuffle)

        self._agenda.note(end_ms, let_go)

    def _release_at(
        self,
        due_ms: int,
        frames: list[DataFrame],
        connection: Connection,
        injection: Injection[Late] | None,
    ) -> None:
        self._agenda.note(due_ms, lambda ms: self._release(ms, frames, connection, injection))

    def _release(
        self,
        now_ms: int,
        frames: list[DataFrame],
        connection: Connection,
        injection: Injection[Late | Shuffle] | None,
    ) -> None:
        """Send what was held back, or record that its connection is gone."""
        for frame in frames:
            if not connection.open:
                if injection is not None:
                    self._record(injection, "withheld", connection, frame, now_ms)
            elif not self._withheld(connection, frame, now_ms):
                connection.send(frame.payload, now_ms)
                if injection is not None:
                    self._record(injection, "sent", connection, frame, now_ms)

    def _record(
        self,
        injection: Injection[Fault],
        deed: Deed,
        connection: Connection,
        frame: DataFrame,
        now_ms: int,
    ) -> None:
        self._board.record(
            injection,
            deed,
            at_ms=now_ms,
            connection=connection,
            topic=frame.topic,
            trade_ids=frame.trade_ids,
        )


def damaged(payload: bytes, rng: Random, form: str) -> bytes:
    """Return a text that is no JSON any more, but UTF-8 as before if it was ASCII.

    Args:
        payload: JSON text.
        rng: Decides about the damage.
        form: As in `faults.Corrupt`.
    """
    while True:
        truncated = form == "truncated" or (form == "any" and rng.random() < 0.5)  # noqa: PLR2004
        text = payload[: rng.randrange(len(payload))] if truncated else _mutated(payload, rng)
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text


def _mutated(payload: bytes, rng: Random) -> bytes:
    text = bytearray(payload)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text))
        noise = rng.choice(_NOISE)
        match rng.randrange(3):
            case 0:
                text[place] = noise
            case 1:
                text.insert(place, noise)
            case _:
                del text[place : place + rng.randint(1, 8)]
                text += b" " if not text else b""
    return bytes(text)


def _key(frame: DataFrame) -> tuple[object, ...]:
    return frame.topic, frame.sent_ms, frame.trade_ids[:1]
