//! The law of gaps: what was lost is found again to the last digit, or it is said to be missing.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tapecast_core::batch::{Batch, MessageKind};
use tapecast_core::candle::{Candle, Source, window_start};
use tapecast_core::decimal::Sum;
use tapecast_core::engine::Engine;
use tapecast_core::kline::Kline;
use tapecast_core::series::Series;
use tapecast_core::settings::{EmptyPolicy, OpenRule, Settings};
use tapecast_core::trade::Category;

const START_MS: i64 = 1_790_000_040_000;
const MINUTE_MS: i64 = 60_000;
const MINUTES: i64 = 6;
/// When the last minute is closed, and the first may still be revised.
const END_MS: i64 = START_MS + MINUTES * MINUTE_MS + 1_000;

/// Trades of one symbol in their order: time after `START_MS`, price in cents, size in thousandths.
type Market = Vec<(i64, i64, i64)>;

fn decimal(value: i64, places: usize) -> String {
    let digits = format!("{value:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{whole}.{fraction}")
}

fn frame(market: &Market, chosen: impl IntoIterator<Item = usize>) -> Option<Vec<u8>> {
    let data: Vec<Value> = chosen
        .into_iter()
        .map(|at| {
            let (offset_ms, cents, thousandths) = market[at];
            json!({
                "T": START_MS + offset_ms, "s": "A", "S": if at % 2 == 0 { "Buy" } else { "Sell" },
                "v": decimal(thousandths, 3), "p": decimal(cents, 2), "i": format!("id-{at}"),
                "BT": false, "seq": at
            })
        })
        .collect();
    let is_empty = data.is_empty();
    let frame = json!({"topic": "publicTrade.A", "ts": START_MS, "data": data});
    (!is_empty).then(|| frame.to_string().into_bytes())
}

fn feed(engine: &mut Engine, market: &Market, chosen: impl IntoIterator<Item = usize>) {
    if let Some(frame) = frame(market, chosen) {
        engine.feed(&frame, END_MS * 1_000_000, Category::Linear).unwrap();
    }
}

fn backfill(
    engine: &mut Engine,
    market: &Market,
    chosen: impl IntoIterator<Item = usize>,
) -> Batch {
    let frame = frame(market, chosen);
    frame.map_or_else(Batch::default, |frame| {
        engine.backfill(&frame, END_MS * 1_000_000, Category::Linear).unwrap()
    })
}

/// What the exchange says of every minute from that of the first trade on.
fn klines(market: &Market) -> BTreeMap<i64, Kline> {
    let mut rows = BTreeMap::new();
    let Some(&(first_ms, first_price, _)) = market.first() else { return rows };
    let mut close = first_price;
    for minute in first_ms / MINUTE_MS..MINUTES {
        let own: Vec<_> =
            market.iter().filter(|trade| trade.0.div_euclid(MINUTE_MS) == minute).collect();
        let open = close;
        let prices = || own.iter().map(|trade| trade.1).chain([open]);
        close = own.last().map_or(open, |trade| trade.1);
        let texts = [open, prices().max().unwrap(), prices().min().unwrap(), close]
            .map(|price| decimal(price, 2));
        let volume = decimal(own.iter().map(|trade| trade.2).sum(), 3);
        let turnover = decimal(own.iter().map(|trade| trade.1 * trade.2).sum(), 5);
        let start_ms = START_MS + minute * MINUTE_MS;
        let texts = texts.each_ref().map(String::as_str);
        rows.insert(start_ms, Kline::read(start_ms, texts, [&volume, &turnover]).unwrap());
    }
    rows
}

fn any_market() -> impl Strategy<Value = Market> {
    let one = (0..MINUTES * MINUTE_MS, 1..3_000_i64, 1..9_000_i64);
    prop::collection::vec(one, 1..40).prop_map(|mut trades| {
        // Coarse times: many share one, and some minutes have none.
        for trade in &mut trades {
            trade.0 = trade.0 / 7_500 * 7_500;
        }
        trades.sort_by_key(|trade| trade.0);
        trades
    })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), any::<bool>()).prop_map(|(flat, previous)| Settings {
        assume_covered: false,
        empty: if flat { EmptyPolicy::Flat } else { EmptyPolicy::Skip },
        open: if previous { OpenRule::PreviousClose } else { OpenRule::FirstTrade },
        ..Settings::default()
    })
}

fn covered(settings: &Settings) -> Engine {
    let mut engine = Engine::new(settings.clone());
    engine.cover(Category::Linear, ["A"], START_MS, true);
    engine
}

/// The closed candles, as far as they speak of the market.
fn closed(engine: &Engine) -> Vec<Candle> {
    let known = engine.series().iter().flat_map(Series::closed);
    let known = known.map(|candle| Candle {
        revision: 0,
        seq: 0,
        source: Source::Trades,
        verified: None,
        ..candle.clone()
    });
    known.collect()
}

