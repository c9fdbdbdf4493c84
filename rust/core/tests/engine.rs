//! The candle contract: whatever the order, repetition and split of frames, the same candles.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tapecast_core::batch::{Batch, MessageKind};
use tapecast_core::engine::Engine;
use tapecast_core::settings::{Clock, EmptyPolicy, OpenRule, Settings};
use tapecast_core::snapshot::SnapshotOptions;
use tapecast_core::trade::Category;

const START_MS: i64 = 1_790_000_040_000;
const WINDOW_MS: i64 = 60_000;
const RECEIVED_NS: i64 = (START_MS + 500_000) * 1_000_000;

/// A trade with price in cents and size in thousandths.
#[derive(Debug, Clone)]
struct Given {
    offset_ms: i64,
    seq: u64,
    cents: i64,
    thousandths: i64,
    buys: bool,
    block: bool,
}

impl Given {
    fn json(&self, id: usize) -> Value {
        json!({
            "T": START_MS + self.offset_ms, "s": "BTCUSDT", "S": if self.buys { "Buy" } else { "Sell" },
            "v": format!("{}.{:03}", self.thousandths / 1000, self.thousandths % 1000),
            "p": format!("{}.{:02}", self.cents / 100, self.cents % 100),
            "i": id.to_string(), "BT": self.block, "seq": self.seq
        })
    }
}

fn frame(trades: &[Value]) -> Vec<u8> {
    json!({"topic": "publicTrade.BTCUSDT", "ts": START_MS + 500_000, "data": trades})
        .to_string()
        .into_bytes()
}

fn feed(engine: &mut Engine, trades: &[Value]) -> Batch {
    engine.feed(&frame(trades), RECEIVED_NS, Category::Linear).unwrap()
}

fn payloads(batch: &Batch, kind: MessageKind) -> Vec<Value> {
    let all = batch.messages().iter().enumerate();
    let wanted = all.filter(|(_, message)| message.kind == kind);
    wanted.map(|(index, _)| serde_json::from_slice(batch.payload(index)).unwrap()).collect()
}

/// A window's trades folded the slow way: first and last by (time, sequence), sums as integers.
fn oracle(trades: &[Given], with_blocks: bool) -> BTreeMap<i64, Vec<i64>> {
    let mut windows: BTreeMap<i64, Vec<&Given>> = BTreeMap::new();
    for trade in trades.iter().filter(|trade| with_blocks || !trade.block) {
        let start_ms = (START_MS + trade.offset_ms).div_euclid(WINDOW_MS) * WINDOW_MS;
        windows.entry(start_ms).or_default().push(trade);
    }
    let fold = |mut trades: Vec<&Given>| {
        trades.sort_by_key(|trade| (trade.offset_ms, trade.seq));
        let prices = || trades.iter().map(|trade| trade.cents);
        let bought = trades.iter().filter(|trade| trade.buys);
        vec![
            trades[0].cents,
            prices().max().unwrap(),
            prices().min().unwrap(),
            trades[trades.len() - 1].cents,
            trades.iter().map(|trade| trade.thousandths).sum(),
            trades.iter().map(|trade| trade.thousandths * trade.cents).sum(),
            bought.map(|trade| trade.thousandths).sum(),
            i64::try_from(trades.len()).unwrap(),
        ]
    };
    windows.into_iter().map(|(start_ms, trades)| (start_ms, fold(trades))).collect()
}

/// The digits of a JSON number with `places` after the point, as an integer.
fn scaled(value: &Value, places: usize) -> i64 {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    assert!(fraction.len() <= places, "{text} has at most {places} places");
    format!("{whole}{fraction:0<places$}").parse().unwrap()
}

fn figures(candle: &Value) -> Vec<i64> {
    let places = [
        ("open", 2),
        ("high", 2),
        ("low", 2),
        ("close", 2),
        ("volume", 3),
        ("turnover", 5),
        ("buy_volume", 3),
        ("trades", 0),
    ];
    places.iter().map(|(name, places)| scaled(&candle[name], *places)).collect()
}

