"""A bad frame gets its own exact words, changes nothing, and the stream goes on."""

import pytest

from tapecast import DecodeError, Engine
from tests.core.frames import LATER_NS, START_MS, feed, frame_of, trade_item

GOOD = frame_of([trade_item()])
ONE_OBJECT = "expected one JSON object"
TRADE_MESSAGE = "expected a publicTrade message (byte 0)"
TOPIC = 'expected "publicTrade.<symbol>" (byte 9)'
TIME = "expected whole milliseconds from 0 to 4102444799999"
AHEAD = "expected at most 1790003700000 ms, 60000 ms ahead of the clock (byte 76)"
POSITIVE = "expected a positive decimal"
DIGITS = "expected at most 19 significant digits and 18 after the point"
SYMBOL = "expected 1 to 32 characters without white space or control characters (byte 99)"
TRADE_ID = "expected 1 to 64 bytes without control characters (byte 141)"
SEQUENCE = "expected a whole number below 2^64 (byte 174)"

WHOLE_FRAMES = {
    "empty": (
        b"",
        f"bad_json: frame is not JSON (EOF while parsing a value), {ONE_OBJECT} (byte 0)",
    ),
    "blank": (
        b" \n",
        f"bad_json: frame is not JSON (EOF while parsing a value), {ONE_OBJECT} (byte 2)",
    ),
    "null": (b"null", "bad_json: frame is a JSON null, expected a JSON object (byte 0)"),
    "array": (b"[]", "bad_json: frame is a JSON array, expected a JSON object (byte 0)"),
    "string": (b'"x"', "bad_json: frame is a JSON string, expected a JSON object (byte 0)"),
    "truncated": (
        GOOD[:80],
        f"bad_json: frame is not JSON (EOF while parsing an object), {ONE_OBJECT} (byte 80)",
    ),
    "without its last byte": (
        GOOD[:-1],
        f"bad_json: frame is not JSON (EOF while parsing an object), {ONE_OBJECT} (byte 177)",
    ),
    "cut in a character": (
        GOOD[:150] + b"\xf0\x9f",
        "bad_utf8: frame byte is 0xf0, expected UTF-8 (byte 150)",
    ),
    "twice": (
        GOOD + GOOD,
        f"bad_json: frame is not JSON (trailing characters), {ONE_OBJECT} (byte 178)",
    ),
    "byte order mark": (
        b"\xef\xbb\xbf" + GOOD,
        f"bad_json: frame is not JSON (expected value), {ONE_OBJECT} (byte 0)",
    ),
    "no fields": (b"{}", f'missing_field: frame is without "topic", {TRADE_MESSAGE}'),
    "no data": (
        b'{"topic":"publicTrade.BTCUSDT"}',
        f'missing_field: frame is without "data", {TRADE_MESSAGE}',
    ),
    "acknowledgement": (
        b'{"success":true,"ret_msg":"subscribe","conn_id":"1","op":"subscribe"}',
        f'missing_field: frame is without "topic", {TRADE_MESSAGE}',
    ),
    "deep array": (
        b"[" * 100_000,
        "bad_json: frame is a JSON array, expected a JSON object (byte 0)",
    ),
    "deep data": (
        b'{"data":' * 1_000,
        f"bad_json: frame is not JSON (recursion limit exceeded), {ONE_OBJECT} (byte 1616)",
    ),
    "huge": (
        GOOD + b" " * (4 << 20),
        "too_large: frame is 4194482 bytes long, expected at most 4194304 bytes (byte 4194304)",
    ),
}

