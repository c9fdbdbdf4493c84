//! What `Engine` is given beside the stream: trades that were fetched, and the exchange's candles.

use pyo3::prelude::*;
use tapecast_core::kline::Kline;
use tapecast_core::replay::RecallError;
use tapecast_core::trade::Category;

use crate::batch::Batch;
use crate::engine::Engine;
use crate::error::CallError;

/// The exchange's candle: `start_ms`, open, high, low, close, volume and turnover.
type Row = (i64, String, String, String, String, String, String);

fn read(row: &Row) -> Result<Kline, RecallError> {
    let (start_ms, open, high, low, close, volume, turnover) = row;
    Kline::read(*start_ms, [open, high, low, close], [volume, turnover])
}

#[pymethods]
impl Engine {
    /// Apply trades that were fetched over REST, in the shape of an exchange frame.
    ///
    /// As `feed`, but they count neither as a frame nor in latencies, and a candle with a fresh one
    /// has the source `backfill`. What is refused counts as nothing.
    ///
    /// Raises:
    ///     DecodeError: If the frame is not a well-formed trade message of this category.
    ///     ValueError: If the category is unknown.
    #[pyo3(signature = (frame, *, received_ns, category))]
    fn backfill(
        &mut self,
        frame: &[u8],
        received_ns: i64,
        category: &str,
    ) -> Result<Batch, CallError> {
        Ok(self.0.backfill(frame, received_ns, category.parse()?)?.into())
    }

    /// Say of trades, each symbol, trade id and event_ms, whether they are remembered.
    #[pyo3(signature = (trades, *, category))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn known(
        &self,
        trades: Vec<(String, String, i64)>,
        category: &str,
    ) -> Result<Vec<bool>, CallError> {
        let category: Category = category.parse()?;
        let is_known = |(symbol, id, event_ms): &(String, String, i64)| {
            self.0.knows(category, (symbol, id, *event_ms))
        };
        Ok(trades.iter().map(is_known).collect())
    }

    /// Compare the exchange's own candles of closed minutes with ours.
    ///
    /// A minute that was seen whole, or whose candle equals the exchange's in close, volume and
    /// turnover (sizes are positive: then nothing was missed, and it is whole), has its candle
    /// `verified`: true where every field is right by the exchange's rules. By these a candle opens
    /// at the close before, which high and low include; where that is not known, the exchange's
    /// open is taken for it. Any other minute takes the exchange's values: its source is `kline`,
    /// it is not complete, its trades and buy_volume are null. Once it is whole by trades, these
    /// count again.
    ///
    /// A minute that is not closed yet keeps the row until then. Of minutes that can no longer be
    /// revised those are published of which no candle is known, if the history has room for them.
    ///
    /// Args:
    ///     rows: start_ms, open, high, low, close, volume and turnover of each, in any order.
    ///         Decimals are exact texts.
    ///     category: What the symbol belongs to.
    ///     symbol: Whose candles they are.
    ///
    /// Raises:
    ///     ValueError: If the category is unknown or a field is none of its kind; nothing changes
    ///         then.
    #[pyo3(signature = (rows, *, category, symbol))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn klines(&mut self, rows: Vec<Row>, category: &str, symbol: &str) -> Result<Batch, CallError> {
        let rows: Result<Vec<Kline>, RecallError> = rows.iter().map(read).collect();
        Ok(self.0.klines(category.parse()?, symbol, &rows?).into())
    }

    /// What comparing with the exchange's candles came to.
    ///
    /// How many candles were equal, how many of minutes seen whole were not, and the largest
    /// difference of any field as its exact text; `None` where there was none.
    #[getter]
    fn audit(&self) -> (u64, u64, Option<String>) {
        let audit = self.0.audit();
        let largest = audit.largest.map(|difference| {
            let mut text = Vec::new();
            difference.write(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        (audit.verified_total, audit.mismatched_total, largest)
    }
}
