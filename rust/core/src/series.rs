//! One symbol: its windows, seen trade ids, last price and finished candles.

mod klines;

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::candle::{Candle, Edge, Fold, Source, WINDOW_MS, Window};
use crate::coverage::Coverage;
use crate::decimal::Decimal;
use crate::dedupe::{Remembered, Seen};
use crate::encode;
use crate::kline::Audit;
use crate::settings::{EmptyPolicy, OpenRule};
use crate::trade::Category;

/// The longest silence of a symbol that is filled with flat candles, in minutes: a week.
///
/// A bound on the work that one trade can cause, whatever its time.
const MAX_FLAT_MINUTES: i64 = 7 * 24 * 60;

/// The close that the next window opens at, once its own window is gone.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Carry {
    end_ms: i64,
    close: Decimal,
    /// Whether it is the exchange's close before the oldest window, too: nothing was missed since.
    is_exact: bool,
}

/// The settings that shape a candle.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Rules {
    pub(crate) empty: EmptyPolicy,
    pub(crate) open: OpenRule,
}

/// What closed candles depend on beside their windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) rules: Rules,
    pub(crate) coverage: &'a Coverage,
    /// What came before was not seen.
    pub(crate) whole_from_ms: i64,
}

impl Terms<'_> {
    /// Whether nothing of `[from_ms, to_ms)` was missed.
    fn is_whole(&self, from_ms: i64, to_ms: i64) -> bool {
        from_ms >= to_ms || from_ms >= self.whole_from_ms && self.coverage.is_whole(from_ms, to_ms)
    }
}

/// Everything known of one symbol.
#[derive(Debug, Serialize, Deserialize)]
pub struct Series {
    /// Its category.
    pub category: Category,
    /// Its name.
    pub symbol: Arc<str>,
    /// Category and name as they stand in every message about it.
    #[serde(skip)]
    pub(crate) instrument_json: Box<[u8]>,
    /// Index of its topic's coverage.
    pub(crate) coverage: usize,
    /// Counts every change, engine-wide; tells who changed since.
    pub(crate) version: u64,
    /// By start; those that are open or may be revised.
    windows: VecDeque<Window>,
    carry: Option<Carry>,
    /// Remembered trade ids.
    pub(crate) seen: Seen,
    #[serde(skip)]
    history: VecDeque<Candle>,
    /// Starts of the minutes that the history holds, or held when its checkpoint was taken: which
    /// ones are known must not depend on whether they were recalled yet.
    past: VecDeque<i64>,
    last: Option<Edge>,
}

impl Series {
    pub(crate) fn new(category: Category, symbol: &str, coverage: usize) -> Self {
        Self {
            category,
            symbol: symbol.into(),
            instrument_json: instrument_json(category, symbol),
            coverage,
            version: 0,
            windows: VecDeque::new(),
            carry: None,
            seen: Seen::default(),
            history: VecDeque::new(),
            past: VecDeque::new(),
            last: None,
        }
    }

    /// Makes anew what a checkpoint does not hold but the candles of the history; whether the
    /// windows are in their order.
    pub(crate) fn rebuild(&mut self, remembered: &mut Remembered) -> bool {
        self.instrument_json = instrument_json(self.category, &self.symbol);
        self.seen.rebuild(remembered)
            && self.past.iter().is_sorted_by(|one, next| one < next)
            && self.windows.iter().is_sorted_by(|one, next| one.start_ms < next.start_ms)
    }

    /// Takes a candle into the history; `false` where its minute is there already, or too old.
    pub(crate) fn recall(&mut self, candle: Candle, history_candles: usize) -> bool {
        let found = self.history.binary_search_by_key(&candle.start_ms, |known| known.start_ms);
        let Err(at) = found else { return false };
        if let Err(at) = self.past.binary_search(&candle.start_ms) {
            if at == 0 && self.past.len() >= history_candles {
                return false;
            }
            self.past.insert(at, candle.start_ms);
        }
        self.history.insert(at, candle);
        self.trim(history_candles);
        true
    }

    /// Keeps the newest candles of the history.
    fn trim(&mut self, history_candles: usize) {
        let surplus = self.past.len().saturating_sub(history_candles);
        self.past.drain(..surplus);
        let first_ms = self.past.front().copied().unwrap_or(i64::MAX);
        let surplus = self.history.partition_point(|candle| candle.start_ms < first_ms);
        self.history.drain(..surplus);
    }

    /// Takes the numbers off what was published.
    pub(crate) fn unnumber(&mut self) {
        let recent = self.windows.iter_mut().filter_map(|window| window.published.as_mut());
        self.history.iter_mut().chain(recent).for_each(|candle| candle.seq = 0);
    }

    /// The last price, by the exchange's order of trades.
    #[must_use]
    pub fn last_price(&self) -> Option<Decimal> {
        self.last.map(Edge::price)
    }

    /// The window that starts at `start_ms`, made if there is none, and whether there was one.
    pub(crate) fn window(&mut self, start_ms: i64) -> (&mut Window, bool) {
        let found = self.find(start_ms);
        let at = found.unwrap_or_else(|at| {
            self.windows.insert(at, Window::new(start_ms));
            at
        });
        (&mut self.windows[at], found.is_ok())
    }

    /// Gives a window back what it held, or takes it away where there was none.
    pub(crate) fn restore(&mut self, start_ms: i64, existed: bool, fold: Option<Fold>) {
        match self.find(start_ms) {
            Ok(at) if existed => self.windows[at].fold = fold,
            Ok(at) => drop(self.windows.remove(at)),
            Err(_) => {}
        }
    }

