//! One symbol's candles beside those of the exchange.

use super::{Carry, Series, Terms};
use crate::candle::Candle;
use crate::decimal::{Decimal, Sum};
use crate::kline::Kline;
use crate::settings::EmptyPolicy;

impl Series {
    /// The candle of a closed window, and how far it is from the exchange's, if both differ.
    ///
    /// What was not seen whole and differs takes the exchange's values.
    pub(super) fn closed_candle(
        &self,
        at: usize,
        previous: Option<Decimal>,
        terms: Terms<'_>,
    ) -> Option<(Candle, Option<Sum>)> {
        let window = &self.windows[at];
        let complete = terms.is_whole(window.start_ms, window.end_ms());
        // A window without trades stands for itself where flat candles are wanted alone; else it only
        // keeps what the exchange said.
        let has_own = window.fold.is_some() || terms.rules.empty == EmptyPolicy::Flat;
        let kline = window.kline.as_deref();
        let close_before = kline.and_then(|_| self.exact_close_before(at, terms));
        // Nothing was traded in it, but our last close may not be the last one.
        let told = kline.filter(|kline| {
            window.fold.is_none() && kline.volume.is_zero() && close_before.is_none()
        });
        let previous = previous.map(|close| told.map_or(close, |kline| kline.close));
        let own = if has_own { window.candle(previous, terms.rules.open) } else { None };
        let own = own.map(|candle| Candle { closed: true, complete, ..candle });
        let Some(kline) = kline else {
            return own.map(|candle| (candle, None));
        };
        match own {
            Some(candle) if complete || kline.has_trades_of(&candle) => {
                let extremes = window.extremes().unwrap_or((candle.close, candle.close));
                let difference = kline.difference(&candle, extremes, close_before);
                let verified = Some(difference.is_none());
                Some((Candle { complete: true, verified, ..candle }, difference))
            }
            None if kline.volume.is_zero() => None,
            _ => Some((kline.candle(), None)),
        }
    }

    /// The exchange's close before a window; `None` where trades may have been missed since the last
    /// one that is known.
    fn exact_close_before(&self, at: usize, terms: Terms<'_>) -> Option<Decimal> {
        let mut until_ms = self.windows[at].start_ms;
        for window in self.windows.range(..at).rev() {
            if !terms.is_whole(window.end_ms(), until_ms) {
                return None;
            }
            if let Some(kline) = &window.kline {
                return Some(kline.close);
            }
            if !terms.is_whole(window.start_ms, window.end_ms()) {
                return None;
            }
            if let Some(price) = window.last_price() {
                return Some(price);
            }
            until_ms = window.start_ms;
        }
        let carry = self.carry.filter(|carry| carry.is_exact)?;
        terms.is_whole(carry.end_ms, until_ms).then_some(carry.close)
    }

    /// Takes note that a trade of a window was fetched later.
    pub(crate) fn note_backfill(&mut self, start_ms: i64) {
        if let Ok(at) = self.find(start_ms) {
            self.windows[at].is_backfilled = true;
        }
    }

    /// Keeps the exchange's candle of a window that is open or may be revised.
    pub(crate) fn keep_kline(&mut self, kline: Kline) {
        let (window, _) = self.window(kline.start_ms);
        window.kline = Some(Box::new(kline));
    }

    /// Takes the exchange's candle of a minute before `evicted_until_ms` into the history; `None`
    /// where the minute is known, empty or too old.
    pub(crate) fn recall_kline(
        &mut self,
        kline: &Kline,
        (empty, history_candles): (EmptyPolicy, usize),
        evicted_until_ms: i64,
    ) -> Option<Candle> {
        let candle = kline.candle();
        let is_empty = kline.volume.is_zero() && empty == EmptyPolicy::Skip;
        // What a restored engine does must not depend on whether its history was recalled yet.
        let is_known = self.past.binary_search(&kline.start_ms).is_ok();
        if is_empty || is_known || !self.recall(candle.clone(), history_candles) {
            return None;
        }
        if self.past.back() == Some(&kline.start_ms) {
            let is_exact = kline.end_ms() == evicted_until_ms;
            self.carry = Some(Carry { end_ms: evicted_until_ms, close: kline.close, is_exact });
        }
        Some(candle)
    }

    /// The candle in the history of the minute that starts at `start_ms`.
    pub(super) fn recalled_mut(&mut self, start_ms: i64) -> Option<&mut Candle> {
        let at = self.history.binary_search_by_key(&start_ms, |candle| candle.start_ms).ok()?;
        self.history.get_mut(at)
    }
}
