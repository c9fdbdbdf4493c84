"""Every problem of settings, in its whole text, from every place at once."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from tapecast.config import expected_of, leaves, load
from tapecast.errors import ConfigError

LEAVES: Final = dict(leaves())
PORT: Final = "expected an integer from 0 to 65535"
HOST: Final = "expected an address or a host name"
SECONDS: Final = "expected a number above 0, at most 86400"
LEVELS: Final = 'expected "debug" or "info" or "warning" or "error"'
SYMBOLS: Final = "expected a list of category:SYMBOL or category:GLOB, at least one"
PATTERN: Final = (
    "expected category:SYMBOL or category:GLOB with one of linear, inverse, spot, option"
)
WEBSOCKET_URL: Final = "expected a URL like wss://HOST/PATH or ws://HOST:PORT/PATH"
HTTP_URL: Final = "expected a URL like https://HOST or http://HOST:PORT"
UNKNOWN: Final = "unknown setting, expected"
STRAY: Final = "unknown variable, expected"


def problems(
    toml: str | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[tuple[str, ...], str] | None = None,
    *,
    path: Path,
) -> list[str]:
    """Return the problems of these places and no others; the file's path is written FILE."""
    if toml is not None:
        path.write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(None if toml is None else path, flags, environ=environ or {})
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.replace(str(path), "FILE") for problem in caught.value.problems]


