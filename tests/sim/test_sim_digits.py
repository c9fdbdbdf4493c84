"""Decimal text from integers and back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.sim.digits import fixed_text, scaled_integer, stripped_text


@given(
    units=st.integers(min_value=0, max_value=10**20), scale=st.integers(min_value=0, max_value=12)
)
def test_texts_are_the_exact_number(units: int, scale: int) -> None:
    exact = Decimal(units).scaleb(-scale)
    assert Decimal(fixed_text(units, scale)) == exact
    assert Decimal(stripped_text(units, scale)) == exact
    assert scaled_integer(fixed_text(units, scale)) == (units, scale)


@pytest.mark.parametrize(
    ("units", "scale", "fixed", "stripped"),
    [
        (8068190, 2, "80681.90", "80681.9"),
        (15440, 6, "0.015440", "0.01544"),
        (8268000, 2, "82680.00", "82680"),
        (240, 0, "240", "240"),
        (0, 3, "0.000", "0"),
        (1, 6, "0.000001", "0.000001"),
    ],
)
def test_texts_as_the_exchange_prints_them(
    units: int, scale: int, fixed: str, stripped: str
) -> None:
    assert (fixed_text(units, scale), stripped_text(units, scale)) == (fixed, stripped)
