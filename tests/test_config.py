"""Settings from a file, variables and flags, in rising precedence."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tapecast.config import (
    CONFIG_VARIABLE,
    ENV_PREFIX,
    Settings,
    flag_of,
    leaves,
    load,
    variable_of,
)

LEAVES: Final = dict(leaves())
ROOT: Final = Path(__file__).resolve().parents[1]
OPERATIONS: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def dotted(keys: tuple[str, ...]) -> str:
    return ".".join(keys)


def loaded(
    toml: str | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[tuple[str, ...], str] | None = None,
    *,
    path: Path,
) -> Settings:
    """Load settings with a file of this text, these variables and no others, and these flags."""
    if toml is not None:
        path.write_text(toml, encoding="utf-8")
    return load(None if toml is None else path, flags, environ=environ or {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapecast.toml"


def value_of(tree: Settings, keys: tuple[str, ...]) -> Any:  # noqa: ANN401 -- as the setting's
    value: Any = tree
    for key in keys:
        value = getattr(value, key)
    return value


def samples_of(keys: tuple[str, ...], field: FieldInfo) -> list[Any]:
    """Return three good values of a setting, each unlike the one before it."""
    samples: list[Any] = ["0.0.0.0", "::1", "localhost"]  # noqa: S104 -- not listened on
    if keys == ("symbols",):
        samples = [("spot:A",), ("spot:B", "C*"), ("option:BTC",)]
    elif keys == ("server", "allowed_origins"):
        samples = [("https://a",), ("https://b", "http://c"), ("https://d",)]
    elif keys == ("server", "token"):
        samples = ["0123456789abcdef", "0123456789abcdefg", "0123456789abcdefgh"]
    elif field.annotation is bool:
        samples = [False, True, False]
    elif field.annotation is int:
        least = next(rule.ge for rule in field.metadata if hasattr(rule, "ge"))
        # Two that are compared with each other stay apart, here and below.
        least = field.get_default() if keys[-1] == "max_pending_bytes" else least
        samples = [least + 1, least + 2, least + 3]
    elif field.annotation is float:
        samples = [40.0, 41.5, 42.0] if keys[-1] == "backoff_cap_s" else [0.25, 1.5, 2.0]
    elif get_origin(field.annotation) is Literal:
        first, second, *_ = get_args(field.annotation)
        samples = [second, first, second]
    elif field.get_default() is None:
        scheme = "ws" if keys[-1] == "ws_url" else "http"
        samples = [f"{scheme}://{host}/p" for host in ("a", "b:1", "[::1]:2")]
    return samples


def as_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_toml(keys: tuple[str, ...], value: object) -> str:
    """Return a file with one setting."""
    text = json.dumps(value) if not isinstance(value, float) else repr(value)
    *tables, name = keys
    return "".join(f"[{table}]\n" for table in tables) + f"{name} = {text}\n"


@pytest.mark.parametrize(("keys", "field"), LEAVES.items(), ids=map(dotted, LEAVES))
def test_flags_go_before_variables_and_variables_before_the_file(
    path: Path, keys: tuple[str, ...], field: FieldInfo
) -> None:
    in_file, in_variable, in_flag = samples_of(keys, field)
    variables, flags = {variable_of(keys): as_text(in_variable)}, {keys: as_text(in_flag)}
    toml = as_toml(keys, in_file)
    assert value_of(loaded(path=path), keys) == field.get_default()
    assert value_of(loaded(toml, path=path), keys) == in_file
    assert value_of(loaded(toml, variables, path=path), keys) == in_variable
    assert value_of(loaded(None, variables, path=path), keys) == in_variable
    assert value_of(loaded(toml, variables, flags, path=path), keys) == in_flag
    assert value_of(loaded(toml, None, flags, path=path), keys) == in_flag
    others = [other for other in LEAVES if other != keys]
    everything = loaded(toml, variables, flags, path=path)
    assert [value_of(everything, other) for other in others] == [
        LEAVES[other].get_default() for other in others
    ]


def test_names_of_a_setting_in_its_places() -> None:
    assert ENV_PREFIX == "TAPECAST_"
    assert CONFIG_VARIABLE == "TAPECAST_CONFIG"
    assert variable_of(("candles", "grace_ms")) == "TAPECAST_CANDLES__GRACE_MS"
    assert flag_of(("candles", "grace_ms")) == "--candles-grace-ms"
    assert len({flag_of(keys) for keys in LEAVES}) == len(LEAVES)


def test_settings_of_one_table_come_from_several_places(path: Path) -> None:
    merged = loaded(
        "[candles]\ngrace_ms = 5\nrevise_window_ms = 6\n",
        {"TAPECAST_CANDLES__REVISE_WINDOW_MS": "7", "TAPECAST_CANDLES__EMPTY": "flat", "HOME": "/"},
        {("candles", "open"): "previous_close"},
        path=path,
    ).candles
    assert (merged.grace_ms, merged.revise_window_ms) == (5, 7)
    assert (merged.empty, merged.open) == ("flat", "previous_close")


def test_the_process_has_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPECAST_PORT", "9000")
    monkeypatch.setenv(CONFIG_VARIABLE, "/nowhere")  # of the command line, which gives the path
    assert load(None).port == 9000
    assert load(None, environ={}).port == Settings().port == 8848


def test_settings_do_not_change_and_hide_the_password_of_the_proxy() -> None:
    given_settings = load(None, {("bybit", "proxy"): "http://me:secret@proxy:3128/"}, environ={})
    assert given_settings.bybit.proxy == "http://me:secret@proxy:3128"
    assert "secret" not in repr(given_settings)
    with pytest.raises(ValidationError):
        given_settings.port = 1


@pytest.mark.parametrize(
    ("network", "ws_base", "rest_base"),
    [
        ("mainnet", "wss://stream.bybit.com/v5/public", "https://api.bybit.com"),
        ("testnet", "wss://stream-testnet.bybit.com/v5/public", "https://api-testnet.bybit.com"),
    ],
)
def test_urls_are_the_networks_unless_given(network: str, ws_base: str, rest_base: str) -> None:
    chosen = load(None, {("bybit", "network"): network}, environ={}).bybit
    assert (chosen.ws_base, chosen.rest_base) == (ws_base, rest_base)
    flags: dict[tuple[str, ...], str] = {
        ("bybit", "network"): network,
        ("bybit", "ws_url"): "ws://127.0.0.1:9000/v5/public/",
        ("bybit", "rest_url"): "http://127.0.0.1:9000/",
    }
    chosen = load(None, flags, environ={}).bybit
    assert chosen.ws_base == "ws://127.0.0.1:9000/v5/public"
    assert chosen.rest_base == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("text", "truth"),
    [("true", True), ("1", True), ("YES", True), ("on", True), ("false", False), ("no", False)],
)
def test_a_text_says_a_truth_in_several_ways(text: str, *, truth: bool) -> None:
    keys = ("candles", "include_block_trades")
    assert load(None, {keys: text}, environ={}).candles.include_block_trades is truth


def documented() -> dict[str, str]:
    """Return the defaults of the settings table, by name; a row may hold several settings."""
    table = OPERATIONS.split("| setting | default | meaning |\n|---|---|---|\n")[1].split("\n\n")[0]
    found: list[tuple[str, str]] = []
    for row in table.splitlines():
        names, defaults = (cell.strip() for cell in row.replace("`", "").split("|")[1:3])
        several = names.split(", ")
        shown = defaults.split(", ") if len(several) > 1 else [defaults]
        found += zip(several, shown, strict=True)
    assert len(found) == len(dict(found))
    return dict(found)


def test_the_documentation_lists_every_setting_and_its_default() -> None:
    in_words = {
        "bybit.ws_url": "of the network",
        "bybit.rest_url": "of the network",
        "bybit.proxy": "none",
        "server.allowed_origins": "none",
        "server.token": "none",
        "server.tls_cert": "none",
        "server.tls_key": "none",
    }
    defaults = {dotted(keys): field.get_default() for keys, field in LEAVES.items()}
    written = {
        name: ", ".join(value) if name == "symbols" else as_text(value).removesuffix(".0")
        for name, value in defaults.items()
    }
    assert list(documented().items()) == list((written | in_words).items())
