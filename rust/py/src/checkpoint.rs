//! What of `Engine` outlives a restart.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tapecast_core::engine;
use tapecast_core::replay::Kept;
use tapecast_core::trade::Category;

use crate::batch::Batch;
use crate::engine::Engine;
use crate::error::CallError;
use crate::options;

/// A closed candle as Python has it: a tuple of these.
#[derive(FromPyObject)]
struct Row {
    #[pyo3(item(0))]
    category: String,
    #[pyo3(item(1))]
    symbol: String,
    #[pyo3(item(2))]
    start_ms: i64,
    #[pyo3(item(3))]
    open: String,
    #[pyo3(item(4))]
    high: String,
    #[pyo3(item(5))]
    low: String,
    #[pyo3(item(6))]
    close: String,
    #[pyo3(item(7))]
    volume: String,
    #[pyo3(item(8))]
    turnover: String,
    #[pyo3(item(9))]
    buy_volume: Option<String>,
    #[pyo3(item(10))]
    trades: Option<u64>,
    #[pyo3(item(11))]
    complete: bool,
    #[pyo3(item(12))]
    source: String,
    #[pyo3(item(13))]
    verified: Option<bool>,
    #[pyo3(item(14))]
    revision: u32,
}

impl Row {
    fn kept(&self) -> Kept<'_> {
        Kept {
            start_ms: self.start_ms,
            prices: [&self.open, &self.high, &self.low, &self.close],
            volume: &self.volume,
            turnover: &self.turnover,
            buy_volume: self.buy_volume.as_deref(),
            trades: self.trades,
            complete: self.complete,
            source: &self.source,
            verified: self.verified,
            revision: self.revision,
        }
    }
}

#[pymethods]
impl Engine {
    /// Return the whole state but the history of candles that can no longer be revised.
    ///
    /// Other threads run meanwhile, which must not use this engine. Equal states give equal bytes.
    fn checkpoint<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let engine = &self.0;
        PyBytes::new(py, &py.detach(|| engine.checkpoint()))
    }

    /// Return the engine that a checkpoint was made of; other threads run meanwhile.
    ///
    /// It goes on as if it had never stopped: the same inputs give the same messages. Settings are
    /// those of a new engine, and as they were where `None`. The history of candles comes back by
    /// `recall`.
    ///
    /// Raises:
    ///     ValueError: If the checkpoint is damaged or of another version, or a setting is outside
    ///         its choices or range.
    #[staticmethod]
    #[pyo3(signature = (
        checkpoint, *, grace_ms = None, revise_window_ms = None, empty = None, open = None,
        include_block_trades = None, clock = None, primary_category = None, epoch = None,
        max_future_ms = None, assume_covered = None, recent_trades = None, history_candles = None,
        max_symbols = None, max_trade_ids = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python method")]
    fn restored(
        py: Python<'_>,
        checkpoint: &[u8],
        grace_ms: Option<i64>,
        revise_window_ms: Option<i64>,
        empty: Option<&str>,
        open: Option<&str>,
        include_block_trades: Option<bool>,
        clock: Option<&str>,
        primary_category: Option<&str>,
        epoch: Option<String>,
        max_future_ms: Option<i64>,
        assume_covered: Option<bool>,
        recent_trades: Option<usize>,
        history_candles: Option<usize>,
        max_symbols: Option<usize>,
        max_trade_ids: Option<usize>,
    ) -> Result<Self, CallError> {
        let duration = |name: &str, given: Option<i64>| {
            given.map(|given| options::milliseconds(name, given)).transpose()
        };
        let grace_ms = duration("grace_ms", grace_ms)?;
        let revise_window_ms = duration("revise_window_ms", revise_window_ms)?;
        let max_future_ms = duration("max_future_ms", max_future_ms)?;
        let empty = empty.map(options::empty_policy).transpose()?;
        let open = open.map(options::open_rule).transpose()?;
        let clock = clock.map(options::clock).transpose()?;
        let primary: Option<Category> = primary_category.map(str::parse).transpose()?;
        let restored = py.detach(|| {
            engine::Engine::restored(checkpoint, |known| {
                replace(&mut known.grace_ms, grace_ms);
                replace(&mut known.revise_window_ms, revise_window_ms);
                replace(&mut known.empty, empty);
                replace(&mut known.open, open);
                replace(&mut known.include_block_trades, include_block_trades);
                replace(&mut known.clock, clock);
                known.primary_category = primary.or(known.primary_category);
                replace(&mut known.epoch, epoch);
                replace(&mut known.max_future_ms, max_future_ms);
                replace(&mut known.assume_covered, assume_covered);
                replace(&mut known.recent_trades, recent_trades);
                replace(&mut known.history_candles, history_candles);
                replace(&mut known.max_symbols, max_symbols);
                replace(&mut known.max_trade_ids, max_trade_ids);
            })
        })?;
        Ok(Self(restored))
    }

    /// Publish a recorded stats message again, in place of `stats`.
    ///
    /// The next rates are those since then.
    ///
    /// Raises:
    ///     ValueError: If it is none, or its number is not the next one; nothing changes then.
    fn restated(&mut self, payload: &[u8]) -> Result<Batch, CallError> {
        Ok(self.0.restated(payload)?.into())
    }

    /// Take note of a frame whose trades were all known, as `feed` did; it publishes nothing.
    fn repeated(&mut self, trades: u64) -> Batch {
        self.0.repeated(trades);
        Batch::default()
    }

    /// Begin a new numbering under a new epoch: the next message has the number 1.
    ///
    /// What was published before has the number 0 in snapshots.
    fn renumber(&mut self, epoch: &str) {
        self.0.renumber(epoch);
    }

    /// Put closed candles back into the history of their symbols; return how many were taken.
    ///
    /// Passed over are those whose minute is known or may still be revised (of an engine whose
    /// clock was never moved: any), and those beyond `max_symbols` and `history_candles`.
    ///
    /// Args:
    ///     rows: Category, symbol, start_ms, open, high, low, close, volume, turnover, buy_volume,
    ///         trades, complete, source, verified and revision of each, oldest first. Decimals are
    ///         exact texts.
    ///
    /// Raises:
    ///     ValueError: If a field of a row is none of its kind; nothing is taken then.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn recall(&mut self, rows: Vec<Row>) -> Result<usize, CallError> {
        let read = |row: &Row| -> Result<_, CallError> {
            Ok((row.category.parse::<Category>()?, row.kept().candle()?))
        };
        let candles: Result<Vec<_>, CallError> = rows.iter().map(read).collect();
        let candles = rows.iter().zip(candles?);
        let candles =
            candles.map(|(row, (category, candle))| (category, row.symbol.as_str(), candle));
        Ok(self.0.recall(candles))
    }
}

/// Puts what is given in place of what is known.
fn replace<T>(known: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *known = given;
    }
}
