//! What is let go once it can no longer be revised.

use super::{Aggregator, seen_from_ms};
use crate::candle::window_start;
use crate::fields::MAX_EVENT_MS;
use crate::series::Terms;

impl Aggregator {
    /// Drops the windows that can no longer be revised.
    pub(crate) fn evict(&mut self, now_ms: i64) {
        self.evict_until(self.evicts_until(now_ms));
    }

    /// Where windows are to be dropped, by their start, once it is `now_ms`.
    pub(super) fn evicts_until(&self, now_ms: i64) -> i64 {
        let now_ms = now_ms.clamp(0, MAX_EVENT_MS);
        let until_ms = window_start(now_ms.saturating_sub(self.settings.revise_window_ms));
        until_ms.min(self.closes_until(now_ms).max(self.closed_until_ms))
    }

    pub(super) fn evict_until(&mut self, until_ms: i64) {
        let until_ms = until_ms.min(self.closed_until_ms);
        if until_ms <= self.evicted_until_ms {
            return;
        }
        self.forget(until_ms);
    }

    #[cold]
    fn forget(&mut self, until_ms: i64) {
        self.evicted_until_ms = until_ms;
        for series in &mut self.series {
            let terms = Terms {
                rules: self.rules,
                coverage: &self.coverages[series.coverage],
                whole_from_ms: seen_from_ms(
                    &self.settings,
                    self.whole_from_ms[series.category as usize],
                ),
            };
            series.evict(until_ms, self.settings.history_candles, terms);
        }
        self.remembered.forget(until_ms);
        for coverage in &mut self.coverages {
            coverage.forget(until_ms);
        }
    }
}
