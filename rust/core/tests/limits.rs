//! The bounds on memory: what is given up, what is refused, and that a refusal leaves no trace.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use serde_json::{Value, json};
use tapecast_core::batch::Batch;
use tapecast_core::engine::Engine;
use tapecast_core::error::{ErrorKind, FrameError};
use tapecast_core::settings::{EmptyPolicy, Settings};
use tapecast_core::snapshot::SnapshotOptions;
use tapecast_core::trade::Category;

const START_MS: i64 = 1_790_000_040_000;
const MINUTE_MS: i64 = 60_000;
const HUGE: &str = "9999999999999999999";

fn trade(symbol: &str, id: u32, offset_ms: i64) -> Value {
    json!({
        "T": START_MS + offset_ms, "s": symbol, "S": "Buy", "v": "1", "p": "100",
        "i": id.to_string(), "BT": false, "seq": 1
    })
}

fn block(symbol: &str, id: u32, offset_ms: i64) -> Value {
    let mut block = trade(symbol, id, offset_ms);
    block["BT"] = json!(true);
    block
}

fn huge(symbol: &str, id: u32, offset_ms: i64) -> Value {
    let mut huge = trade(symbol, id, offset_ms);
    huge["p"] = json!(HUGE);
    huge["v"] = json!(HUGE);
    huge
}

fn feed(engine: &mut Engine, trades: &[Value]) -> Result<Batch, FrameError> {
    let symbol = trades[0]["s"].as_str().unwrap();
    let frame = json!({"topic": format!("publicTrade.{symbol}"), "data": trades}).to_string();
    engine.feed(frame.as_bytes(), (START_MS + 10 * MINUTE_MS) * 1_000_000, Category::Linear)
}

fn snapshot(engine: &mut Engine) -> String {
    let whole = SnapshotOptions { history: usize::MAX, ..SnapshotOptions::default() };
    String::from_utf8(engine.snapshot(&whole)).unwrap()
}

#[test]
fn ids_of_block_trades_that_count_in_no_candle_are_forgotten_with_their_minute() {
    let settings =
        Settings { include_block_trades: false, max_trade_ids: 2, ..Settings::default() };
    let mut engine = Engine::new(settings);
    for minute in 0..20_u32 {
        let offset_ms = i64::from(minute) * MINUTE_MS;
        engine.advance(START_MS + offset_ms);
        assert_eq!(
            feed(&mut engine, &[block("A", minute, offset_ms)]).unwrap().messages().len(),
            1
        );
    }
    assert_eq!(engine.counters().late_trades_total, 0);
}

#[test]
fn repeated_trades_cost_no_room_and_give_nothing_up() {
    let mut engine = Engine::new(Settings { max_trade_ids: 2, ..Settings::default() });
    feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    feed(&mut engine, &[trade("A", 2, MINUTE_MS)]).unwrap();
    engine.advance(START_MS + 2 * MINUTE_MS + 1_000);
    feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    let counters = engine.counters();
    assert_eq!((counters.duplicate_trades_total, counters.late_trades_total), (1, 0));
}

#[test]
fn a_refused_frame_gives_no_closed_window_up() {
    let settings = Settings { max_trade_ids: 3, history_candles: 0, ..Settings::default() };
    let mut engine = Engine::new(settings);
    feed(&mut engine, &[trade("A", 1, 0), trade("A", 2, 1)]).unwrap();
    engine.advance(START_MS + MINUTE_MS + 1_000);
    let before = snapshot(&mut engine);
    let ids: Vec<Value> = (10..14).map(|id| trade("A", id, MINUTE_MS)).collect();
    assert_eq!(feed(&mut engine, &ids).unwrap_err().kind, ErrorKind::TooManyTradeIds);
    assert_eq!(snapshot(&mut engine), before);
    assert!(before.contains("ohlcv"), "the candle is still known");
    feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    assert_eq!(engine.counters().duplicate_trades_total, 1, "and so are its ids");
}

#[test]
fn ids_that_a_frame_repeats_take_their_room_once() {
    let mut engine = Engine::new(Settings { max_trade_ids: 4, ..Settings::default() });
    feed(&mut engine, &[trade("A", 1, 0), trade("A", 2, 1)]).unwrap();
    engine.advance(START_MS + MINUTE_MS + 1_000);
    let repeats: Vec<Value> = (0..5).map(|_| trade("A", 3, MINUTE_MS)).collect();
    feed(&mut engine, &repeats).unwrap();
    feed(&mut engine, &[trade("A", 4, 2)]).unwrap();
    let counters = engine.counters();
    assert_eq!((counters.trades_total, counters.late_trades_total), (4, 0));
}

