//! The law of checkpoints: an engine that was restored goes on as if it had never stopped.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};
use tapecast_core::batch::Batch;
use tapecast_core::checkpoint::{CheckpointError, VERSION};
use tapecast_core::encode::LineChange;
use tapecast_core::engine::{Engine, StatsInput};
use tapecast_core::kline::Kline;
use tapecast_core::replay::RestateError;
use tapecast_core::settings::{Clock, EmptyPolicy, OpenRule, Settings};
use tapecast_core::snapshot::SnapshotOptions;
use tapecast_core::trade::Category;

const START_MS: i64 = 1_790_000_040_000;
const MINUTE_MS: i64 = 60_000;
const TOPICS: [&str; 3] = ["A", "B", "C"];

/// One call of an engine, with what it needs of `START_MS` and after.
#[derive(Debug, Clone)]
enum Input {
    Feed(Vec<Given>, Category),
    Broken,
    Advance(i64),
    Cover(usize, i64),
    Uncover(usize, i64),
    Miss(usize, i64, i64),
    Heal(usize, i64, i64),
    GiveUp(usize, i64, i64),
    Backfill(Vec<Given>, Category),
    Klines(usize, i64, u32),
    Stats(i64, u64),
    Upstream,
    Partials,
    Renumber,
    Repeated(u64),
}

/// A trade: symbol, id, time, price and size in hundredths, block trade.
type Given = (usize, u16, i64, u32, u32, bool);

fn trade((symbol, id, offset_ms, price, size, block): &Given, category: Category) -> Value {
    let decimal = |hundredths: &u32| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    let id = match (category, id % 7) {
        (_, 0) => format!("text-{id}"),
        (Category::Spot, _) => id.to_string(),
        _ => format!("{id:08x}-0000-5000-8000-{:012x}", u64::from(*id) * 77),
    };
    json!({
        "T": START_MS + offset_ms, "s": TOPICS[*symbol], "S": if size % 2 == 0 { "Buy" } else { "Sell" },
        "v": decimal(size), "p": decimal(price), "i": id, "BT": block, "RPI": false, "seq": *price
    })
}

fn frame(trades: &[Given], category: Category) -> Vec<u8> {
    let data: Vec<Value> = trades.iter().map(|given| trade(given, category)).collect();
    let ts = START_MS + trades.iter().map(|given| given.2).max().unwrap_or(0) + 3;
    json!({"topic": format!("publicTrade.{}", TOPICS[trades[0].0]), "ts": ts, "data": data})
        .to_string()
        .into_bytes()
}

fn stats(engine: &mut Engine, now_ms: i64, sent: u64) -> Batch {
    engine.stats(&StatsInput {
        now_ms: START_MS + now_ms,
        interval_ns: 1_000_000_000,
        counts: &[("sent_messages".to_owned(), sent)],
        thread_statuses: "[]",
        rejected_symbols: "[]",
        sections: &[],
        latencies: &[],
    })
}

fn apply(engine: &mut Engine, input: &Input) -> Vec<u8> {
    let batch = match input {
        Input::Feed(trades, category) => {
            let received_ns = (START_MS + 20 * MINUTE_MS) * 1_000_000;
            match engine.feed(&frame(trades, *category), received_ns, *category) {
                Ok(batch) => batch,
                Err(error) => return error.to_string().into_bytes(),
            }
        }
        Input::Broken => engine.feed(b"{", 0, Category::Linear).unwrap_or_default(),
        Input::Advance(at_ms) => engine.advance(START_MS + at_ms),
        Input::Cover(topic, at_ms) => {
            engine.cover(Category::Linear, [TOPICS[*topic]], START_MS + at_ms, at_ms % 2 == 0)
        }
        Input::Uncover(topic, at_ms) => {
            engine.uncover(Category::Linear, [TOPICS[*topic]], START_MS + at_ms)
        }
        Input::Miss(topic, from_ms, to_ms) => {
            let stretch = (START_MS + from_ms, START_MS + to_ms);
            engine.miss(Category::Linear, [TOPICS[*topic]], stretch, to_ms % 2 == 0)
        }
        Input::Heal(topic, from_ms, to_ms) => {
            let stretch = (START_MS + from_ms, START_MS + to_ms);
            engine.heal(Category::Linear, TOPICS[*topic], stretch)
        }
        Input::GiveUp(topic, from_ms, to_ms) => {
            let stretch = (START_MS + from_ms, START_MS + to_ms);
            engine.give_up(Category::Linear, TOPICS[*topic], stretch)
        }
        Input::Backfill(trades, category) => {
            let received_ns = (START_MS + 20 * MINUTE_MS) * 1_000_000;
            let applied = engine.backfill(&frame(trades, *category), received_ns, *category);
            applied.unwrap_or_default()
        }
        Input::Klines(topic, minute, price) => {
            let (start_ms, price) = (START_MS + minute * MINUTE_MS, price.to_string());
            let row = Kline::read(
                start_ms,
                [&price; 4].map(String::as_str),
                [&price; 2].map(String::as_str),
            );
            engine.klines(Category::Linear, TOPICS[*topic], &[row.unwrap()])
        }
        Input::Stats(now_ms, sent) => stats(engine, *now_ms, *sent),
        Input::Upstream => {
            let change = LineChange { now_ms: 1, line: "1", state: "connected", reason: "" };
            engine.upstream(&change)
        }
        Input::Partials => engine.partials(engine.seq() / 2).1,
        Input::Renumber => {
            engine.renumber("next");
            Batch::default()
        }
        Input::Repeated(trades) => {
            engine.repeated(*trades);
            Batch::default()
        }
    };
    batch.frames().to_vec()
}

