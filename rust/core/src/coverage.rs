//! Which stretches of time a topic was not received in.

/// The stretches of one topic in which trades may have been missed.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// `[from_ms, to_ms)`, oldest first; the last one may be open, up to `i64::MAX`.
    missed: Vec<(i64, i64)>,
}

impl Coverage {
    /// A topic that nobody has received yet.
    pub(crate) fn never() -> Self {
        Self { missed: vec![(i64::MIN, i64::MAX)] }
    }

    /// From `at_ms` on trades may be missed; whether that is news.
    pub(crate) fn lose(&mut self, at_ms: i64) -> bool {
        if self.missed.last().is_some_and(|(_, to_ms)| *to_ms == i64::MAX) {
            return false;
        }
        self.missed.push((at_ms, i64::MAX));
        true
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
