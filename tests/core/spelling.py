"""The many spellings of one JSON value."""

import json
from collections.abc import Mapping
from random import Random

_UNKNOWN_KEYS = ("L", "t", "Ts", "id", "px", "seq2", "mP", "iv", "datA", "", "\u00e9", 'a\\b"c')
_UNKNOWN_VALUES: tuple[object, ...] = (
    None,
    True,
    -1.5e300,
    123456789012345678901234567890,
    '\u2028 \U0001f600 "}]',
    [],
    {"p": "-1", "data": [{"T": []}]},
    [[[{"s": {"S": None}}]], "x"],
)
_GAPS = ("", "", "", " ", "\n", "\t", "\r\n", "  ")


def _string(text: str, random: Random) -> str:
    """Return a JSON string with some characters escaped that need not be."""
    if random.random() < 0.5:
        return json.dumps(text, ensure_ascii=random.random() < 0.5)
    parts = []
    for character in text:
        if random.random() < 0.3:
            units = character.encode("utf-16-be")
            pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
            upper = random.random() < 0.5
            parts += [f"\\u{pair.upper() if upper else pair}" for pair in pairs]
        else:
            parts.append(json.dumps(character, ensure_ascii=False)[1:-1])
    return '"' + "".join(parts) + '"'


def spell(value: object, random: Random, *, noise: bool = False) -> str:
    """Return `value` as JSON text; with `noise` its objects also hold what must be ignored."""
    if isinstance(value, Mapping):
        return _object(value, random, noise=noise)
    if isinstance(value, list):
        items = [_gap(random) + spell(item, random, noise=noise) for item in value]
        return f"[{','.join(items)}{_gap(random)}]"
    if isinstance(value, str):
        return _string(value, random)
    return json.dumps(value)


def _object(fields: Mapping[str, object], random: Random, *, noise: bool) -> str:
    """Return an object with its keys in any order, unknown ones and repeated ones among them."""
    items = [(key, spell(value, random, noise=noise)) for key, value in fields.items()]
    random.shuffle(items)
    for _ in range(random.randrange(3) if noise else 0):
        unknown = (random.choice(_UNKNOWN_KEYS), spell(random.choice(_UNKNOWN_VALUES), random))
        items.insert(random.randint(0, len(items)), unknown)
    for key in random.sample(sorted(fields), min(len(fields), random.randrange(3)) if noise else 0):
        # A value that a later one of the same key replaces, whatever it is.
        first = next(at for at, item in enumerate(items) if item[0] == key)
        replaced = (key, spell(random.choice(_UNKNOWN_VALUES), random))
        items.insert(random.randint(0, first), replaced)
    fields_text = [
        f"{_gap(random)}{_string(key, random)}{_gap(random)}:{_gap(random)}{text}{_gap(random)}"
        for key, text in items
    ]
    return "{" + (",".join(fields_text) or _gap(random)) + "}"


def _gap(random: Random) -> str:
    return random.choice(_GAPS)
