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
        (category, topic): (Category, &str),
        at_ms: i64,
        settled: bool,
        news: &mut Vec<News>,
    ) -> Option<Gap> {
        let coverage = self.coverage_of(category, topic);
        let regained = self.coverages[coverage].regain(at_ms, settled)?;
        self.refresh_covered_by(coverage, window_start(regained.from_ms), news);
        let (from_ms, to_ms) = regained.gap?;
        Some(Gap { category, topic: topic.into(), from_ms, to_ms })
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
        (category, topic): (Category, &str),
        (from_ms, to_ms): (i64, i64),
        settled: bool,
        news: &mut Vec<News>,
    ) -> Gap {
        let coverage = self.coverage_of(category, topic);
        self.coverages[coverage].miss((from_ms, to_ms), settled);
        self.refresh_covered_by(coverage, window_start(from_ms), news);
        Gap { category, topic: topic.into(), from_ms, to_ms }
    }

    /// Nothing of `topic` is missing in a stretch any more: what of it was too late to become whole,
    /// and what is whole now; nothing where nothing was missed.
    pub(crate) fn heal(
        &mut self,
        (category, topic): (Category, &str),
        (from_ms, to_ms): (i64, i64),
        news: &mut Vec<News>,
    ) -> [Option<Gap>; 2] {
        let decided_ms = self.evicted_until_ms;
        let coverage = self.coverage_of(category, topic);
        if !self.coverages[coverage].heal((from_ms, to_ms), decided_ms) {
            return [None, None];
        }
        self.refresh_covered_by(coverage, window_start(from_ms), news);
        let divide_ms = decided_ms.clamp(from_ms, to_ms);
        let whole = Gap { category, topic: topic.into(), from_ms: divide_ms, to_ms };
        let lost = Gap { from_ms, to_ms: divide_ms, ..whole.clone() };
        let is_late = decided_ms > from_ms;
        [is_late.then_some(lost), (!is_late || divide_ms < to_ms).then_some(whole)]
    }

    /// What is missing of `topic` in a stretch stays so; the gap, if that is news.
    pub(crate) fn give_up(
        &mut self,
        (category, topic): (Category, &str),
        (from_ms, to_ms): (i64, i64),
    ) -> Option<Gap> {
        let coverage = self.coverage_of(category, topic);
        let gap = Gap { category, topic: topic.into(), from_ms, to_ms };
        self.coverages[coverage].give_up((from_ms, to_ms)).then_some(gap)
    }

    /// The gaps that are not decided, by topic: from when, and to when, if they are over.
    pub(crate) fn unsettled(&self) -> Vec<(Category, Arc<str>, i64, Option<i64>)> {
        let mut topics: Vec<_> = self.topics.iter().collect();
        topics.sort_unstable_by_key(|(_, coverage)| **coverage);
        let gaps = topics.into_iter().flat_map(|((category, topic), &coverage)| {
            let stretches = self.coverages[coverage].unsettled();
            stretches.map(|(from_ms, to_ms)| (*category, Arc::clone(topic), from_ms, to_ms))
        });
        gaps.collect()
    }

    /// Publishes what a changed coverage makes new of closed windows from `from_ms` on.
    fn refresh_covered_by(&mut self, coverage: usize, from_ms: i64, news: &mut Vec<News>) {
        self.refresh_where(|series| series.coverage == coverage, from_ms, news);
    }
}
