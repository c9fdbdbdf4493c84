//! How long things take, as histograms.

use hdrhistogram::Histogram;

/// What is told apart at least: a microsecond, and above it 1 %.
const FINEST_NS: u64 = 1_000;
const SIGNIFICANT_DIGITS: u8 = 2;

/// What counts as the longest time: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Times of one kind since the last look at them.
#[derive(Debug, Clone)]
pub struct Latency {
    /// `None` until the first time is recorded.
    histogram: Option<Histogram<u64>>,
}

/// What the times of an interval come to, in nanoseconds; 1 % exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// 99 % of them took no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// Nothing recorded; about 30 KiB once there is.
    #[must_use]
    pub fn new() -> Self {
        Self { histogram: None }
    }

    /// Records `count` times of `ns` each; below zero, as clocks that disagree have it, counts as
    /// zero, beyond an hour as an hour.
    pub fn record(&mut self, ns: i64, count: u64) {
        let ns = u64::try_from(ns).unwrap_or(0).min(LONGEST_NS);
        if self.histogram.is_none() {
            self.histogram =
                Histogram::new_with_bounds(FINEST_NS, LONGEST_NS, SIGNIFICANT_DIGITS).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record_n(ns, count);
        }
    }

    /// The times recorded since the last look at them, each as far as it is told apart, and how
    /// often it was recorded.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = (i64, u64)> {
        let all = self.histogram.iter().flat_map(Histogram::iter_recorded);
        all.map(|it| {
            (i64::try_from(it.value_iterated_to()).unwrap_or(i64::MAX), it.count_at_value())
        })
    }

    /// What was recorded since the last call.
    pub fn take(&mut self) -> Summary {
        let Some(histogram) = self.histogram.as_mut().filter(|known| !known.is_empty()) else {
            return Summary::default();
        };
        let summary = Summary {
            count: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            max_ns: histogram.max(),
        };
        histogram.reset();
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_speaks_of_the_times_since_the_last_one() {
        let mut latency = Latency::new();
        assert_eq!(latency.take(), Summary::default());
        (1..=1_000).for_each(|at| latency.record(at * 1_000_000, 1));
        let first = latency.take();
        assert_eq!(first.count, 1_000);
        for (found, expected) in [(first.p50_ns, 500), (first.p99_ns, 990), (first.max_ns, 1_000)] {
            let expected = expected * 1_000_000;
            assert!(found.abs_diff(expected) <= expected / 100, "{found} {expected}");
        }
        latency.record(5_000_000, 7);
        assert_eq!(latency.take().count, 7);
        assert_eq!(latency.take(), Summary::default());
    }

    #[test]
    fn times_below_zero_and_beyond_an_hour_count_as_those() {
        let mut latency = Latency::new();
        latency.record(i64::MIN, 1);
        assert!(latency.take().max_ns < 2 * FINEST_NS);
        latency.record(i64::MAX, 1);
        let longest = latency.take().max_ns;
        assert!(longest.abs_diff(LONGEST_NS) <= LONGEST_NS / 100, "{longest}");
    }
}