REPLACEMENTS = [
    (
        b'"topic":"publicTrade.BTCUSDT",',
        b"",
        f'missing_field: frame is without "topic", {TRADE_MESSAGE}',
    ),
    (b"publicTrade.BTCUSDT", b"publicTrade.", f'bad_topic: topic is "publicTrade.", {TOPIC}'),
    (b"publicTrade.BTCUSDT", b"trade.BTCUSDT", f'bad_topic: topic is "trade.BTCUSDT", {TOPIC}'),
    (b"publicTrade.BTCUSDT", b"kline.1.BTCUSDT", f'bad_topic: topic is "kline.1.BTCUSDT", {TOPIC}'),
    (b'"publicTrade.BTCUSDT"', b"7", f"bad_topic: topic is 7, {TOPIC}"),
    (b'"publicTrade.BTCUSDT"', b"null", f"bad_topic: topic is null, {TOPIC}"),
    (b'"ts":1790000040000', b'"ts":"1"', f'bad_time: frame time is "1", {TIME} (byte 54)'),
    (b'"ts":1790000040000', b'"ts":-1', f"bad_time: frame time is -1, {TIME} (byte 54)"),
    (b'"data":[', b'"data":7,"x":[', "bad_type: data is 7, expected an array of trades (byte 75)"),
    (b'"data":[', b'"data":[null,', "bad_type: trade is null, expected an object (byte 76)"),
    (b'"data":[', b'"data":[[],', "bad_type: trade is [], expected an object (byte 76)"),
    (
        b'"T":1790000040000,',
        b"",
        'missing_field: trade is without "T", expected a time in ms (byte 76)',
    ),
    (b'"T":1790000040000', b'"T":"1"', f'bad_time: trade time is "1", {TIME} (byte 81)'),
    (b'"T":1790000040000', b'"T":-1', f"bad_time: trade time is -1, {TIME} (byte 81)"),
    (
        b'"T":1790000040000',
        b'"T":4102444800000',
        f"bad_time: trade time is 4102444800000, {TIME} (byte 81)",
    ),
    (b'"T":1790000040000', b'"T":1.79e12', f"bad_time: trade time is 1.79e12, {TIME} (byte 81)"),
    (b'"T":1790000040000', b'"T":1.0', f"bad_time: trade time is 1.0, {TIME} (byte 81)"),
    (
        b'"T":1790000040000',
        b'"T":99999999999999999999',
        f"bad_time: trade time is 99999999999999999999, {TIME} (byte 81)",
    ),
    (
        b'"T":1790000040000',
        b'"T":1790003700001',
        f"future_time: trade time is 1790003700001, {AHEAD}",
    ),
    (b'"s":"BTCUSDT",', b"", 'missing_field: trade is without "s", expected a symbol (byte 76)'),
    (b'"s":"BTCUSDT"', b'"s":null', "bad_type: symbol is null, expected a string (byte 99)"),
    (b'"s":"BTCUSDT"', b'"s":""', f'bad_symbol: symbol is "", {SYMBOL}'),
    (b'"s":"BTCUSDT"', b'"s":"A B"', f'bad_symbol: symbol is "A B", {SYMBOL}'),
    (b'"s":"BTCUSDT"', b'"s":"A\\tB"', f'bad_symbol: symbol is "A\\tB", {SYMBOL}'),
    (b'"s":"BTCUSDT"', b'"s":"%b"' % (b"X" * 33), f'bad_symbol: symbol is "{"X" * 33}", {SYMBOL}'),
    (
        b'"s":"BTCUSDT"',
        b'"s":"ETHUSDT"',
        'bad_symbol: symbol is "ETHUSDT", expected "BTCUSDT" as in the topic (byte 76)',
    ),
    (
        b'"s":"BTCUSDT"',
        b'"s":"ETHUSDT","s":"XRPUSDT"',
        'bad_symbol: symbol is "XRPUSDT", expected "BTCUSDT" as in the topic (byte 76)',
    ),
    (b'"S":"Buy",', b"", 'missing_field: trade is without "S", expected a taker side (byte 76)'),
    (
        b'"S":"Buy"',
        b'"S":"buy"',
        'bad_side: taker side is "buy", expected "Buy" or "Sell" (byte 113)',
    ),
    (b'"S":"Buy"', b'"S":1', "bad_type: taker side is 1, expected a string (byte 113)"),
    (b'"v":"1",', b"", 'missing_field: trade is without "v", expected a size (byte 76)'),
    (b'"v":"1"', b'"v":"-1"', f'bad_size: trade size is "-1", {POSITIVE} (byte 123)'),
    (b'"v":"1"', b'"v":"0"', f'bad_size: trade size is "0", {POSITIVE} (byte 123)'),
    (b'"v":"1"', b'"v":"1e-20"', f'bad_size: trade size is "1e-20", {DIGITS} (byte 123)'),
    (b'"v":"1"', b'"v":{}', "bad_type: trade size is {}, expected a string (byte 123)"),
    (b'"p":"100",', b"", 'missing_field: trade is without "p", expected a price (byte 76)'),
    (b'"p":"100"', b'"p":100', "bad_type: trade price is 100, expected a string (byte 131)"),
    (b'"p":"100"', b'"p":null', "bad_type: trade price is null, expected a string (byte 131)"),
    (b'"i":"1",', b"", 'missing_field: trade is without "i", expected a trade id (byte 76)'),
    (b'"i":"1"', b'"i":1', "bad_type: trade id is 1, expected a string (byte 141)"),
    (b'"i":"1"', b'"i":""', f'bad_trade_id: trade id is "", {TRADE_ID}'),
    (b'"i":"1"', b'"i":"\\u0000"', f'bad_trade_id: trade id is "\\u0000", {TRADE_ID}'),
    (b'"i":"1"', b'"i":"%b"' % (b"x" * 65), f'bad_trade_id: trade id is "{"x" * 63}…, {TRADE_ID}'),
    (b'"i":"1"', b'"i":"\xff"', "bad_utf8: frame byte is 0xff, expected UTF-8 (byte 142)"),
    (b'"i":"1"', b'"i":"\xed\xa0\x80"', "bad_utf8: frame byte is 0xed, expected UTF-8 (byte 142)"),
    (
        b'"i":"1"',
        b'"i":"\\ud800"',
        f"bad_json: frame is not JSON (unexpected end of hex escape), {ONE_OBJECT} (byte 148)",
    ),
    (
        b'"i":"1"',
        b'"i":"\\u12"',
        f"bad_json: frame is not JSON (invalid escape), {ONE_OBJECT} (byte 146)",
    ),
    (
        b'"BT":false',
        b'"BT":0',
        "bad_type: block trade flag is 0, expected true or false (byte 150)",
    ),
    (
        b'"BT":false',
        b'"BT":null',
        "bad_type: block trade flag is null, expected true or false (byte 150)",
    ),
    (
        b'"RPI":false',
        b'"RPI":"false"',
        'bad_type: RPI flag is "false", expected true or false (byte 162)',
    ),
    (b'"seq":1', b'"seq":"1"', f'bad_type: exchange sequence is "1", {SEQUENCE}'),
    (b'"seq":1', b'"seq":-1', f"bad_type: exchange sequence is -1, {SEQUENCE}"),
    (b'"seq":1', b'"seq":1.0', f"bad_type: exchange sequence is 1.0, {SEQUENCE}"),
    (
        b'"seq":1',
        b'"seq":18446744073709551616',
        f"bad_type: exchange sequence is 18446744073709551616, {SEQUENCE}",
    ),
    (
        b'"seq":1',
        b'"seq":01',
        f"bad_json: frame is not JSON (invalid number), {ONE_OBJECT} (byte 175)",
    ),
    (
        b'"seq":1',
        b'"x":NaN',
        f"bad_json: frame is not JSON (expected value), {ONE_OBJECT} (byte 172)",
    ),
    (
        b'"seq":1',
        b'"x":-Infinity',
        f"bad_json: frame is not JSON (invalid number), {ONE_OBJECT} (byte 173)",
    ),
    (
        b'"seq":1',
        b"'x':1",
        f"bad_json: frame is not JSON (key must be a string), {ONE_OBJECT} (byte 168)",
    ),
    (
        b'"seq":1',
        b'"seq":1,',
        f"bad_json: frame is not JSON (trailing comma), {ONE_OBJECT} (byte 176)",
    ),
    (
        b'"seq":1',
        b'"x":%b1%b' % (b"[" * 500, b"]" * 500),
        f"bad_json: frame is not JSON (recursion limit exceeded), {ONE_OBJECT} (byte 373)",
    ),
    (
        b'"seq":1',
        b'"x":%b' % (b"9" * 5_000),
        f"bad_json: frame is not JSON (number out of range), {ONE_OBJECT} (byte 4473)",
    ),
]

