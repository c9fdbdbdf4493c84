//! What one would write with `serde_json`: typed frames, exact integers and a `HashMap`.
//!
//! It knows no repeated trades, refuses nothing and encodes nothing.

use std::collections::HashMap;

use num_bigint::BigUint;
use serde::Deserialize;

use crate::reference::{Candles, Exact};

/// Decimal places of prices and of sizes; no frame of the corpus has more.
const PLACES: usize = 8;

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    data: Vec<Trade<'a>>,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "T")]
    event_ms: i64,
    #[serde(rename = "s")]
    symbol: &'a str,
    #[serde(rename = "S")]
    side: &'a str,
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "v")]
    size: &'a str,
}

struct Candle {
    prices: [u64; 4],
    volume: u128,
    turnover: u128,
    buy_volume: u128,
    trades: u64,
}

/// Folds frames, which come in the order of their trades.
#[derive(Default)]
pub(crate) struct Folded(HashMap<String, HashMap<i64, Candle>>);

impl Folded {
    /// All candles of all frames.
    pub(crate) fn of(frames: &[Vec<u8>]) -> Self {
        let mut folded = Self::default();
        for frame in frames {
            let Ok(frame) = serde_json::from_slice::<Frame<'_>>(frame) else {
                panic!("no trade frame")
            };
            frame.data.iter().for_each(|trade| folded.add(trade));
        }
        folded
    }

    fn add(&mut self, trade: &Trade<'_>) {
        let start_ms = trade.event_ms - trade.event_ms % 60_000;
        let (price, size) = (scaled(trade.price), scaled(trade.size));
        if !self.0.contains_key(trade.symbol) {
            self.0.insert(trade.symbol.to_owned(), HashMap::new());
        }
        let Some(windows) = self.0.get_mut(trade.symbol) else { return };
        let candle = windows.entry(start_ms).or_insert_with(|| Candle {
            prices: [price; 4],
            volume: 0,
            turnover: 0,
            buy_volume: 0,
            trades: 0,
        });
        let [_, high, low, close] = &mut candle.prices;
        *high = price.max(*high);
        *low = price.min(*low);
        *close = price;
        candle.volume += u128::from(size);
        candle.turnover += u128::from(price) * u128::from(size);
        candle.buy_volume += if trade.side == "Buy" { u128::from(size) } else { 0 };
        candle.trades += 1;
    }

    /// As the reference spells them.
    pub(crate) fn candles(&self) -> Candles {
        let ten = BigUint::from(10_u32);
        let windows = self.0.iter().flat_map(|(symbol, windows)| {
            windows.iter().map(move |(start_ms, candle)| ((symbol.clone(), *start_ms), candle))
        });
        let exact = windows.map(|(key, candle)| {
            let unit = ten.pow(28);
            let turnover_unit = ten.pow(20);
            let exact = Exact {
                prices: candle.prices.map(|price| price * &unit),
                sums: [
                    candle.volume * &unit,
                    candle.turnover * turnover_unit,
                    candle.buy_volume * &unit,
                ],
                trades: candle.trades,
            };
            (key, exact)
        });
        exact.collect()
    }
}

/// A decimal text times ten to the power of [`PLACES`].
fn scaled(text: &str) -> u64 {
    let (mut number, mut places, mut is_fraction) = (0_u64, 0, false);
    for byte in text.bytes() {
        if byte == b'.' {
            is_fraction = true;
        } else {
            number = number * 10 + u64::from(byte - b'0');
            places += usize::from(is_fraction);
        }
    }
    (places..PLACES).fold(number, |number, _| number * 10)
}