    /// Keeps the last trade.
    pub(crate) fn note_last(&mut self, edge: Edge) {
        self.last = Some(self.last.map_or(edge, |known| known.later(edge)));
    }

    /// Keeps the last trade of the window that starts at `start_ms`.
    pub(crate) fn note_last_of(&mut self, start_ms: i64) {
        let window = self.find(start_ms).ok().map(|at| &self.windows[at]);
        if let Some(fold) = window.and_then(|window| window.fold.as_ref()) {
            self.note_last(fold.last());
        }
    }

    fn find(&self, start_ms: i64) -> Result<usize, usize> {
        // The newest window is asked for nearly always.
        match self.windows.back() {
            Some(window) if window.start_ms == start_ms => Ok(self.windows.len() - 1),
            Some(window) if window.start_ms < start_ms => Err(self.windows.len()),
            _ => self.windows.binary_search_by_key(&start_ms, |window| window.start_ms),
        }
    }

    fn close_before(&self, start_ms: i64) -> Option<Decimal> {
        let mut earlier =
            self.windows.iter().rev().skip_while(|window| window.start_ms >= start_ms);
        let close = earlier.find_map(Window::close);
        close.or(self.carry.map(|carry| carry.close))
    }

    /// Publishes what is new of the windows in `[from_ms, until_ms)`, which are closed.
    pub(crate) fn refresh(
        &mut self,
        (from_ms, until_ms): (i64, i64),
        terms: Terms<'_>,
        audit: &mut Audit,
        mut publish: impl FnMut(i64),
    ) {
        // Nothing of it is closed; before the first close, `until_ms` is not even a time.
        if from_ms >= until_ms {
            return;
        }
        if terms.rules.empty == EmptyPolicy::Flat {
            self.fill(until_ms);
        }
        let mut previous = self.close_before(from_ms);
        let from = self.find(from_ms).unwrap_or_else(|at| at);
        for at in from..self.windows.len() {
            let start_ms = self.windows[at].start_ms;
            if start_ms >= until_ms {
                break;
            }
            let Some((candle, difference)) = self.closed_candle(at, previous, terms) else {
                continue;
            };
            previous = Some(candle.close);
            if self.windows[at].publish(candle, audit) {
                audit.differed(difference);
                publish(start_ms);
            }
        }
    }

    /// Adds an empty window for every minute without one between the first and `until_ms`.
    fn fill(&mut self, until_ms: i64) {
        let first = self.windows.front().map(|window| window.start_ms);
        let Some(mut next_ms) = self.carry.map(|carry| carry.end_ms).or(first) else { return };
        let mut missing = Vec::new();
        let starts = self.windows.iter().map(|window| window.start_ms);
        let ends = starts.take_while(|start_ms| *start_ms < until_ms).chain([until_ms]);
        for start_ms in ends {
            if start_ms - next_ms <= MAX_FLAT_MINUTES * WINDOW_MS {
                let gap = (next_ms..start_ms).step_by(usize::try_from(WINDOW_MS).unwrap_or(1));
                missing.extend(gap);
            }
            next_ms = start_ms + WINDOW_MS;
        }
        for start_ms in missing {
            let _ = self.window(start_ms);
        }
    }

    /// The candle last published of a window.
    pub(crate) fn published_mut(&mut self, start_ms: i64) -> Option<&mut Candle> {
        match self.find(start_ms) {
            Ok(at) => self.windows[at].published.as_mut(),
            Err(_) => self.recalled_mut(start_ms),
        }
    }

    /// Drops windows before `until_ms` into the history, and forgets their ids.
    pub(crate) fn evict(&mut self, until_ms: i64, history_candles: usize, terms: Terms<'_>) {
        self.seen.forget(until_ms);
        let mut evicted = false;
        while self.oldest_ms().is_some_and(|start_ms| start_ms < until_ms) {
            evicted = true;
            let window = self.windows.pop_front();
            let Some(candle) = window.and_then(|window| window.published) else { continue };
            let is_exact =
                candle.source == Source::Kline || candle.complete && candle.verified != Some(false);
            self.carry = Some(Carry { end_ms: candle.end_ms(), close: candle.close, is_exact });
            self.past.push_back(candle.start_ms);
            self.history.push_back(candle);
        }
        if let Some(carry) = &mut self.carry {
            carry.is_exact &= terms.is_whole(carry.end_ms, until_ms);
        }
        if evicted {
            self.trim(history_candles);
        }
    }

    /// Start of the oldest window that is still held.
    fn oldest_ms(&self) -> Option<i64> {
        self.windows.front().map(|window| window.start_ms)
    }

    /// Every closed candle that is still known, oldest first.
    #[must_use]
    pub fn closed(&self) -> impl DoubleEndedIterator<Item = &Candle> {
        let recent = self.windows.iter().filter_map(|window| window.published.as_ref());
        self.history.iter().chain(recent)
    }

    /// The candles in progress, oldest first.
    pub(crate) fn open(
        &self,
        closed_until_ms: i64,
        rules: Rules,
    ) -> impl DoubleEndedIterator<Item = Candle> {
        let is_open =
            move |window: &&Window| window.start_ms >= closed_until_ms && window.fold.is_some();
        self.windows
            .iter()
            .filter(is_open)
            .filter_map(move |window| window.candle(self.close_before(window.start_ms), rules.open))
    }
}

/// Category and name as they stand in every message about a symbol.
fn instrument_json(category: Category, symbol: &str) -> Box<[u8]> {
    let mut json = Vec::new();
    encode::instrument(&mut json, (category, symbol));
    json.into()
}