NO_PRICES = [
    *("NaN", "Infinity", "-1", "0", "0.000", "0e5", "", " 1", "1 ", "+1", "0x1", "1_0", ".5", "5."),
    *("1e", "1e+", "1e1.5", "1,5", "1.2.3", "\u0663", "e5", "."),
]
LONG_PRICES = ["1e19", "1e-19", "1e999999999999", "1234567890" * 4, "0." + "1234567890" * 4]
EXACT_PRICES = [
    ("1e2", "100"),
    ("1E+2", "100"),
    ("1.5e-7", "0.00000015"),
    ("0000100.5000", "100.5"),
    ("9999999999999999999", "9999999999999999999"),
    ("0.000000000000000001", "0.000000000000000001"),
    ("1" + "0" * 18, "1" + "0" * 18),
    ("5" + "." + "0" * 40, "5"),
]


def refused(frame: bytes) -> str:
    """Return kind and text of the refusal, having seen that nothing else came of the frame."""
    engine = Engine()
    feed(engine, trade_item(i="before"))
    before = engine.snapshot(), engine.seq, engine.candles(exact=True).tolist()
    with pytest.raises(DecodeError) as caught:
        engine.feed(frame, received_ns=LATER_NS)
    assert (engine.snapshot(), engine.seq, engine.candles(exact=True).tolist()) == before
    counts = engine.counts
    assert (counts["frames"], counts["bad_frames"], counts["trade_messages"]) == (2, 1, 1)
    assert feed(engine, trade_item(i="after")) == ["trade"]
    error = caught.value
    assert str(error).endswith(f" (byte {error.position})")
    assert error.excerpt in str(error)
    assert len(error.excerpt.encode()) <= 64 + len("…".encode())
    assert 0 <= error.position <= len(frame)
    return f"{error.kind}: {error}"


