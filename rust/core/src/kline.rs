//! The exchange's own candles, and what ours come to beside them.

use serde::{Deserialize, Serialize};

use crate::candle::{Candle, Source, WINDOW_MS, window_start};
use crate::decimal::{Decimal, Sum};
use crate::fields::MAX_EVENT_MS;
use crate::replay::{RecallError, price, sum};

/// A candle as the exchange makes it: it opens at the close before it, which high and low include.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kline {
    /// Start of the window, in milliseconds since the epoch.
    pub start_ms: i64,
    /// The close before it.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Sum of sizes.
    pub volume: Sum,
    /// Sum of price × size.
    pub turnover: Sum,
}

impl Kline {
    /// Reads what the exchange wrote: open, high, low and close; volume and turnover.
    ///
    /// # Errors
    ///
    /// A [`RecallError`] where a field is none of its kind.
    pub fn read(
        start_ms: i64,
        [open, high, low, close]: [&str; 4],
        [volume, turnover]: [&str; 2],
    ) -> Result<Self, RecallError> {
        check_start(start_ms)?;
        Ok(Self {
            start_ms,
            open: price("open", open)?,
            high: price("high", high)?,
            low: price("low", low)?,
            close: price("close", close)?,
            volume: sum("volume", volume)?,
            turnover: sum("turnover", turnover)?,
        })
    }

    /// End of the window, exclusive, in milliseconds since the epoch.
    #[must_use]
    pub fn end_ms(&self) -> i64 {
        self.start_ms + WINDOW_MS
    }

    /// The candle that stands where trades are missing.
    pub(crate) fn candle(&self) -> Candle {
        Candle {
            start_ms: self.start_ms,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume,
            turnover: self.turnover,
            buy_volume: None,
            trades: None,
            closed: true,
            complete: false,
            source: Source::Kline,
            verified: None,
            revision: 0,
            seq: 0,
        }
    }

    /// Whether the trades of a candle are all that the exchange counted: sizes are positive.
    pub(crate) fn has_trades_of(&self, candle: &Candle) -> bool {
        self.close == candle.close
            && self.volume == candle.volume
            && self.turnover == candle.turnover
    }

    /// The largest difference to what the trades of a candle come to by the exchange's rules; `None`
    /// where there is none.
    ///
    /// `high` and `low` are those of the trades. Where the close before is not known, the exchange's
    /// own word on it is taken.
    pub(crate) fn difference(
        &self,
        candle: &Candle,
        (high, low): (Decimal, Decimal),
        close_before: Option<Decimal>,
    ) -> Option<Sum> {
        let open = close_before.unwrap_or(self.open);
        let pairs = [
            (self.open.into(), open.into()),
            (self.high.into(), high.max(open).into()),
            (self.low.into(), low.min(open).into()),
            (self.close.into(), candle.close.into()),
            (self.volume, candle.volume),
            (self.turnover, candle.turnover),
        ];
        let differing = pairs.into_iter().filter(|(one, other): &(Sum, Sum)| one != other);
        differing.map(|(one, other)| one.distance(other)).max()
    }
}

/// Checks that a time is the start of a minute.
pub(crate) fn check_start(start_ms: i64) -> Result<(), RecallError> {
    if window_start(start_ms) == start_ms && (0..MAX_EVENT_MS).contains(&start_ms) {
        return Ok(());
    }
    let found = start_ms.to_string();
    Err(RecallError { name: "start_ms", found, expected: "the start of a minute" })
}

/// What comparing with the exchange's candles came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Candles that were found equal.
    pub verified_total: u64,
    /// Candles of minutes seen whole that were found to differ.
    pub mismatched_total: u64,
    /// Candles that were replaced by the exchange's.
    pub klines_total: u64,
    /// The largest difference of any field.
    pub largest: Option<Sum>,
}

impl Audit {
    /// Takes note of a candle in place of the one that was known.
    pub(crate) fn note(&mut self, known: Option<&Candle>, candle: &Candle) {
        let before = known.and_then(|known| known.verified);
        match candle.verified {
            Some(true) if before != Some(true) => self.verified_total += 1,
            Some(false) if before != Some(false) => self.mismatched_total += 1,
            _ => {}
        }
        if candle.source == Source::Kline && known.is_none_or(|known| known.source != Source::Kline)
        {
            self.klines_total += 1;
        }
    }

    /// Takes note of a difference, where there is one.
    pub(crate) fn differed(&mut self, difference: Option<Sum>) {
        self.largest = self.largest.max(difference);
    }
}
