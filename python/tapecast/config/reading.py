"""Reading settings: each place is checked by itself, so that a problem names its own.

A merge of the places before the check, as settings libraries do it, hides a bad value of the file
behind a good variable until the day on which the variable is taken away.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_origin

from pydantic import TypeAdapter, ValidationError

from tapecast.config.settings import (
    ENV_PREFIX,
    Keys,
    Settings,
    expected_of,
    flag_of,
    leaves,
    variable_of,
)
from tapecast.errors import ConfigError
from tapecast.symbols import parse_patterns

__all__ = ["CONFIG_VARIABLE", "load"]

CONFIG_VARIABLE: Final = ENV_PREFIX + "CONFIG"
_EXCERPT_CHARS: Final = 64
_ALIKE: Final = 0.7
"""How alike names must be for one to be taken for a slip of the other; `format` is no `port`."""
_FIELDS: Final = dict(leaves())
_TABLES: Final = {keys[:-1] for keys in _FIELDS}

_ORDERED: Final = [
    (("bybit", "backoff_base_s"), ("bybit", "backoff_cap_s")),
    (("server", "soft_pending_bytes"), ("server", "max_pending_bytes")),
]
"""Pairs of settings of which the first is at most the second."""


def load(
    path: Path | None,
    flags: Mapping[Keys, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings from everywhere: flags go before variables, variables before the file.

    A file has types, and they must be right: the port is `8848`, not `"8848"`. Variables and flags
    are texts, which are read as what the setting takes; lists are separated by commas, and a truth
    may be written `1`, `yes` or `on` as well. A value is checked even if a stronger place has
    another.

    Args:
        path: A TOML file; none where `None`.
        flags: Texts of flags, by the path of their setting.
        environ: The variables; the process's own where `None`. Names are in capitals.

    Raises:
        ConfigError: Every problem that there is: of the file, the variables, the flags, and of
            settings that contradict each other; each as `setting: found, expected … (place)`.
    """
    found = _Found()
    if path is not None:
        _read_file(path, found)
    _read_variables(os.environ if environ is None else environ, found)
    for keys, text in (flags or {}).items():
        found.take_text(keys, text, flag_of(keys))
    found.compare()
    if found.problems:
        raise ConfigError(*found.problems)
    tree: dict[str, Any] = {}
    for keys, value in found.values.items():
        table = tree
        for key in keys[:-1]:
            table = table.setdefault(key, {})
        table[keys[-1]] = value
    return Settings.model_validate(tree)


@dataclass(slots=True)
class _Found:
    """What the places hold, the weakest first.

    Attributes:
        problems: Lines about what cannot be used.
        values: Good values; a later place replaces those of an earlier one.
        places: Where the strongest value of a setting stands.
        bad: Settings with a bad value somewhere, which cannot be compared.
    """

    problems: list[str] = field(default_factory=list)
    values: dict[Keys, Any] = field(default_factory=dict)
    places: dict[Keys, str] = field(default_factory=dict)
    bad: set[Keys] = field(default_factory=set)

    def take(self, keys: Keys, value: object, place: str) -> None:
        """Take what a file has, which must be of the right type."""
        given = tuple(value) if isinstance(value, list) else value
        self._check(keys, given, place, shown=value, strict=True)

    def take_text(self, keys: Keys, text: str, place: str) -> None:
        """Take a text, read as what the setting takes."""
        given: object = text
        if get_origin(_FIELDS[keys].annotation) is tuple:
            given = tuple(part.strip() for part in text.split(",") if part.strip())
        self._check(keys, given, place, shown=text, strict=False)

    def compare(self) -> None:
        """Check settings against each other."""
        for low, high in _ORDERED:
            least, most = (
                self.values.get(keys, _FIELDS[keys].get_default()) for keys in (low, high)
            )
            if least <= most or not self.bad.isdisjoint((low, high)):
                continue
            if low in self.places:
                expected = f"at most {most}, as {_dotted(high)} is"
                self._tell(low, f"{least}, expected {expected}", self.places[low])
            else:
                expected = f"at least {least}, as {_dotted(low)} is"
                self._tell(high, f"{most}, expected {expected}", self.places[high])

    def _check(self, keys: Keys, given: object, place: str, *, shown: object, strict: bool) -> None:
        setting = _FIELDS[keys]
        self.places[keys] = place
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(setting.rebuild_annotation())
            self.values[keys] = adapter.validate_python(given, strict=strict)
            if keys == ("symbols",):
                parse_patterns(self.values[keys])
        except ValidationError:
            self._tell(keys, f"{_shown(shown)}, expected {expected_of(setting)}", place)
        except ConfigError as error:
            self.bad.add(keys)
            self.problems += [f"{problem} ({place})" for problem in error.problems]

    def _tell(self, keys: Keys, problem: str, place: str) -> None:
        self.bad.add(keys)
        self.problems.append(f"{_dotted(keys)}: {problem} ({place})")


