//! Decoding: the same trades whatever the spelling of the JSON, and a clear word on every fault.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tapecast_core::error::ErrorKind;
use tapecast_core::frame::Frame;
use tapecast_core::trade::{Category, Side, Trade};

fn decode(text: &str, category: Category) -> Result<Frame, String> {
    let mut frame = Frame::default();
    frame.decode(text.as_bytes(), Some(category)).map_err(|error| error.to_string())?;
    Ok(frame)
}

fn linear_trade() -> Value {
    json!({
        "T": 1_788_488_627_047_i64, "s": "BTCUSDT", "S": "Sell", "v": "0.010", "p": "80681.90",
        "L": "MinusTick", "i": "ab76cb24-30df-59ce-8a55-f07fd91ff646", "BT": false, "RPI": false,
        "seq": 804_921_550_364_i64
    })
}

fn frame_of(trades: &[Value]) -> String {
    json!({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1_788_488_627_048_i64, "data": trades})
        .to_string()
}

#[test]
fn every_field_of_a_linear_trade_is_read() {
    let frame = decode(&frame_of(&[linear_trade()]), Category::Linear).unwrap();
    let [trade] = &frame.trades[..] else { panic!("one trade") };
    assert_eq!(frame.topic, "BTCUSDT");
    assert_eq!(frame.ts_ms, Some(1_788_488_627_048));
    assert_eq!(frame.symbols, ["BTCUSDT"]);
    assert_eq!(trade.event_ms, 1_788_488_627_047);
    assert_eq!(trade.taker_side, Side::Sell);
    assert_eq!((trade.price.mantissa(), trade.price.scale()), (806_819, 1));
    assert_eq!((trade.size.mantissa(), trade.size.scale()), (1, 2));
    assert_eq!(trade.id.to_string(), "ab76cb24-30df-59ce-8a55-f07fd91ff646");
    assert_eq!(trade.exchange_seq, 804_921_550_364);
    assert!(!trade.is_block && !trade.is_rpi);
}

#[test]
fn an_option_trade_fits_a_topic_of_its_base_coin_alone() {
    let text = |symbol: &str| {
        format!(
            r#"{{"topic":"publicTrade.BTC","ts":1,"data":[{{"i":"1","T":1,"p":"240","v":"0.1","S":"Buy","s":"{symbol}"}}]}}"#
        )
    };
    let option = "BTC-25JUN27-106000-C-USDT";
    assert_eq!(decode(&text(option), Category::Option).unwrap().symbols, [option]);
    let error = decode(&text(option), Category::Linear).unwrap_err();
    assert_eq!(
        error,
        r#"symbol is "BTC-25JUN27-106000-C-USDT", expected "BTC" as in the topic (byte 42)"#
    );
    let error = decode(&text("ETH-25JUN27-106000-C-USDT"), Category::Option).unwrap_err();
    assert_eq!(
        error,
        r#"symbol is "ETH-25JUN27-106000-C-USDT", expected "BTC-…" as in the topic (byte 42)"#
    );
}