@pytest.mark.parametrize("name", WHOLE_FRAMES)
def test_what_is_no_trade_message_is_refused_in_its_own_words(name: str) -> None:
    frame, text = WHOLE_FRAMES[name]
    assert refused(frame) == text


@pytest.mark.parametrize(
    ("found", "wrong", "text"), REPLACEMENTS, ids=[text for _, _, text in REPLACEMENTS]
)
def test_a_bad_field_is_refused_in_its_own_words(found: bytes, wrong: bytes, text: str) -> None:
    assert GOOD.count(found) == 1
    assert refused(GOOD.replace(found, wrong)) == text


@pytest.mark.parametrize("price", NO_PRICES)
def test_what_is_no_positive_decimal_is_no_price(price: str) -> None:
    frame = GOOD.replace(b'"p":"100"', f'"p":"{price}"'.encode())
    assert refused(frame) == f'bad_price: trade price is "{price}", {POSITIVE} (byte 131)'


@pytest.mark.parametrize("price", LONG_PRICES)
def test_a_price_that_cannot_be_held_exactly_is_refused(price: str) -> None:
    frame = GOOD.replace(b'"p":"100"', f'"p":"{price}"'.encode())
    assert refused(frame) == f'bad_price: trade price is "{price}", {DIGITS} (byte 131)'


@pytest.mark.parametrize(("price", "exact"), EXACT_PRICES)
def test_any_spelling_of_a_price_that_can_be_held_is_taken_exactly(price: str, exact: str) -> None:
    engine = Engine()
    assert feed(engine, trade_item(p=price)) == ["trade"]
    assert engine.trades(exact=True)["price"].tolist() == [exact]


def test_a_sum_beyond_its_integers_refuses_the_frame() -> None:
    longest = "9" * 19
    frame = frame_of([trade_item(i=str(at), p=longest, v=longest) for at in range(4)])
    fourth = frame.rindex(b'{"T"')
    assert refused(frame) == (
        "overflow: sum of the window is more than 128 bits hold, "
        f"expected volume and turnover below 2^128 (byte {fourth})"
    )


