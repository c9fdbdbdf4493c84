"""Which symbols are wanted, as settings spell it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.errors import ConfigError
from tapecast.symbols import CATEGORIES, Pattern, parse_patterns

EXPECTED = "category:SYMBOL or category:GLOB with one of linear, inverse, spot, option"


@pytest.mark.parametrize(
    ("text", "pattern", "is_explicit"),
    [
        ("linear:BTCUSDT", Pattern("linear", "BTCUSDT"), True),
        ("inverse:BTCUSD", Pattern("inverse", "BTCUSD"), True),
        ("BTCUSDT", Pattern("linear", "BTCUSDT"), True),
        ("ETH*", Pattern("linear", "ETH*"), False),
        ("spot:?THUSDT", Pattern("spot", "?THUSDT"), False),
        ("spot:[EB]*", Pattern("spot", "[EB]*"), False),
        ("linear:BTC-26JUN26", Pattern("linear", "BTC-26JUN26"), True),
        (" spot:btcusdt\n", Pattern("spot", "BTCUSDT"), True),
        ("option:BTC", Pattern("option", "BTC"), True),
    ],
)
def test_each_spelling_is_read(text: str, pattern: Pattern, *, is_explicit: bool) -> None:
    assert parse_patterns([text]) == [pattern]
    assert pattern.is_explicit is is_explicit


def test_patterns_keep_their_order_and_stand_once() -> None:
    texts = ["spot:BTCUSDT", "ETH*", "linear:eth*", "linear:BTCUSDT", "spot:btcusdt"]
    assert [str(pattern) for pattern in parse_patterns(texts)] == [
        "spot:BTCUSDT",
        "linear:ETH*",
        "linear:BTCUSDT",
    ]
    assert parse_patterns([]) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f'symbols: "", expected {EXPECTED}'),
        ("  ", f'symbols: "  ", expected {EXPECTED}'),
        ("futures:BTCUSDT", f'symbols: "futures:BTCUSDT", expected {EXPECTED}'),
        ("Spot:BTCUSDT", f'symbols: "Spot:BTCUSDT", expected {EXPECTED}'),
        ("spot:", f'symbols: "spot:", expected {EXPECTED}'),
        (":BTCUSDT", f'symbols: ":BTCUSDT", expected {EXPECTED}'),
        ("spot:linear:BTCUSDT", f'symbols: "spot:linear:BTCUSDT", expected {EXPECTED}'),
        ("spot: BTCUSDT", f'symbols: "spot: BTCUSDT", expected {EXPECTED}'),
        ("BTC\nUSDT", f'symbols: "BTC\\nUSDT", expected {EXPECTED}'),
        ("x:" + "A" * 100, f'symbols: "x:{"A" * 62}", expected {EXPECTED}'),
        ("option:*", 'symbols: "option:*", expected a base coin such as option:BTC'),
        (
            "option:BTC-27NOV26-90000-C",
            'symbols: "option:BTC-27NOV26-90000-C", expected a base coin such as option:BTC',
        ),
    ],
)
def test_what_is_no_pattern_is_told(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_patterns([text])
    assert str(caught.value) == problem


def test_all_that_are_none_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_patterns(["a:B", "BTCUSDT", "option:B*"])
    assert caught.value.problems == (
        f'symbols: "a:B", expected {EXPECTED}',
        'symbols: "option:B*", expected a base coin such as option:BTC',
    )


def parsed(text: str) -> tuple[list[Pattern], tuple[str, ...]]:
    """Return what a text is read as, and the problems."""
    try:
        return parse_patterns([text]), ()
    except ConfigError as error:
        return [], error.problems


@given(st.text() | st.builds("{}:{}".format, st.sampled_from(CATEGORIES), st.text()))
def test_a_text_is_a_pattern_that_reads_back_or_one_line(text: str) -> None:
    patterns, problems = parsed(text)
    assert len(patterns) + len(problems) == 1
    assert [parse_patterns([str(pattern)]) for pattern in patterns] == [[*patterns]] * len(patterns)
    assert all(len(problem.splitlines()) == 1 for problem in problems)
