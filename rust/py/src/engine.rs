//! `Engine`.

use std::collections::HashSet;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};
use tapecast_core::batch;
use tapecast_core::encode::LineChange;
use tapecast_core::engine::{self, StatsInput};
use tapecast_core::latency::Summary;
use tapecast_core::settings::Settings;
use tapecast_core::snapshot::SnapshotOptions;
use tapecast_core::trade::Category;

use crate::arrays;
use crate::batch::Batch;
use crate::block::Block;
use crate::error::{self, CallError, Numbered};
use crate::latency::Latency;
use crate::options;

/// Exact live aggregation of public trades into candles, counters and messages.
///
/// Each trade counts once, by (category, symbol, trade id), however often and in whatever order it
/// arrives. Sums are exact; an overflow refuses the frame.
///
/// Args:
///     grace_ms: How long after its end a window still takes trades, in milliseconds.
///     revise_window_ms: How long after its end a closed window is still revised by a late trade,
///         in milliseconds. Trade ids are remembered as long.
///     empty: What a minute without trades publishes: nothing, or a flat candle at the last close
///         (as Bybit's klines; a jump of the clock by more than a week is not filled).
///     open: What a candle opens at: its first trade, or the close before it, which high and low
///         then include (as Bybit's klines).
///     include_block_trades: Whether block trades count in candles; they are published as trades
///         all the same.
///     clock: What closes windows: `advance` ("wall"), or the greatest event time seen ("event",
///         for replay and batch).
///     primary_category: The category whose symbols stand bare in `last_prices`; the first one fed,
///         where `None`.
///     epoch: Opaque name of this numbering of messages.
///     max_future_ms: How far ahead of the clock an event time may lie, in milliseconds. The clock
///         is the greater of the greatest event time seen and `received_ns` ("wall") or the frame's
///         own `ts` ("event").
///     assume_covered: Whether every symbol counts as received whole from the first trade of its
///         category on. If not, candles are incomplete until `cover` says so.
///     recent_trades: How many trades a snapshot holds.
///     history_candles: How many candles of a symbol are kept after they can no longer be revised.
///     max_symbols: How many symbols may be known; a frame with one more is refused.
///     max_trade_ids: How many trade ids may be remembered. Beyond it the oldest closed windows are
///         given up before their time: their late trades are then counted as late.
///
/// Raises:
///     ValueError: If a setting is outside its choices or range; the text names both.
#[pyclass(module = "tapecast._core")]
pub(crate) struct Engine(pub(crate) engine::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (
        *, grace_ms = 1_000, revise_window_ms = 600_000, empty = "skip", open = "first_trade",
        include_block_trades = true, clock = "wall", primary_category = None, epoch = "",
        max_future_ms = 60_000, assume_covered = true, recent_trades = 100, history_candles = 120,
        max_symbols = 10_000, max_trade_ids = 4_000_000,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python constructor")]
    fn new(
        grace_ms: i64,
        revise_window_ms: i64,
        empty: &str,
        open: &str,
        include_block_trades: bool,
        clock: &str,
        primary_category: Option<&str>,
        epoch: &str,
        max_future_ms: i64,
        assume_covered: bool,
        recent_trades: usize,
        history_candles: usize,
        max_symbols: usize,
        max_trade_ids: usize,
    ) -> Result<Self, CallError> {
        Ok(Self(engine::Engine::new(Settings {
            grace_ms: options::milliseconds("grace_ms", grace_ms)?,
            revise_window_ms: options::milliseconds("revise_window_ms", revise_window_ms)?,
            empty: options::empty_policy(empty)?,
            open: options::open_rule(open)?,
            include_block_trades,
            clock: options::clock(clock)?,
            primary_category: primary_category.map(str::parse).transpose()?,
            epoch: epoch.to_owned(),
            max_future_ms: options::milliseconds("max_future_ms", max_future_ms)?,
            assume_covered,
            recent_trades,
            history_candles,
            max_symbols,
            max_trade_ids,
        })))
    }

    /// Apply one exchange frame and return what must be published.
    ///
    /// A frame is applied whole or not at all: if any trade in it is malformed, nothing changes but
    /// the count of bad frames. Trades come in the order of the frame, then closed candles that
    /// they revised, then (event clock) the candles that they closed.
    ///
    /// Args:
    ///     frame: One text frame as UTF-8 bytes, exactly as received.
    ///     received_ns: Wall clock at receipt, in nanoseconds since the epoch; never chooses a
    ///         window.
    ///     category: What the connection carries; a frame does not say it.
    ///
    /// Raises:
    ///     DecodeError: If the frame is not a well-formed trade message of this category.
    ///     ValueError: If the category is unknown.
    #[pyo3(signature = (frame, *, received_ns, category = "linear"))]
    fn feed(&mut self, frame: &[u8], received_ns: i64, category: &str) -> Result<Batch, CallError> {
        // Made where it stays: moving what has just been written costs as much as writing it.
        let mut batch = Arc::new(batch::Batch::default());
        if let Some(batch) = Arc::get_mut(&mut batch) {
            self.0.feed_into(batch, frame, received_ns, category.parse()?)?;
        }
        Ok(batch.into())
    }

    /// Apply many exchange frames in their order, as `feed` would one by one, into one batch.
    ///
    /// Other threads run meanwhile. A malformed frame does not keep the others from being applied.
    ///
    /// Args:
    ///     frames: One text frame each, as UTF-8 bytes.
    ///     received_ns: Wall clock at receipt, in nanoseconds since the epoch.
    ///     category: What the connection carries.
    ///
    /// Returns:
    ///     What must be published, and of every frame that was refused its index and its error.
    ///
    /// Raises:
    ///     ValueError: If the category is unknown; nothing is applied then.
    #[pyo3(signature = (frames, *, received_ns, category = "linear"))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python list")]
    fn feed_many(
        &mut self,
        py: Python<'_>,
        frames: Vec<PyBackedBytes>,
        received_ns: i64,
        category: &str,
    ) -> Result<(Batch, Numbered), CallError> {
        let category: Category = category.parse()?;
        let engine = &mut self.0;
        let (batch, refused) = py.detach(|| {
            engine.feed_many(frames.iter().map(|frame| &**frame), received_ns, category)
        });
        Ok((batch.into(), error::numbered(py, refused)))
    }

    /// Apply the lines of a decoded block, without publishing; other threads run meanwhile.
    ///
    /// For engines whose clock is event time. The candles and counts are those of feeding each
    /// frame; recent trades are not kept. The minutes of refused frames count as missed.
    ///
    /// Args:
    ///     block: Holds nothing any more afterwards.
    ///     lines: How many lines of the file came before.
    ///
    /// Returns:
    ///     Of every line that was refused its number in the block, from 0, and its error.
    #[pyo3(signature = (block, *, lines = 0))]
    fn absorb(&mut self, py: Python<'_>, block: &mut Block, lines: usize) -> Numbered {
        let (engine, block) = (&mut self.0, &mut block.0);
        let refused = py.detach(|| engine.absorb(block, lines));
        error::numbered(py, refused)
    }

    /// Take note that a recorded frame was refused: its trades are missing in their minute.
    ///
    /// Publishes gaps, and the closed candles that they touch.
    ///
    /// Args:
    ///     topic: Symbol (for options base coin) of the frame; where `None` or longer than one can
    ///         be, any topic known so far is meant.
    ///     ts_ms: Its own time, in milliseconds since the epoch; where `None`, the greatest time
    ///         seen is meant, and both where they are far apart.
    ///     category: What it carries.
    ///
    /// Raises:
    ///     ValueError: If the category is unknown.
    #[pyo3(signature = (topic, ts_ms, *, category))]
    fn refuse(
        &mut self,
        topic: Option<&str>,
        ts_ms: Option<i64>,
        category: &str,
    ) -> Result<Batch, CallError> {
        Ok(self.0.refuse(category.parse()?, topic, ts_ms).into())
    }

    /// Close every window whose end and grace have passed at `now_ms`, oldest first.
    ///
    /// A time before that of an earlier call changes nothing.
    fn advance(&mut self, now_ms: i64) -> Batch {
        self.0.advance(now_ms).into()
    }

    /// Publish one stats message.
    ///
    /// Args:
    ///     now_ms: Wall clock, in milliseconds since the epoch.
    ///     interval_ns: Time since the last call, on a monotonic clock; what rates are computed
    ///         over.
    ///     counts: The caller's growing totals by name, beside the engine's own; the same name
    ///         replaces the engine's.
    ///     thread_statuses: A JSON array, spliced in as it is.
    ///     rejected_symbols: A JSON array, spliced in as it is.
    ///     latencies: How long things took, by name, beside the engine's own; each begins anew.
    ///     sections: Further members by name, each JSON that is spliced in as it is.
    ///
    /// Raises:
    ///     ValueError: If one of the arrays is none, or a section is no JSON or has the name of
    ///         another member.
    #[pyo3(signature = (
        now_ms, *, interval_ns, counts, thread_statuses = None, rejected_symbols = None,
        latencies = None, sections = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python method")]
    fn stats(
        &mut self,
        now_ms: i64,
        interval_ns: u64,
        counts: &Bound<'_, PyDict>,
        thread_statuses: Option<&[u8]>,
        rejected_symbols: Option<&[u8]>,
        latencies: Option<&Bound<'_, PyDict>>,
        sections: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Batch> {
        let counts: PyResult<Vec<(String, u64)>> =
            counts.iter().map(|(name, total)| Ok((name.extract()?, total.extract()?))).collect();
        let latencies = latencies.into_iter().flatten().map(|(name, latency)| {
            let latency = latency.cast::<Latency>()?;
            Ok((name.extract()?, latency.try_borrow_mut()?.0.take()))
        });
        let latencies: PyResult<Vec<(String, Summary)>> = latencies.collect();
        let sections = sections.into_iter().flatten();
        let sections: PyResult<Vec<(String, PyBackedBytes)>> =
            sections.map(|(name, json)| Ok((name.extract()?, json.extract()?))).collect();
        let sections = sections?;
        let input = StatsInput {
            now_ms,
            interval_ns,
            counts: &counts?,
            thread_statuses: options::json_array("thread_statuses", thread_statuses)?,
            rejected_symbols: options::json_array("rejected_symbols", rejected_symbols)?,
            sections: &options::sections(&sections)?,
            latencies: &latencies?,
        };
        Ok(self.0.stats(&input).into())
    }

    /// Publish a change of an upstream connection.
    #[pyo3(signature = (now_ms, *, line, state, reason = ""))]
    fn upstream(&mut self, now_ms: i64, line: &str, state: &str, reason: &str) -> Batch {
        self.0.upstream(&LineChange { now_ms, line, state, reason }).into()
    }

    /// Return the candles in progress that changed since version `since` (0: all).
    ///
    /// Of each symbol the newest. They take no numbers: their `seq` is that of the last published
    /// message. The first item is the version to ask with next time.
    #[pyo3(signature = (since = 0))]
    fn partials(&mut self, since: u64) -> (u64, Batch) {
        let (version, batch) = self.0.partials(since);
        (version, batch.into())
    }

    /// Return what a client needs to begin with: one JSON object with `epoch` and `seq`.
    ///
    /// Args:
    ///     history: How many closed candles of each symbol; 0 and 1 give the newest.
    ///     types: The types wanted; all where `None`.
    ///     symbols: The symbols wanted, each bare or as `category:SYMBOL`; all where `None`.
    ///     in_progress: Whether candles in progress follow the closed ones of each symbol.
    #[pyo3(signature = (*, history = 0, types = None, symbols = None, in_progress = false))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python set")]
    fn snapshot<'py>(
        &mut self,
        py: Python<'py>,
        history: usize,
        types: Option<Vec<String>>,
        symbols: Option<HashSet<String>>,
        in_progress: bool,
    ) -> Result<Bound<'py, PyBytes>, CallError> {
        let kinds =
            types.map(|types| types.iter().map(|name| options::message_kind(name)).collect());
        let kinds: Option<Vec<_>> = kinds.transpose()?;
        let options = SnapshotOptions {
            history,
            types: kinds.as_deref(),
            symbols: symbols.as_ref(),
            in_progress,
        };
        Ok(PyBytes::new(py, &self.0.snapshot(&options)))
    }

    /// Return every symbol known, in the order of its first trade.
    fn symbols(&self) -> Vec<(&'static str, &str)> {
        self.0.series().iter().map(|series| (series.category.name(), &*series.symbol)).collect()
    }

    /// Return the known closed candles and those in progress, by symbol, oldest first.
    ///
    /// A structured array with the fields `category` (U7), `symbol` (U32), `start_ms`, `end_ms`
    /// (int64, milliseconds since the epoch), `open`, `high`, `low`, `close`, `volume`, `turnover`,
    /// `buy_volume` (float64; with `exact` their text, U41), `trades` (int64), `vwap` (float64, NaN
    /// where volume is 0), `closed`, `complete` (bool), `revision` (int64). Where a candle is the
    /// exchange's own, `buy_volume` is NaN and `trades` is -1.
    #[pyo3(signature = (symbol = None, *, category = None, exact = false))]
    fn candles<'py>(
        &self,
        py: Python<'py>,
        symbol: Option<&str>,
        category: Option<&str>,
        exact: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let category: Option<Category> =
            category.map(str::parse).transpose().map_err(CallError::from)?;
        arrays::candles(py, &self.0, (category, symbol), exact)
    }

    /// Return the most recent trades, oldest first.
    ///
    /// Fields as in `decode_trades`, behind `category` (U7).
    #[pyo3(signature = (*, exact = false))]
    fn trades<'py>(&self, py: Python<'py>, exact: bool) -> PyResult<Bound<'py, PyAny>> {
        arrays::recent_trades(py, &self.0, exact)
    }

    /// Number of the last published message; 0 before the first.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq()
    }

    /// Name of this numbering of messages.
    #[getter]
    fn epoch(&self) -> &str {
        self.0.epoch()
    }

    /// The greatest event time seen, in milliseconds since the epoch.
    #[getter]
    fn event_ms(&self) -> Option<i64> {
        self.0.event_ms()
    }

    /// The engine's totals by their names on the wire.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = PyDict::new(py);
        for (name, total) in self.0.counters().named() {
            counts.set_item(name, total)?;
        }
        Ok(counts)
    }
}
