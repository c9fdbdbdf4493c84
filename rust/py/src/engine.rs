//! `Engine`.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tapecast_core::encode::LineChange;
use tapecast_core::engine::{self, StatsInput};
use tapecast_core::settings::Settings;
use tapecast_core::snapshot::SnapshotOptions;
use tapecast_core::trade::Category;

use crate::arrays;
use crate::batch::Batch;
use crate::error::CallError;
use crate::options;

/// Exact live aggregation; see `_core.pyi`.
#[pyclass(module = "tapecast._core")]
pub(crate) struct Engine(engine::Engine);

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

    #[pyo3(signature = (frame, *, received_ns, category = "linear"))]
    fn feed(&mut self, frame: &[u8], received_ns: i64, category: &str) -> Result<Batch, CallError> {
        Ok(self.0.feed(frame, received_ns, category.parse()?)?.into())
    }

    fn advance(&mut self, now_ms: i64) -> Batch {
        self.0.advance(now_ms).into()
    }

    #[pyo3(signature = (
        now_ms, *, interval_ns, counts, thread_statuses = None, rejected_symbols = None,
    ))]
    fn stats(
        &mut self,
        now_ms: i64,
        interval_ns: u64,
        counts: &Bound<'_, PyDict>,
        thread_statuses: Option<&[u8]>,
        rejected_symbols: Option<&[u8]>,
    ) -> PyResult<Batch> {
        let counts: PyResult<Vec<(String, u64)>> =
            counts.iter().map(|(name, total)| Ok((name.extract()?, total.extract()?))).collect();
        let input = StatsInput {
            now_ms,
            interval_ns,
            counts: &counts?,
            thread_statuses: options::json_array("thread_statuses", thread_statuses)?,
            rejected_symbols: options::json_array("rejected_symbols", rejected_symbols)?,
        };
        Ok(self.0.stats(&input).into())
    }

    #[pyo3(signature = (now_ms, *, line, state, reason = ""))]
    fn upstream(&mut self, now_ms: i64, line: &str, state: &str, reason: &str) -> Batch {
        self.0.upstream(&LineChange { now_ms, line, state, reason }).into()
    }

    #[pyo3(signature = (at_ms, *, category, topics))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn cover(
        &mut self,
        at_ms: i64,
        category: &str,
        topics: Vec<String>,
    ) -> Result<Batch, CallError> {
        let category: Category = category.parse()?;
        Ok(self.0.cover(category, topics.iter().map(String::as_str), at_ms).into())
    }

    #[pyo3(signature = (at_ms, *, category, topics))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn uncover(
        &mut self,
        at_ms: i64,
        category: &str,
        topics: Vec<String>,
    ) -> Result<Batch, CallError> {
        let category: Category = category.parse()?;
        Ok(self.0.uncover(category, topics.iter().map(String::as_str), at_ms).into())
    }

    #[pyo3(signature = (since = 0))]
    fn partials(&mut self, since: u64) -> (u64, Batch) {
        let (version, batch) = self.0.partials(since);
        (version, batch.into())
    }

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

    fn symbols(&self) -> Vec<(&'static str, &str)> {
        self.0.series().iter().map(|series| (series.category.name(), &*series.symbol)).collect()
    }

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

    #[pyo3(signature = (*, exact = false))]
    fn trades<'py>(&self, py: Python<'py>, exact: bool) -> PyResult<Bound<'py, PyAny>> {
        arrays::recent_trades(py, &self.0, exact)
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq()
    }

    #[getter]
    fn epoch(&self) -> &str {
        self.0.epoch()
    }

    #[getter]
    fn event_ms(&self) -> Option<i64> {
        self.0.event_ms()
    }

    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = PyDict::new(py);
        for (name, total) in self.0.counters().named() {
            counts.set_item(name, total)?;
        }
        Ok(counts)
    }
}
