"""The contenders: all have the exact candles, and one that has not is found out."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from tapecast.bench.contenders import Candles, check, contenders
from tapecast.bench.corpus import frames
from tapecast.bench.results import WrongResultError

FRAMES = [frame for frame, _ in frames(300)]


@pytest.mark.parametrize("shape", ["linear", "spot"])
def test_every_contender_has_the_exact_candles(shape: Any) -> None:  # noqa: ANN401 -- a literal
    found = contenders()
    assert {"json + dict, Decimal", "msgspec + dict, float", "tapecast Engine.feed"} <= {*found}
    check([frame for frame, _ in frames(500, shape=shape)], found)


def off_by(difference: Decimal) -> Callable[[Sequence[bytes]], Callable[[], Candles]]:
    """Return a contender whose first volume is wrong."""

    def fold(frames: Sequence[bytes]) -> Callable[[], Candles]:
        candles = contenders()["json + dict, Decimal"](frames)()
        next(iter(candles.values()))[4] += difference
        return lambda: candles

    return fold


def test_a_volume_that_is_off_by_the_smallest_step_is_wrong() -> None:
    with pytest.raises(WrongResultError, match=r"wrong has .* expected "):
        check(FRAMES, {"wrong": off_by(Decimal("1e-18"))})


def test_floats_may_differ_by_rounding_and_no_more() -> None:
    check(FRAMES, {"float": off_by(Decimal("1e-14"))})
    with pytest.raises(WrongResultError, match=r"float has .* expected "):
        check(FRAMES, {"float": off_by(Decimal("0.001"))})


def test_a_missing_candle_is_wrong() -> None:
    half = FRAMES[: len(FRAMES) // 4]
    with pytest.raises(WrongResultError, match=r"few has \d+ candles, expected \d+"):
        check(FRAMES, {"few": lambda _frames: contenders()["tapecast aggregate"](half)})
