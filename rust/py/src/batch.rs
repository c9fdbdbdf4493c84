//! `Batch` and `Message`.

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tapecast_core::batch;

/// What one call publishes: an immutable sequence of messages in the order of their numbers.
#[pyclass(frozen, sequence, module = "tapecast._core")]
pub(crate) struct Batch(Arc<batch::Batch>);

impl From<batch::Batch> for Batch {
    fn from(batch: batch::Batch) -> Self {
        Self(Arc::new(batch))
    }
}

#[pymethods]
impl Batch {
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
        self.inner().category.map(tapecast_core::trade::Category::name)
    }

    /// Its symbol (of a gap: the topic); `None` for messages about no symbol.
    #[getter]
    fn symbol(&self) -> Option<&str> {
        self.inner().symbol.as_deref()
    }

    /// Its number: one more than the message before; in progress: that of the last one.
    #[getter]
    fn seq(&self) -> u64 {
        self.inner().seq
    }

    /// One finished JSON object as UTF-8, ready to be sent as a text frame.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.batch.payload(self.inner()))
    }

    /// The console line of stats and candles, without a line end; `None` for the others.
    #[getter]
    fn text(&self) -> Option<&str> {
        self.inner().text.as_deref()
    }

    fn __repr__(&self) -> String {
        let inner = self.inner();
        let symbol = inner.symbol.as_deref().unwrap_or("-");
        format!("Message(type={}, symbol={symbol}, seq={})", inner.kind.name(), inner.seq)
    }
}
