//! The one place that makes Python exceptions.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use tapecast_core::checkpoint::CheckpointError;
use tapecast_core::error::FrameError;
use tapecast_core::journal::TooLong;
use tapecast_core::replay::{RecallError, RestateError};
use tapecast_core::trade::UnknownCategory;

/// What a call may fail with.
pub(crate) enum CallError {
    /// A refused frame: `tapecast.errors.DecodeError`.
    Frame(FrameError),
    /// An argument outside its choices: `ValueError`.
    Argument(String),
}

impl From<FrameError> for CallError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// Those that say themselves what is wrong with an argument.
macro_rules! arguments {
    ($($error:ty),*) => {$(
        impl From<$error> for CallError {
            fn from(error: $error) -> Self {
                Self::Argument(error.to_string())
            }
        }
    )*};
}

arguments!(CheckpointError, RecallError, RestateError, TooLong, UnknownCategory);

impl From<CallError> for PyErr {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Argument(message) => PyValueError::new_err(message),
            CallError::Frame(error) => Python::attach(|py| decode_error(py, &error)),
        }
    }
}

/// Exceptions, each with the number of its frame or line.
pub(crate) type Numbered = Vec<(usize, Py<PyAny>)>;

/// Refusals as Python has them.
pub(crate) fn numbered(py: Python<'_>, errors: Vec<(usize, FrameError)>) -> Numbered {
    let pair = |(number, error)| (number, decode_error(py, &error).into_value(py).into_any());
    errors.into_iter().map(pair).collect()
}

fn decode_error(py: Python<'_>, error: &FrameError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, "tapecast.errors", "DecodeError") {
        Ok(class) => {
            let arguments =
                (error.kind.name(), error.position, error.excerpt.clone(), error.to_string());
            PyErr::from_type(class.clone(), arguments)
        }
        Err(failed_import) => failed_import,
    }
}