def dotted(keys: tuple[str, ...]) -> str:
    return ".".join(keys)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapecast.toml"


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ('port = "8848"', f'port: "8848", {PORT}'),
        ("port = 8848.0", f"port: 8848.0, {PORT}"),
        ("port = true", f"port: true, {PORT}"),
        ("port = -1", f"port: -1, {PORT}"),
        ("port = 65536", f"port: 65536, {PORT}"),
        ("port = [1]", f"port: [1], {PORT}"),
        ("port = {a = 1}", f"port: a table, {PORT}"),
        ("port = 2026-11-27", f"port: 2026-11-27, {PORT}"),
        ("port = 0x" + "9" * 5000, f"port: 0x{'9' * 59}..., {PORT}"),
        ("host = 1", f"host: 1, {HOST}"),
        ('host = ""', f'host: "", {HOST}'),
        (r'host = "a\nb"', rf'host: "a\nb", {HOST}'),
        ("symbols = []", f"symbols: [], {SYMBOLS}"),
        ('symbols = ["A", 1]', f'symbols: ["A", 1], {SYMBOLS}'),
        ('symbols = "A,B"', f'symbols: "A,B", {SYMBOLS}'),
        (
            'symbols = ["A", "x:B"]',
            f'symbols: "x:B", {PATTERN}',
        ),
        (
            'symbols = ["option:*"]',
            'symbols: "option:*", expected a base coin such as option:BTC',
        ),
        ("candles = 3", "candles: 3, expected a table"),
        ("candles = [{grace_ms = 1}]", "candles: [a table], expected a table"),
        (
            "[candles]\ngrace_ms = 1.5",
            "candles.grace_ms: 1.5, expected an integer from 0 to 60000",
        ),
        (
            "[candles]\ninclude_block_trades = 1",
            "candles.include_block_trades: 1, expected true or false",
        ),
        ('[candles]\nempty = "fill"', 'candles.empty: "fill", expected "skip" or "flat"'),
        (
            "[server]\nmax_clients = 0",
            "server.max_clients: 0, expected an integer of at least 1",
        ),
        (
            "[server]\nidle_timeout_s = true",
            f"server.idle_timeout_s: true, {SECONDS}",
        ),
        (
            "[server]\nidle_timeout_s = nan",
            f"server.idle_timeout_s: nan, {SECONDS}",
        ),
        (
            "[server]\nidle_timeout_s = inf",
            f"server.idle_timeout_s: inf, {SECONDS}",
        ),
        (
            "[server]\nidle_timeout_s = 0",
            f"server.idle_timeout_s: 0, {SECONDS}",
        ),
        (
            '[log]\nlevel = "INFO"',
            f'log.level: "INFO", {LEVELS}',
        ),
        ("prot = 1", f"prot: {UNKNOWN} port"),
        (
            "grace_ms = 1",
            f"grace_ms: {UNKNOWN} candles.grace_ms",
        ),
        (
            "ping_interval_s = 1",
            f"ping_interval_s: {UNKNOWN} bybit.ping_interval_s or server.ping_interval_s",
        ),
        ("[log]\nlevl = 1", f"log.levl: {UNKNOWN} log.level"),
        ("[log]\nport = 1", f"log.port: {UNKNOWN} port"),
        ("[candle]\na = 1\nb = 2", f"candle: {UNKNOWN} candles"),
        ("[log]\nx = 1", f"log.x: {UNKNOWN} one of log.format, log.level"),
        (
            r'"a\nb" = 1',
            (
                rf'"a\nb": {UNKNOWN} one of bybit, candles, host, log, port, server, '
                "state_dir, store, symbols"
            ),
        ),
    ],
)
def test_a_problem_of_the_file_is_one_line(path: Path, toml: str, problem: str) -> None:
    assert problems(toml, path=path) == [f"{problem} (FILE)"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("stream.bybit.com", '"stream.bybit.com"'),
        ("wss://", '"wss://"'),
        ("ftp://a", '"ftp://a"'),
        ("wss://a:99999", '"wss://a:99999"'),
        ("wss://a:0", '"wss://a:0"'),
        ("wss://[::1", '"wss://[::1"'),
        ("wss://a b/", '"wss://a b/"'),
        ("wss://a/?x=1", '"wss://a/?x=1"'),
        ("wss://a/#x", '"wss://a/#x"'),
        ("socks5://me:secret@proxy", '"socks5://...@proxy"'),
        ("", '""'),
    ],
)
def test_a_url_that_is_none_is_told_without_its_password(url: str, shown: str) -> None:
    keys = [("bybit", "ws_url"), ("bybit", "rest_url"), ("bybit", "proxy")]
    with pytest.raises(ConfigError) as caught:
        load(None, dict.fromkeys(keys, url.replace("wss", "https")), environ={})
    for_http = shown.replace("wss", "https")
    assert caught.value.problems == (
        f"bybit.ws_url: {for_http}, {WEBSOCKET_URL} (--bybit-ws-url)",
        f"bybit.rest_url: {for_http}, {HTTP_URL} (--bybit-rest-url)",
        f"bybit.proxy: {for_http}, {HTTP_URL} (--bybit-proxy)",
    )
    with pytest.raises(ConfigError) as caught:
        load(None, {("bybit", "ws_url"): url}, environ={})
    assert str(caught.value) == f"bybit.ws_url: {shown}, {WEBSOCKET_URL} (--bybit-ws-url)"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file or directory"),
        (b"\xff", "no UTF-8 at byte 0"),
        (b"port = ", "invalid value (at end of document)"),
        (b"port = 1\nport = 2", "cannot overwrite a value (at end of document)"),
    ],
)
def test_a_file_that_is_no_toml_is_told(path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    assert str(caught.value) == f"{path}: {problem}, expected a TOML file"


@pytest.mark.parametrize("toml", [f"port = {'9' * 5000}", f"port = {'[' * 5000}"])
def test_what_python_cannot_hold_is_told(path: Path, toml: str) -> None:
    [problem] = problems(toml, path=path)  # in the words of the interpreter's version
    assert problem.startswith("FILE: ")
    assert problem.endswith(", expected a TOML file")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    assert str(caught.value) == f"{tmp_path}: is a directory, expected a TOML file"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("TAPECAST_PORT", "x", f'port: "x", {PORT} (TAPECAST_PORT)'),
        ("TAPECAST_PORT", "", f'port: "", {PORT} (TAPECAST_PORT)'),
        ("TAPECAST_PORT", "1e3", f'port: "1e3", {PORT} (TAPECAST_PORT)'),
        ("TAPECAST_SYMBOLS", " , ", f'symbols: " , ", {SYMBOLS} (TAPECAST_SYMBOLS)'),
        (
            "TAPECAST_SERVER__IDLE_TIMEOUT_S",
            "nan",
            f'server.idle_timeout_s: "nan", {SECONDS} (TAPECAST_SERVER__IDLE_TIMEOUT_S)',
        ),
        (
            "TAPECAST_CANDLES__EMPTY",
            "fill",
            'candles.empty: "fill", expected "skip" or "flat" (TAPECAST_CANDLES__EMPTY)',
        ),
        (
            "TAPECAST_HOST",
            "\udcff",
            rf'host: "\udcff", {HOST} (TAPECAST_HOST)',
        ),
        (
            "TAPECAST_LOG",
            '{"level":"debug"}',
            f"TAPECAST_LOG: {STRAY} TAPECAST_LOG__LEVEL or TAPECAST_LOG__FORMAT (environment)",
        ),
        (
            "TAPECAST_CANDLES_GRACE_MS",
            "1",
            f"TAPECAST_CANDLES_GRACE_MS: {STRAY} TAPECAST_CANDLES__GRACE_MS (environment)",
        ),
        (
            "TAPECAST_CONFG",
            "x",
            f"TAPECAST_CONFG: {STRAY} TAPECAST_CONFIG (environment)",
        ),
        (
            "tapecast_port",
            "1",
            f"tapecast_port: {STRAY} TAPECAST_PORT (environment)",
        ),
        (
            "TAPECAST_XYZ",
            "1",
            f"TAPECAST_XYZ: {STRAY} the name of a setting (environment)",
        ),
    ],
)
def test_a_problem_of_a_variable_is_one_line(
    path: Path, name: str, text: str, problem: str
) -> None:
    assert problems(None, {name: text}, path=path) == [problem]


