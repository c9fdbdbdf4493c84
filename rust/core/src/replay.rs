//! Inputs of an engine that was restored: what was published or known before, and new numbers.

use jiter::{Jiter, JiterResult};

use crate::batch::{About, Batch, MessageKind};
use crate::candle::{Candle, Source};
use crate::decimal::{Decimal, Sum};
use crate::engine::Engine;
use crate::kline::check_start;
use crate::trade::Category;

/// What comes before the number in a stats message.
const BEFORE_SEQ: &str = "{\"topic\":\"status\",\"type\":\"stats\",\"seq\":";

/// Why a recorded stats message cannot be published again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestateError {
    /// It is none.
    #[error("payload is no stats message, expected one of an engine")]
    Foreign,
    /// Another number than the next one: what was published before it differs.
    #[error("stats message has the number {found}, expected {expected}")]
    Seq {
        /// Its own number.
        found: u64,
        /// The next number.
        expected: u64,
    },
}

/// Why a kept candle cannot be put back, or one of the exchange's not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {found}, expected {expected}")]
pub struct RecallError {
    /// Which of its fields is at fault.
    pub name: &'static str,
    /// What it is.
    pub found: String,
    /// What would have been right.
    pub expected: &'static str,
}

/// A closed candle as it is kept elsewhere: exact decimals as texts.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Start of its window, in milliseconds since the epoch.
    pub start_ms: i64,
    /// Open, high, low and close.
    pub prices: [&'a str; 4],
    /// Sum of sizes.
    pub volume: &'a str,
    /// Sum of price × size.
    pub turnover: &'a str,
    /// Sum of the sizes that takers bought; `None` where nobody knows.
    pub buy_volume: Option<&'a str>,
    /// Number of trades; `None` where nobody knows.
    pub trades: Option<u64>,
    /// Whether the window was seen whole.
    pub complete: bool,
    /// What it was made of.
    pub source: &'a str,
    /// Whether it equals the exchange's own; `None` where nobody knows.
    pub verified: Option<bool>,
    /// How often it was published again.
    pub revision: u32,
}

impl Kept<'_> {
    /// The candle itself, without a number.
    ///
    /// # Errors
    ///
    /// A [`RecallError`] where a field is none of its kind.
    pub fn candle(&self) -> Result<Candle, RecallError> {
        check_start(self.start_ms)?;
        let source = source(self.source)?;
        let [open, high, low, close] = self.prices;
        let is_kline = source == Source::Kline;
        if self.buy_volume.is_none() != is_kline || self.trades.is_none() != is_kline {
            let found = format!("\"{}\"", self.source);
            let expected = "kline exactly where neither trades nor buy_volume are known";
            return Err(RecallError { name: "source", found, expected });
        }
        Ok(Candle {
            start_ms: self.start_ms,
            open: price("open", open)?,
            high: price("high", high)?,
            low: price("low", low)?,
            close: price("close", close)?,
            volume: sum("volume", self.volume)?,
            turnover: sum("turnover", self.turnover)?,
            buy_volume: self.buy_volume.map(|text| sum("buy_volume", text)).transpose()?,
            trades: self.trades,
            closed: true,
            complete: self.complete,
            source,
            verified: self.verified,
            revision: self.revision,
            seq: 0,
        })
    }
}

fn source(text: &str) -> Result<Source, RecallError> {
    let known = Source::ALL.into_iter().find(|source| source.name() == text);
    known.ok_or_else(|| RecallError {
        name: "source",
        found: format!("\"{text}\""),
        expected: "trades, backfill or kline",
    })
}

pub(crate) fn price(name: &'static str, text: &str) -> Result<Decimal, RecallError> {
    Decimal::parse(text.as_bytes()).map_err(|_| RecallError {
        name,
        found: format!("\"{text}\""),
        expected: "a positive decimal of at most 19 digits",
    })
}

pub(crate) fn sum(name: &'static str, text: &str) -> Result<Sum, RecallError> {
    Sum::parse(text.as_bytes()).ok_or_else(|| RecallError {
        name,
        found: format!("\"{text}\""),
        expected: "a decimal below 2^128",
    })
}

