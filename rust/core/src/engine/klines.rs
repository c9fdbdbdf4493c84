//! What is fetched beside the stream: trades, and the exchange's own candles.

use super::Engine;
use crate::batch::Batch;
use crate::error::FrameError;
use crate::kline::{Audit, Kline};
use crate::trade::Category;

impl Engine {
    /// Applies trades that were fetched, in the shape of an exchange frame, as [`Self::feed`] does.
    ///
    /// They count neither as a frame nor in latencies. A candle with a fresh one says so.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] where any part of the frame is malformed: then none of it is applied.
    pub fn backfill(
        &mut self,
        bytes: &[u8],
        received_ns: i64,
        category: Category,
    ) -> Result<Batch, FrameError> {
        self.decode(bytes, received_ns, category)?;
        let Self { aggregator, frame, verdicts, news, .. } = self;
        aggregator.backfill(category, frame, verdicts, news)?;
        self.primary.get_or_insert(category);
        let mut batch = Batch::default();
        self.publish_applied(&mut batch);
        self.counters.backfilled_trades_total += batch.fresh_trades;
        Ok(batch)
    }

    /// Whether a trade, of which symbol, id and event time are given, is remembered.
    #[must_use]
    pub fn knows(&self, category: Category, (symbol, id, event_ms): (&str, &str, i64)) -> bool {
        self.aggregator.knows(category, symbol, id, event_ms)
    }

    /// Compares the exchange's own candles of a symbol with ours.
    ///
    /// One that was seen whole, or that holds all that the exchange counted, is verified by the
    /// exchange's rules; any other takes the exchange's values. A window that is open keeps its row
    /// until it closes. Of minutes that can no longer be revised those come into the history of which
    /// no candle is known.
    pub fn klines(&mut self, category: Category, symbol: &str, rows: &[Kline]) -> Batch {
        let mut batch = Batch::default();
        self.aggregator.klines(category, symbol, rows, &mut self.news);
        self.publish_news(&mut batch);
        batch
    }

    /// What comparing with the exchange's candles came to.
    #[must_use]
    pub fn audit(&self) -> Audit {
        self.aggregator.audit()
    }
}
