//! The history of candles: what is put back into it, and what is not.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use serde_json::{Value, json};
use tapecast_core::candle::Candle;
use tapecast_core::engine::Engine;
use tapecast_core::replay::{Kept, RecallError};
use tapecast_core::settings::Settings;
use tapecast_core::snapshot::SnapshotOptions;
use tapecast_core::trade::Category;

const START_MS: i64 = 1_790_000_040_000;
const MINUTE_MS: i64 = 60_000;

/// Feeds one trade of a minute.
fn feed(engine: &mut Engine, minute: i64) {
    let trade = json!({
        "T": START_MS + minute * MINUTE_MS, "s": "A", "S": "Buy", "v": "1", "p": "100",
        "i": minute.to_string(), "BT": false, "seq": 1
    });
    let frame = json!({"topic": "publicTrade.A", "data": [trade]}).to_string();
    let received_ns = (START_MS + 100 * MINUTE_MS) * 1_000_000;
    engine.feed(frame.as_bytes(), received_ns, Category::Linear).unwrap();
}

fn snapshot(engine: &mut Engine) -> Value {
    let whole = SnapshotOptions { history: usize::MAX, in_progress: true, ..Default::default() };
    serde_json::from_slice(&engine.snapshot(&whole)).unwrap()
}

fn restored(engine: &Engine) -> Engine {
    Engine::restored(&engine.checkpoint(), |_| {}).unwrap()
}

const FLAT: Kept<'_> = Kept {
    start_ms: START_MS,
    prices: ["1.5"; 4],
    volume: "0",
    turnover: "0",
    buy_volume: Some("0"),
    trades: Some(0),
    complete: true,
    source: "trades",
    verified: None,
    revision: 2,
};

fn kept(minute: i64) -> (Category, &'static str, Candle) {
    let kept = Kept { start_ms: START_MS + minute * MINUTE_MS, ..FLAT };
    (Category::Linear, "A", kept.candle().unwrap())
}

fn minutes(engine: &Engine) -> Vec<i64> {
    let closed = engine.series()[0].closed();
    closed.map(|candle| (candle.start_ms - START_MS) / MINUTE_MS).collect()
}

#[test]
fn recalled_candles_fill_the_history_and_no_minute_twice() {
    let settings =
        Settings { revise_window_ms: MINUTE_MS, history_candles: 4, ..Settings::default() };
    let mut engine = Engine::new(settings);
    for minute in [5, 7, 9, 10] {
        feed(&mut engine, minute);
    }
    engine.advance(START_MS + 11 * MINUTE_MS + 1_000);
    assert_eq!(minutes(&engine), [5, 7, 9, 10]);
    let taken = engine.recall([3, 4, 5, 6, 7, 8, 9, 10, 11].map(kept));
    assert_eq!(minutes(&engine), [6, 7, 8, 9, 10], "four, and one that may be revised");
    assert_eq!(taken, 4, "3, 4, 6 and 8, of which 3 and 4 made room again");
    let closed: Vec<_> = engine.series()[0].closed().map(|candle| candle.revision).collect();
    assert_eq!(closed, [2, 0, 2, 0, 0]);
}

/// An engine with a trade in each of these minutes, the newest four of which are in its history.
fn with_history(minutes: std::ops::Range<i64>) -> Engine {
    let settings =
        Settings { revise_window_ms: MINUTE_MS, history_candles: 4, ..Settings::default() };
    let mut engine = Engine::new(settings);
    for minute in minutes {
        feed(&mut engine, minute);
        engine.advance(START_MS + (minute + 1) * MINUTE_MS + 1_000);
    }
    engine
}

#[test]
fn a_history_that_was_recalled_is_that_of_before() {
    let mut ours = with_history(0..8);
    let kept: Vec<_> = ours.series()[0].closed().cloned().collect();
    let mut theirs = restored(&ours);
    let rows = kept.iter().map(|candle| (Category::Linear, "A", candle.clone()));
    assert_eq!(theirs.recall(rows), 4, "all but the one that may be revised");
    assert!(theirs.series()[0].closed().eq(&kept));
    assert_eq!(snapshot(&mut theirs), snapshot(&mut ours));
}

#[test]
fn what_is_remembered_of_the_history_goes_on_whether_it_was_recalled_or_not() {
    let mut ours = with_history(0..8);
    let mut theirs = restored(&ours);
    for engine in [&mut ours, &mut theirs] {
        engine.recall([kept(0)]);
        feed(engine, 8);
        engine.advance(START_MS + 10 * MINUTE_MS + 1_000);
    }
    assert!(ours.checkpoint() == theirs.checkpoint());
    assert_eq!(minutes(&theirs), [7, 8], "those that were known are not there, nor older ones");
}

#[test]
fn recall_makes_symbols_within_their_bound() {
    let mut engine = Engine::new(Settings { max_symbols: 1, ..Settings::default() });
    assert_eq!(engine.recall([kept(0)]), 0, "the clock was never moved");
    engine.advance(START_MS + 60 * MINUTE_MS);
    let (category, _, candle) = kept(0);
    assert_eq!(engine.recall([(category, "A", candle.clone()), (category, "B", candle)]), 1);
    assert_eq!((engine.series().len(), minutes(&engine)), (1, vec![0]));
    feed(&mut engine, 60);
    assert_eq!(snapshot(&mut engine)["ohlcv"][0]["close"].to_string(), "1.5");
}

#[test]
fn a_kept_candle_with_a_bad_field_is_refused_by_name() {
    let unclear = "source is \"trades\", expected kline exactly where neither trades nor buy_volume \
                   are known";
    let cases: [(Kept<'_>, &str); 7] = [
        (Kept { start_ms: 1, ..FLAT }, "start_ms is 1, expected the start of a minute"),
        (
            Kept { prices: ["1", "2", "-1", "1"], ..FLAT },
            "low is \"-1\", expected a positive decimal of at most 19 digits",
        ),
        (Kept { volume: "1.", ..FLAT }, "volume is \"1.\", expected a decimal below 2^128"),
        (
            Kept { buy_volume: Some("1e5"), ..FLAT },
            "buy_volume is \"1e5\", expected a decimal below 2^128",
        ),
        (Kept { source: "news", ..FLAT }, "source is \"news\", expected trades, backfill or kline"),
        (Kept { trades: None, ..FLAT }, unclear),
        (Kept { buy_volume: None, ..FLAT }, unclear),
    ];
    for (kept, expected) in cases {
        let error: RecallError = kept.candle().unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
