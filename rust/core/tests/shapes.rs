//! The path for the usual shapes reads every frame as the general path does, or hands it on.

use proptest::prelude::*;
use tapecast_core::frame::Frame;
use tapecast_core::trade::Category;

/// Numbers as the exchange prints them, and some that it never would.
fn any_number() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[0-9]{1,8}\\.[0-9]{1,8}",
        4 => "[1-9][0-9]{0,9}",
        2 => "0\\.0{0,12}[0-9]{1,10}",
        1 => "[0-9]{0,20}\\.?[0-9]{0,20}",
        1 => "[0-9.eE+x -]{0,12}",
    ]
}

fn any_time() -> impl Strategy<Value = String> {
    prop_oneof![9 => "1[0-9]{12}", 1 => "[0-9]{1,14}", 1 => Just("4102444800000".to_owned())]
}

fn any_seq() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[1-9][0-9]{11}", 2 => "[0-9]{1,20}", 1 => "[0-9.-]{0,5}"]
}

fn any_id() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        6 => "[1-9][0-9]{18}",
        1 => "[0-9a-fA-F-]{34,38}",
        1 => "[0-9]{15,21}",
    ]
}

fn any_side() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just("Buy"), 6 => Just("Sell"), 1 => Just("buy"), 1 => Just("Selling")]
}

fn any_flag() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("false"), 3 => Just("true"), 1 => Just("null")]
}

fn any_direction() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => Just("ZeroPlusTick"),
        1 => Just(""),
        1 => Just("caf\u{e9}"),
        1 => Just("a\\u0062c"),
        1 => Just("longer than sixteen bytes"),
    ]
}

prop_compose! {
    fn any_trade(spot: bool, symbol: String)(
        (time, size, price) in (any_time(), any_number(), any_number()),
        (id, side, direction) in (any_id(), any_side(), any_direction()),
        (block, rpi, seq) in (any_flag(), any_flag(), any_seq()),
        (has_rpi, has_seq, other) in (any::<bool>(), any::<bool>(), 0..20),
    ) -> String {
        let symbol = if other == 0 { "OTHERUSDT" } else { &symbol };
        let rpi = if has_rpi { format!(",\"RPI\":{rpi}") } else { String::new() };
        let seq = if has_seq { format!(",\"seq\":{seq}") } else { String::new() };
        if spot {
            format!(
                "{{\"i\":\"{id}\",\"T\":{time},\"p\":\"{price}\",\"v\":\"{size}\",\"S\":\"{side}\"\
                 {seq},\"s\":\"{symbol}\",\"BT\":{block}{rpi}}}"
            )
        } else {
            format!(
                "{{\"T\":{time},\"s\":\"{symbol}\",\"S\":\"{side}\",\"v\":\"{size}\",\
                 \"p\":\"{price}\",\"L\":\"{direction}\",\"i\":\"{id}\",\"BT\":{block}{rpi}{seq}}}"
            )
        }
    }
}

fn any_frame() -> impl Strategy<Value = String> {
    let symbol = prop_oneof![8 => "[A-Z0-9]{3,12}", 1 => "[A-Za-z0-9-]{0,40}"];
    (any::<bool>(), symbol, any_time()).prop_flat_map(|(spot, symbol, ts)| {
        let trades = prop::collection::vec(any_trade(spot, symbol.clone()), 0..5);
        trades.prop_map(move |trades| {
            let data = trades.join(",");
            let topic = format!("\"topic\":\"publicTrade.{symbol}\"");
            let kind = "\"type\":\"snapshot\"";
            if spot {
                format!("{{{topic},\"ts\":{ts},{kind},\"data\":[{data}]}}")
            } else {
                format!("{{{topic},{kind},\"ts\":{ts},\"data\":[{data}]}}")
            }
        })
    })
}

/// What both paths must agree on, and the text of the error where there is one.
fn outcome(frame: &Frame, result: Result<(), impl ToString>) -> Result<String, String> {
    result.map_err(|error| error.to_string())?;
    let symbols: Vec<&String> =
        frame.trades.iter().map(|trade| &frame.symbols[trade.symbol as usize]).collect();
    Ok(format!("{} {:?} {symbols:?} {:?}", frame.topic, frame.ts_ms, frame.trades))
}

fn assert_agreement(bytes: &[u8], category: Option<Category>) {
    let (mut usual, mut general) = (Frame::default(), Frame::default());
    let read = usual.decode(bytes, category);
    let expected = general.decode_general(bytes, category);
    assert_eq!(
        outcome(&usual, read),
        outcome(&general, expected),
        "{:?}",
        String::from_utf8_lossy(bytes)
    );
}

fn any_category() -> impl Strategy<Value = Option<Category>> {
    prop_oneof![
        1 => Just(None),
        4 => prop::sample::select(&Category::ALL[..]).prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn frames_of_the_usual_shapes_are_read_alike(
        frame in any_frame(),
        category in any_category(),
    ) {
        assert_agreement(frame.as_bytes(), category);
    }

    #[test]
    fn damaged_frames_are_read_alike(
        frame in any_frame(),
        (at, byte, what) in (any::<prop::sample::Index>(), any::<u8>(), 0..4),
    ) {
        let mut bytes = frame.into_bytes();
        let at = at.index(bytes.len());
        match what {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        assert_agreement(&bytes, Some(Category::Linear));
    }
}

#[test]
fn a_frame_that_is_reused_keeps_nothing_of_the_one_before() {
    let mut frame = Frame::default();
    let trade = |symbol: &str| {
        format!(
            "{{\"T\":1788488627047,\"s\":\"{symbol}\",\"S\":\"Sell\",\"v\":\"0.010\",\
             \"p\":\"80681.90\",\"L\":\"MinusTick\",\
             \"i\":\"ab76cb24-30df-59ce-8a55-f07fd91ff646\",\"BT\":false}}"
        )
    };
    for symbol in ["BTCUSDT", "ETHUSDT", "A"] {
        for space in ["", " "] {
            let text = format!(
                "{{\"topic\":\"publicTrade.{symbol}\",\"type\":\"snapshot\",\"ts\":1788488627048,\
                 \"data\":[{}{space}]}}",
                trade(symbol)
            );
            frame.decode(text.as_bytes(), Some(Category::Linear)).unwrap();
            assert_eq!((frame.topic.as_str(), frame.trades.len()), (symbol, 1));
            assert_eq!(frame.symbols[frame.trades[0].symbol as usize], symbol);
        }
    }
}
