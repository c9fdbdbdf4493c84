//! Three decoders read every frame alike: the path for the usual shapes, the general path, and an
//! independent one by `serde_json`. The fuzz target asks the same of whatever bytes it can think of.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tapecast_core::frame::Frame;

mod reference;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

/// Bytes that mean something in JSON or in a frame.
const WORDS: [&str; 24] = [
    "\"",
    "\\",
    "\\\"",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud83d",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\u{0}",
    "\u{7f}",
    "\u{e9}",
    "0",
    "-",
    ".5",
    "e1",
    "null",
    "false",
    "\"s\":\"BTC\",",
];

/// Frames that a decoder might well take for others; what the fuzz target finds joins them.
const CASES: [&str; 8] = [
    // An array is no object, though what begins in it may be a key.
    r#"["topic":"publicTrade.A","data":[]}"#,
    r#" {"topic":"publicTrade.A","data":[]} "#,
    r#"{"topic":"publicTrade.A","data":[{"T":1788488627047.0}]}"#,
    r#"{"topic":"publicTrade.A","ts":1788488627047x,"data":[]}"#,
    r#"{"topic":"publicTrade.A","data":[{},]}"#,
    r#"{"topic":"publicTrade.A","data":[{"BT":falsehood}]}"#,
    r#"{"topic":"publicTrade.A","ts":-0,"data":[{"T":-0,"s":"A","S":"Buy","v":"1","p":"1","i":"-0"}]}"#,
    "",
];

fn any_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ]
}

#[test]
fn every_seed_is_read_by_all() {
    let seeds = seeds();
    assert!(seeds.len() >= 5);
    for seed in seeds {
        reference::assert_agreement(&seed);
        Frame::default().decode(&seed, None).unwrap();
        Frame::default().decode_general(&seed, None).unwrap();
    }
}

#[test]
fn each_of_many_symbols_keeps_its_trades() {
    let trade = |number: usize| {
        let symbol = format!("BTC-{}-C", number % 20);
        format!(r#"{{"s":"{symbol}","T":{number},"S":"Buy","v":"1","p":"1","i":"{number}"}}"#)
    };
    let data: Vec<String> = (0..60).map(trade).collect();
    let text = format!(r#"{{"topic":"publicTrade.BTC","data":[{}]}}"#, data.join(","));
    reference::assert_agreement(text.as_bytes());
    let mut frame = Frame::default();
    frame.decode(text.as_bytes(), None).unwrap();
    assert_eq!((frame.symbols.len(), frame.trades.len()), (20, 60));
}

#[test]
fn every_case_is_read_by_all_or_refused_by_all() {
    for case in CASES {
        reference::assert_agreement(case.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn seeds_with_other_words_in_them_are_read_alike(
        seed in prop::sample::select(seeds()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, any_word()), 1..4),
    ) {
        let mut bytes = seed;
        for (at, removed, word) in edits {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + removed);
            bytes.splice(at..end, word);
        }
        reference::assert_agreement(&bytes);
    }
}
