"""Decimal text from integers and back: the simulated market counts in ticks and lots."""

__all__ = ["fixed_text", "scaled_integer", "stripped_text"]


def scaled_integer(text: str) -> tuple[int, int]:
    """Return the digits of plain decimal text as an integer, and how many of them are decimals.

    `"0.10"` gives `(10, 2)`: trailing zeros are kept, because an exchange prints as many decimals
    as its tick size has.
    """
    whole, _, fraction = text.partition(".")
    return int(whole + fraction), len(fraction)


def fixed_text(units: int, scale: int) -> str:
    """Return `units`, not negative, over ten to the `scale` with all decimals: `80681.90`."""
    if scale == 0:
        return str(units)
    digits = str(units).zfill(scale + 1)
    return f"{digits[:-scale]}.{digits[-scale:]}"


def stripped_text(units: int, scale: int) -> str:
    """Return `units` over ten to the `scale` without trailing zeros: `80694.4`, `82680`."""
    text = fixed_text(units, scale)
    return text.rstrip("0").rstrip(".") if scale else text
