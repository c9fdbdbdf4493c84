"""The tree of exceptions and their whole texts."""

import pickle
import re

import pytest

from tapecast import errors
from tapecast.errors import (
    CommandError,
    ConfigError,
    DecodeError,
    FeedError,
    FeedForbidden,
    FeedStale,
    InternalFault,
    RecordingDamaged,
    SlowConsumerError,
    StateForeign,
    StateLocked,
    StateTooNew,
    StateUnusable,
    StoreError,
    TapecastError,
)

SAMPLES: list[tuple[TapecastError, str]] = [
    (TapecastError("clock is unset"), "clock is unset"),
    (
        ConfigError("port: -1, expected a port (--port)", "host: 1, expected a text (x.toml)"),
        "port: -1, expected a port (--port)\nhost: 1, expected a text (x.toml)",
    ),
    (ConfigError(), ""),
    (
        DecodeError("bad_size", 118, "-1", 'trade size is "-1", expected a decimal (byte 118)'),
        'trade size is "-1", expected a decimal (byte 118)',
    ),
    (FeedError("the exchange answered 403"), "the exchange answered 403"),
    (
        RecordingDamaged("a.gz: gzip data is cut short at byte 9, expected a whole recording"),
        "a.gz: gzip data is cut short at byte 9, expected a whole recording",
    ),
    (
        FeedForbidden("GET /v5/market/time", 403),
        "GET /v5/market/time was answered HTTP 403, expected 200",
    ),
    (
        FeedStale("linear-1", 31.04, 30),
        "line linear-1 was silent for 31.0 s, expected at most 30.0 s",
    ),
    (CommandError("bad_json", "command is empty"), "bad_json: command is empty"),
    (
        InternalFault("task broadcaster", "was cancelled"),
        "task broadcaster was cancelled, expected to run until the daemon stops",
    ),
    (StoreError("nothing is left"), "nothing is left"),
    (
        StateLocked("/state", 17),
        "state directory /state is in use by process 17, expected one not in use",
    ),
    (StateTooNew("/state/format", 3, 1), "/state/format has version 3, expected at most 1"),
    (
        StateForeign("/state", "mainnet", "testnet"),
        "state directory /state is of mainnet, expected testnet",
    ),
    (
        StateUnusable("/state", "no space left on device"),
        (
            "state directory /state cannot be used: no space left on device, "
            "expected a directory that can be written to"
        ),
    ),
    (SlowConsumerError(2048, 1024), "2048 bytes are pending, expected at most 1024"),
]


@pytest.mark.parametrize(("error", "text"), SAMPLES, ids=lambda value: type(value).__name__)
def test_each_error_says_its_whole_text(error: TapecastError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _ in SAMPLES], ids=lambda e: type(e).__name__)
def test_an_error_survives_pickling(error: TapecastError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.args == error.args


def test_a_stale_feed_is_a_timeout_without_a_number_of_the_system() -> None:
    error = FeedStale("linear-1", 31.0, 30.0)
    assert isinstance(error, TimeoutError)
    assert (error.errno, error.strerror, error.filename) == (None, None, None)


def test_the_tree_is_the_documented_one() -> None:
    assert {name: getattr(errors, name).__bases__ for name in errors.__all__} == {
        "TapecastError": (Exception,),
        "ConfigError": (TapecastError, ValueError),
        "DecodeError": (TapecastError, ValueError),
        "FeedError": (TapecastError,),
        "FeedForbidden": (FeedError,),
        "FeedStale": (FeedError, TimeoutError),
        "RecordingDamaged": (FeedError,),
        "CommandError": (TapecastError,),
        "SlowConsumerError": (TapecastError,),
        "InternalFault": (TapecastError,),
        "StoreError": (TapecastError,),
        "StateLocked": (StoreError,),
        "StateTooNew": (StoreError,),
        "StateForeign": (StoreError,),
        "StateUnusable": (StoreError,),
    }
    assert {type(error).__name__ for error, _ in SAMPLES} == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_attribute_is_documented(name: str) -> None:
    error = next(error for error, _ in SAMPLES if type(error).__name__ == name)
    documented = re.findall(r"^ {8}(\w+): ", type(error).__doc__ or "", re.MULTILINE)
    assert set(documented) == set(vars(error))
