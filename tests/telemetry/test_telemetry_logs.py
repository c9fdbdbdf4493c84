"""Logs to the letter, and records that could do harm."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from tapecast.clocks import SystemClock
from tapecast.telemetry import LineWriter, ThreadRegistry, logging_to
from tapecast.telemetry.logs import JsonFormatter, TextFormatter

CREATED = 1_795_532_560.123  # 2026-11-24T15:02:40.123Z
HEAD = "2026-11-24T15:02:40.123Z warning tapecast.bybit.client: "


def record(message: object, *args: object, **fields: Any) -> logging.LogRecord:  # noqa: ANN401
    about = {"name": "tapecast.bybit.client", "levelno": 30, "levelname": "WARNING"}
    said = {"msg": message, "args": args, "created": CREATED, "msecs": 123.0}
    return logging.makeLogRecord({**about, **said, **fields})


def text(message: object, *args: object, **fields: Any) -> str:  # noqa: ANN401 -- of a record
    return TextFormatter().format(record(message, *args, **fields))


def fields(message: object, *args: object, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- the same
    line = JsonFormatter().format(record(message, *args, **more))
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def raised(error: Exception) -> Any:  # noqa: ANN401 -- what sys.exc_info returns
    try:
        raise error
    except type(error):
        return sys.exc_info()


class Sink(LineWriter):
    """Keeps lines."""

    def __init__(self) -> None:
        registry = ThreadRegistry(monotonic_ns=SystemClock().monotonic_ns)
        super().__init__(-1, registry.register("log-writer", kind="thread"))
        self.lines: list[str] = []

    def put(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Hold that each test gives the loggers back as they were."""
    root, own = logging.getLogger(), logging.getLogger("tapecast")
    before = root.level, own.level, root.handlers[:]
    yield
    assert (root.level, own.level, root.handlers) == before


def test_text_is_time_level_logger_and_message() -> None:
    assert text("line %s is %s", "linear-1", "stale") == HEAD + "line linear-1 is stale"


def test_a_stack_stands_below_the_message_as_a_traceback_does() -> None:
    stack = '  File "x.py", line 1, in work\n    \x1b[2Jsleep()'
    shown = text("stands still", stack_info=stack)
    assert shown.splitlines() == [
        HEAD + "stands still",
        '    File "x.py", line 1, in work',
        "      \\x1b[2Jsleep()",
    ]
    assert fields("stands still", stack_info=stack)["stack"] == stack
    assert "stack" not in fields("stands still")


@pytest.mark.parametrize(("msecs", "shown"), [(0.0, "000"), (7.9, "007"), (999.9, "999")])
def test_milliseconds_have_three_digits(msecs: float, shown: str) -> None:
    assert text("x", created=1_795_532_560.0, msecs=msecs)[:24] == f"2026-11-24T15:02:40.{shown}Z"


def test_json_is_one_object_with_the_same_fields() -> None:
    assert JsonFormatter().format(record("line %s: é", "linear-1")) == (
        '{"time":"2026-11-24T15:02:40.123Z","level":"warning","logger":"tapecast.bybit.client",'
        '"message":"line linear-1: é"}'
    )


def test_a_traceback_stands_indented_below_the_line() -> None:
    first, *below = text("it broke", exc_info=raised(ZeroDivisionError("by zero"))).split("\n")
    assert first == HEAD + "it broke"
    assert below[0] == "  Traceback (most recent call last):"
    assert below[-1] == "  ZeroDivisionError: by zero"
    assert all(line.startswith("  ") for line in below)


def test_a_traceback_is_a_field_in_json() -> None:
    found = fields("it broke", exc_info=raised(ZeroDivisionError("by zero")))
    assert list(found) == ["time", "level", "logger", "message", "exception"]
    lines = found["exception"].split("\n")
    assert (lines[0], lines[-1]) == (
        "Traceback (most recent call last):",
        "ZeroDivisionError: by zero",
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\nb", r"a\r\nb"),
        ("\x1b[2Jred\x07", r"\x1b[2Jred\x07"),
        ("a\x00b", r"a\x00b"),
        ("a\x0b\x0c\x1c\x1d\x1e\x85b", r"a\x0b\x0c\x1c\x1d\x1e\x85b"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("tab\tand é ✓ 日本", "tab\tand é ✓ 日本"),
    ],
)
def test_no_message_moves_the_cursor_or_begins_a_line(given: str, shown: str) -> None:
    line = text("got %s", given)
    assert line == f"{HEAD}got {shown}"
    assert len(line.splitlines()) == 1
    assert fields("got %s", given)["message"] == f"got {given}"


