"""Schedules of faults, drawn from a seed."""

from collections.abc import Callable
from random import Random
from typing import Final, Literal

from tapecast.sim.faults import (
    Close,
    Corrupt,
    Drop,
    Fault,
    Hole,
    Late,
    Maintenance,
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
)

__all__ = ["LONGEST_MS", "visible_faults"]

LONGEST_MS: Final = 30_000
"""No fault lasts longer."""

_FIRST_MS: Final = 5_000
_EVERY_MS: Final = 9_000
_DELAY_MS: Final = 150
"""Frames are held back at most twice so long: what is lost with a connection then lies within the
margin by which a line's stretch is shortened."""


def visible_faults(seed: int, *, until_ms: int) -> Script:
    """Draw faults that a line can notice, each by itself: nothing is lost without any sign.

    A hole is longer than the silence after which a line is given up, and delays are short.
    """
    rng = Random(seed)
    kinds = list(_DRAWN)
    faults: list[Fault] = []
    at_ms = _FIRST_MS + int(rng.expovariate(1 / _EVERY_MS))
    while at_ms < until_ms:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            for_ms = rng.randint(500, 20_000)
            faults.append(_DRAWN[rng.choice(kinds)](rng, at_ms, for_ms))
        at_ms += int(rng.expovariate(1 / _EVERY_MS))
    return Script(seed=seed, faults=tuple(faults))


def _whom(rng: Random) -> int | Literal["all", "random"]:
    """Draw whom it befalls; twice the same line at once leaves the other one alone."""
    whom: tuple[int | Literal["all", "random"], ...] = ("all", "random", 0, 1)
    return rng.choice(whom)


def _category(rng: Random) -> str:
    return rng.choice(("*", "linear", "spot"))


_DRAWN: Final[dict[str, Callable[[Random, int, int], Fault]]] = {
    "drop": lambda rng, at_ms, _: Drop(at_ms=at_ms, connection=_whom(rng), category=_category(rng)),
    "drop_again": lambda rng, at_ms, _: Drop(
        at_ms=at_ms, connection=_whom(rng), category=_category(rng)
    ),
    "close": lambda rng, at_ms, _: Close(
        at_ms=at_ms, connection=_whom(rng), code=rng.choice((1000, 1001, 1006, 1008, 1012))
    ),
    "hole": lambda rng, at_ms, for_ms: Hole(
        at_ms=at_ms,
        for_ms=6_000 + for_ms,
        connection=_whom(rng),
        category=_category(rng),
    ),
    "no_pong": lambda rng, at_ms, for_ms: NoPong(at_ms=at_ms, for_ms=for_ms, connection=_whom(rng)),
    "repeat": lambda rng, at_ms, for_ms: Repeat(
        at_ms=at_ms, for_ms=for_ms, probability=rng.random(), after_ms=rng.randint(0, 30_000)
    ),
    "shuffle": lambda rng, at_ms, for_ms: Shuffle(
        at_ms=at_ms, for_ms=for_ms, window_ms=rng.randint(20, 2 * _DELAY_MS)
    ),
    "late": lambda rng, at_ms, for_ms: Late(
        at_ms=at_ms,
        for_ms=for_ms,
        by_ms=rng.randint(1, _DELAY_MS),
        spread_ms=rng.randint(0, _DELAY_MS),
        probability=rng.random(),
    ),
    "corrupt": lambda rng, at_ms, for_ms: Corrupt(
        at_ms=at_ms, for_ms=for_ms, probability=rng.random() / 4, connection=_whom(rng)
    ),
    "refuse_subscribe": lambda rng, at_ms, for_ms: RefuseSubscribe(
        at_ms=at_ms,
        for_ms=for_ms,
        symbols=rng.choice(("*", "BTC*", "ETH*")),
        form=rng.choice(("unknown", "args_size", "no_ack")),
    ),
    "refuse_handshake": lambda rng, at_ms, for_ms: RefuseHandshake(
        at_ms=at_ms, for_ms=for_ms, status=rng.choice((403, 429, 500, 503)), category=_category(rng)
    ),
    "stall_handshake": lambda rng, at_ms, for_ms: StallHandshake(
        at_ms=at_ms, for_ms=for_ms, category=_category(rng)
    ),
    "maintenance": lambda rng, at_ms, for_ms: Maintenance(
        at_ms=at_ms, for_ms=for_ms, category=_category(rng)
    ),
    "rest_status": lambda rng, at_ms, for_ms: RestStatus(
        at_ms=at_ms, for_ms=for_ms, status=rng.choice((403, 429, 500, 503))
    ),
    "rest_code": lambda rng, at_ms, for_ms: RestCode(
        at_ms=at_ms, for_ms=for_ms, code=rng.choice((10006, 10016, 10001)), text="no"
    ),
    "rest_html": lambda _, at_ms, for_ms: RestHtml(at_ms=at_ms, for_ms=for_ms),
    "rest_timeout": lambda _, at_ms, for_ms: RestTimeout(at_ms=at_ms, for_ms=for_ms),
    "rest_window": lambda rng, at_ms, for_ms: RestWindow(
        at_ms=at_ms, for_ms=for_ms + 10_000, trades=rng.randint(0, 200)
    ),
    "rest_stale": lambda rng, at_ms, for_ms: RestStale(
        at_ms=at_ms, for_ms=for_ms + 10_000, by_ms=rng.randint(100, 30_000)
    ),
    "rest_shuffled": lambda _, at_ms, for_ms: RestShuffled(at_ms=at_ms, for_ms=for_ms),
}
