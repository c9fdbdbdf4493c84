//! Blocks of decoded lines → the state of an engine, with nothing encoded.
//!
//! The result is that of feeding the frames one by one. Frames that can change no closed candle and
//! close none are applied together; where one of them does not fit, each is applied alone.

use rustc_hash::FxHashSet;

use crate::aggregate::Verdict;
use crate::batch::Batch;
use crate::engine::Engine;
use crate::error::FrameError;
use crate::fields::MAX_SYMBOL_CHARS;
use crate::lines::{Block, Item, Parts, Scratch, Span};
use crate::settings::Clock;
use crate::trade::{Category, Trade};

/// How much older than its frame a trade may be: far more than was ever seen.
const IN_FLIGHT_MS: i64 = 1_000;

/// How far a refused frame's own time may lie from the clock and still be believed alone.
const PLAUSIBLE_MS: i64 = 60_000;

/// A line that was refused: its number in the block, from 0, and why.
pub type Refusal = (usize, FrameError);

impl Engine {
    /// Applies the lines of a block, which is empty then, and returns those that were refused.
    ///
    /// Nothing is published: numbers are given out as if it were, and recent trades are not kept.
    /// The minutes of refused frames count as missed. `lines` is how many lines of the file came
    /// before; a wall clock is not moved, and takes the frame's own time for that of its receipt.
    pub fn absorb(&mut self, block: &mut Block, lines: usize) -> Vec<Refusal> {
        let Parts { category, symbols, items, trades, is_archive, scratch } = block.parts();
        let clock_ms = self.event_ms();
        let mut absorber = Absorber {
            engine: self,
            category,
            symbols,
            trades,
            moved_by: if is_archive { u32::try_from(lines).unwrap_or(u32::MAX) } else { 0 },
            scratch,
            clock_ms,
            refusals: Vec::new(),
        };
        for item in items {
            match item {
                Item::Frame(span) => absorber.add(span),
                Item::Refused(refused) => {
                    absorber.flush();
                    absorber.engine.counters.frames_total += 1;
                    let about = (refused.topic.as_deref(), refused.ts_ms);
                    absorber.refuse(refused.line, refused.error, about);
                }
                Item::Passed => {}
            }
        }
        absorber.flush();
        absorber.refusals
    }

    /// Takes note that a recorded frame was refused: its trades are missing in their minute.
    ///
    /// Without a topic that can be one, any topic known so far is meant. Without a time it is the
    /// greatest one seen; where both are far apart (a quiet symbol, a file out of order, a damaged
    /// time), nobody knows which, and both are meant. Publishes gaps, and the closed candles that
    /// they touch.
    pub fn refuse(&mut self, category: Category, topic: Option<&str>, ts_ms: Option<i64>) -> Batch {
        let topics = match topic {
            Some(topic) if topic.chars().count() <= MAX_SYMBOL_CHARS => vec![topic.to_owned()],
            _ => self.topics(category),
        };
        let mut batch = Batch::default();
        for at_ms in times_meant(ts_ms, self.event_ms()).into_iter().flatten() {
            let stretch = (at_ms.saturating_sub(IN_FLIGHT_MS), at_ms.saturating_add(1));
            batch.append(&self.miss(category, topics.iter().map(String::as_str), stretch, true));
        }
        batch
    }

    /// The topics of a category's symbols known so far; those of options are base coins.
    #[must_use]
    pub fn topics(&self, category: Category) -> Vec<String> {
        let of_category = self.series().iter().filter(|series| series.category == category);
        let topics = of_category.map(|series| category.topic_of(&series.symbol));
        let mut known = FxHashSet::default();
        topics.filter(|topic| known.insert(*topic)).map(str::to_owned).collect()
    }

    /// Counts and numbers the trades of a frame that was applied.
    fn count(&mut self, trades: &[Trade]) {
        for (trade, verdict) in trades.iter().zip(&self.verdicts) {
            match verdict {
                Verdict::Duplicate => self.counters.duplicate_trades_total += 1,
                Verdict::Late => self.counters.late_trades_total += 1,
                Verdict::Fresh => {
                    self.seq += 1;
                    self.counters.trades_total += 1;
                    self.counters.block_trades_total += u64::from(trade.is_block);
                }
            }
        }
    }

    /// Numbers the closed candles that have something new to say.
    fn number_news(&mut self) {
        for news in self.news.drain(..) {
            let Some(candle) = self.aggregator.published_mut(news) else { continue };
            self.seq += 1;
            self.counters.candles_total += 1;
            candle.seq = self.seq;
        }
    }
}

/// When a refused frame's trades may have been.
fn times_meant(ts_ms: Option<i64>, clock_ms: Option<i64>) -> [Option<i64>; 2] {
    match (ts_ms, clock_ms) {
        (Some(ts_ms), Some(clock_ms)) if ts_ms.abs_diff(clock_ms) > PLAUSIBLE_MS.unsigned_abs() => {
            [Some(ts_ms.min(clock_ms)), Some(ts_ms.max(clock_ms))]
        }
        _ => [ts_ms.or(clock_ms), None],
    }
}

