//! `decode_trades`.

use pyo3::prelude::*;
use tapecast_core::frame::Frame;
use tapecast_core::trade::Category;

use crate::arrays;
use crate::error::CallError;

/// Decodes one frame into an array of its trades; see `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (frame, *, category = None, exact = false))]
pub(crate) fn decode_trades<'py>(
    py: Python<'py>,
    frame: &[u8],
    category: Option<&str>,
    exact: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let category: Option<Category> =
        category.map(str::parse).transpose().map_err(CallError::from)?;
    let mut decoded = Frame::default();
    decoded.decode(frame, category).map_err(CallError::from)?;
    arrays::frame_trades(py, &decoded, exact)
}
