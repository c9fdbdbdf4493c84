//! `encode_record` and `read_records`.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tapecast_core::journal::{self, Record};

use crate::error::CallError;

/// Kind, category, line, received_ns and payload.
type Fields<'py> = (u8, u8, u16, i64, Bound<'py, PyBytes>);

/// Put one input of an engine into bytes, to be appended to a journal.
///
/// A record is the marker f5 c0 c1 ff, the length of the payload (u32), a CRC-32C over all that
/// follows (u32), kind (u8), category (u8), line (u16), received_ns (i64) and payload; little
/// endian.
///
/// Args:
///     kind: What the payload is; what numbers mean is the caller's affair, here and below.
///     category: What it is of.
///     line: What it came by.
///     received_ns: Wall clock at its receipt, in nanoseconds since the epoch.
///     payload: At most 16 MiB.
///
/// Raises:
///     ValueError: If the payload is longer.
#[pyfunction]
#[pyo3(signature = (kind, category, line, received_ns, payload, /))]
pub(crate) fn encode_record<'py>(
    py: Python<'py>,
    kind: u8,
    category: u8,
    line: u16,
    received_ns: i64,
    payload: &[u8],
) -> Result<Bound<'py, PyBytes>, CallError> {
    let record = Record { kind, category, line, received_ns, payload };
    Ok(PyBytes::new(py, &journal::encode(&record)?))
}

/// Find the whole records in a piece of a journal; other threads run meanwhile.
///
/// Args:
///     data: The piece.
///     offset: Where in it to begin, in bytes.
///
/// Returns:
///     Kind, category, line, received_ns and payload of every whole record, in their order; the
///     damaged stretches between them, each from and to which byte; and where the last whole record
///     ends: what stands behind it was not written to its end, or is damaged.
#[pyfunction]
#[pyo3(signature = (data, offset = 0))]
pub(crate) fn read_records<'py>(
    py: Python<'py>,
    data: &[u8],
    offset: usize,
) -> (Vec<Fields<'py>>, Vec<(usize, usize)>, usize) {
    let reading = py.detach(|| journal::read(data, offset));
    let fields = |record: &Record<'_>| {
        let Record { kind, category, line, received_ns, payload } = *record;
        (kind, category, line, received_ns, PyBytes::new(py, payload))
    };
    (reading.records.iter().map(fields).collect(), reading.damaged, reading.end)
}