def _read_file(path: Path, found: _Found) -> None:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
    except UnicodeDecodeError as error:
        problem = f"no UTF-8 at byte {error.start}"
    except (ValueError, RecursionError) as error:  # of numbers too long and arrays too deep, too
        problem = str(error)[:1].lower() + str(error)[1:]
    else:
        for keys, value in _walk(tree, ()):
            if keys in _FIELDS:
                found.take(keys, value, str(path))
            elif keys in _TABLES:
                found.problems.append(
                    f"{_dotted(keys)}: {_shown(value)}, expected a table ({path})"
                )
            else:
                found.problems.append(
                    f"{_dotted(keys)}: unknown setting, expected {_suggestion(keys)} ({path})"
                )
        return
    found.problems.append(f"{path}: {problem}, expected a TOML file")


def _walk(tree: Mapping[str, Any], parents: Keys) -> Iterator[tuple[Keys, Any]]:
    """Yield what a file gives, with the paths; of unknown tables only the table."""
    for name, value in tree.items():
        keys = (*parents, name)
        if keys in _TABLES and isinstance(value, dict):
            yield from _walk(value, keys)
        else:
            yield keys, value


def _suggestion(keys: Keys) -> str:
    """Say which setting may be meant: one of the table, of another table, or any of the table."""
    parents, name = keys[:-1], keys[-1]
    siblings = sorted(path[-1] for path in {*_FIELDS, *_TABLES} if path and path[:-1] == parents)
    near = difflib.get_close_matches(name, siblings, n=1, cutoff=_ALIKE)
    if near:
        return _dotted((*parents, near[0]))
    elsewhere = [_dotted(path) for path in _FIELDS if path[-1] == name]
    if elsewhere:
        return " or ".join(elsewhere)
    return "one of " + ", ".join(_dotted((*parents, sibling)) for sibling in siblings)


def _read_variables(environ: Mapping[str, str], found: _Found) -> None:
    settings = {variable_of(keys): keys for keys in _FIELDS}
    for name in sorted(environ):
        if name in settings:
            found.take_text(settings[name], environ[name], name)
        elif name.upper().startswith(ENV_PREFIX) and name != CONFIG_VARIABLE:
            # One for a whole table is none: the settings in it have variables of their own.
            near = [variable for variable in settings if variable.startswith(f"{name}__")]
            expected = " or ".join(near or _alike(name, settings)) or "the name of a setting"
            found.problems.append(f"{name}: unknown variable, expected {expected} (environment)")


def _alike(name: str, variables: Iterable[str]) -> list[str]:
    """Return the variable that may be meant; the prefix, which they all share, says nothing."""
    rests = [variable.removeprefix(ENV_PREFIX) for variable in (*variables, CONFIG_VARIABLE)]
    rest = name.upper().removeprefix(ENV_PREFIX)
    return [ENV_PREFIX + near for near in difflib.get_close_matches(rest, rests, 1, _ALIKE)]


def _dotted(keys: Keys) -> str:
    """Spell a path, with quotes around names that a file may have and no setting has."""
    return ".".join(key if re.fullmatch(r"[\w-]+", key, re.ASCII) else _shown(key) for key in keys)


def _shown(value: object) -> str:
    """Return a value as a file would spell it, on one line and not too long."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, str):
        value = re.sub(r"://[^/@]*@", "://...@", value)  # a proxy's password
        text = json.dumps(value, ensure_ascii=not value.isprintable())
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list):
        text = "[" + ", ".join(_shown(item) for item in value) + "]"
    elif isinstance(value, int):
        # The digits of very long integers, which a file can give in hexadecimal, are not printed.
        text = str(value) if value.bit_length() <= _EXCERPT_CHARS * 8 else hex(value)
    else:
        text = str(value)
    return text if len(text) <= _EXCERPT_CHARS else text[: _EXCERPT_CHARS - 3] + "..."