/// Takes the items of one block, in their order.
struct Absorber<'a> {
    engine: &'a mut Engine,
    category: Category,
    /// What the trades' symbols are indices of.
    symbols: &'a [String],
    /// Those that no frame has taken yet.
    trades: std::vec::Drain<'a, Trade>,
    /// What is added to the trades' positions.
    moved_by: u32,
    scratch: &'a mut Scratch,
    /// The greatest event time, that of the run included.
    clock_ms: Option<i64>,
    refusals: Vec<Refusal>,
}

impl Absorber<'_> {
    fn add(&mut self, span: Span) {
        self.engine.counters.frames_total += 1;
        // What the run has not been accepted for yet moves no clock.
        let limit_ms = self.engine.future_limit_ms(span.ts_ms.max(self.engine.event_ms()));
        if span.last_ms > limit_ms {
            self.flush();
            let trades = &self.trades.as_slice()[..span.trades];
            if let Err(error) = self.engine.check_future(trades, span.ts_ms) {
                self.trades.by_ref().take(span.trades).for_each(drop);
                return self.refuse_span(span, error);
            }
        }
        // It may revise a closed candle, and that counts how often.
        let is_alone = self.engine.aggregator.has_closed(span.first_ms);
        if is_alone {
            self.flush();
        }
        let begin = self.scratch.frame.trades.len();
        self.scratch.frame.trades.extend(self.trades.by_ref().take(span.trades));
        if self.moved_by > 0 {
            for trade in &mut self.scratch.frame.trades[begin..] {
                trade.position = trade.position.saturating_add(self.moved_by);
            }
        }
        self.scratch.run.push(span);
        if span.trades > 0 {
            self.clock_ms = self.clock_ms.max(Some(span.last_ms));
        }
        let is_due = |now_ms| self.engine.aggregator.is_due(now_ms);
        if is_alone || self.clock_ms.is_some_and(is_due) {
            self.flush();
        }
    }

    /// Applies the run, and closes what it closes.
    fn flush(&mut self) {
        let run = std::mem::take(&mut self.scratch.run);
        if run.is_empty() {
            return;
        }
        self.scratch.own_symbols.clear();
        self.scratch.own_symbols.extend(self.scratch.frame.trades.iter().map(|trade| trade.symbol));
        match (self.apply(0), run.as_slice()) {
            (Ok(()), _) => {}
            (Err(error), &[span]) => self.refuse_span(span, error),
            (Err(_), spans) => self.apply_each(spans),
        }
        self.scratch.frame.trades.clear();
        self.scratch.run = run;
        self.scratch.run.clear();
        self.clock_ms = self.engine.event_ms();
        if let (Clock::Event, Some(now_ms)) = (self.engine.settings.clock, self.clock_ms) {
            self.engine.aggregator.close(now_ms, &mut self.engine.news);
            self.engine.number_news();
            self.engine.aggregator.evict(now_ms);
        }
    }

    /// Applies the frames of a run one by one, because one of them does not fit.
    fn apply_each(&mut self, spans: &[Span]) {
        let mut trades = std::mem::take(&mut self.scratch.frame.trades);
        for (trade, symbol) in trades.iter_mut().zip(&self.scratch.own_symbols) {
            trade.symbol = *symbol;
        }
        let mut trades = trades.into_iter();
        let mut begin = 0;
        for &span in spans {
            self.scratch.frame.trades.extend(trades.by_ref().take(span.trades));
            if let Err(error) = self.apply(begin) {
                self.refuse_span(span, error);
            }
            self.scratch.frame.trades.clear();
            begin += span.trades;
        }
    }

    /// Applies what the frame holds; its first trade is the `begin`-th of the run.
    fn apply(&mut self, begin: usize) -> Result<(), FrameError> {
        self.name_symbols(begin);
        let Engine { aggregator, verdicts, news, .. } = &mut *self.engine;
        aggregator.apply(self.category, &mut self.scratch.frame, verdicts, news)?;
        self.engine.primary.get_or_insert(self.category);
        self.engine.count(&self.scratch.frame.trades);
        self.engine.number_news();
        Ok(())
    }

    /// Gives the frame the symbols of its trades, in the order of their first use: unknown ones are
    /// taken up in that order.
    fn name_symbols(&mut self, begin: usize) {
        let Scratch { frame, own_symbols, places, .. } = &mut *self.scratch;
        places.clear();
        places.resize(self.symbols.len(), u32::MAX);
        let mut used = 0;
        for (trade, &own) in frame.trades.iter_mut().zip(&own_symbols[begin..]) {
            let place = &mut places[own as usize];
            if *place == u32::MAX {
                *place = used;
                used += 1;
                let name = &self.symbols[own as usize];
                match frame.symbols.get_mut(*place as usize) {
                    Some(known) => name.clone_into(known),
                    None => frame.symbols.push(name.clone()),
                }
            }
            trade.symbol = *place;
        }
        frame.symbols.truncate(used as usize);
    }

    fn refuse_span(&mut self, span: Span, error: FrameError) {
        let topic = &self.symbols[span.topic as usize];
        self.refuse(span.line, error, (Some(topic), span.ts_ms));
    }

    fn refuse(
        &mut self,
        line: usize,
        error: FrameError,
        (topic, ts_ms): (Option<&str>, Option<i64>),
    ) {
        self.engine.counters.bad_frames_total += 1;
        self.engine.refuse(self.category, topic, ts_ms);
        self.refusals.push((line, error));
        self.clock_ms = self.engine.event_ms();
    }
}
