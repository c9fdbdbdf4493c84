//! Which trade ids were seen, and how many are remembered: exact, and bounded in time and memory.

mod packed;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashTable;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use crate::trade::TradeId;

/// The seen ids of one symbol.
///
/// Nearly every id is new. That is found out from a small part of each, which stays near the
/// processor; the ids themselves stand with those of their minute, are written one after the other,
/// and go with it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// A tag of every remembered id: an id whose tag is not among them is new.
    #[serde(skip)]
    tags: HashTable<u32>,
    /// The ids by the start of their window, oldest first.
    windows: VecDeque<(i64, Ids)>,
    /// Tags of forgotten ids that are still among the others: they are taken out bit by bit, because
    /// to do so at once would take many milliseconds in a busy market.
    #[serde(skip)]
    leaving: Vec<u32>,
}

/// How many tags leave when an id comes: more than come, so that they become fewer.
const LEAVING_AT_ONCE: usize = 2;

impl Seen {
    /// Whether an id is remembered, that of a trade in the window that starts at `start_ms`.
    pub(crate) fn knows(&self, id: &TradeId, start_ms: i64) -> bool {
        let tag = tag_of(id);
        self.tags.find(spread(tag), |known| *known == tag).is_some() && self.holds(id, start_ms)
    }

    /// Remembers an id with the start of its window; `false` where it was known already.
    pub(crate) fn remember(&mut self, id: &TradeId, start_ms: i64) -> bool {
        let tag = tag_of(id);
        let has_tag = self.tags.find(spread(tag), |known| *known == tag).is_some();
        if has_tag && self.holds(id, start_ms) {
            return false;
        }
        let stay = self.leaving.len().saturating_sub(LEAVING_AT_ONCE);
        for left in self.leaving.drain(stay..) {
            untag(&mut self.tags, left);
        }
        self.tags.insert_unique(spread(tag), tag, |known| spread(*known));
        self.ids(start_ms).insert(id);
        true
    }

    /// Takes back an id that was remembered with this window.
    pub(crate) fn take_back(&mut self, id: &TradeId, start_ms: i64) {
        if let Ok(at) = self.find(start_ms) {
            self.windows[at].1.remove(id);
            untag(&mut self.tags, tag_of(id));
        }
    }

    /// Forgets the ids of windows that start before `until_ms`.
    pub(crate) fn forget(&mut self, until_ms: i64) {
        while self.windows.front().is_some_and(|(start_ms, _)| *start_ms < until_ms) {
            let Some((_, ids)) = self.windows.pop_front() else { return };
            self.leaving.extend(ids.tags());
        }
        // A symbol that has fallen silent keeps nothing.
        if self.windows.is_empty() {
            (self.tags, self.leaving) = (HashTable::new(), Vec::new());
        }
    }

    /// Makes the tags anew, and counts the ids; whether the windows are in their order.
    pub(crate) fn rebuild(&mut self, remembered: &mut Remembered) -> bool {
        self.tags = HashTable::with_capacity(self.windows.iter().map(|(_, ids)| ids.len()).sum());
        for (start_ms, ids) in &self.windows {
            remembered.add(*start_ms, ids.len());
            for tag in ids.tags() {
                self.tags.insert_unique(spread(tag), tag, |known| spread(*known));
            }
        }
        self.windows.iter().is_sorted_by(|(one, _), (next, _)| one < next)
    }

    /// Whether an id stands with those of a window. A repeat has the window of the first one, unless
    /// it contradicts it.
    fn holds(&self, id: &TradeId, start_ms: i64) -> bool {
        let own = self.find(start_ms).ok().map(|at| &self.windows[at].1);
        own.is_some_and(|ids| ids.contains(id))
            || self.windows.iter().any(|(_, ids)| ids.contains(id))
    }

    fn find(&self, start_ms: i64) -> Result<usize, usize> {
        // The newest window is asked for nearly always.
        match self.windows.back() {
            Some((newest_ms, _)) if *newest_ms == start_ms => Ok(self.windows.len() - 1),
            Some((newest_ms, _)) if *newest_ms < start_ms => Err(self.windows.len()),
            _ => self.windows.binary_search_by_key(&start_ms, |(start_ms, _)| *start_ms),
        }
    }

