//! What was and was not received, and what that makes of closed candles.

use std::sync::Arc;

use super::{Aggregator, Gap, News};
use crate::candle::window_start;
use crate::coverage::{Coverage, Loss};
use crate::trade::Category;

impl Aggregator {
    pub(super) fn coverage_of(&mut self, category: Category, topic: &str) -> usize {
        let key = (category, Arc::from(topic));
        if let Some(&known) = self.topics.get(&key) {
            return known;
        }
        let is_covered = self.settings.assume_covered;
        self.coverages.push(if is_covered { Coverage::default() } else { Coverage::never() });
        self.topics.insert(key, self.coverages.len() - 1);
        self.coverages.len() - 1
    }

    /// From `at_ms` on `topic` is received whole; the gap that ended by it, if one was announced.
    pub(crate) fn cover(
        &mut self,
        category: Category,
        topic: &str,
        at_ms: i64,
        news: &mut Vec<News>,
    ) -> Option<Gap> {
        let coverage = self.coverage_of(category, topic);
        let (from_ms, to_ms) = self.coverages[coverage].regain(at_ms)?;
        self.refresh_covered_by(coverage, window_start(to_ms), news);
        let gap = Gap { category, topic: topic.into(), from_ms, to_ms };
        (from_ms != i64::MIN).then_some(gap)
    }

    /// From `at_ms` on trades of `topic` may be missed; the gap that began by it, if that is news.
    pub(crate) fn uncover(
        &mut self,
        category: Category,
        topic: &str,
        at_ms: i64,
        news: &mut Vec<News>,
    ) -> Option<Gap> {
        let coverage = self.coverage_of(category, topic);
        let loss = self.coverages[coverage].lose(at_ms);
        if loss == Loss::Known {
            return None;
        }
        self.refresh_covered_by(coverage, window_start(at_ms), news);
        let gap = Gap { category, topic: topic.into(), from_ms: at_ms, to_ms: at_ms };
        (loss == Loss::New).then_some(gap)
    }

    /// Trades of `topic` were missed in a stretch that is over.
    pub(crate) fn miss(
        &mut self,
        category: Category,
        topic: &str,
        (from_ms, to_ms): (i64, i64),
        news: &mut Vec<News>,
    ) -> Gap {
        let coverage = self.coverage_of(category, topic);
        self.coverages[coverage].miss(from_ms, to_ms);
        self.refresh_covered_by(coverage, window_start(from_ms), news);
        Gap { category, topic: topic.into(), from_ms, to_ms }
    }

    /// Publishes what a changed coverage makes new of closed windows from `from_ms` on.
    fn refresh_covered_by(&mut self, coverage: usize, from_ms: i64, news: &mut Vec<News>) {
        self.refresh_where(|series| series.coverage == coverage, from_ms, news);
    }
}
