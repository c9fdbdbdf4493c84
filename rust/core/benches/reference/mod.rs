//! The slow, obvious truth: candles by a `serde_json` tree, big integers and `BTreeMap`.

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigUint;
use serde_json::Value;
use tapecast_core::candle::Candle;
use tapecast_core::engine::Engine;

/// Decimal places that everything is scaled to: twice what a price or a size may have.
const PLACES: usize = 36;

/// One candle, with every figure scaled to [`PLACES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exact {
    /// Open, high, low and close.
    pub(crate) prices: [BigUint; 4],
    /// Volume, turnover and volume of the takers that bought.
    pub(crate) sums: [BigUint; 3],
    /// How many.
    pub(crate) trades: u64,
}

/// By symbol and start of the window.
pub(crate) type Candles = BTreeMap<(String, i64), Exact>;

/// The candles of frames that come in the order of their trades; each trade counts once.
pub(crate) fn candles(frames: &[Vec<u8>]) -> Candles {
    let mut candles = Candles::new();
    let mut seen = BTreeSet::new();
    for frame in frames {
        let Ok(frame) = serde_json::from_slice::<Value>(frame) else { panic!("no JSON") };
        for trade in frame["data"].as_array().into_iter().flatten() {
            let text = |key: &str| trade[key].as_str().unwrap_or_default().to_owned();
            let (symbol, event_ms) = (text("s"), trade["T"].as_i64().unwrap_or_default());
            if seen.insert((symbol.clone(), text("i"))) {
                let key = (symbol, event_ms - event_ms % 60_000);
                add(&mut candles, key, (&text("p"), &text("v")), text("S") == "Buy");
            }
        }
    }
    candles
}

fn add(candles: &mut Candles, key: (String, i64), (price, size): (&str, &str), bought: bool) {
    let turnover = scaled(price, PLACES / 2) * scaled(size, PLACES / 2);
    let (price, size) = (scaled(price, PLACES), scaled(size, PLACES));
    let candle = candles.entry(key).or_insert_with(|| Exact {
        prices: std::array::from_fn(|_| price.clone()),
        sums: std::array::from_fn(|_| BigUint::ZERO),
        trades: 0,
    });
    let [_, high, low, close] = &mut candle.prices;
    *high = high.clone().max(price.clone());
    *low = low.clone().min(price.clone());
    *close = price;
    candle.sums[2] += if bought { size.clone() } else { BigUint::ZERO };
    candle.sums[0] += size;
    candle.sums[1] += turnover;
    candle.trades += 1;
}

/// A decimal text times ten to the power of `places`.
fn scaled(text: &str, places: usize) -> BigUint {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<places$}");
    let Ok(number) = digits.parse() else { panic!("{text} is no decimal") };
    number
}

/// What an engine holds, as the reference spells it.
pub(crate) fn of_engine(engine: &Engine) -> Candles {
    let mut candles = Candles::new();
    for series in engine.series() {
        let mut add = |candle: &Candle| {
            candles.insert((series.symbol.to_string(), candle.start_ms), exact(candle));
        };
        series.closed().for_each(&mut add);
        engine.open(series).for_each(|candle| add(&candle));
    }
    candles
}

fn exact(candle: &Candle) -> Exact {
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        scaled(&String::from_utf8_lossy(&out), PLACES)
    };
    Exact {
        prices: [candle.open, candle.high, candle.low, candle.close]
            .map(|price| text(&|out| price.write(out))),
        sums: [candle.volume, candle.turnover, candle.buy_volume.unwrap_or_default()]
            .map(|sum| text(&|out| sum.write(out))),
        trades: candle.trades.unwrap_or_default(),
    }
}
