//! What the caller knows of what was and was not received.

use std::sync::Arc;

use super::Engine;
use crate::aggregate::Gap;
use crate::batch::{About, Batch, MessageKind};
use crate::encode;
use crate::fields::MAX_EVENT_MS;
use crate::trade::Category;

/// What is known of a gap, as it stands on the wire.
#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    Healed,
    Unhealed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Healed => "healed",
            Self::Unhealed => "unhealed",
        }
    }
}

impl Engine {
    /// From `at_ms` on these topics (symbols; for options base coins) are received whole.
    ///
    /// Publishes the gaps that ended by it as `unhealed`, and the closed candles that turn out whole.
    /// Where the gaps are not `settled`, nothing is said of them until [`Self::heal`] or
    /// [`Self::give_up`] does.
    pub fn cover<'a>(
        &mut self,
        category: Category,
        topics: impl IntoIterator<Item = &'a str>,
        at_ms: i64,
        settled: bool,
    ) -> Batch {
        let mut batch = Batch::default();
        let at_ms = at_ms.clamp(0, MAX_EVENT_MS);
        for topic in topics {
            let gap = self.aggregator.cover((category, topic), at_ms, settled, &mut self.news);
            if let Some(gap) = gap.filter(|_| settled) {
                self.publish_gap(&mut batch, &gap, State::Unhealed);
            }
        }
        self.publish_news(&mut batch);
        batch
    }

    /// From `at_ms` on trades of these topics may be missed.
    ///
    /// Publishes the gaps that began by it as `open`, and the closed candles that they touch.
    pub fn uncover<'a>(
        &mut self,
        category: Category,
        topics: impl IntoIterator<Item = &'a str>,
        at_ms: i64,
    ) -> Batch {
        let mut batch = Batch::default();
        let at_ms = at_ms.clamp(0, MAX_EVENT_MS);
        for topic in topics {
            if let Some(gap) = self.aggregator.uncover(category, topic, at_ms, &mut self.news) {
                self.counters.gaps_total += 1;
                self.publish_gap(&mut batch, &gap, State::Open);
            }
        }
        self.publish_news(&mut batch);
        batch
    }

    /// Trades of these topics were missed in `[from_ms, to_ms)`, which is over.
    ///
    /// Publishes gaps, and the closed candles that they touch. Where the gaps are `settled`, they are
    /// `unhealed`; else they are `open` until [`Self::heal`] or [`Self::give_up`] says more.
    pub fn miss<'a>(
        &mut self,
        category: Category,
        topics: impl IntoIterator<Item = &'a str>,
        stretch: (i64, i64),
        settled: bool,
    ) -> Batch {
        let mut batch = Batch::default();
        let stretch = possible(stretch);
        let state = if settled { State::Unhealed } else { State::Open };
        for topic in topics {
            let gap = self.aggregator.miss((category, topic), stretch, settled, &mut self.news);
            self.counters.gaps_total += 1;
            self.publish_gap(&mut batch, &gap, state);
        }
        self.publish_news(&mut batch);
        batch
    }

    /// Every trade of a topic in `[from_ms, to_ms)` was proven to be known.
    ///
    /// Publishes a gap that is `healed`, and the closed candles that are whole by it. What can no
    /// longer be revised stays as it is, and is `unhealed`. Where nothing was missed, nothing changes.
    pub fn heal(&mut self, category: Category, topic: &str, stretch: (i64, i64)) -> Batch {
        let mut batch = Batch::default();
        let stretch = possible(stretch);
        let [lost, whole] = self.aggregator.heal((category, topic), stretch, &mut self.news);
        for (gap, state) in [(lost, State::Unhealed), (whole, State::Healed)] {
            if let Some(gap) = gap {
                self.publish_gap(&mut batch, &gap, state);
            }
        }
        self.publish_news(&mut batch);
        batch
    }

    /// What is missing of a topic in `[from_ms, to_ms)` will not be found.
    ///
    /// Publishes a gap that is `unhealed`, if anything of it was not settled.
    pub fn give_up(&mut self, category: Category, topic: &str, stretch: (i64, i64)) -> Batch {
        let mut batch = Batch::default();
        if let Some(gap) = self.aggregator.give_up((category, topic), possible(stretch)) {
            self.publish_gap(&mut batch, &gap, State::Unhealed);
        }
        batch
    }

    /// The gaps that wait for [`Self::heal`] or [`Self::give_up`]: category and topic, from when, and
    /// to when; open where the topic is not received.
    #[must_use]
    pub fn unsettled(&self) -> Vec<(Category, Arc<str>, i64, Option<i64>)> {
        self.aggregator.unsettled()
    }

    fn publish_gap(&mut self, batch: &mut Batch, gap: &Gap, state: State) {
        self.seq += 1;
        let of = Some((gap.category, &gap.topic));
        let about = About { kind: MessageKind::Gap, of, seq: self.seq };
        batch.add(about, |out| {
            let stretch = (gap.from_ms, gap.to_ms, state.name());
            encode::gap(out, self.seq, (gap.category, &gap.topic), stretch);
            None
        });
    }
}

/// A stretch that lies within what times may be.
fn possible((from_ms, to_ms): (i64, i64)) -> (i64, i64) {
    let from_ms = from_ms.clamp(0, MAX_EVENT_MS);
    (from_ms, to_ms.clamp(from_ms, MAX_EVENT_MS))
}
