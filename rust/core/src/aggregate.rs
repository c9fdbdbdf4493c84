//! Trades → windows of every symbol: duplicates, late trades, closing, revisions, coverage.
//!
//! The candle contract: a trade belongs to the window of its exchange time; open and close are the
//! first and last trade by (time, exchange sequence, position); one rule closes windows, the clock
//! having passed their end and the grace; a trade for a closed window revises it.

mod evict;
mod gaps;
mod klines;
mod restored;
mod symbols;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::candle::{Candle, Edge, WINDOW_MS, window_start};
use crate::coverage::Coverage;
use crate::dedupe::Remembered;
use crate::error::{ErrorKind, FrameError};
use crate::fields::MAX_EVENT_MS;
use crate::frame::Frame;
use crate::kline::Audit;
use crate::series::{Rules, Series, Terms};
use crate::settings::Settings;
use crate::trade::{Category, Trade};
use crate::undo::{Before, Undo};

/// What became of one trade of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New: counted and published.
    Fresh,
    /// Its id was known.
    Duplicate,
    /// Its window can no longer be revised.
    Late,
}

/// A closed candle that has something new to say: its symbol and the start of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct News {
    pub(crate) start_ms: i64,
    pub(crate) series: u32,
}

/// A stretch in which trades of a topic were missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) category: Category,
    pub(crate) topic: Arc<str>,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
}

/// The state of all symbols.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Aggregator {
    rules: Rules,
    #[serde(skip)]
    settings: Settings,
    series: Vec<Series>,
    #[serde(skip)]
    index: [FxHashMap<Arc<str>, u32>; 4],
    coverages: Vec<Coverage>,
    #[serde(with = "restored::topics")]
    topics: FxHashMap<(Category, Arc<str>), usize>,
    /// Windows that start before it are closed.
    closed_until_ms: i64,
    /// Windows that start before it are gone.
    evicted_until_ms: i64,
    /// The smallest event time seen of each category: what came before it was not seen.
    whole_from_ms: [i64; 4],
    /// The greatest event time seen.
    max_event_ms: Option<i64>,
    #[serde(skip)]
    remembered: Remembered,
    version: u64,
    /// What comparing with the exchange's candles came to.
    audit: Audit,
    /// Whether the trades that are applied were fetched.
    #[serde(skip)]
    is_backfill: bool,
    #[serde(skip)]
    undo: Undo,
}

/// What must be given up for the ids of a frame.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// Windows that start before it are to go.
    until_ms: i64,
    /// How many ids go with them.
    freed: usize,
}

