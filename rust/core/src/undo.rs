//! What windows held before a frame, so that one that is refused leaves no trace.

use rustc_hash::FxHashSet;

use crate::candle::Fold;

/// What one window held.
#[derive(Debug)]
pub(crate) struct Before {
    /// Index of its symbol.
    pub(crate) series: u32,
    pub(crate) start_ms: i64,
    /// Whether there was such a window.
    pub(crate) existed: bool,
    pub(crate) fold: Option<Fold>,
}

/// So many windows are looked through one by one; most frames have one.
const FEW: usize = 8;

/// The windows that one frame changes. Reused from frame to frame.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    windows: Vec<Before>,
    /// Symbol and start of each, once there are more than a few.
    index: FxHashSet<(u32, i64)>,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
}

impl Undo {
    /// Begins a frame.
    pub(crate) fn clear(&mut self) {
        (self.first_ms, self.last_ms) = (None, None);
        self.windows.clear();
        if !self.index.is_empty() {
            self.index.clear();
        }
    }

    /// Whether it is known already what a window held.
    pub(crate) fn knows(&self, series: u32, start_ms: i64) -> bool {
        if self.windows.len() > FEW {
            return self.index.contains(&(series, start_ms));
        }
        self.windows.iter().any(|known| known.series == series && known.start_ms == start_ms)
    }

    /// Keeps what a window held.
    pub(crate) fn keep(&mut self, before: Before) {
        self.windows.push(before);
        if self.windows.len() > FEW {
            self.extend_index();
        }
    }

    #[cold]
    fn extend_index(&mut self) {
        let unindexed = self.windows.iter().skip(self.index.len());
        self.index.extend(unindexed.map(|known| (known.series, known.start_ms)));
    }

    /// Takes note of the time of a fresh trade, whether it counts or not.
    pub(crate) fn note_time(&mut self, event_ms: i64) {
        self.first_ms = Some(self.first_ms.map_or(event_ms, |known| known.min(event_ms)));
        self.last_ms = self.last_ms.max(Some(event_ms));
    }

    /// The smallest and the greatest time of fresh trades.
    pub(crate) fn times_ms(&self) -> (Option<i64>, Option<i64>) {
        (self.first_ms, self.last_ms)
    }

    /// The windows that were changed, by symbol and start.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (u32, i64)> {
        self.windows.iter().map(|known| (known.series, known.start_ms))
    }

    /// Takes out what the windows held.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Before> {
        self.windows.drain(..)
    }
}