def test_one_symbol_too_many_is_refused() -> None:
    engine = Engine(max_symbols=1)
    feed(engine, trade_item())
    with pytest.raises(DecodeError) as caught:
        feed(engine, trade_item(s="ETHUSDT"))
    assert caught.value.kind == "too_many_symbols"
    assert str(caught.value) == (
        'symbol is "ETHUSDT", one more than the 1 known, expected at most 1 symbols (byte 76)'
    )
    assert engine.symbols() == [("linear", "BTCUSDT")]


def test_one_trade_id_too_many_is_refused() -> None:
    engine = Engine(max_trade_ids=1)
    feed(engine, trade_item())
    with pytest.raises(DecodeError) as caught:
        feed(engine, trade_item(i="2"))
    assert caught.value.kind == "too_many_trade_ids"
    assert str(caught.value) == (
        'trade id is "2", one more than the 1 remembered, '
        "expected at most 1 trade ids of windows in progress (byte 76)"
    )


def test_a_frame_without_trades_is_counted_and_publishes_nothing() -> None:
    engine = Engine()
    assert len(engine.feed(frame_of([]), received_ns=LATER_NS)) == 0
    assert (engine.counts["frames"], engine.counts["bad_frames"]) == (1, 0)


def test_the_largest_message_of_the_exchange_is_applied_whole() -> None:
    engine = Engine()
    items = [trade_item(at, i=f"{at}", p=f"{100 + at}", v="0.1", seq=7) for at in range(1_024)]
    assert feed(engine, *items) == ["trade"] * 1_024
    [candle] = engine.candles(exact=True)
    assert (candle["open"], candle["close"], candle["volume"]) == ("100", "1123", "102.4")
    assert candle["trades"] == 1_024


def test_nesting_that_fits_is_skipped() -> None:
    nested = b'"x":%b1%b,"seq":1' % (b'[{"a":' * 90, b"}]" * 90)
    engine = Engine()
    engine.feed(GOOD.replace(b'"seq":1', nested), received_ns=LATER_NS)
    assert engine.counts["trade_messages"] == 1


def test_a_time_as_far_ahead_as_allowed_is_taken_and_the_next_millisecond_is_not() -> None:
    engine = Engine(max_future_ms=5_000)
    now_ns = START_MS * 1_000_000
    latest, beyond = trade_item(5_000), trade_item(10_001, i="2")
    assert len(engine.feed(frame_of([latest]), received_ns=now_ns)) == 1
    # The newest trade is a clock, too: of two clocks the later one counts.
    with pytest.raises(DecodeError, match=r"expected at most 1790000050000 ms, 5000 ms ahead"):
        engine.feed(frame_of([beyond]), received_ns=now_ns)
    assert len(engine.feed(frame_of([trade_item(10_000, i="2")]), received_ns=now_ns)) == 1


def test_with_the_event_clock_the_frames_own_time_bounds_its_trades() -> None:
    engine = Engine(clock="event", max_future_ms=0)
    late_ts = frame_of([trade_item(1)]).replace(b'"ts":1790000040001', b'"ts":1790000040000')
    with pytest.raises(DecodeError) as caught:
        engine.feed(late_ts, received_ns=0)
    assert caught.value.kind == "future_time"
    without_ts = late_ts.replace(b'"ts":1790000040000,', b"")
    assert len(engine.feed(without_ts, received_ns=0)) == 1


@pytest.mark.timeout(20)
def test_frames_of_very_many_symbols_or_minutes_are_never_read_in_quadratic_time() -> None:
    engine = Engine(max_symbols=100_000)
    unknown = b",".join(b'{"s":"%x"}' % number for number in range(300_000))
    with pytest.raises(DecodeError, match='trade is without "T"'):
        engine.feed(b'{"topic":"publicTrade.A","data":[%b]}' % unknown, received_ns=0)
    count = 40_000
    options = [trade_item(s=f"BTC-{number}", i="1") for number in range(count)]
    assert feed(engine, *options, category="option") == ["trade"] * count
    minutes = [trade_item(-number * 60_000, i=str(number)) for number in range(count)]
    assert feed(engine, *minutes) == ["trade"] * count