impl Aggregator {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            rules: Rules { empty: settings.empty, open: settings.open },
            settings,
            series: Vec::new(),
            index: Default::default(),
            coverages: Vec::new(),
            topics: FxHashMap::default(),
            closed_until_ms: i64::MIN,
            evicted_until_ms: i64::MIN,
            whole_from_ms: [i64::MAX; 4],
            max_event_ms: None,
            remembered: Remembered::default(),
            version: 0,
            audit: Audit::default(),
            is_backfill: false,
            undo: Undo::default(),
        }
    }

    pub(crate) fn series(&self) -> &[Series] {
        &self.series
    }

    pub(crate) fn max_event_ms(&self) -> Option<i64> {
        self.max_event_ms
    }

    /// How many trade ids are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.remembered.total()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The candles in progress of one symbol, oldest first.
    pub(crate) fn open<'a>(
        &'a self,
        series: &'a Series,
    ) -> impl DoubleEndedIterator<Item = Candle> + 'a {
        series.open(self.closed_until_ms, self.rules)
    }

    /// The candle that a piece of news is about, to be given its number.
    pub(crate) fn published_mut(&mut self, news: News) -> Option<&mut Candle> {
        self.series[news.series as usize].published_mut(news.start_ms)
    }

    /// Applies a decoded frame, whole or not at all.
    ///
    /// The symbols of its trades become indices of [`Self::series`]; `verdicts` is filled with one
    /// verdict a trade, `news` with what it changed of closed candles.
    pub(crate) fn apply(
        &mut self,
        category: Category,
        frame: &mut Frame,
        verdicts: &mut Vec<Verdict>,
        news: &mut Vec<News>,
    ) -> Result<(), FrameError> {
        let known = (self.series.len(), self.coverages.len());
        verdicts.clear();
        match self.try_apply(category, frame, verdicts) {
            Ok(room) => {
                self.evict_until(room.until_ms);
                self.commit(category, frame, verdicts, news);
                Ok(())
            }
            Err(error) => {
                self.take_back(frame, verdicts, known);
                Err(error)
            }
        }
    }

    /// All that can fail: whatever it changes, [`Self::take_back`] undoes.
    fn try_apply(
        &mut self,
        category: Category,
        frame: &mut Frame,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<Room, FrameError> {
        // First of all: what is refused must not undo the frame before.
        self.undo.clear();
        self.resolve(category, frame)?;
        let room = self.room_for(frame);
        let of_one_window = |one: &Trade, next: &Trade| {
            one.symbol == next.symbol && window_start(one.event_ms) == window_start(next.event_ms)
        };
        for run in frame.trades.chunk_by(of_one_window) {
            let judged = verdicts.len();
            self.judge(run, room, verdicts)?;
            self.add(run, &verdicts[judged..])?;
        }
        Ok(room)
    }

    /// Which closed windows must go, oldest first, so that the frame's new ids have room.
    fn room_for(&self, frame: &Frame) -> Room {
        let nothing = Room { until_ms: self.evicted_until_ms, freed: 0 };
        if self.remembered.total() + frame.trades.len() <= self.settings.max_trade_ids {
            return nothing;
        }
        self.room_beyond(nothing, frame)
    }

    #[cold]
    fn room_beyond(&self, mut room: Room, frame: &Frame) -> Room {
        let limit = self.settings.max_trade_ids;
        let wanted = |until_ms: i64| {
            let is_new = |trade: &&Trade| {
                let start_ms = window_start(trade.event_ms);
                let seen = &self.series[trade.symbol as usize].seen;
                start_ms >= until_ms && !seen.knows(&trade.id, start_ms)
            };
            let new = frame.trades.iter().filter(is_new);
            new.map(|trade| (trade.symbol, &trade.id)).collect::<FxHashSet<_>>().len()
        };
        for (start_ms, held) in self.remembered.windows(self.closed_until_ms) {
            if self.remembered.total() - room.freed + wanted(room.until_ms) <= limit {
                break;
            }
            room = Room { until_ms: start_ms + WINDOW_MS, freed: room.freed + held };
        }
        room
    }

    /// Tells fresh trades of one window from repeated and late ones, and remembers their ids.
    fn judge(
        &mut self,
        run: &[Trade],
        room: Room,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<(), FrameError> {
        let (symbol, start_ms) = (run[0].symbol, window_start(run[0].event_ms));
        if start_ms < room.until_ms {
            verdicts.extend(std::iter::repeat_n(Verdict::Late, run.len()));
            return Ok(());
        }
        let seen = &mut self.series[symbol as usize].seen;
        let limit = self.settings.max_trade_ids + room.freed;
        let already = self.remembered.total();
        let mut fresh = 0;
        let mut one_more = None;
        for trade in run {
            if seen.remember(&trade.id, start_ms) {
                fresh += 1;
                verdicts.push(Verdict::Fresh);
                self.undo.note_time(trade.event_ms);
                if already + fresh > limit {
                    one_more = Some(trade);
                    break;
                }
            } else {
                verdicts.push(Verdict::Duplicate);
            }
        }
        self.remembered.add(start_ms, fresh);
        one_more.map_or(Ok(()), |trade| Err(self.too_many_ids(trade)))
    }

    #[cold]
    fn too_many_ids(&self, trade: &Trade) -> FrameError {
        let limit = self.settings.max_trade_ids;
        let found = format!("\"{}\", one more than the {limit} remembered", trade.id);
        let expected = format!("at most {limit} trade ids of windows in progress");
        let at = (trade.byte, found.as_bytes());
        FrameError::new(ErrorKind::TooManyTradeIds, "trade id", at, expected)
    }

    /// Adds the fresh trades of one window, and keeps what it held for [`Self::take_back`].
    fn add(&mut self, run: &[Trade], verdicts: &[Verdict]) -> Result<(), FrameError> {
        let (symbol, start_ms) = (run[0].symbol, window_start(run[0].event_ms));
        let with_blocks = self.settings.include_block_trades;
        let counts = |(trade, verdict): &(&Trade, &Verdict)| {
            **verdict == Verdict::Fresh && (with_blocks || !trade.is_block)
        };
        let mut counted =
            run.iter().zip(verdicts).filter(counts).map(|(trade, _)| trade).peekable();
        if counted.peek().is_none() {
            return Ok(());
        }
        let (window, existed) = self.series[symbol as usize].window(start_ms);
        if !self.undo.knows(symbol, start_ms) {
            let fold = window.fold.clone();
            self.undo.keep(Before { series: symbol, start_ms, existed, fold });
        }
        counted.try_for_each(|trade| window.add(trade).ok_or_else(|| overflow(trade)))
    }

    #[cold]
    fn take_back(
        &mut self,
        frame: &Frame,
        verdicts: &[Verdict],
        (known_series, known_coverages): (usize, usize),
    ) {
        for (trade, verdict) in frame.trades.iter().zip(verdicts) {
            if *verdict == Verdict::Fresh {
                let start_ms = window_start(trade.event_ms);
                self.series[trade.symbol as usize].seen.take_back(&trade.id, start_ms);
                self.remembered.take_back(start_ms);
            }
        }
        for Before { series, start_ms, existed, fold } in self.undo.drain() {
            self.series[series as usize].restore(start_ms, existed, fold);
        }
        for series in self.series.drain(known_series..) {
            self.index[series.category as usize].remove(&series.symbol);
        }
        if self.coverages.len() > known_coverages {
            self.topics.retain(|_, coverage| *coverage < known_coverages);
            self.coverages.truncate(known_coverages);
        }
    }

    fn commit(
        &mut self,
        category: Category,
        frame: &Frame,
        verdicts: &[Verdict],
        news: &mut Vec<News>,
    ) {
        self.version += 1;
        let mut revised: Vec<News> = Vec::new();
        let (first_ms, last_ms) = self.undo.times_ms();
        self.max_event_ms = self.max_event_ms.max(last_ms);
        for (series, start_ms) in self.undo.changed() {
            let it = &mut self.series[series as usize];
            it.version = self.version;
            it.note_last_of(start_ms);
            if self.is_backfill {
                it.note_backfill(start_ms);
            }
            if start_ms < self.closed_until_ms {
                revised.push(News { start_ms, series });
            }
        }
        if !self.settings.include_block_trades {
            self.note_blocks(frame, verdicts);
        }
        self.extend_coverage(category, first_ms.unwrap_or(i64::MAX), news);
        if !revised.is_empty() {
            self.revise(revised, news);
        }
    }

    /// Publishes what trades of closed windows changed.
    #[cold]
    fn revise(&mut self, mut revised: Vec<News>, news: &mut Vec<News>) {
        revised.sort_unstable_by_key(|news| (news.series, news.start_ms));
        revised.dedup_by_key(|news| news.series);
        for oldest in revised {
            self.refresh(oldest.series, oldest.start_ms, news);
        }
        in_order(news);
    }

    /// Block trades that count in no candle tell the last price all the same.
    fn note_blocks(&mut self, frame: &Frame, verdicts: &[Verdict]) {
        for (trade, verdict) in frame.trades.iter().zip(verdicts) {
            if trade.is_block && *verdict == Verdict::Fresh {
                self.series[trade.symbol as usize].note_last(Edge::of(trade));
            }
        }
    }

    /// An earlier trade than any before: what was taken for the first minute may be whole now.
    fn extend_coverage(&mut self, category: Category, first_ms: i64, news: &mut Vec<News>) {
        let known_ms = &mut self.whole_from_ms[category as usize];
        let before_ms = std::mem::replace(known_ms, first_ms.min(*known_ms));
        if first_ms >= before_ms
            || before_ms == i64::MAX
            || window_start(before_ms) >= self.closed_until_ms
        {
            return;
        }
        self.refresh_where(|series| series.category == category, window_start(before_ms), news);
    }

    /// Publishes what is new of the closed windows of some symbols from `from_ms` on, in order.
    #[cold]
    fn refresh_where(
        &mut self,
        is_meant: impl Fn(&Series) -> bool,
        from_ms: i64,
        news: &mut Vec<News>,
    ) {
        for series in 0..self.series.len() {
            if is_meant(&self.series[series]) {
                self.refresh(u32::try_from(series).unwrap_or(u32::MAX), from_ms, news);
            }
        }
        in_order(news);
    }

    /// Publishes what is new of the closed windows of one symbol from `from_ms` on.
    fn refresh(&mut self, series: u32, from_ms: i64, news: &mut Vec<News>) {
        let it = &mut self.series[series as usize];
        let terms = Terms {
            rules: self.rules,
            coverage: &self.coverages[it.coverage],
            whole_from_ms: seen_from_ms(&self.settings, self.whole_from_ms[it.category as usize]),
        };
        let stretch = (from_ms, self.closed_until_ms);
        it.refresh(stretch, terms, &mut self.audit, |start_ms| {
            news.push(News { start_ms, series });
        });
    }

    /// Where windows are to be closed, by their start, once it is `now_ms`.
    fn closes_until(&self, now_ms: i64) -> i64 {
        window_start(now_ms.clamp(0, MAX_EVENT_MS) - self.settings.grace_ms)
    }

    /// Whether a minute has passed, so that there is something to close or to drop.
    pub(crate) fn is_due(&self, now_ms: i64) -> bool {
        self.closes_until(now_ms) > self.closed_until_ms
            || self.evicts_until(now_ms) > self.evicted_until_ms
    }

    /// Whether the window of a time is closed.
    pub(crate) fn has_closed(&self, event_ms: i64) -> bool {
        event_ms < self.closed_until_ms
    }

    /// Closes every window whose end and grace have passed, oldest first.
    ///
    /// An idle symbol waits for the grace too: closing at `end_ms` would publish candles that a
    /// trade already on the wire contradicts.
    pub(crate) fn close(&mut self, now_ms: i64, news: &mut Vec<News>) {
        let until_ms = self.closes_until(now_ms);
        if until_ms <= self.closed_until_ms {
            return;
        }
        let from_ms = std::mem::replace(&mut self.closed_until_ms, until_ms);
        self.refresh_where(|_| true, from_ms, news);
    }
}

/// What came before the first trade was not seen, where its topic does not say what was received.
fn seen_from_ms(settings: &Settings, first_ms: i64) -> i64 {
    if settings.assume_covered { first_ms } else { i64::MIN }
}

/// Sorts news; what changed twice is told once.
fn in_order(news: &mut Vec<News>) {
    news.sort_unstable();
    news.dedup();
}

#[cold]
fn overflow(trade: &Trade) -> FrameError {
    let found = (trade.byte, b"more than 128 bits hold".as_slice());
    FrameError::new(
        ErrorKind::Overflow,
        "sum of the window",
        found,
        "volume and turnover below 2^128",
    )
}