    fn ids(&mut self, start_ms: i64) -> &mut Ids {
        let at = self.find(start_ms).unwrap_or_else(|at| self.begin(start_ms, at));
        &mut self.windows[at].1
    }

    /// A minute mostly has about as many trades as the one before.
    #[cold]
    fn begin(&mut self, start_ms: i64, at: usize) -> usize {
        let before = at.checked_sub(1).map(|before| &self.windows[before].1);
        let ids = before.map_or_else(Ids::default, Ids::as_large);
        self.windows.insert(at, (start_ms, ids));
        at
    }
}

fn untag(tags: &mut HashTable<u32>, tag: u32) {
    if let Ok(known) = tags.find_entry(spread(tag), |known| *known == tag) {
        known.remove();
    }
}

/// 32 bits that ids which differ mostly differ in.
fn tag_of(id: &TradeId) -> u32 {
    match id {
        TradeId::Uuid(high, low) => uuid_tag(*high, *low),
        TradeId::Number(number) => number_tag(*number),
        TradeId::Text(text) => text_tag(text),
    }
}

fn uuid_tag(high: u64, low: u64) -> u32 {
    number_tag(high.rotate_left(32) ^ low)
}

fn number_tag(number: u64) -> u32 {
    u32::try_from(number.wrapping_mul(SPREADER) >> 32).unwrap_or_default()
}

fn text_tag(text: &str) -> u32 {
    number_tag(
        text.bytes().fold(0, |word: u64, byte| {
            (word.rotate_left(5) ^ u64::from(byte)).wrapping_mul(SPREADER)
        }),
    )
}

/// 2^64 divided by the golden ratio: multiplying by it spreads what is close together.
const SPREADER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of a tag.
fn spread(tag: u32) -> u64 {
    let word = u64::from(tag).wrapping_mul(SPREADER);
    word ^ word >> 32
}

/// The ids of one window.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ids {
    #[serde(with = "packed::uuids")]
    uuids: FxHashSet<(u64, u64)>,
    #[serde(with = "packed::numbers")]
    numbers: FxHashSet<u64>,
    #[serde(with = "packed::texts")]
    texts: FxHashSet<Box<str>>,
}

impl Ids {
    /// None yet, but with room for half as many: a table that grows does so by doubling.
    fn as_large(&self) -> Self {
        let mut ids = Self::default();
        ids.uuids.reserve(self.uuids.len() / 2);
        ids.numbers.reserve(self.numbers.len() / 2);
        ids
    }

    fn len(&self) -> usize {
        self.uuids.len() + self.numbers.len() + self.texts.len()
    }

    fn contains(&self, id: &TradeId) -> bool {
        match id {
            TradeId::Uuid(high, low) => self.uuids.contains(&(*high, *low)),
            TradeId::Number(number) => self.numbers.contains(number),
            TradeId::Text(text) => self.texts.contains(text),
        }
    }

    fn insert(&mut self, id: &TradeId) {
        match id {
            TradeId::Uuid(high, low) => self.uuids.insert((*high, *low)),
            TradeId::Number(number) => self.numbers.insert(*number),
            TradeId::Text(text) => self.texts.insert(text.clone()),
        };
    }

    fn remove(&mut self, id: &TradeId) {
        match id {
            TradeId::Uuid(high, low) => self.uuids.remove(&(*high, *low)),
            TradeId::Number(number) => self.numbers.remove(number),
            TradeId::Text(text) => self.texts.remove(text),
        };
    }

    fn tags(&self) -> impl Iterator<Item = u32> {
        let uuids = self.uuids.iter().map(|(high, low)| uuid_tag(*high, *low));
        let numbers = self.numbers.iter().map(|number| number_tag(*number));
        let texts = self.texts.iter().map(|text| text_tag(text));
        uuids.chain(numbers).chain(texts)
    }
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
        if count == 0 {
            return;
        }
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
        if let Entry::Occupied(mut count) = self.by_start.entry(start_ms) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Forgets the windows that start before `until_ms`.
    pub(crate) fn forget(&mut self, until_ms: i64) {
        self.by_start = self.by_start.split_off(&until_ms);
        self.total = self.by_start.values().sum();
    }
}
