//! How many trade ids are remembered, and in which windows: what the bound on memory needs to know.
//!
//! The ids themselves stand with their symbols, in [`Series`](crate::series::Series).

use std::collections::BTreeMap;

/// Trade ids that are held, in all and by the start of their windows.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    total: usize,
    by_start: BTreeMap<i64, usize>,
}

impl Remembered {
    /// How many there are in all.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The windows that start before `before_ms` and how many ids each holds, oldest first.
    pub(crate) fn windows(&self, before_ms: i64) -> impl Iterator<Item = (i64, usize)> {
        self.by_start.range(..before_ms).map(|(&start_ms, &count)| (start_ms, count))
    }

    /// One more in the window that starts at `start_ms`.
    pub(crate) fn add(&mut self, start_ms: i64) {
        self.total += 1;
        *self.by_start.entry(start_ms).or_default() += 1;
    }

    /// Undoes one [`Self::add`].
    pub(crate) fn take_back(&mut self, start_ms: i64) {
        self.total -= 1;
        if let Some(count) = self.by_start.get_mut(&start_ms) {
            *count -= 1;
        }
    }

    /// Forgets the windows that start before `until_ms`.
    pub(crate) fn forget(&mut self, until_ms: i64) {
        self.by_start = self.by_start.split_off(&until_ms);
        self.total = self.by_start.values().sum();
    }
}
