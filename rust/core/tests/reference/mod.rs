//! A slow decoder by `serde_json`, written anew after the documents, and what it must agree upon
//! with the two of the core. The tests and the fuzz target share it.

use serde_json::Value;
use tapecast_core::decimal::Decimal;
use tapecast_core::frame::{Frame, MAX_FRAME_BYTES};
use tapecast_core::trade::{Category, Trade};

/// 2100-01-01: no time of the exchange is later.
const END_MS: i64 = 4_102_444_800_000;

/// One trade, as its texts say; decimals as their digits and how many stand after the point.
#[derive(Debug, PartialEq)]
struct Row {
    symbol: String,
    event_ms: i64,
    seq: u64,
    price: (u64, u8),
    size: (u64, u8),
    taker_side: String,
    id: String,
    is_block: bool,
    is_rpi: bool,
}

/// Topic, time and trades of a frame.
type Read = (String, Option<i64>, Vec<Row>);

/// Makes sure that all decoders read `bytes` alike, or all refuse them; the two of the core with
/// the same error.
///
/// # Panics
///
/// Where they do not.
pub(crate) fn assert_agreement(bytes: &[u8]) {
    let (mut usual, mut general) = (Frame::default(), Frame::default());
    let value = document(bytes);
    let categories = Category::ALL.into_iter().map(Some).chain([None]);
    for category in categories {
        // The same frames again: nothing may be left in them of the time before.
        let by_shape = usual.decode(bytes, category).map(|()| read(&usual));
        let by_any = general.decode_general(bytes, category).map(|()| read(&general));
        let text = || String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(by_shape, by_any, "{category:?} {:?}", text());
        if by_any.is_ok() {
            assert_eq!(usual.trades, general.trades, "{:?}", text());
        }
        if let Some(value) = &value {
            let expected = value.as_ref().and_then(|value| frame_of(value, category));
            assert_eq!(by_any.ok(), expected, "{category:?} {:?}", text());
        }
    }
}

/// What the core has read, the byte positions aside.
fn read(frame: &Frame) -> Read {
    let decimal = |value: Decimal| (value.mantissa(), value.scale());
    let row = |(position, trade): (usize, &Trade)| {
        assert_eq!(trade.position as usize, position);
        Row {
            symbol: frame.symbols[trade.symbol as usize].clone(),
            event_ms: trade.event_ms,
            seq: trade.exchange_seq,
            price: decimal(trade.price),
            size: decimal(trade.size),
            taker_side: trade.taker_side.name().to_owned(),
            id: trade.id.to_string(),
            is_block: trade.is_block,
            is_rpi: trade.is_rpi,
        }
    };
    let rows = frame.trades.iter().enumerate().map(row).collect();
    (frame.topic.clone(), frame.ts_ms, rows)
}

/// The JSON value that `bytes` are, `Some(None)` where they are none; `None` where `serde_json` and
/// the core set other limits: to nesting and to the digits of a number.
#[expect(clippy::option_option, reason = "no document, and no word on whether there is one")]
fn document(bytes: &[u8]) -> Option<Option<Value>> {
    const MAX_DEPTH: usize = 100;
    const MAX_DIGITS: usize = 1_000;
    let openings = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    let has_long_number =
        bytes.split(|byte| !byte.is_ascii_digit()).any(|it| it.len() > MAX_DIGITS);
    // The name by which `serde_json` keeps the text of a number, were it found in a document.
    let has_private_name = String::from_utf8_lossy(bytes).contains("serde_json");
    let is_beyond = (openings > MAX_DEPTH && depth(bytes) > MAX_DEPTH) || has_long_number;
    (!is_beyond && !has_private_name).then(|| {
        let value = serde_json::from_slice(bytes).ok();
        value.filter(|_| bytes.len() <= MAX_FRAME_BYTES)
    })
}

/// How deep brackets nest, those in strings included.
fn depth(bytes: &[u8]) -> usize {
    let steps = bytes.iter().scan(0_usize, |depth, byte| {
        match byte {
            b'[' | b'{' => *depth += 1,
            b']' | b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    steps.max().unwrap_or(0)
}

fn frame_of(value: &Value, category: Option<Category>) -> Option<Read> {
    let topic = value.get("topic")?.as_str()?.strip_prefix("publicTrade.")?;
    let time = match value.get("ts") {
        Some(time) => Some(time_of(time)?),
        None => None,
    };
    let data = value.get("data")?.as_array()?;
    let rows: Option<Vec<Row>> = data.iter().map(row_of).collect();
    let rows = rows?;
    let is_option = |symbol: &str| symbol.starts_with(&format!("{topic}-"));
    let fits = |row: &Row| match category {
        Some(Category::Option) => is_option(&row.symbol),
        Some(_) => row.symbol == topic,
        None => row.symbol == topic || is_option(&row.symbol),
    };
    (!topic.is_empty() && rows.iter().all(fits)).then(|| (topic.to_owned(), time, rows))
}

fn row_of(trade: &Value) -> Option<Row> {
    let text = |name: &str| trade.get(name)?.as_str();
    let flag = |name: &str| trade.get(name).map_or(Some(false), Value::as_bool);
    let is_symbol = |text: &&str| {
        let is_odd = |it: char| it.is_control() || it.is_whitespace();
        (1..=32).contains(&text.chars().count()) && !text.contains(is_odd)
    };
    let is_id = |text: &&str| (1..=64).contains(&text.len()) && !text.contains(char::is_control);
    Some(Row {
        symbol: text("s").filter(is_symbol)?.to_owned(),
        event_ms: time_of(trade.get("T")?)?,
        seq: trade.get("seq").map_or(Some(0), |seq| seq.as_number()?.to_string().parse().ok())?,
        price: decimal_of(text("p")?)?,
        size: decimal_of(text("v")?)?,
        taker_side: text("S").filter(|side| ["Buy", "Sell"].contains(side))?.to_owned(),
        id: text("i").filter(is_id)?.to_owned(),
        is_block: flag("BT")?,
        is_rpi: flag("RPI")?,
    })
}

fn time_of(value: &Value) -> Option<i64> {
    let time: i64 = value.as_number()?.to_string().parse().ok()?;
    (0..END_MS).contains(&time).then_some(time)
}

/// The digits of a positive decimal as an integer, and how many of them stand after the point.
fn decimal_of(text: &str) -> Option<(u64, u8)> {
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if ![whole, fraction, unsigned].into_iter().all(are_digits) {
        return None;
    }
    let exponent: i64 = exponent.parse().ok().filter(|it: &i64| it.abs() <= 64)?;
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_matches('0');
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let scale = i64::try_from(fraction.len()).ok()? - i64::try_from(zeros).ok()? - exponent;
    let more_zeros = "0".repeat(usize::try_from(-scale).unwrap_or(0));
    let mantissa = format!("{significant}{more_zeros}");
    let scale = u8::try_from(scale.max(0)).ok().filter(|scale| *scale <= 18)?;
    (!significant.is_empty() && mantissa.len() <= 19)
        .then(|| Some((mantissa.parse().ok()?, scale)))?
}
