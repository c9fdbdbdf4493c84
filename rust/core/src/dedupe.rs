//! Which trade ids were seen, and how many are remembered: exact, and bounded in time and memory.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::candle::WINDOW_MS;
use crate::trade::TradeId;

/// The seen ids of one symbol, each with the window of its trade.
///
/// Ids of windows that are forgotten count as unknown at once. They are swept out when a table is
/// full, before it would grow: so a table has at most three places for each id that it had to hold,
/// and no sweep touches more than one symbol.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    uuids: Table<(u64, u64)>,
    numbers: Table<u64>,
    texts: Table<Box<str>>,
}

impl Seen {
    /// Whether an id is remembered; windows before `until_ms` are forgotten.
    pub(crate) fn knows(&self, id: &TradeId, until_ms: i64) -> bool {
        match id {
            TradeId::Uuid(high, low) => self.uuids.knows(&(*high, *low), until_ms),
            TradeId::Number(number) => self.numbers.knows(number, until_ms),
            TradeId::Text(text) => self.texts.knows(text, until_ms),
        }
    }

    /// Remembers an id with the start of its window; `false` where it was known already.
    pub(crate) fn remember(&mut self, id: &TradeId, start_ms: i64, until_ms: i64) -> bool {
        match id {
            TradeId::Uuid(high, low) => self.uuids.remember((*high, *low), start_ms, until_ms),
            TradeId::Number(number) => self.numbers.remember(*number, start_ms, until_ms),
            TradeId::Text(text) => self.texts.remember(text.clone(), start_ms, until_ms),
        }
    }

    /// Takes a remembered id back.
    pub(crate) fn take_back(&mut self, id: &TradeId) {
        match id {
            TradeId::Uuid(high, low) => self.uuids.minutes.remove(&(*high, *low)),
            TradeId::Number(number) => self.numbers.minutes.remove(number),
            TradeId::Text(text) => self.texts.minutes.remove(text),
        };
    }
}

/// Ids of one kind, each with the minute of its window since the epoch.
#[derive(Debug)]
struct Table<K> {
    minutes: FxHashMap<K, u32>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { minutes: FxHashMap::default() }
    }
}

impl<K: Eq + Hash> Table<K> {
    fn knows(&self, key: &K, until_ms: i64) -> bool {
        self.minutes.get(key).is_some_and(|known| *known >= minute(until_ms))
    }

    #[inline(never)]
    fn remember(&mut self, key: K, start_ms: i64, until_ms: i64) -> bool {
        if self.minutes.len() == self.minutes.capacity() {
            self.make_room(until_ms);
        }
        match self.minutes.entry(key) {
            Entry::Occupied(known) if *known.get() >= minute(until_ms) => return false,
            Entry::Occupied(mut known) => *known.get_mut() = minute(start_ms),
            Entry::Vacant(place) => {
                place.insert(minute(start_ms));
            }
        }
        true
    }

    /// Sweeps what is forgotten; a table that stays three quarters full may grow.
    #[cold]
    fn make_room(&mut self, until_ms: i64) {
        let capacity = self.minutes.capacity();
        self.minutes.retain(|_, known| *known >= minute(until_ms));
        if self.minutes.len() > capacity / 4 * 3 {
            self.minutes.reserve(capacity + 1 - self.minutes.len());
        }
    }
}

/// The minute of a window's start since the epoch; 0 for any time before it.
fn minute(start_ms: i64) -> u32 {
    u32::try_from((start_ms / WINDOW_MS).max(0)).unwrap_or(u32::MAX)
}

/// How many trade ids are remembered, in all and by the start of their windows.
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

    /// So many more in the window that starts at `start_ms`.
    pub(crate) fn add(&mut self, start_ms: i64, count: usize) {
        self.total += count;
        // The newest window is asked for nearly always.
        match self.by_start.last_entry() {
            Some(mut newest) if *newest.key() == start_ms => *newest.get_mut() += count,
            _ => *self.by_start.entry(start_ms).or_default() += count,
        }
    }

    /// One less in that window.
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
