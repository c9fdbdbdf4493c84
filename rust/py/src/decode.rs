//! `decode_trades`.

use pyo3::prelude::*;
use tapecast_core::frame::Frame;
use tapecast_core::trade::Category;

use crate::arrays;
use crate::error::CallError;

/// Decode one exchange frame into a structured array of its trades, in its order.
///
/// The fields are `symbol` (U32), `event_ms` (int64, milliseconds since the epoch), `taker_side`
/// (U4), `price`, `size` (float64; with `exact` their text, U41), `trade_id` (U64), `exchange_seq`
/// (int64, 0 where the frame has none), `is_block`, `is_rpi` (bool).
///
/// Args:
///     frame: One text frame as UTF-8 bytes.
///     category: By whose rule symbols must fit the topic; by that of any where `None`.
///     exact: Whether prices and sizes come as exact text.
///
/// Raises:
///     DecodeError: If the frame is not a well-formed trade message.
///     ValueError: If the category is unknown.
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
