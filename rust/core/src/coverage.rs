//! Which stretches of time a topic was not received in.

use serde::{Deserialize, Serialize};

/// What a loss changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the topic was not received anyway.
    Known,
    /// The beginning of the stretch that is open.
    Earlier,
    /// A stretch begins.
    New,
}

/// The stretches of one topic in which trades may have been missed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Coverage {
    /// `[from_ms, to_ms)`, as they became known; the last one may be open, up to `i64::MAX`.
    missed: Vec<(i64, i64)>,
}

impl Coverage {
    /// A topic that nobody has received yet.
    pub(crate) fn never() -> Self {
        Self { missed: vec![(i64::MIN, i64::MAX)] }
    }

    /// From `at_ms` on trades may be missed.
    pub(crate) fn lose(&mut self, at_ms: i64) -> Loss {
        match self.missed.last_mut() {
            Some((from_ms, i64::MAX)) if at_ms < *from_ms => {
                *from_ms = at_ms;
                Loss::Earlier
            }
            Some((_, i64::MAX)) => Loss::Known,
            _ => {
                self.missed.push((at_ms, i64::MAX));
                Loss::New
            }
        }
    }

    /// Trades of a stretch that is over were missed.
    pub(crate) fn miss(&mut self, from_ms: i64, to_ms: i64) {
        let is_open = self.missed.last().is_some_and(|(_, to_ms)| *to_ms == i64::MAX);
        let at = self.missed.len() - usize::from(is_open);
        if at == 0 || self.missed[at - 1] != (from_ms, to_ms) {
            self.missed.insert(at, (from_ms, to_ms));
        }
    }

    /// From `at_ms` on trades are received; the stretch that ended by it, if any.
    pub(crate) fn regain(&mut self, at_ms: i64) -> Option<(i64, i64)> {
        let open = self.missed.last_mut().filter(|(_, to_ms)| *to_ms == i64::MAX)?;
        open.1 = at_ms.max(open.0);
        Some(*open)
    }

    /// Whether nothing of `[start_ms, end_ms)` was missed.
    pub(crate) fn is_whole(&self, start_ms: i64, end_ms: i64) -> bool {
        // A stretch that ended where it began still marks its instant: something was lost there.
        let touches = |(from_ms, to_ms): &(i64, i64)| {
            *from_ms < end_ms && (*to_ms > start_ms || *from_ms >= start_ms)
        };
        !self.missed.iter().any(touches)
    }

    /// Forgets what lies wholly before `before_ms`.
    pub(crate) fn forget(&mut self, before_ms: i64) {
        self.missed.retain(|(_, to_ms)| *to_ms >= before_ms);
    }
}