fn snapshot(engine: &mut Engine) -> String {
    let whole = SnapshotOptions { history: usize::MAX, in_progress: true, ..Default::default() };
    String::from_utf8(engine.snapshot(&whole)).unwrap()
}

fn restored(engine: &Engine) -> Engine {
    Engine::restored(&engine.checkpoint(), |_| {}).unwrap()
}

fn is_refused(bytes: &[u8]) -> bool {
    Engine::restored(bytes, |_| {}).is_err()
}

fn any_input() -> impl Strategy<Value = Input> {
    let at_ms = || -30_000..900_000_i64;
    let given = || (0..3_usize, 0..60_u16, at_ms(), 1..5_000_u32, 1..5_000_u32, any::<bool>());
    let trades = || {
        prop::collection::vec(given(), 1..5).prop_map(|mut trades| {
            let topic = trades[0].0;
            for given in &mut trades {
                given.0 = topic;
            }
            trades
        })
    };
    let category = || prop::sample::select(&[Category::Linear, Category::Spot][..]);
    prop_oneof![
        8 => (trades(), category()).prop_map(|(trades, category)| Input::Feed(trades, category)),
        2 => (trades(), category()).prop_map(|(trades, category)| Input::Backfill(trades, category)),
        1 => (0..3_usize, at_ms(), at_ms()).prop_map(|(topic, from, to)| Input::Heal(topic, from, to)),
        1 => (0..3_usize, at_ms(), at_ms()).prop_map(|(topic, from, to)| Input::GiveUp(topic, from, to)),
        2 => (0..3_usize, 0..15_i64, 1..50_u32).prop_map(|(topic, minute, price)| Input::Klines(topic, minute, price)),
        1 => Just(Input::Broken),
        4 => at_ms().prop_map(Input::Advance),
        1 => (0..3_usize, at_ms()).prop_map(|(topic, at)| Input::Cover(topic, at)),
        1 => (0..3_usize, at_ms()).prop_map(|(topic, at)| Input::Uncover(topic, at)),
        1 => (0..3_usize, at_ms(), at_ms()).prop_map(|(topic, from, to)| Input::Miss(topic, from, to)),
        2 => (at_ms(), 0..500_u64).prop_map(|(now, sent)| Input::Stats(now, sent)),
        1 => Just(Input::Upstream),
        1 => Just(Input::Partials),
        1 => Just(Input::Renumber),
        1 => (0..9_u64).prop_map(Input::Repeated),
    ]
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let clock = prop_oneof![Just(Clock::Wall), Just(Clock::Event)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (clock, flags, 2..60_usize, 1..5_usize, 0..5_usize).prop_map(
        |(
            clock,
            (flat, previous, with_blocks, covered),
            max_trade_ids,
            recent_trades,
            history_candles,
        )| Settings {
            revise_window_ms: 2 * MINUTE_MS,
            empty: if flat { EmptyPolicy::Flat } else { EmptyPolicy::Skip },
            open: if previous { OpenRule::PreviousClose } else { OpenRule::FirstTrade },
            include_block_trades: with_blocks,
            clock,
            epoch: "first".to_owned(),
            max_future_ms: 30 * MINUTE_MS,
            assume_covered: covered,
            recent_trades,
            history_candles,
            max_symbols: 5,
            max_trade_ids,
            ..Settings::default()
        },
    )
}

proptest! {
    #[test]
    fn an_engine_restored_goes_on_as_if_it_had_never_stopped(
        settings in any_settings(),
        inputs in prop::collection::vec(any_input(), 1..40),
        split in any::<prop::sample::Index>(),
    ) {
        let split = split.index(inputs.len() + 1);
        let mut ours = Engine::new(settings);
        for input in &inputs[..split] {
            apply(&mut ours, input);
        }
        let mut theirs = restored(&ours);
        for input in &inputs[split..] {
            prop_assert_eq!(apply(&mut ours, input), apply(&mut theirs, input));
        }
        prop_assert_eq!(ours.counters(), theirs.counters());
        prop_assert!(ours.checkpoint() == theirs.checkpoint());
        // Candles that can no longer be revised are in no checkpoint.
        theirs.recall(ours.series().iter().flat_map(|series| {
            series.closed().map(|candle| (series.category, &*series.symbol, candle.clone()))
        }));
        prop_assert_eq!(snapshot(&mut ours), snapshot(&mut theirs));
        prop_assert!(ours.checkpoint() == theirs.checkpoint());
    }

    #[test]
    fn damaged_bytes_are_refused(
        inputs in prop::collection::vec(any_input(), 0..12),
        at in any::<prop::sample::Index>(),
        mask in 1_u8..,
    ) {
        let mut engine = Engine::new(Settings::default());
        for input in &inputs {
            apply(&mut engine, input);
        }
        let mut bytes = engine.checkpoint();
        let at = at.index(bytes.len());
        prop_assert!(is_refused(&bytes[..at]));
        bytes[at] ^= mask;
        prop_assert!(is_refused(&bytes));
    }
}

/// A feed of one trade with the given id, in the given minute.
fn feed(engine: &mut Engine, id: u16, minute: i64) -> Vec<u8> {
    apply(
        engine,
        &Input::Feed(vec![(0, id, minute * MINUTE_MS, 100, 100, false)], Category::Linear),
    )
}

fn refusal(bytes: &[u8]) -> String {
    Engine::restored(bytes, |_| {}).unwrap_err().to_string()
}

#[test]
fn a_refusal_says_what_was_found_and_what_was_expected() {
    let bytes = Engine::new(Settings::default()).checkpoint();
    let length = bytes.len();
    assert_eq!(refusal(b"tapecast"), "checkpoint has 8 bytes, expected at least 24");
    let foreign = [b"T", &bytes[1..]].concat();
    assert_eq!(refusal(&foreign), "checkpoint does not begin as one, expected \"tapecast\"");
    let found = length - 1;
    let text = format!("checkpoint has {found} bytes, expected {length}");
    assert_eq!(refusal(&bytes[..found]), text);
    let mut flipped = bytes;
    flipped[length - 1] ^= 1;
    let error = Engine::restored(&flipped, |_| {}).unwrap_err();
    assert!(matches!(error, CheckpointError::Checksum { .. }), "{error}");
}

/// Changes bytes of a checkpoint and makes its checksum right again.
fn forged(engine: &Engine, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = engine.checkpoint();
    change(&mut bytes);
    let length = (bytes.len() - 24) as u64;
    bytes[12..20].copy_from_slice(&length.to_le_bytes());
    let Err(CheckpointError::Checksum { found, .. }) = Engine::restored(&bytes, |_| {}) else {
        return bytes;
    };
    bytes[20..24].copy_from_slice(&found.to_le_bytes());
    bytes
}

#[test]
fn another_version_is_named_beside_ours() {
    let engine = Engine::new(Settings::default());
    let bytes = forged(&engine, |bytes| bytes[8..12].copy_from_slice(&77_u32.to_le_bytes()));
    let text = format!("checkpoint is of version 77, expected {VERSION}");
    assert_eq!(refusal(&bytes), text);
}

/// A change of what is serialised raises the version; the checksum here is then that of the new one.
#[test]
fn the_shape_of_the_state_belongs_to_its_version() {
    let mut engine = Engine::new(Settings { revise_window_ms: MINUTE_MS, ..Settings::default() });
    for minute in 0..8 {
        feed(&mut engine, 1 + u16::try_from(minute).unwrap(), minute);
        apply(&mut engine, &Input::Advance((minute + 1) * MINUTE_MS + 1_000));
    }
    let kline = Input::Klines(0, 7, 30);
    let rest =
        [Input::Uncover(0, 1), Input::Miss(1, 2, 3), Input::Broken, Input::Stats(4, 5), kline];
    for input in &rest {
        apply(&mut engine, input);
    }
    assert_eq!((VERSION, crc32c::crc32c(&engine.checkpoint())), (1, 0x8b8e_dc76));
}

#[test]
fn a_state_with_something_missing_or_left_over_is_refused() {
    let text = "checkpoint holds no state of an engine, expected one";
    let engine = Engine::new(Settings::default());
    assert_eq!(refusal(&forged(&engine, |bytes| bytes.push(0))), text);
    assert_eq!(refusal(&forged(&engine, |bytes| bytes.truncate(40))), text);
}

#[test]
fn a_setting_given_replaces_the_stored_one_and_the_others_stay() {
    let stored = Settings { recent_trades: 3, epoch: "old".to_owned(), ..Settings::default() };
    let mut engine = Engine::new(stored);
    (0..5).for_each(|id| drop(feed(&mut engine, id, 0)));
    let change = |known: &mut Settings| {
        known.recent_trades = 2;
        known.open = OpenRule::PreviousClose;
    };
    let mut other = Engine::restored(&engine.checkpoint(), change).unwrap();
    let kept: Vec<u64> = other.recent_trades().map(|published| published.seq).collect();
    assert_eq!((kept, other.epoch()), (vec![4, 5], "old"));
    feed(&mut other, 9, 1);
    let kept: Vec<u64> = other.recent_trades().map(|published| published.seq).collect();
    assert_eq!(kept, [5, 6]);
}

#[test]
fn ids_are_remembered_beyond_a_restart() {
    let mut engine = Engine::new(Settings::default());
    (0..40).for_each(|id| drop(feed(&mut engine, id, i64::from(id % 4))));
    let mut engine = restored(&engine);
    (0..40).for_each(|id| drop(feed(&mut engine, id, i64::from(id % 4))));
    assert_eq!(engine.counters().duplicate_trades_total, 40);
}

#[test]
fn the_rates_after_restated_stats_are_those_since_then() {
    let mut ours = Engine::new(Settings::default());
    (0..9).for_each(|id| drop(feed(&mut ours, id, 0)));
    let mut theirs = restored(&ours);
    let first = stats(&mut ours, 0, 5_000);
    let again = theirs.restated(first.payload(0)).unwrap();
    assert_eq!(again.frames(), first.frames());
    assert_eq!(again.texts(), first.texts());
    assert!(ours.checkpoint() == theirs.checkpoint());
    let next = stats(&mut theirs, 1, 5_003);
    let next: Value = serde_json::from_slice(next.payload(0)).unwrap();
    assert_eq!(next["message_rates"]["sent_messages"], json!(3));
    assert_eq!(next["message_rates"]["trade_messages"], json!(0));
}

#[test]
fn stats_out_of_their_turn_are_not_restated() {
    let mut engine = Engine::new(Settings::default());
    stats(&mut engine, 0, 1);
    let second = stats(&mut engine, 1, 2);
    let before = engine.checkpoint();
    let error = engine.restated(second.payload(0)).unwrap_err();
    assert_eq!(error, RestateError::Seq { found: 2, expected: 3 });
    assert_eq!(error.to_string(), "stats message has the number 2, expected 3");
    let payload = second.payload(0);
    for foreign in [b"{}".as_slice(), b"", &payload[..payload.len() - 1], &payload[..45]] {
        let error = engine.restated(foreign).unwrap_err();
        assert_eq!(error.to_string(), "payload is no stats message, expected one of an engine");
    }
    assert!(engine.checkpoint() == before);
}

#[test]
fn a_repeated_frame_counts_as_if_it_were_fed_again() {
    let mut fed = Engine::new(Settings { clock: Clock::Event, ..Settings::default() });
    feed(&mut fed, 1, 0);
    let mut told = restored(&fed);
    feed(&mut fed, 1, 0);
    told.repeated(1);
    assert!(fed.checkpoint() == told.checkpoint());
}

#[test]
fn after_renumbering_nothing_bears_an_old_number() {
    let mut engine = Engine::new(Settings { revise_window_ms: MINUTE_MS, ..Settings::default() });
    (0..4).for_each(|id| drop(feed(&mut engine, id, i64::from(id))));
    engine.advance(START_MS + 4 * MINUTE_MS + 1_000);
    stats(&mut engine, 0, 1);
    engine.renumber("next");
    let found: Value = serde_json::from_str(&snapshot(&mut engine)).unwrap();
    assert_eq!((&found["epoch"], &found["seq"]), (&json!("next"), &json!(0)));
    assert_eq!(found["stats"]["seq"], json!(0));
    for items in ["trades", "ohlcv"] {
        let items = found[items].as_array().unwrap();
        assert!(items.len() == 4 && items.iter().all(|item| item["seq"] == json!(0)));
    }
    assert_eq!(stats(&mut engine, 1, 1).messages()[0].seq, 1);
}
