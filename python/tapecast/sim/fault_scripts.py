"""Scripts of faults that nobody wrote: drawn from a seed."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from tapecast.sim.faults import (
    Close,
    Corrupt,
    Drop,
    Hole,
    Huge,
    KlineStale,
    KlineWrong,
    Late,
    Lose,
    Maintenance,
    Mute,
    NoPong,
    RefuseHandshake,
    RefuseSubscribe,
    Repeat,
    RestCode,
    RestHtml,
    RestShuffled,
    RestStale,
    RestStatus,
    RestTimeout,
    RestWindow,
    Script,
    Shuffle,
    StallHandshake,
    load_script,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tapecast.sim.faults import Fault

__all__ = ["random_script", "script_of"]

_HOUR_MS: Final = 3_600_000

_HALF: Final = 0.5
_ALL: Final = 0.2
_CLOSE_CODES: Final = (1000, 1001, 1006, 1008, 1011, 1012)
_HANDSHAKE_STATUSES: Final = (403, 418, 429, 500, 502, 503, 504, 302)
_REST_STATUSES: Final = (429, 500, 502, 503, 504)
_REST_CODES: Final = ((10006, "Too many visits!"), (10016, "server error"), (10000, "timeout"))


def random_script(
    seed: int,
    *,
    duration_ms: int = 600_000,
    every_ms: int = 5_000,
    longest_ms: int = 5_000,
    kinds: Collection[str] | None = None,
) -> Script:
    """Return a script that depends on its arguments alone.

    Args:
        seed: Of the script, and of what its faults leave to chance.
        duration_ms: When the last fault has ended.
        every_ms: Mean time from one beginning to the next; faults overlap.
        longest_ms: How long a fault lasts at most.
        kinds: Names of the faults to choose from; all by default.

    Raises:
        ValueError: If a kind is not known.
    """
    rng = Random(seed)  # noqa: S311 -- a reproducible script, not a key
    unknown = set(kinds or ()) - _DRAWN.keys()
    if unknown:
        raise ValueError(f'kind is "{min(unknown)}", expected one of {", ".join(sorted(_DRAWN))}')
    names = sorted(_DRAWN if kinds is None else kinds)
    faults: list[Fault] = []
    at_ms = rng.expovariate(1 / every_ms)
    while at_ms < duration_ms:
        for_ms = min(rng.randint(1, longest_ms), max(1, duration_ms - int(at_ms)))
        faults.append(_DRAWN[rng.choice(names)](rng, int(at_ms), for_ms))
        at_ms += rng.expovariate(1 / every_ms)
    return Script(seed=seed, faults=tuple(faults))


def script_of(source: str | None, *, seed: int | None = None) -> Script:
    """Return the script that a user names.

    Args:
        source: Path of a file, or `random`; `None` for no faults at all.
        seed: Instead of the script's own, or of 0 for a random one.

    Raises:
        ConfigError: If there is no such script.
    """
    if source is None:
        return Script()
    if source == "random":
        return random_script(seed or 0, duration_ms=_HOUR_MS)
    script = load_script(Path(source))
    return script if seed is None else msgspec.structs.replace(script, seed=seed)


def _one(rng: Random) -> int | Literal["all", "random"]:
    """Draw whom it befalls: mostly one connection, now and then all at once."""
    return "all" if rng.random() < _ALL else "random"


def _rest_code(rng: Random, at_ms: int, for_ms: int) -> RestCode:
    code, text = rng.choice(_REST_CODES)
    return RestCode(at_ms=at_ms, for_ms=for_ms, code=code, text=text)


_DRAWN: Final[dict[str, Callable[[Random, int, int], Fault]]] = {
    "drop": lambda rng, at_ms, _: Drop(at_ms=at_ms, connection=_one(rng)),
    "close": lambda rng, at_ms, _: Close(
        at_ms=at_ms, connection=_one(rng), code=rng.choice(_CLOSE_CODES)
    ),
    "huge": lambda rng, at_ms, _: Huge(at_ms=at_ms, connection=_one(rng)),
    "hole": lambda rng, at_ms, for_ms: Hole(at_ms=at_ms, for_ms=for_ms, connection=_one(rng)),
    "mute": lambda rng, at_ms, for_ms: Mute(at_ms=at_ms, for_ms=for_ms, connection=_one(rng)),
    "no_pong": lambda rng, at_ms, for_ms: NoPong(at_ms=at_ms, for_ms=for_ms, connection=_one(rng)),
    "lose": lambda rng, at_ms, for_ms: Lose(
        at_ms=at_ms, for_ms=for_ms, probability=rng.random(), alike=rng.random() < _HALF
    ),
    "repeat": lambda rng, at_ms, for_ms: Repeat(
        at_ms=at_ms, for_ms=for_ms, probability=rng.random(), after_ms=rng.randint(0, 3000)
    ),
    "shuffle": lambda rng, at_ms, for_ms: Shuffle(
        at_ms=at_ms, for_ms=for_ms, window_ms=rng.randint(20, 500)
    ),
    "late": lambda rng, at_ms, for_ms: Late(
        at_ms=at_ms, for_ms=for_ms, by_ms=rng.randint(1, 3000), spread_ms=rng.randint(0, 1000)
    ),
    "corrupt": lambda rng, at_ms, for_ms: Corrupt(
        at_ms=at_ms, for_ms=for_ms, probability=rng.random() / 4, connection=_one(rng)
    ),
    "refuse_subscribe": lambda rng, at_ms, for_ms: RefuseSubscribe(
        at_ms=at_ms, for_ms=for_ms, form=rng.choice(("unknown", "already", "no_ack", "pretend"))
    ),
    "refuse_handshake": lambda rng, at_ms, for_ms: RefuseHandshake(
        at_ms=at_ms, for_ms=for_ms, status=rng.choice(_HANDSHAKE_STATUSES)
    ),
    "stall_handshake": lambda _rng, at_ms, for_ms: StallHandshake(at_ms=at_ms, for_ms=for_ms),
    "maintenance": lambda _rng, at_ms, for_ms: Maintenance(at_ms=at_ms, for_ms=for_ms),
    "rest_status": lambda rng, at_ms, for_ms: RestStatus(
        at_ms=at_ms, for_ms=for_ms, status=rng.choice(_REST_STATUSES)
    ),
    "rest_code": _rest_code,
    "rest_html": lambda rng, at_ms, for_ms: RestHtml(
        at_ms=at_ms, for_ms=for_ms, status=rng.choice((200, 502))
    ),
    "rest_timeout": lambda _rng, at_ms, for_ms: RestTimeout(at_ms=at_ms, for_ms=for_ms),
    "rest_window": lambda rng, at_ms, for_ms: RestWindow(
        at_ms=at_ms, for_ms=for_ms, trades=rng.randint(0, 60)
    ),
    "rest_stale": lambda rng, at_ms, for_ms: RestStale(
        at_ms=at_ms, for_ms=for_ms, by_ms=rng.randint(100, 10_000)
    ),
    "rest_shuffled": lambda _rng, at_ms, for_ms: RestShuffled(at_ms=at_ms, for_ms=for_ms),
    "kline_wrong": lambda rng, at_ms, for_ms: KlineWrong(
        at_ms=at_ms,
        for_ms=for_ms,
        field=rng.choice(("high", "close", "volume")),
        by=str(rng.randint(1, 9)),
    ),
    "kline_stale": lambda rng, at_ms, for_ms: KlineStale(
        at_ms=at_ms, for_ms=for_ms, by_ms=rng.randint(100, 120_000)
    ),
}
