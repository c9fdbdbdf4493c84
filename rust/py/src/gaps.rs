//! What `Engine` is told of gaps.

use pyo3::prelude::*;
use tapecast_core::trade::Category;

use crate::batch::Batch;
use crate::engine::Engine;
use crate::error::CallError;

/// Category, topic, `from_ms` and `to_ms`.
type Unsettled = (&'static str, String, i64, Option<i64>);

#[pymethods]
impl Engine {
    /// Take note that these topics (symbols; for options base coins) are whole from `at_ms` on.
    ///
    /// Publishes the gaps that ended by it, `unhealed`, and closed candles that turn out whole.
    /// Where they are not `settled`, nothing is said of gaps: `heal` or `give_up` must follow.
    #[pyo3(signature = (at_ms, *, category, topics, settled = true))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn cover(
        &mut self,
        at_ms: i64,
        category: &str,
        topics: Vec<String>,
        settled: bool,
    ) -> Result<Batch, CallError> {
        let category: Category = category.parse()?;
        Ok(self.0.cover(category, topics.iter().map(String::as_str), at_ms, settled).into())
    }

    /// Take note that from `at_ms` on trades of these topics may be missed.
    ///
    /// Publishes the gaps that began by it, `open`, and closed candles that they make incomplete.
    /// Topics that are uncovered already stay so without a word.
    #[pyo3(signature = (at_ms, *, category, topics))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from a Python sequence")]
    fn uncover(
        &mut self,
        at_ms: i64,
        category: &str,
        topics: Vec<String>,
    ) -> Result<Batch, CallError> {
        let category: Category = category.parse()?;
        Ok(self.0.uncover(category, topics.iter().map(String::as_str), at_ms).into())
    }

    /// Take note that trades of these topics were missed from `from_ms` to `to_ms`.
    ///
    /// The stretch, which `to_ms` is not part of, is over; `uncover` is for one that goes on.
    /// Topics are any known so far where `None`. Publishes gaps and closed candles that they make
    /// incomplete. The gaps are `unhealed`; where they are not `settled`, `open` until `heal` or
    /// `give_up` follows.
    #[pyo3(signature = (from_ms, to_ms, *, category, topics, settled = true))]
    fn miss(
        &mut self,
        from_ms: i64,
        to_ms: i64,
        category: &str,
        topics: Option<Vec<String>>,
        settled: bool,
    ) -> Result<Batch, CallError> {
        let category: Category = category.parse()?;
        let topics = topics.unwrap_or_else(|| self.0.topics(category));
        let topics = topics.iter().map(String::as_str);
        Ok(self.0.miss(category, topics, (from_ms, to_ms), settled).into())
    }

    /// Take note that every trade of a topic from `from_ms` to `to_ms` was proven to be known.
    ///
    /// Publishes a gap that is `healed`, and closed candles that are whole by it. Minutes that can
    /// no longer be revised stay as they are: that part is `unhealed`. Where nothing was missed,
    /// nothing changes, and what came before the first `cover` never heals.
    #[pyo3(signature = (from_ms, to_ms, *, category, topic))]
    fn heal(
        &mut self,
        from_ms: i64,
        to_ms: i64,
        category: &str,
        topic: &str,
    ) -> Result<Batch, CallError> {
        Ok(self.0.heal(category.parse()?, topic, (from_ms, to_ms)).into())
    }

    /// Take note that what is missing of a topic from `from_ms` to `to_ms` will not be found.
    ///
    /// Publishes a gap that is `unhealed`, if anything of it was not settled.
    #[pyo3(signature = (from_ms, to_ms, *, category, topic))]
    fn give_up(
        &mut self,
        from_ms: i64,
        to_ms: i64,
        category: &str,
        topic: &str,
    ) -> Result<Batch, CallError> {
        Ok(self.0.give_up(category.parse()?, topic, (from_ms, to_ms)).into())
    }

    /// Return the gaps that wait for `heal` or `give_up`: category, topic, from_ms and to_ms.
    ///
    /// They come topic by topic, oldest first; to_ms is `None` while the topic is not received.
    fn unsettled(&self) -> Vec<Unsettled> {
        let gaps = self.0.unsettled().into_iter().map(|(category, topic, from_ms, to_ms)| {
            (category.name(), topic.to_string(), from_ms, to_ms)
        });
        gaps.collect()
    }
}