fn states(batch: &Batch) -> Vec<(String, i64, i64)> {
    let all = batch.messages().iter().enumerate();
    let gaps = all.filter(|(_, message)| message.kind == MessageKind::Gap);
    let read = |(at, _)| -> (String, i64, i64) {
        let gap: Value = serde_json::from_slice(batch.payload(at)).unwrap();
        let time = |name: &str| gap[name].as_i64().unwrap() - START_MS;
        (gap["state"].as_str().unwrap().to_owned(), time("from"), time("to"))
    };
    gaps.map(read).collect()
}

/// A stretch of the market's time.
fn any_stretch() -> impl Strategy<Value = (i64, i64)> {
    let at = || (0..MINUTES * 8).prop_map(|steps| steps * 7_500);
    (at(), at()).prop_map(|(one, other)| (one.min(other), one.max(other)))
}

proptest! {
    #[test]
    fn backfill_and_heal_give_the_candles_of_a_run_that_lost_nothing(
        market in any_market(), settings in any_settings(), (from, to) in any_stretch(),
        closed_first in any::<bool>(),
    ) {
        let mut whole = covered(&settings);
        feed(&mut whole, &market, 0..market.len());
        whole.advance(END_MS);
        let is_lost = |at: &usize| (from..to).contains(&market[*at].0);
        let (lost, kept): (Vec<_>, Vec<_>) = (0..market.len()).partition(is_lost);
        let mut engine = covered(&settings);
        feed(&mut engine, &market, kept.iter().copied());
        engine.uncover(Category::Linear, ["A"], START_MS + from);
        let regained = engine.cover(Category::Linear, ["A"], START_MS + to, false);
        prop_assert_eq!(states(&regained), []);
        if closed_first {
            engine.advance(END_MS);
        }
        let found = backfill(&mut engine, &market, lost.iter().copied());
        prop_assert_eq!((found.fresh_trades, found.repeated_trades), (lost.len() as u64, 0));
        let again = backfill(&mut engine, &market, (0..market.len()).rev());
        prop_assert_eq!((again.fresh_trades, again.repeated_trades), (0, market.len() as u64));
        let stretch = (START_MS + from, START_MS + to);
        let healed = engine.heal(Category::Linear, "A", stretch);
        prop_assert_eq!(states(&healed), [("healed".to_owned(), from, to)]);
        prop_assert!(engine.heal(Category::Linear, "A", stretch).messages().is_empty());
        engine.advance(END_MS);
        prop_assert_eq!(closed(&engine), closed(&whole));
        prop_assert_eq!(engine.unsettled(), []);
        let of_found = |candle: &Candle| {
            lost.iter().any(|at| window_start(START_MS + market[*at].0) == candle.start_ms)
        };
        for candle in engine.series().iter().flat_map(Series::closed) {
            let expected = if of_found(candle) { Source::Backfill } else { Source::Trades };
            prop_assert_eq!(candle.source, expected);
        }
        prop_assert_eq!(engine.counters().backfilled_trades_total, lost.len() as u64);
        let klines: Vec<_> = klines(&market).into_values().collect();
        engine.klines(Category::Linear, "A", &klines);
        prop_assert_eq!(engine.audit().mismatched_total, 0);
        prop_assert_eq!(engine.audit().largest, None);
        prop_assert_eq!(engine.audit().verified_total, closed(&engine).len() as u64);
    }

    #[test]
    fn no_order_of_steps_leaves_a_minute_falsely_complete(
        market in any_market(), settings in any_settings(),
        steps in prop::collection::vec(any_step(), 0..20),
        delivered in prop::collection::vec(any::<bool>(), 40),
    ) {
        let rows = klines(&market);
        let mut engine = covered(&settings);
        let mut missed = Missed::default();
        for step in &steps {
            step.take(&mut engine, &market, &rows, &mut missed);
        }
        // What no stretch that is still missed explains was received; of the others some was.
        let received = |at: &usize| delivered[*at] || !missed.holds(market[*at].0);
        feed(&mut engine, &market, (0..market.len()).filter(received));
        engine.advance(END_MS);
        for candle in engine.series().iter().flat_map(Series::closed) {
            let own = market.iter().filter(|trade| {
                window_start(START_MS + trade.0) == candle.start_ms
            });
            let minute_ms = candle.start_ms - START_MS;
            let is_whole = missed.is_whole(minute_ms, minute_ms + MINUTE_MS);
            prop_assert!(candle.complete || !is_whole, "a whole minute says so");
            prop_assert!(candle.verified != Some(false), "{:?}", candle);
            let volume = own.clone().map(|trade| trade.2).sum();
            let volume = Sum::parse(decimal(volume, 3).as_bytes()).unwrap();
            let truth = &rows.get(&candle.start_ms);
            match candle.source {
                Source::Kline => {
                    prop_assert!(!candle.complete && candle.trades.is_none() && candle.verified.is_none());
                    let row = truth.unwrap();
                    prop_assert_eq!((candle.open, candle.high), (row.open, row.high));
                    prop_assert_eq!((candle.low, candle.close), (row.low, row.close));
                    prop_assert_eq!((candle.volume, candle.turnover), (row.volume, row.turnover));
                }
                _ if candle.complete => {
                    let trades = u64::try_from(own.count()).unwrap();
                    prop_assert_eq!(candle.trades, Some(trades), "a complete minute is whole");
                    prop_assert_eq!(candle.volume, volume);
                }
                _ => {}
            }
        }
    }
}