fn any_trades() -> impl Strategy<Value = Vec<Given>> {
    let one = (0_i64..400_000, 1_i64..500_000, 1_i64..9_000, any::<bool>(), any::<bool>());
    prop::collection::vec(one, 1..40).prop_map(|items| {
        let numbered = items.into_iter().zip(1_u64..);
        let given = numbered.map(|((time, cents, thousandths, buys, block), seq)| Given {
            // Coarse times: several trades share a millisecond, and the sequence decides.
            offset_ms: time / 5_000 * 5_000,
            seq: seq * 7 % 41 * 100 + seq,
            cents,
            thousandths,
            buys,
            block,
        });
        given.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_order_repetition_and_split_gives_the_oracles_candles(
        trades in any_trades(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..90),
        split in 1_usize..5,
        with_blocks in any::<bool>(),
        event_clock in any::<bool>(),
    ) {
        let clock = if event_clock { Clock::Event } else { Clock::Wall };
        let mut engine = Engine::new(Settings { clock, include_block_trades: with_blocks, ..Settings::default() });
        // Repeats first, in any order, then every trade once from the last to the first.
        let mut arrivals: Vec<usize> = order.iter().map(|index| index.index(trades.len())).collect();
        arrivals.extend((0..trades.len()).rev());
        let mut last: BTreeMap<i64, Value> = BTreeMap::new();
        let mut seq = 0;
        let mut published = 0;
        let mut batches: Vec<Batch> = Vec::new();
        for chunk in arrivals.chunks(split) {
            let frame: Vec<Value> = chunk.iter().map(|&id| trades[id].json(id)).collect();
            batches.push(feed(&mut engine, &frame));
        }
        batches.push(engine.advance(START_MS + 500_000));
        for batch in &batches {
            for message in batch.messages() {
                seq += 1;
                prop_assert_eq!(message.seq, seq);
            }
            published += payloads(batch, MessageKind::Trade).len();
            for candle in payloads(batch, MessageKind::Ohlcv) {
                let start_ms = candle["start"].as_i64().unwrap();
                let revision = last.get(&start_ms).map_or(0, |known| known["revision"].as_u64().unwrap() + 1);
                prop_assert_eq!(candle["revision"].as_u64(), Some(revision));
                last.insert(start_ms, candle);
            }
        }
        prop_assert_eq!(published, trades.len());
        let candles: BTreeMap<i64, Vec<i64>> =
            last.iter().map(|(start_ms, candle)| (*start_ms, figures(candle))).collect();
        prop_assert_eq!(candles, oracle(&trades, with_blocks));
        let counts = engine.counters();
        prop_assert_eq!(counts.duplicate_trades_total, order.len() as u64);
        prop_assert_eq!((counts.late_trades_total, counts.bad_frames_total), (0, 0));
    }

    #[test]
    fn flat_candles_that_open_at_the_close_before_leave_no_minute_out(trades in any_trades()) {
        let mut engine = Engine::new(Settings {
            empty: EmptyPolicy::Flat, open: OpenRule::PreviousClose, ..Settings::default()
        });
        let half = trades.len() / 2;
        let frame = |range: std::ops::Range<usize>| -> Vec<Value> { range.map(|id| trades[id].json(id)).collect() };
        feed(&mut engine, &frame(half..trades.len()));
        engine.advance(START_MS + 500_000);
        feed(&mut engine, &frame(0..half));
        engine.advance(START_MS + 560_000);
        let snapshot = engine.snapshot(&SnapshotOptions { history: 100, ..SnapshotOptions::default() });
        let snapshot: Value = serde_json::from_slice(&snapshot).unwrap();
        let candles = snapshot["ohlcv"].as_array().unwrap();
        for pair in candles.windows(2) {
            prop_assert_eq!(pair[0]["timestamp"].clone(), pair[1]["start"].clone());
            prop_assert_eq!(pair[0]["close"].clone(), pair[1]["open"].clone());
        }
        let expected = oracle(&trades, true);
        let first_ms = *expected.keys().next().unwrap();
        prop_assert_eq!(candles[0]["start"].as_i64(), Some(first_ms));
        for candle in candles {
            let start_ms = candle["start"].as_i64().unwrap();
            let values = figures(candle);
            if let Some(fold) = expected.get(&start_ms) {
                let open = if start_ms == first_ms { fold[0] } else { values[0] };
                let bounds = [open, fold[1].max(open), fold[2].min(open)];
                prop_assert_eq!(&values[..3], &bounds[..]);
                prop_assert_eq!(&values[3..], &fold[3..]);
            } else {
                prop_assert_eq!(&values[..4], &[values[0]; 4][..]);
                prop_assert_eq!(&values[4..], &[0; 4][..]);
                prop_assert!(candle["vwap"].is_null());
            }
        }
    }
}

fn trade(offset_ms: i64, cents: i64) -> Given {
    Given { offset_ms, seq: 1, cents, thousandths: 1_000, buys: true, block: false }
}

#[test]
fn a_refused_frame_leaves_no_trace_but_its_count() {
    let settings = Settings { max_symbols: 1, ..Settings::default() };
    let mut engine = Engine::new(settings);
    feed(&mut engine, &[trade(0, 100).json(1)]);
    let before = engine.snapshot(&SnapshotOptions::default());
    let good = trade(1, 100).json(2);
    let mut bad = trade(2, 100).json(3);
    bad["v"] = json!("-1");
    assert!(engine.feed(&frame(&[good.clone(), bad]), RECEIVED_NS, Category::Linear).is_err());
    let error = engine.feed(&frame(&[good]), RECEIVED_NS, Category::Inverse).unwrap_err();
    assert_eq!(
        error.to_string(),
        "symbol is \"BTCUSDT\", one more than the 1 known, expected at most 1 symbols (byte 58)"
    );
    assert_eq!(engine.snapshot(&SnapshotOptions::default()), before);
    assert_eq!(engine.counters().bad_frames_total, 2);
    assert_eq!(feed(&mut engine, &[trade(1, 100).json(2)]).messages().len(), 1);
}

#[test]
fn a_sum_that_would_overflow_refuses_its_frame_whole() {
    let mut engine = Engine::new(Settings::default());
    let huge = |id: usize| {
        let mut huge = trade(0, 1).json(id);
        huge["p"] = json!("9999999999999999999");
        huge["v"] = json!("9999999999999999999");
        huge
    };
    for id in 0..3 {
        feed(&mut engine, &[huge(id)]);
    }
    let before = engine.snapshot(&SnapshotOptions::default());
    let error = engine.feed(
        &frame(&[trade(0, 1).json(8), huge(9)]),
        START_MS * 1_000_000,
        Category::Linear,
    );
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with(
            "sum of the window is more than 128 bits hold, expected volume and turnover below 2^128"
        ),
        "{text}"
    );
    assert_eq!(engine.snapshot(&SnapshotOptions::default()), before);
    assert_eq!(
        feed(&mut engine, &[trade(70_000, 1).json(9)]).messages().len(),
        1,
        "its id is free again"
    );
}

#[test]
fn a_trade_older_than_the_revise_window_is_late_and_in_no_candle() {
    let mut engine = Engine::new(Settings { revise_window_ms: 60_000, ..Settings::default() });
    feed(&mut engine, &[trade(0, 100).json(1)]);
    engine.advance(START_MS + 60_000 + 999);
    assert_eq!(engine.counters().candles_total, 0, "the grace is not over");
    assert_eq!(engine.advance(START_MS + 61_000).messages().len(), 1);
    let revised = feed(&mut engine, &[trade(1, 200).json(2)]);
    assert_eq!(payloads(&revised, MessageKind::Ohlcv)[0]["revision"], 1);
    engine.advance(START_MS + 120_000);
    assert!(feed(&mut engine, &[trade(2, 300).json(3)]).messages().is_empty());
    assert_eq!(engine.counters().late_trades_total, 1);
}

#[test]
fn ids_are_remembered_within_their_bound_and_the_oldest_windows_pay() {
    let mut engine = Engine::new(Settings { max_trade_ids: 2, ..Settings::default() });
    feed(&mut engine, &[trade(0, 100).json(1)]);
    feed(&mut engine, &[trade(60_000, 100).json(2)]);
    engine.advance(START_MS + 62_000);
    feed(&mut engine, &[trade(60_001, 100).json(3)]);
    feed(&mut engine, &[trade(1, 100).json(4)]);
    assert_eq!(engine.counters().late_trades_total, 1, "the first window was given up for room");
    let error = engine.feed(&frame(&[trade(60_002, 1).json(5)]), RECEIVED_NS, Category::Linear);
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with(
            "trade id is \"5\", one more than the 2 remembered, expected at most 2 trade ids"
        ),
        "{text}"
    );
}

