//! Which stretches of time a topic was not received in.

use std::ops::Range;

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

/// Stretches `[from_ms, to_ms)`, oldest first; none is empty, and no two overlap.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stretches(Vec<(i64, i64)>);

impl Stretches {
    /// Where those stand that share a moment with a stretch.
    fn touched(&self, (from_ms, to_ms): (i64, i64)) -> Range<usize> {
        let first = self.0.partition_point(|known| known.1 <= from_ms);
        let behind = self.0[first..].partition_point(|known| known.0 < to_ms);
        first..first + behind
    }

    fn touches(&self, stretch: (i64, i64)) -> bool {
        !self.touched(stretch).is_empty()
    }

    /// Adds a stretch, which takes in those that it overlaps.
    fn add(&mut self, stretch: (i64, i64)) {
        let at = self.touched(stretch);
        let whole = self.0[at.clone()]
            .iter()
            .fold(stretch, |whole, known| (whole.0.min(known.0), whole.1.max(known.1)));
        drop(self.0.splice(at, [whole]));
    }

    /// Takes a stretch out; whether there was any of it.
    fn subtract(&mut self, (from_ms, to_ms): (i64, i64)) -> bool {
        let at = self.touched((from_ms, to_ms));
        let touched = &self.0[at.clone()];
        let (Some(&(first_ms, _)), Some(&(_, last_ms))) = (touched.first(), touched.last()) else {
            return false;
        };
        let rest = [(first_ms, from_ms), (to_ms, last_ms)];
        drop(self.0.splice(at, rest.into_iter().filter(|(from_ms, to_ms)| from_ms < to_ms)));
        true
    }

    /// Forgets those that end before `before_ms`.
    fn forget(&mut self, before_ms: i64) {
        let gone = self.0.partition_point(|(_, to_ms)| *to_ms <= before_ms);
        self.0.drain(..gone);
    }
}

/// The stretches of one topic in which trades may have been missed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Coverage {
    /// What came before was never received; that is no gap, and nothing heals it.
    received_from_ms: i64,
    /// Since when the topic is not received.
    lost_from_ms: Option<i64>,
    /// Those that are over.
    missed: Stretches,
    /// Those of which it is not decided yet whether they can be healed.
    unsettled: Stretches,
}

impl Default for Coverage {
    /// A topic that is received, and always was.
    fn default() -> Self {
        Self {
            received_from_ms: i64::MIN,
            lost_from_ms: None,
            missed: Stretches::default(),
            unsettled: Stretches::default(),
        }
    }
}

impl Coverage {
    /// A topic that nobody has received yet.
    pub(crate) fn never() -> Self {
        Self { received_from_ms: i64::MAX, ..Self::default() }
    }

    /// From `at_ms` on trades may be missed.
    pub(crate) fn lose(&mut self, at_ms: i64) -> Loss {
        match &mut self.lost_from_ms {
            _ if self.received_from_ms == i64::MAX => Loss::Known,
            Some(from_ms) if at_ms < *from_ms => {
                *from_ms = at_ms;
                Loss::Earlier
            }
            Some(_) => Loss::Known,
            lost => {
                *lost = Some(at_ms);
                Loss::New
            }
        }
    }

    /// Trades of a stretch that is over were missed.
    pub(crate) fn miss(&mut self, stretch: (i64, i64), settled: bool) {
        let stretch = lasting(stretch);
        self.missed.add(stretch);
        if !settled {
            self.unsettled.add(stretch);
        }
    }

    /// From `at_ms` on trades are received: from when on closed windows may be whole now, and the
    /// stretch that ended by it, if one had begun; `None` where nothing changes.
    pub(crate) fn regain(&mut self, at_ms: i64, settled: bool) -> Option<Regained> {
        if self.received_from_ms == i64::MAX {
            self.received_from_ms = at_ms;
            return Some(Regained { from_ms: at_ms, gap: None });
        }
        let from_ms = self.lost_from_ms.take()?;
        let gap = (from_ms, at_ms.max(from_ms));
        self.miss(gap, settled);
        Some(Regained { from_ms: gap.1, gap: Some(gap) })
    }

    /// Takes a stretch for whole, but for what comes before `decided_ms`: nothing can be made of that
    /// any more. Whether anything of it was missed.
    pub(crate) fn heal(&mut self, stretch: (i64, i64), decided_ms: i64) -> bool {
        let (from_ms, to_ms) = lasting(stretch);
        self.end_at(to_ms);
        let was_unsettled = self.unsettled.subtract((from_ms, to_ms));
        let from_ms = from_ms.max(decided_ms);
        let was_missed = from_ms < to_ms && self.missed.subtract((from_ms, to_ms));
        was_unsettled || was_missed
    }

    /// Takes a stretch for lost; whether any of it was unsettled.
    pub(crate) fn give_up(&mut self, stretch: (i64, i64)) -> bool {
        let (from_ms, to_ms) = lasting(stretch);
        self.end_at(to_ms);
        self.unsettled.subtract((from_ms, to_ms))
    }

    /// Divides the stretch that is open, if it begins before `to_ms`, in what is over and the rest.
    fn end_at(&mut self, to_ms: i64) {
        if let Some(from_ms) = self.lost_from_ms.filter(|from_ms| *from_ms < to_ms) {
            self.miss((from_ms, to_ms), false);
            self.lost_from_ms = Some(to_ms);
        }
    }

    /// Those that are not decided, oldest first; the end is open where the topic is not received.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = (i64, Option<i64>)> {
        let over = self.unsettled.0.iter().map(|(from_ms, to_ms)| (*from_ms, Some(*to_ms)));
        over.chain(self.lost_from_ms.map(|from_ms| (from_ms, None)))
    }

    /// Whether nothing of `[from_ms, to_ms)` was missed.
    pub(crate) fn is_whole(&self, from_ms: i64, to_ms: i64) -> bool {
        from_ms >= self.received_from_ms
            && self.lost_from_ms.is_none_or(|lost_ms| lost_ms >= to_ms)
            && !self.missed.touches((from_ms, to_ms))
    }

    /// Forgets what lies wholly before `before_ms`, but for what must still be decided.
    pub(crate) fn forget(&mut self, before_ms: i64) {
        self.missed.forget(before_ms);
    }
}

/// What became of a topic that is received again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Regained {
    pub(crate) from_ms: i64,
    pub(crate) gap: Option<(i64, i64)>,
}

/// A stretch that ended where it began still marks its instant: something was lost there.
fn lasting((from_ms, to_ms): (i64, i64)) -> (i64, i64) {
    (from_ms, to_ms.max(from_ms.saturating_add(1)))
}

#[cfg(test)]
mod tests;
