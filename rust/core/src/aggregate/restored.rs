//! What a checkpoint leaves out of the state of all symbols, made anew; and what is put back later.

use std::sync::Arc;

use super::Aggregator;
use crate::candle::Candle;
use crate::dedupe::Remembered;
use crate::series::{Rules, Series};
use crate::settings::Settings;
use crate::trade::Category;

impl Aggregator {
    /// Makes the indices anew; whether the state fits together.
    pub(crate) fn rebuild(&mut self, settings: &Settings) -> bool {
        self.rules = Rules { empty: settings.empty, open: settings.open };
        self.settings = settings.clone();
        self.remembered = Remembered::default();
        let mut fits = self.topics.len() == self.coverages.len();
        for (at, series) in self.series.iter_mut().enumerate() {
            let (index, symbol) = (&mut self.index[series.category as usize], &series.symbol);
            fits &=
                index.insert(Arc::clone(symbol), u32::try_from(at).unwrap_or(u32::MAX)).is_none();
            fits &= series.coverage < self.coverages.len();
            fits &= series.rebuild(&mut self.remembered);
        }
        fits
    }

    /// Takes a closed candle into the history of its symbol, which is made where it is unknown.
    ///
    /// Whether it was taken: only minutes that can no longer be revised and are not known are, and no
    /// more symbols and candles than there is room for.
    pub(crate) fn recall(&mut self, category: Category, symbol: &str, candle: Candle) -> bool {
        let Settings { max_symbols, history_candles, .. } = self.settings;
        if candle.start_ms >= self.evicted_until_ms || history_candles == 0 {
            return false;
        }
        let known = self.index[category as usize].get(symbol).copied();
        let Some(at) = known.or_else(|| {
            (self.series.len() < max_symbols).then(|| self.push_series(category, symbol))
        }) else {
            return false;
        };
        self.series[at as usize].recall(candle, history_candles)
    }

    /// Takes note of a frame that changed nothing, as [`Self::apply`] does.
    pub(crate) fn note_repeat(&mut self) {
        self.version += 1;
    }

    /// Takes the numbers off all candles.
    pub(crate) fn unnumber(&mut self) {
        self.series.iter_mut().for_each(Series::unnumber);
    }
}

/// Topics as they stand in a checkpoint: in the order of their coverages.
pub(super) mod topics {
    use std::sync::Arc;

    use rustc_hash::FxHashMap;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::trade::Category;

    type Topic = (Category, Arc<str>);

    pub(crate) fn serialize<S: Serializer>(
        topics: &FxHashMap<Topic, usize>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut sorted: Vec<_> = topics.iter().collect();
        sorted.sort_unstable_by_key(|(_, coverage)| **coverage);
        sorted.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FxHashMap<Topic, usize>, D::Error> {
        let topics = Vec::<Topic>::deserialize(deserializer)?;
        Ok(topics.into_iter().zip(0..).collect())
    }
}