#[test]
fn candles_of_uncovered_stretches_are_incomplete() {
    let mut engine = Engine::new(Settings { assume_covered: false, ..Settings::default() });
    let complete = |batch: &Batch| -> Vec<bool> {
        payloads(batch, MessageKind::Ohlcv)
            .iter()
            .map(|candle| candle["complete"] == true)
            .collect()
    };
    assert!(engine.cover(Category::Linear, ["BTCUSDT"], START_MS + 1, true).messages().is_empty());
    for minute in 0..4 {
        feed(&mut engine, &[trade(minute * 60_000 + 5, 100).json(minute.try_into().unwrap())]);
    }
    assert_eq!(
        complete(&engine.advance(START_MS + 121_000)),
        [false, true],
        "covered from the first ms on"
    );
    let lost = engine.uncover(Category::Linear, ["BTCUSDT"], START_MS + 110_000);
    assert_eq!(complete(&lost), [false], "the second minute was closed as complete too early");
    assert_eq!(payloads(&lost, MessageKind::Gap)[0]["state"], "open");
    assert!(
        engine.uncover(Category::Linear, ["BTCUSDT"], START_MS + 112_000).messages().is_empty()
    );
    let healed = engine.cover(Category::Linear, ["BTCUSDT"], START_MS + 130_000, true);
    let gap = &payloads(&healed, MessageKind::Gap)[0];
    assert_eq!(
        (gap["from"].as_i64(), gap["to"].as_i64()),
        (Some(START_MS + 110_000), Some(START_MS + 130_000))
    );
    assert_eq!(gap["state"], "unhealed");
    assert_eq!(complete(&engine.advance(START_MS + 241_000)), [false, true]);
}
