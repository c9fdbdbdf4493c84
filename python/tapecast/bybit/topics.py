"""Topics of the exchange, and how many of them a request and a connection take.

No I/O and no clock.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from tapecast.aliases import Category
from tapecast.frames import TOPIC_PREFIX

__all__ = [
    "MAX_ARGS_CHARS",
    "args_chars",
    "batches",
    "is_kline_topic",
    "kline_topic_of",
    "name_of",
    "topic_of",
]

MAX_ARGS_CHARS: Final = 21_000
"""Characters that the arguments of one connection may have, in every category.

Whether quotes and commas count is not documented; `args_chars` counts them to be safe.
"""

MAX_ARGS: Final[dict[Category, int]] = {"spot": 10, "linear": 500, "inverse": 500, "option": 500}
"""Topics of one request.

The exchange sets 10 a request on spot and 2,000 a connection for options, elsewhere no limit.
"""

_KLINE_PREFIX: Final = "kline.1."
_QUOTES_AND_COMMA: Final = 3


def topic_of(name: str) -> str:
    """Return the topic of the trades of a symbol, or of a base coin for options."""
    return TOPIC_PREFIX + name


def kline_topic_of(symbol: str) -> str:
    """Return the topic of the exchange's own candles of a symbol; there are none for options."""
    return _KLINE_PREFIX + symbol


def is_kline_topic(topic: str) -> bool:
    """Whether a topic is one of candles."""
    return topic.startswith(_KLINE_PREFIX)


def name_of(topic: str) -> str:
    """Return the symbol, or the base coin, of a topic."""
    return topic.removeprefix(TOPIC_PREFIX).removeprefix(_KLINE_PREFIX)


def args_chars(topic: str) -> int:
    """Return how many characters a topic adds to the arguments of its connection."""
    return len(topic) + _QUOTES_AND_COMMA


def batches(category: Category, topics: Sequence[str]) -> Iterator[list[str]]:
    """Split topics into the arguments of as many requests as the category needs."""
    size = MAX_ARGS[category]
    batch: list[str] = []
    chars = 0
    for topic in topics:
        if batch and (len(batch) == size or chars + args_chars(topic) > MAX_ARGS_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(topic)
        chars += args_chars(topic)
    if batch:
        yield batch