def test_problems_of_all_places_are_told_at_once(path: Path) -> None:
    assert problems(
        'port = "x"\nsymbols = ["a:b", "c:d"]\nlog = 1\n[bybit]\nproxi = 1\nnetwork = "main"\n',
        {"TAPECAST_PORT": "y", "TAPECAST_PROT": "1", "HOME": "/root"},
        {("port",): "z", ("log", "level"): "loud"},
        path=path,
    ) == [
        f'port: "x", {PORT} (FILE)',
        f'symbols: "a:b", {PATTERN} (FILE)',
        f'symbols: "c:d", {PATTERN} (FILE)',
        "log: 1, expected a table (FILE)",
        f"bybit.proxi: {UNKNOWN} bybit.proxy (FILE)",
        'bybit.network: "main", expected "mainnet" or "testnet" (FILE)',
        f'port: "y", {PORT} (TAPECAST_PORT)',
        f"TAPECAST_PROT: {STRAY} TAPECAST_PORT (environment)",
        f'port: "z", {PORT} (--port)',
        f'log.level: "loud", {LEVELS} (--log-level)',
    ]


def test_a_bad_value_is_told_although_a_stronger_place_has_a_good_one(path: Path) -> None:
    assert problems("port = -1", {"TAPECAST_PORT": "1"}, {("port",): "2"}, path=path) == [
        f"port: -1, {PORT} (FILE)"
    ]


def test_the_first_wait_is_at_most_the_longest(path: Path) -> None:
    assert problems("[bybit]\nbackoff_base_s = 40", path=path) == [
        "bybit.backoff_base_s: 40.0, expected at most 30.0, as bybit.backoff_cap_s is (FILE)"
    ]
    flags: dict[tuple[str, ...], str] = {("bybit", "backoff_cap_s"): "0.2"}
    found = problems(None, None, flags, path=path)
    assert [problem.replace("--bybit-backoff-cap-s", "--flag") for problem in found] == [
        "bybit.backoff_cap_s: 0.2, expected at least 0.5, as bybit.backoff_base_s is (--flag)"
    ]
    assert problems(
        "[bybit]\nbackoff_base_s = 9\nbackoff_cap_s = 10",
        {"TAPECAST_BYBIT__BACKOFF_CAP_S": "8"},
        path=path,
    ) == ["bybit.backoff_base_s: 9.0, expected at most 8.0, as bybit.backoff_cap_s is (FILE)"]
    assert problems(
        "[bybit]\nbackoff_cap_s = 0.1", {"TAPECAST_BYBIT__BACKOFF_BASE_S": "x"}, path=path
    ) == [f'bybit.backoff_base_s: "x", {SECONDS} (TAPECAST_BYBIT__BACKOFF_BASE_S)']


@pytest.mark.parametrize(("keys", "field"), LEAVES.items(), ids=map(dotted, LEAVES))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_is_taken_or_told_in_one_line_that_names_it(
    path: Path, keys: tuple[str, ...], field: FieldInfo, data: st.DataObject
) -> None:
    value = data.draw(
        st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats()
        | st.text()
        | st.dates()
        | st.lists(st.integers(), max_size=3)
    )
    text = value.isoformat() if isinstance(value, dt.date) else toml_of(value)
    *tables, name = keys
    toml = "".join(f"[{table}]\n" for table in tables) + f"{name} = {text}\n"
    try:
        path.write_text(toml, encoding="utf-8")
        taken: Any = load(path, environ={}).model_dump()
    except ConfigError as error:
        lines = str(error).splitlines()
    else:
        for key in keys:
            taken = taken[key]
        if isinstance(taken, tuple):
            assert list(taken) == value
            return
        assert taken in (value, str(value).rstrip("/"))
        assert type(taken) is (field.annotation if field.annotation in {int, float, bool} else str)
        return
    assert len(lines) == 1
    assert lines[0].startswith(f"{dotted(keys)}: ")
    compared = {"backoff_base_s", "backoff_cap_s", "soft_pending_bytes", "max_pending_bytes"}
    is_compared = keys[-1] in compared and f" as {keys[0]}." in lines[0]
    assert is_compared or lines[0].endswith(f", expected {expected_of(field)} ({path})")


def toml_of(value: object) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
