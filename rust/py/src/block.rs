//! `Block` and `Layout`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tapecast_core::trade::Category;
use tapecast_core::{archive, lines};

use crate::error::CallError;

/// Which column of an archive of trades holds what, read off its header.
///
/// The layouts are those of `public.bybit.com`: `trading/` (futures) and `spot/`.
///
/// Args:
///     header: The first line of the file.
///     category: What the rows hold; futures or spot, as the columns are.
///     symbol: The symbol of every row; a column of symbols goes before it.
///
/// Raises:
///     DecodeError: If columns are missing, repeated or unknown, or are those of another category.
///     ValueError: If the category is unknown.
#[pyclass(frozen, module = "tapecast._core")]
pub(crate) struct Layout(Arc<archive::Layout>);

#[pymethods]
impl Layout {
    #[new]
    #[pyo3(signature = (header, *, category, symbol = None))]
    fn new(header: &[u8], category: &str, symbol: Option<&str>) -> Result<Self, CallError> {
        Ok(Self(Arc::new(archive::Layout::of(header, category.parse()?, symbol)?)))
    }
}

/// A piece of a file of frames or trades, decoded apart from any engine.
///
/// Blocks are decoded on any threads, and then absorbed by one engine in the order of the file.
#[pyclass(module = "tapecast._core")]
#[derive(Default)]
pub(crate) struct Block(pub(crate) lines::Block);

#[pymethods]
impl Block {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Decode whole lines in place of what the block held; other threads run meanwhile.
    ///
    /// Args:
    ///     head: The beginning of the first line.
    ///     body: What follows it.
    ///     end: Where the last line ends in the body; what stands behind is not looked at.
    ///     category: What the lines hold.
    ///     layout: The columns of an archive; lines are frames where `None`.
    ///
    /// Returns:
    ///     Of every line that is neither blank nor a well-formed trade message its place in the
    ///     block, and its text. Say by `settle` or `pass_over` what each one is.
    ///
    /// Raises:
    ///     ValueError: If the category is unknown.
    #[pyo3(signature = (head, body, end, *, category, layout = None))]
    fn decode<'py>(
        &mut self,
        py: Python<'py>,
        head: &[u8],
        body: &[u8],
        end: usize,
        category: &str,
        layout: Option<&Layout>,
    ) -> Result<Vec<(usize, Bound<'py, PyBytes>)>, CallError> {
        let category: Category = category.parse()?;
        let layout = layout.map(|layout| Arc::clone(&layout.0));
        let body = &body[..end.min(body.len())];
        let block = &mut self.0;
        let odd = py.detach(|| block.decode(category, layout.as_ref(), head, body));
        Ok(odd.into_iter().map(|(item, line)| (item, PyBytes::new(py, &line))).collect())
    }

    /// Take note that an odd line is a refused frame, and of what topic and time.
    #[pyo3(signature = (item, *, topic, ts_ms))]
    fn settle(&mut self, item: usize, topic: Option<String>, ts_ms: Option<i64>) {
        self.0.settle(item, topic, ts_ms);
    }

    /// Take note that an odd line is no trade message.
    fn pass_over(&mut self, item: usize) {
        self.0.pass_over(item);
    }

    /// How many lines it held when it was decoded, blank ones included.
    #[getter]
    fn lines(&self) -> usize {
        self.0.lines()
    }

    /// The smallest time in its first frame with trades, in milliseconds since the epoch.
    #[getter]
    fn first_ms(&self) -> Option<i64> {
        self.0.first_ms()
    }
}