def test_no_exception_forges_a_record() -> None:
    forged = "x\n2026-11-24T15:02:41.000Z info tapecast.daemon.app: all is well\x1b[1A\r"
    lines = text("it broke", exc_info=raised(ValueError(forged))).splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [HEAD + "it broke"]
    assert lines[-1] == (
        r"  2026-11-24T15:02:41.000Z info tapecast.daemon.app: all is well\x1b[1A\r"
    )


def test_long_messages_are_cut_and_say_how_long_they_were() -> None:
    whole, cut = "x" * 8192, "x" * 8192 + "… (8193 characters)"
    assert text("%s", whole) == HEAD + whole
    assert text("%s", whole + "y") == HEAD + cut
    assert fields("%s", whole + "y")["message"] == cut


def test_names_of_files_that_are_no_text_are_written_all_the_same() -> None:
    assert fields("cannot read %s", "day\udcff.gz")["message"] == "cannot read day?.gz"


@pytest.mark.parametrize(
    ("level", "own", "others"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),
        ("warning", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_the_level_is_of_our_own_and_libraries_speak_from_warning_on(
    sink: Sink,
    level: Literal["debug", "info", "warning", "error"],
    own: list[str],
    others: list[str],
) -> None:
    with logging_to(sink, level=level, style="text"):
        for name in ("tapecast.daemon.app", "websockets.server"):
            for each in ("debug", "info", "warning", "error"):
                getattr(logging.getLogger(name), each)("said")
    found = [line.split(" ", 1)[1] for line in sink.lines]
    assert found == [f"{each} tapecast.daemon.app: said" for each in own] + [
        f"{each} websockets.server: said" for each in others
    ]


@pytest.mark.parametrize("style", ["text", "json"])
def test_the_style_is_chosen(sink: Sink, style: Literal["text", "json"]) -> None:
    with logging_to(sink, level="info", style=style):
        logging.getLogger("tapecast.x").info("hello")
    [line] = sink.lines
    assert line.startswith("{") == (style == "json")


def test_the_loggers_are_given_back_even_after_an_error(sink: Sink) -> None:
    kept = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(kept)
    handlers = root.handlers[:]

    def fail() -> None:
        with logging_to(sink, level="debug", style="text"):
            assert kept not in root.handlers
            raise KeyError

    try:
        with pytest.raises(KeyError):
            fail()
        assert root.handlers == handlers
    finally:
        root.removeHandler(kept)
    logging.getLogger("tapecast.x").error("not for the sink")
    assert sink.lines == []


class Unspeakable:
    """Cannot be made a text."""

    def __str__(self) -> str:
        raise RuntimeError("no words\nat all")


@pytest.mark.parametrize("raise_exceptions", [True, False])
def test_a_record_that_cannot_be_formatted_is_told_without_a_word_on_stderr(
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    raise_exceptions: bool,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", raise_exceptions)
    logger = logging.getLogger("tapecast.x")
    with logging_to(sink, level="info", style="text"):
        logger.warning("one %s", "two", "three")  # noqa: PLE1205 -- what is tested
        logger.info("%s", Unspeakable())
        logger.info("next")
    found = [line.split(" ", 1)[1] for line in sink.lines]
    where = "record of test_telemetry_logs.py"
    reasons = [
        "TypeError: not all arguments converted during string formatting",
        r"RuntimeError: no words\nat all",
    ]
    for line, level, reason in zip(found, ("warning", "info"), reasons, strict=False):
        head, _, tail = line.partition(" cannot be formatted: ")
        assert head.rpartition(":")[0] == f"{level} tapecast.x: {where}"
        assert tail == reason
    assert found[2:] == ["info tapecast.x: next"]
    assert capfd.readouterr() == ("", "")