/// One thing that may happen to an engine.
#[derive(Debug, Clone)]
enum Step {
    Uncover(i64),
    Cover(i64, bool),
    Miss((i64, i64), bool),
    /// Everything in the stretch is fetched, and that is proven.
    Heal((i64, i64)),
    GiveUp((i64, i64)),
    Backfill(prop::sample::Index),
    Klines(i64),
    Advance(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = || (0..MINUTES * 8).prop_map(|steps| steps * 7_500);
    prop_oneof![
        at().prop_map(Step::Uncover),
        (at(), any::<bool>()).prop_map(|(at, settled)| Step::Cover(at, settled)),
        (any_stretch(), any::<bool>()).prop_map(|(stretch, settled)| Step::Miss(stretch, settled)),
        any_stretch().prop_map(Step::Heal),
        any_stretch().prop_map(Step::GiveUp),
        any::<prop::sample::Index>().prop_map(Step::Backfill),
        (0..MINUTES).prop_map(Step::Klines),
        at().prop_map(Step::Advance),
    ]
}

/// What is missed, as plain stretches: each is cut where it is healed.
#[derive(Debug, Default)]
struct Missed {
    open: Option<i64>,
    over: Vec<(i64, i64)>,
}

impl Missed {
    fn heal(&mut self, (from, to): (i64, i64)) {
        let to = to.max(from + 1);
        if let Some(open) = self.open.filter(|open| *open < to) {
            self.over.push((open, to));
            self.open = Some(to);
        }
        let cut = |&(begin, end): &(i64, i64)| [(begin, end.min(from)), (begin.max(to), end)];
        let left: Vec<_> = self.over.iter().flat_map(cut).filter(|(from, to)| from < to).collect();
        self.over = left;
    }

    fn give_up(&mut self, to: i64) {
        if let Some(open) = self.open.filter(|open| *open < to) {
            self.over.push((open, to));
            self.open = Some(to);
        }
    }

    fn is_whole(&self, from: i64, to: i64) -> bool {
        let touches = |stretch: &(i64, i64)| stretch.0 < to && stretch.1 > from;
        from >= 0 && self.open.is_none_or(|open| open >= to) && !self.over.iter().any(touches)
    }

    fn holds(&self, at: i64) -> bool {
        !self.is_whole(at, at + 1)
    }
}

impl Step {
    fn take(
        &self,
        engine: &mut Engine,
        market: &Market,
        rows: &BTreeMap<i64, Kline>,
        missed: &mut Missed,
    ) {
        let shifted = |(from, to): (i64, i64)| (START_MS + from, START_MS + to);
        match *self {
            Self::Uncover(at) => {
                engine.uncover(Category::Linear, ["A"], START_MS + at);
                missed.open = Some(missed.open.map_or(at, |open| open.min(at)));
            }
            Self::Cover(at, settled) => {
                engine.cover(Category::Linear, ["A"], START_MS + at, settled);
                let ended = missed.open.take().map(|open| (open, at.max(open + 1)));
                missed.over.extend(ended);
            }
            Self::Miss((from, to), settled) => {
                engine.miss(Category::Linear, ["A"], shifted((from, to)), settled);
                missed.over.push((from, to.max(from + 1)));
            }
            Self::Heal((from, to)) => {
                let found = |at: &usize| (from..to.max(from + 1)).contains(&market[*at].0);
                backfill(engine, market, (0..market.len()).filter(found));
                engine.heal(Category::Linear, "A", shifted((from, to)));
                missed.heal((from, to));
            }
            Self::GiveUp((from, to)) => {
                engine.give_up(Category::Linear, "A", shifted((from, to)));
                missed.give_up(to.max(from + 1));
            }
            Self::Backfill(at) => drop(backfill(engine, market, [at.index(market.len())])),
            Self::Klines(minute) => {
                let row = rows.get(&(START_MS + minute * MINUTE_MS)).cloned();
                engine.klines(Category::Linear, "A", row.as_slice());
            }
            Self::Advance(at) => drop(engine.advance(START_MS + at)),
        }
    }
}
