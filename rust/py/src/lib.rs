//! The extension module `tapecast._core`: thin wrappers named as in the core.
//!
//! Its reference text lives in `_core.pyi`; doc comments repeat it word for word, as what Python's
//! `help` shows.

#![expect(clippy::doc_markdown, reason = "Python docstrings in Google style")]

mod arrays;
mod batch;
mod block;
mod checkpoint;
mod decode;
mod engine;
mod error;
mod gaps;
mod journal;
mod klines;
mod latency;
mod options;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::batch::{Batch, Message, Selection};
    #[pymodule_export]
    use crate::block::{Block, Layout};
    #[pymodule_export]
    use crate::decode::decode_trades;
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::journal::{encode_record, read_records};
    #[pymodule_export]
    use crate::latency::Latency;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
