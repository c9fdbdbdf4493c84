//! `Latency`.

use pyo3::prelude::*;
use tapecast_core::latency;

/// How long something takes: a histogram from one look at it to the next.
///
/// A microsecond is the finest that it tells apart, and above it 1 %.
#[pyclass(module = "tapecast._core")]
pub(crate) struct Latency(pub(crate) latency::Latency);

#[pymethods]
impl Latency {
    #[new]
    fn new() -> Self {
        Self(latency::Latency::new())
    }

    /// Record `count` times of `ns` nanoseconds each.
    ///
    /// Below zero, as clocks that disagree have it, counts as zero, beyond an hour as an hour.
    #[pyo3(signature = (ns, count = 1))]
    fn record(&mut self, ns: i64, count: u64) {
        self.0.record(ns, count);
    }

    /// Return count, p50, p99 and maximum in nanoseconds since the last call, and begin anew.
    fn take(&mut self) -> (u64, u64, u64, u64) {
        let times = self.0.take();
        (times.count, times.p50_ns, times.p99_ns, times.max_ns)
    }
}