#[test]
fn the_last_value_of_a_repeated_field_counts_even_after_a_bad_one() {
    let text = r#"{"topic":5,"data":7,"topic":"publicTrade.A","data":[{"p":"x","p":"2","v":"1","v":"3",
        "T":"x","T":1,"s":"B","s":"A","S":"Buy","S":"Sell","i":4,"i":"5"}]}"#;
    let frame = decode(text, Category::Spot).unwrap();
    let [trade] = &frame.trades[..] else { panic!("one trade") };
    assert_eq!((trade.price.mantissa(), trade.size.mantissa()), (2, 3));
    assert_eq!((trade.taker_side, trade.id.to_string().as_str()), (Side::Sell, "5"));
    let text = text.replace(r#""p":"2""#, r#""p":"2","p":"y""#);
    assert!(
        decode(&text, Category::Spot).unwrap_err().starts_with(r#"trade price is "y", expected"#)
    );
}

#[test]
fn an_unused_symbol_of_a_repeated_field_hides_no_other_that_does_not_fit() {
    let text = r#"{"topic":"publicTrade.A","data":[{"s":"B","s":"C","T":1,"S":"Buy","p":"1","v":"1","i":"1"}]}"#;
    assert_eq!(
        decode(text, Category::Linear).unwrap_err(),
        r#"symbol is "C", expected "A" as in the topic (byte 33)"#
    );
}

#[test]
fn a_long_value_is_quoted_in_part() {
    let mut trade = linear_trade();
    trade["p"] = json!("é".repeat(90));
    let error = decode(&frame_of(&[trade]), Category::Linear).unwrap_err();
    let quoted = format!("\"{}…", "é".repeat(31));
    assert!(
        error.starts_with(&format!("trade price is {quoted}, expected a positive decimal")),
        "{error}"
    );
}

#[test]
fn ids_of_every_form_keep_their_text() {
    let ids = [
        "ab76cb24-30df-59ce-8a55-f07fd91ff646",
        "AB76CB24-30df-59ce-8a55-f07fd91ff646",
        "2290000001203630617",
        "18446744073709551615",
        "18446744073709551616",
        "007",
        "0",
        "+7",
        "ab76cb2430df59ce8a55f07fd91ff646",
        "00000000-0000-0000-0000-000000000000",
    ];
    for id in ids {
        let mut trade = linear_trade();
        trade["i"] = json!(id);
        let frame = decode(&frame_of(&[trade]), Category::Linear).unwrap();
        assert_eq!(frame.trades[0].id.to_string(), id);
    }
}

#[derive(Debug, Clone)]
struct Spelling {
    order: Vec<usize>,
    spaces: Vec<u8>,
    escaped: bool,
    extra: Vec<(String, String)>,
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let order = Just((0..10).collect::<Vec<usize>>()).prop_shuffle();
    let spaces = prop::collection::vec(0_u8..5, 1..8);
    let nested =
        prop::sample::select(vec!["null", "[1,{\"s\":[]}]", "{\"p\":\"-1\"}", "1e9", "\"}]\""]);
    let names = prop::sample::select(vec!["t", "id", "Ts", "px", "data2", "\u{e9}", ""]);
    let extra = prop::collection::vec((names, nested), 0..3);
    (order, spaces, any::<bool>(), extra).prop_map(|(order, spaces, escaped, extra)| Spelling {
        order,
        spaces,
        escaped,
        extra: extra.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    })
}

/// Spells a flat object as JSON text in one of the ways that all mean the same.
fn spell(object: &Map<String, Value>, spelling: &Spelling) -> String {
    let mut spaces = spelling.spaces.iter().cycle();
    let mut gap = || ["", " ", "\n", "\t \r", "  "][usize::from(*spaces.next().unwrap())];
    let string = |text: &str| {
        if spelling.escaped {
            let escaped: Vec<String> =
                text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{}\"", escaped.concat())
        } else {
            Value::from(text).to_string()
        }
    };
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), string);
    let mut fields: Vec<(String, String)> =
        object.iter().map(|(name, item)| (string(name), value(item))).collect();
    let mut ordered: Vec<(String, String)> = Vec::new();
    for &at in &spelling.order {
        if at < fields.len() {
            ordered.push(std::mem::take(&mut fields[at]));
        }
    }
    ordered.extend(spelling.extra.iter().map(|(name, item)| (string(name), item.clone())));
    let body: Vec<String> = ordered
        .iter()
        .map(|(name, item)| format!("{}{name}{}:{}{item}{}", gap(), gap(), gap(), gap()))
        .collect();
    format!("{{{}}}", body.join(","))
}

fn without_byte(trades: &[Trade]) -> Vec<Trade> {
    trades.iter().cloned().map(|trade| Trade { byte: 0, ..trade }).collect()
}

proptest! {
    #[test]
    fn key_order_white_space_escapes_and_unknown_fields_change_nothing(inner in spelling(), outer in spelling()) {
        let trade = linear_trade();
        let plain = decode(&frame_of(std::slice::from_ref(&trade)), Category::Linear).unwrap();
        let spelt = spell(trade.as_object().unwrap(), &inner);
        let head = json!({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1_788_488_627_048_i64});
        let head = spell(head.as_object().unwrap(), &outer);
        let text = format!("{},\"data\":[{spelt}]}}", &head[..head.len() - 1]);
        let frame = decode(&text, Category::Linear).unwrap();
        prop_assert_eq!(without_byte(&frame.trades), without_byte(&plain.trades));
        prop_assert_eq!((frame.topic, frame.ts_ms), (plain.topic, plain.ts_ms));
    }

    #[test]
    fn a_cut_frame_is_refused_at_its_end(cut in 0_usize..230) {
        let text = frame_of(&[linear_trade()]);
        let cut = cut.min(text.len() - 1);
        let mut frame = Frame::default();
        let error = frame.decode(&text.as_bytes()[..cut], None).unwrap_err();
        prop_assert_eq!(error.kind, ErrorKind::BadJson);
        prop_assert!(error.position <= cut);
    }

    #[test]
    fn a_changed_byte_never_panics_and_every_error_points_into_the_frame(at in 0_usize..230, byte in any::<u8>()) {
        let mut bytes = frame_of(&[linear_trade()]).into_bytes();
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        let mut frame = Frame::default();
        if let Err(error) = frame.decode(&bytes, Some(Category::Linear)) {
            prop_assert!(error.position <= bytes.len());
            prop_assert!(error.excerpt.len() <= 64 + 8);
        } else {
            // What is accepted is what another parser reads.
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(value["data"].as_array().unwrap().len(), frame.trades.len());
            let topic = value["topic"].as_str().unwrap().strip_prefix("publicTrade.");
            prop_assert_eq!(topic, Some(frame.topic.as_str()));
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut frame = Frame::default();
        prop_assert!(frame.decode(&bytes, None).is_err());
    }
}
