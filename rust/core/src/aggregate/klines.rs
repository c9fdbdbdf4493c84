//! The exchange's own candles, and trades that were fetched.

use super::{Aggregator, News, Verdict, in_order};
use crate::candle::window_start;
use crate::error::FrameError;
use crate::frame::Frame;
use crate::kline::{Audit, Kline};
use crate::trade::{Category, TradeId};

impl Aggregator {
    /// [`Self::apply`] for trades that were fetched.
    pub(crate) fn backfill(
        &mut self,
        category: Category,
        frame: &mut Frame,
        verdicts: &mut Vec<Verdict>,
        news: &mut Vec<News>,
    ) -> Result<(), FrameError> {
        self.is_backfill = true;
        let applied = self.apply(category, frame, verdicts, news);
        self.is_backfill = false;
        applied
    }

    /// Whether a trade is remembered.
    pub(crate) fn knows(&self, category: Category, symbol: &str, id: &str, event_ms: i64) -> bool {
        let series = self.index[category as usize].get(symbol);
        let id = TradeId::from_text(id);
        series.is_some_and(|&at| self.series[at as usize].seen.knows(&id, window_start(event_ms)))
    }

    /// What comparing with the exchange's candles came to.
    pub(crate) fn audit(&self) -> Audit {
        self.audit
    }

    /// Takes the exchange's candles of one symbol.
    ///
    /// Those of minutes that lie further ahead of the clock than any trade may are passed over, and
    /// those of one symbol more than may be known.
    pub(crate) fn klines(
        &mut self,
        category: Category,
        symbol: &str,
        rows: &[Kline],
        news: &mut Vec<News>,
    ) {
        let last_ms = self.last_kline_ms();
        let mut rows: Vec<&Kline> = rows.iter().filter(|row| row.start_ms <= last_ms).collect();
        rows.sort_by_key(|row| row.start_ms);
        let Some(first_ms) = rows.first().map(|row| row.start_ms) else { return };
        let is_new = || rows.iter().any(|row| !row.volume.is_zero());
        let known = self.index[category as usize].get(symbol).copied();
        let Some(series) = known.or_else(|| {
            let has_room = self.series.len() < self.settings.max_symbols;
            (has_room && is_new()).then(|| self.push_series(category, symbol))
        }) else {
            return;
        };
        let it = &mut self.series[series as usize];
        let keeping = (self.settings.empty, self.settings.history_candles);
        for row in rows {
            if row.start_ms >= self.evicted_until_ms {
                it.keep_kline(row.clone());
            } else if let Some(candle) = it.recall_kline(row, keeping, self.evicted_until_ms) {
                self.audit.note(None, &candle);
                news.push(News { start_ms: row.start_ms, series });
            }
        }
        self.refresh(series, first_ms, news);
        in_order(news);
    }

    /// The start of the last minute that may be over by the exchange's clock.
    fn last_kline_ms(&self) -> i64 {
        let now_ms = Some(self.closed_until_ms).max(self.max_event_ms);
        let is_known = |now_ms: &i64| *now_ms != i64::MIN;
        let ahead_ms = self.settings.grace_ms.saturating_add(self.settings.max_future_ms);
        now_ms.filter(is_known).map_or(i64::MAX, |now_ms| now_ms.saturating_add(ahead_ms))
    }
}