/// What is read off a stats message.
#[derive(Default)]
struct Stats {
    seq: Option<u64>,
    text: Option<String>,
    counts: Vec<(String, u64)>,
}

impl Engine {
    /// Publishes a recorded stats message again, in place of [`Self::stats`].
    ///
    /// The next rates are those since then.
    ///
    /// # Errors
    ///
    /// A [`RestateError`] where it is none or not the next message: then nothing is changed.
    pub fn restated(&mut self, payload: &[u8]) -> Result<Batch, RestateError> {
        let foreign = RestateError::Foreign;
        let known = payload.starts_with(BEFORE_SEQ.as_bytes()).then(|| parsed(payload));
        let stats = known.and_then(Result::ok).ok_or(foreign)?;
        let (found, expected) = (stats.seq.ok_or(foreign)?, self.seq + 1);
        if found != expected {
            return Err(RestateError::Seq { found, expected });
        }
        self.seq = expected;
        for (name, total) in stats.counts {
            self.rates.seed(name, total);
        }
        // They are in that message.
        self.on_the_way.take();
        let mut batch = Batch::default();
        let about = About { kind: MessageKind::Stats, of: None, seq: self.seq };
        batch.add(about, |out| {
            out.extend_from_slice(payload);
            stats.text
        });
        self.last_stats.clear();
        self.last_stats.extend_from_slice(payload);
        Ok(batch)
    }

    /// Counts a frame all of whose trades were known, as [`Self::feed`] did.
    pub fn repeated(&mut self, trades: u64) {
        self.counters.frames_total += 1;
        self.counters.duplicate_trades_total += trades;
        self.aggregator.note_repeat();
    }

    /// Begins a new numbering: the next message has the number 1.
    ///
    /// What was published under the old numbers keeps none: in snapshots it is numbered 0.
    pub fn renumber(&mut self, epoch: &str) {
        epoch.clone_into(&mut self.settings.epoch);
        self.seq = 0;
        self.aggregator.unnumber();
        self.ring.unnumber();
        if let Some(stats) = self.last_stats.strip_prefix(BEFORE_SEQ.as_bytes()) {
            let digits = stats.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let begin = BEFORE_SEQ.len();
            self.last_stats.splice(begin..begin + digits, *b"0");
        }
    }

    /// Puts closed candles back into the history of their symbols, which are made where unknown.
    ///
    /// Of each symbol they come oldest first. Those are passed over whose minute is known or may
    /// still be revised, and those beyond the most symbols and the most candles of one. Returns how
    /// many were taken.
    pub fn recall<'a>(
        &mut self,
        candles: impl IntoIterator<Item = (Category, &'a str, Candle)>,
    ) -> usize {
        let taken = candles.into_iter().filter(|(category, symbol, candle)| {
            self.aggregator.recall(*category, symbol, candle.clone())
        });
        taken.count()
    }
}

fn parsed(payload: &[u8]) -> JiterResult<Stats> {
    let mut json = Jiter::new(payload);
    let mut stats = Stats::default();
    let mut next = json.next_object()?.map(str::to_owned);
    while let Some(name) = next {
        match name.as_str() {
            "seq" => stats.seq = whole_number(&mut json)?,
            "text" => stats.text = Some(json.next_str()?.to_owned()),
            "message_counts" => stats.counts = totals(&mut json)?,
            _ => json.next_skip()?,
        }
        next = json.next_key()?.map(str::to_owned);
    }
    json.finish()?;
    Ok(stats)
}

fn totals(json: &mut Jiter<'_>) -> JiterResult<Vec<(String, u64)>> {
    let mut totals = Vec::new();
    let mut next = json.next_object()?.map(str::to_owned);
    while let Some(name) = next {
        totals.extend(whole_number(json)?.map(|total| (name, total)));
        next = json.next_key()?.map(str::to_owned);
    }
    Ok(totals)
}

fn whole_number(json: &mut Jiter<'_>) -> JiterResult<Option<u64>> {
    let digits = json.next_number_bytes()?;
    Ok(std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()))
}
