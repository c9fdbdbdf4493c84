//! Seeded frames in the shapes of real ones: what `tapecast.bench.corpus` makes, for the benches
//! in Rust.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "all numbers are small"
)]

use std::fmt::Write as _;

/// A second before the end of a minute, so that even few frames make two candles.
const START_MS: i64 = 1_790_000_099_000;
/// 500,000 frames take 120 minutes.
const STEP_US: i64 = 14_400;
const MAX_TRADES: usize = 30;
const TICKS: [&str; 4] = ["PlusTick", "ZeroPlusTick", "MinusTick", "ZeroMinusTick"];

/// What a corpus is made of.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// How many frames.
    pub(crate) frames: usize,
    /// How many symbols, by Zipf's law (exponent 1.1).
    pub(crate) symbols: usize,
    /// Trades of every frame; where `None`, one in 70 % of them and up to 30 in the others.
    pub(crate) trades: Option<usize>,
    /// Whether key order and ids are those of spot, or else of linear.
    pub(crate) spot: bool,
}

/// Frames, and how many trades they carry.
pub(crate) struct Corpus {
    /// One frame each.
    pub(crate) frames: Vec<Vec<u8>>,
    /// In all frames together.
    pub(crate) trades: usize,
}

impl Corpus {
    /// The same shape gives the same bytes.
    pub(crate) fn of(shape: Shape) -> Self {
        let mut dice = Dice(1);
        let mut symbols = symbols(shape.symbols, &mut dice);
        let chances = cumulative_zipf(shape.symbols);
        let (mut seq, mut spot_id, mut trades) = (804_921_550_000, 2_290_000_001_203_630_000, 0);
        let mut frames = Vec::with_capacity(shape.frames);
        for number in 0..shape.frames {
            let chosen = dice.share() * chances[shape.symbols - 1];
            let at = chances.partition_point(|chance| *chance < chosen);
            let symbol = &mut symbols[at.min(shape.symbols - 1)];
            let held = shape.trades.unwrap_or_else(|| trades_of_frame(&mut dice));
            let event_ms = START_MS + STEP_US * number as i64 / 1_000;
            seq += 1 + dice.below(40);
            trades += held;
            let mut text = head(&symbol.name, event_ms + dice.below(3) as i64, shape.spot);
            for position in 0..held {
                text.push_str(if position == 0 { "" } else { "," });
                if shape.spot {
                    spot_id += 1 + dice.below(2);
                    symbol.write_spot_row(&mut text, &mut dice, (event_ms, seq, spot_id));
                } else {
                    symbol.write_linear_row(&mut text, &mut dice, (event_ms, seq));
                }
            }
            text.push_str("]}");
            frames.push(text.into_bytes());
        }
        Self { frames, trades }
    }
}

fn head(symbol: &str, ts_ms: i64, spot: bool) -> String {
    if spot {
        format!(r#"{{"topic":"publicTrade.{symbol}","ts":{ts_ms},"type":"snapshot","data":["#)
    } else {
        format!(r#"{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{ts_ms},"data":["#)
    }
}

fn trades_of_frame(dice: &mut Dice) -> usize {
    let mut trades = 1;
    if dice.share() >= 0.70 {
        trades = 2;
        while trades < MAX_TRADES && dice.share() < 0.75 {
            trades += 1;
        }
    }
    trades
}

/// One symbol's walk: its price in ticks, and how both numbers are printed.
struct Symbol {
    name: String,
    price_ticks: u64,
    price_decimals: usize,
    size_decimals: usize,
}

impl Symbol {
    fn price(&mut self, dice: &mut Dice) -> String {
        self.price_ticks = (self.price_ticks + dice.below(7)).saturating_sub(3).max(1);
        fixed(self.price_ticks, self.price_decimals)
    }

    /// A log-normal size, at least one step.
    fn size(&self, dice: &mut Dice) -> String {
        let steps = (40_f64.ln() + 1.6 * dice.normal()).exp().round().max(1.0);
        fixed(steps as u64, self.size_decimals)
    }

    fn write_linear_row(&mut self, out: &mut String, dice: &mut Dice, (event_ms, seq): (i64, u64)) {
        let tick = TICKS[dice.below(4) as usize];
        let (taker, name) = (dice.side(), self.name.clone());
        let (size, price, id) = (self.size(dice), self.price(dice), dice.uuid());
        let _ = write!(
            out,
            r#"{{"T":{event_ms},"s":"{name}","S":"{taker}","v":"{size}","p":"{price}","L":"{tick}","i":"{id}","BT":false,"RPI":false,"seq":{seq}}}"#
        );
    }

    fn write_spot_row(
        &mut self,
        out: &mut String,
        dice: &mut Dice,
        (event_ms, seq, id): (i64, u64, u64),
    ) {
        let (taker, name) = (dice.side(), self.name.clone());
        let (size, price) = (self.size(dice), self.price(dice));
        let price = price.trim_end_matches('0').trim_end_matches('.');
        let _ = write!(
            out,
            r#"{{"i":"{id}","T":{event_ms},"p":"{price}","v":"{size}","S":"{taker}","seq":{seq},"s":"{name}","BT":false,"RPI":false}}"#
        );
    }
}

fn symbols(count: usize, dice: &mut Dice) -> Vec<Symbol> {
    let symbol = |name: String, price_ticks, price_decimals, size_decimals| Symbol {
        name,
        price_ticks,
        price_decimals,
        size_decimals,
    };
    let first = [
        symbol("BTCUSDT".to_owned(), 8_068_190, 2, 3),
        symbol("ETHUSDT".to_owned(), 310_547, 2, 2),
    ];
    let others = (0..).map(|number| {
        let letters = 2 + dice.below(5);
        let name: String = (0..letters).map(|_| char::from(b'A' + dice.below(26) as u8)).collect();
        let price_ticks = 1_000 + dice.below(899_000);
        let price_decimals = 2 + dice.below(5) as usize;
        symbol(format!("{number}{name}USDT"), price_ticks, price_decimals, number % 3)
    });
    first.into_iter().chain(others).take(count).collect()
}

fn cumulative_zipf(count: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let chances = (1..=count).map(|rank| {
        sum += 1.0 / (rank as f64).powf(1.1);
        sum
    });
    chances.collect()
}

fn fixed(units: u64, decimals: usize) -> String {
    let mut text = format!("{units:0>width$}", width = decimals + 1);
    if decimals > 0 {
        text.insert(text.len() - decimals, '.');
    }
    text
}

/// `SplitMix64`: <https://prng.di.unimi.it/splitmix64.c>.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// In `[0, 1)`.
    fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of the standard normal distribution, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    fn side(&mut self) -> &'static str {
        ["Buy", "Sell"][self.below(2) as usize]
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-5{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}
