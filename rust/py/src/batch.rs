//! `Batch`, `Message` and `Selection`.

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};
use tapecast_core::{batch, selection};

use crate::error::CallError;
use crate::options;

/// What one call publishes: an immutable sequence of messages in the order of their numbers.
#[derive(Default)]
#[pyclass(frozen, sequence, module = "tapecast._core")]
pub(crate) struct Batch(Arc<batch::Batch>);

impl From<batch::Batch> for Batch {
    fn from(batch: batch::Batch) -> Self {
        Self(Arc::new(batch))
    }
}

impl From<Arc<batch::Batch>> for Batch {
    fn from(batch: Arc<batch::Batch>) -> Self {
        Self(batch)
    }
}

#[pymethods]
impl Batch {
    /// Return the messages of several batches, one after the other, as one.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn joined(batches: Vec<PyRef<'_, Self>>) -> Self {
        let [only] = batches.as_slice() else {
            let mut all = batch::Batch::default();
            for batch in &batches {
                all.append(&batch.0);
            }
            return all.into();
        };
        Self(Arc::clone(&only.0))
    }

    /// Return the messages that a selection wants and whose number is above `after_seq`.
    ///
    /// Raises whatever the selection's `matches` raises.
    #[pyo3(signature = (selection, *, after_seq = 0))]
    fn select(&self, selection: &mut Selection, after_seq: u64, py: Python<'_>) -> PyResult<Self> {
        let Selection { inner, matches } = selection;
        let chosen = inner.of(&self.0, after_seq, |kind, category, symbol| match matches {
            None => Ok(true),
            Some(matches) => {
                matches.bind(py).call1((kind.name(), category.name(), symbol))?.is_truthy()
            }
        })?;
        Ok(chosen.into())
    }

    /// All messages as finished WebSocket text frames, unmasked, one after the other.
    #[getter]
    fn frames<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.frames())
    }

    /// How many bytes the frames have.
    #[getter]
    fn frames_bytes(&self) -> usize {
        self.0.frames().len()
    }

    /// How many trades of the frames were new; none where messages were selected.
    #[getter]
    fn fresh_trades(&self) -> u64 {
        self.0.fresh_trades
    }

    /// How many trades of the frames were known already; none where messages were selected.
    #[getter]
    fn repeated_trades(&self) -> u64 {
        self.0.repeated_trades
    }

    /// How many trades of the frames came too late; none where messages were selected.
    #[getter]
    fn late_trades(&self) -> u64 {
        self.0.late_trades
    }

    /// The console lines of its stats and candles, without line ends.
    #[getter]
    fn texts(&self) -> Vec<&str> {
        self.0.texts().iter().map(String::as_str).collect()
    }

    fn __len__(&self) -> usize {
        self.0.messages().len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<Message> {
        let length = self.0.messages().len();
        let from_start = if index < 0 { index.checked_add_unsigned(length) } else { Some(index) };
        let at = from_start.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < length);
        match at {
            Some(at) => Ok(Message { batch: Arc::clone(&self.0), at }),
            None => Err(PyIndexError::new_err(format!(
                "batch index is {index}, expected one below {length}"
            ))),
        }
    }

    fn __iter__(&self) -> BatchIterator {
        BatchIterator { batch: Arc::clone(&self.0), at: 0 }
    }

    fn __repr__(&self) -> String {
        format!("Batch(messages={})", self.0.messages().len())
    }
}

/// What a `for` loop over a batch holds.
#[pyclass(module = "tapecast._core")]
struct BatchIterator {
    batch: Arc<batch::Batch>,
    at: usize,
}

#[pymethods]
impl BatchIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self) -> Option<Message> {
        let at = self.at;
        self.at += 1;
        (at < self.batch.messages().len()).then(|| Message { batch: Arc::clone(&self.batch), at })
    }
}

/// One message to be published; immutable.
#[pyclass(frozen, module = "tapecast._core")]
pub(crate) struct Message {
    batch: Arc<batch::Batch>,
    at: usize,
}

impl Message {
    fn inner(&self) -> &batch::Message {
        &self.batch.messages()[self.at]
    }
}

#[pymethods]
impl Message {
    /// The message's `type` on the wire.
    #[getter]
    fn r#type(&self) -> &'static str {
        self.inner().kind.name()
    }

    /// Category of its symbol; `None` for messages about no symbol.
    #[getter]
    fn category(&self) -> Option<&'static str> {
        self.batch.instrument(self.inner()).map(|(category, _)| category.name())
    }

    /// Its symbol (of a gap: the topic); `None` for messages about no symbol.
    #[getter]
    fn symbol(&self) -> Option<&str> {
        self.batch.instrument(self.inner()).map(|(_, symbol)| symbol)
    }

    /// Its number: one more than the message before; in progress: that of the last one.
    #[getter]
    fn seq(&self) -> u64 {
        self.inner().seq
    }

    /// One finished JSON object as UTF-8.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.batch.payload(self.at))
    }

    /// The payload as a finished WebSocket text frame, unmasked.
    #[getter]
    fn frame<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.batch.frame(self.at))
    }

    /// The console line of stats and candles, without a line end; `None` for the others.
    #[getter]
    fn text(&self) -> Option<&str> {
        self.batch.text(self.inner())
    }

    fn __repr__(&self) -> String {
        let inner = self.inner();
        let symbol = self.symbol().unwrap_or("-");
        format!("Message(type={}, symbol={symbol}, seq={})", inner.kind.name(), inner.seq)
    }
}

/// Which messages are wanted; what is known of symbols is remembered.
///
/// Args:
///     types: The types wanted; all where `None`.
///     matches: Called with type, category and symbol (of a gap: its topic) of messages that are
///         about a symbol, once for each symbol and for each topic of gaps; returns whether they
///         are wanted. All are where `None`.
///
/// Raises:
///     ValueError: If a type is unknown.
#[pyclass(module = "tapecast._core")]
pub(crate) struct Selection {
    inner: selection::Selection,
    matches: Option<Py<PyAny>>,
}

#[pymethods]
impl Selection {
    #[new]
    #[pyo3(signature = (types = None, matches = None))]
    fn new(types: Option<Vec<String>>, matches: Option<Py<PyAny>>) -> Result<Self, CallError> {
        let kinds =
            types.map(|names| names.iter().map(|name| options::message_kind(name)).collect());
        let kinds: Option<Vec<_>> = kinds.transpose()?;
        Ok(Self { inner: selection::Selection::new(kinds.as_deref()), matches })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.matches)
    }

    fn __clear__(&mut self) {
        self.matches = None;
    }
}
