//! Counters and rates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an engine counts, from its making on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Exchange frames fed, the refused ones included.
    pub frames_total: u64,
    /// Frames that were refused.
    pub bad_frames_total: u64,
    /// Trades published.
    pub trades_total: u64,
    /// Candles published, revisions included.
    pub candles_total: u64,
    /// Trades that came again.
    pub duplicate_trades_total: u64,
    /// Trades too old for their window.
    pub late_trades_total: u64,
    /// Block trades among those published.
    pub block_trades_total: u64,
    /// Gaps that opened.
    pub gaps_total: u64,
    /// Trades published that were fetched later.
    pub backfilled_trades_total: u64,
    /// Candles that were found equal to the exchange's.
    pub verified_candles_total: u64,
    /// Candles of minutes seen whole that were found to differ from the exchange's.
    pub mismatched_candles_total: u64,
    /// Candles that were replaced by the exchange's.
    pub kline_candles_total: u64,
}

impl Counters {
    /// The counters under their names on the wire.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("frames", self.frames_total),
            ("trade_messages", self.trades_total),
            ("ohlcv_messages", self.candles_total),
            ("bad_frames", self.bad_frames_total),
            ("duplicate_trades", self.duplicate_trades_total),
            ("late_trades", self.late_trades_total),
            ("block_trades", self.block_trades_total),
            ("gaps", self.gaps_total),
            ("backfilled_trades", self.backfilled_trades_total),
            ("verified_candles", self.verified_candles_total),
            ("mismatched_candles", self.mismatched_candles_total),
            ("kline_candles", self.kline_candles_total),
        ]
    }
}

/// Rates per second over the interval between two looks at growing totals.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rates {
    previous: BTreeMap<String, u64>,
}

impl Rates {
    /// The rate of each total since the last call, rounded to thousandths; 0 for no interval.
    pub(crate) fn update(&mut self, totals: &[(&str, u64)], interval_ns: u64) -> Vec<f64> {
        totals.iter().map(|&(name, total)| self.rate(name, total, interval_ns)).collect()
    }

    /// Takes `total` for what was seen at the last call.
    pub(crate) fn seed(&mut self, name: String, total: u64) {
        self.previous.insert(name, total);
    }

    fn rate(&mut self, name: &str, total: u64, interval_ns: u64) -> f64 {
        let previous = match self.previous.get_mut(name) {
            Some(known) => std::mem::replace(known, total),
            None => self.previous.insert(name.to_owned(), total).unwrap_or(0),
        };
        if interval_ns == 0 {
            return 0.0;
        }
        let thousandths = u128::from(total.saturating_sub(previous)) * 1_000_000_000_000;
        let rounded = (thousandths + u128::from(interval_ns) / 2) / u128::from(interval_ns);
        #[expect(clippy::cast_precision_loss, reason = "a rate for a reader, not a sum")]
        let rate = rounded as f64 / 1_000.0;
        rate
    }
}