#[test]
fn the_window_of_a_refused_frame_is_not_given_up_for_it() {
    let mut engine = Engine::new(Settings { max_trade_ids: 4, ..Settings::default() });
    feed(&mut engine, &[trade("A", 1, 0), trade("A", 2, 1)]).unwrap();
    engine.advance(START_MS + 5 * MINUTE_MS);
    let sums: Vec<Value> = (10..14).map(|id| huge("A", id, 3 * MINUTE_MS)).collect();
    assert_eq!(feed(&mut engine, &sums).unwrap_err().kind, ErrorKind::Overflow);
    let next: Vec<Value> = (20..24).map(|id| trade("A", id, 5 * MINUTE_MS)).collect();
    feed(&mut engine, &next).unwrap();
    let kind = feed(&mut engine, &[trade("A", 30, 3 * MINUTE_MS)]).unwrap_err().kind;
    assert_eq!(kind, ErrorKind::TooManyTradeIds, "not late, for its minute was not given up");
}

#[test]
fn an_overflow_gives_no_closed_window_up() {
    let settings = Settings { max_trade_ids: 6, history_candles: 0, ..Settings::default() };
    let mut engine = Engine::new(settings);
    feed(&mut engine, &[trade("A", 1, 0), trade("A", 2, 1), trade("A", 3, 2)]).unwrap();
    engine.advance(START_MS + MINUTE_MS + 1_000);
    let before = snapshot(&mut engine);
    let sums: Vec<Value> = (10..15).map(|id| huge("A", id, MINUTE_MS)).collect();
    assert_eq!(feed(&mut engine, &sums).unwrap_err().kind, ErrorKind::Overflow);
    assert_eq!(snapshot(&mut engine), before);
    let fits: Vec<Value> = (10..15).map(|id| trade("A", id, MINUTE_MS)).collect();
    assert_eq!(feed(&mut engine, &fits).unwrap().messages().len(), 5);
    feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    assert_eq!(engine.counters().late_trades_total, 1, "the room came from the closed window");
}

#[test]
fn a_refused_symbol_leaves_no_coverage_behind() {
    let mut engine = Engine::new(Settings { max_trade_ids: 1, ..Settings::default() });
    let two = [trade("B", 1, 0), trade("B", 2, 0)];
    assert_eq!(feed(&mut engine, &two).unwrap_err().kind, ErrorKind::TooManyTradeIds);
    assert!(engine.series().is_empty());
    engine.uncover(Category::Linear, ["A"], START_MS + 1);
    feed(&mut engine, &[trade("B", 1, 0)]).unwrap();
    engine.advance(START_MS + MINUTE_MS + 1_000);
    assert!(snapshot(&mut engine).contains("\"complete\":true"), "the gap of A is none of B's");
}

#[test]
fn times_beyond_every_clock_are_taken_for_the_nearest_possible() {
    let mut engine = Engine::new(Settings::default());
    feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    let lost = engine.uncover(Category::Linear, ["A"], i64::MIN);
    let gap: Value = serde_json::from_slice(lost.payload(0)).unwrap();
    assert_eq!((gap["from"].as_i64(), gap["to"].as_i64()), (Some(0), Some(0)));
    let found = engine.cover(Category::Linear, ["A"], i64::MAX, true);
    let gap: Value = serde_json::from_slice(found.payload(0)).unwrap();
    assert_eq!(gap["to"].as_i64(), Some(4_102_444_800_000));
    engine.advance(i64::MIN);
    assert_eq!(engine.advance(i64::MAX).messages().len(), 1);
}

#[test]
fn an_outage_before_the_first_closing_is_a_gap_and_nothing_else() {
    let mut engine = Engine::new(Settings { empty: EmptyPolicy::Flat, ..Settings::default() });
    feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    assert_eq!(engine.uncover(Category::Linear, ["A"], START_MS).messages().len(), 1);
}

#[test]
fn a_frame_refused_for_one_symbol_too_many_undoes_nothing_of_the_frame_before() {
    let settings = Settings { max_symbols: 1, ..Settings::default() };
    let mut engine = Engine::new(settings);
    feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    let before = engine.open(&engine.series()[0]).collect::<Vec<_>>();
    assert_eq!(before.len(), 1);
    let refused = feed(&mut engine, &[trade("B", 1, 0)]).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooManySymbols);
    assert_eq!(engine.open(&engine.series()[0]).collect::<Vec<_>>(), before);
    let again = feed(&mut engine, &[trade("A", 1, 0)]).unwrap();
    assert_eq!(again.messages().len(), 0);
}
