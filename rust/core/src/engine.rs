//! The one type that a binding wraps: frames and ticks in, batches of messages out.

mod gaps;
mod klines;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregator, News, Verdict};
use crate::batch::{About, Batch, MessageKind};
use crate::candle::Candle;
use crate::checkpoint;
use crate::encode::{Encoder, LineChange, StatsFigures};
use crate::error::{ErrorKind, FrameError};
use crate::fields::MAX_EVENT_MS;
use crate::frame::Frame;
use crate::latency::{Latency, Summary};
use crate::rate::{Counters, Rates};
use crate::ring::{PublishedTrade, Ring};
use crate::series::Series;
use crate::settings::{Clock, Settings};
use crate::snapshot::{Snapshot, SnapshotOptions};
use crate::trade::{Category, Trade};

/// What a stats message holds beyond the engine's own figures.
#[derive(Debug, Clone, Copy)]
pub struct StatsInput<'a> {
    /// Wall clock in milliseconds since the epoch.
    pub now_ms: i64,
    /// Time since the last stats, on a clock that never steps.
    pub interval_ns: u64,
    /// The caller's totals by name.
    pub counts: &'a [(String, u64)],
    /// A finished JSON array of worker states.
    pub thread_statuses: &'a str,
    /// A finished JSON array of refused symbols.
    pub rejected_symbols: &'a str,
    /// Further members by name, each finished JSON.
    pub sections: &'a [(&'a str, &'a str)],
    /// How long things took since the last stats, by name, beside the engine's own.
    pub latencies: &'a [(String, Summary)],
}

/// Under which name stats say how long frames were on their way.
const EXCHANGE_TO_RECEIVED: &str = "exchange_to_received";

/// Exact live aggregation of public trades; see the crate's documentation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) primary: Option<Category>,
    #[serde(skip)]
    frame: Frame,
    pub(crate) aggregator: Aggregator,
    pub(crate) counters: Counters,
    pub(crate) rates: Rates,
    /// From the making of a frame, by the exchange's clock, to its receipt, by ours.
    #[serde(with = "checkpoint::latency")]
    pub(crate) on_the_way: Latency,
    #[serde(skip)]
    encoder: Encoder,
    pub(crate) ring: Ring,
    pub(crate) last_stats: Vec<u8>,
    pub(crate) seq: u64,
    #[serde(skip)]
    pub(crate) verdicts: Vec<Verdict>,
    #[serde(skip)]
    pub(crate) news: Vec<News>,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            primary: settings.primary_category,
            frame: Frame::default(),
            aggregator: Aggregator::new(settings.clone()),
            counters: Counters::default(),
            rates: Rates::default(),
            on_the_way: Latency::new(),
            encoder: Encoder::default(),
            ring: Ring::new(settings.recent_trades),
            last_stats: Vec::new(),
            seq: 0,
            verdicts: Vec::new(),
            news: Vec::new(),
            settings,
        }
    }

    /// Number of the last published message; 0 before the first.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Name of this numbering of messages.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.settings.epoch
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let audit = self.aggregator.audit();
        Counters {
            verified_candles_total: audit.verified_total,
            mismatched_candles_total: audit.mismatched_total,
            kline_candles_total: audit.klines_total,
            ..self.counters
        }
    }

    /// The greatest event time seen, in milliseconds since the epoch.
    #[must_use]
    pub fn event_ms(&self) -> Option<i64> {
        self.aggregator.max_event_ms()
    }

    /// Every symbol known, in the order of its first trade.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        self.aggregator.series()
    }

    /// The candles in progress of one symbol, oldest first.
    #[must_use]
    pub fn open<'a>(&'a self, series: &'a Series) -> impl DoubleEndedIterator<Item = Candle> + 'a {
        self.aggregator.open(series)
    }

    /// The most recent trades, oldest first.
    pub fn recent_trades(&self) -> impl Iterator<Item = &PublishedTrade> {
        self.ring.iter()
    }

    /// Applies one exchange frame and returns what must be published.
    ///
    /// Trades come in the order of the frame, then the closed candles that they revised, then,
    /// where event time is the clock, the candles that they closed.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] where any part of the frame is malformed: then none of it is applied.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        received_ns: i64,
        category: Category,
    ) -> Result<Batch, FrameError> {
        let mut batch = Batch::default();
        self.feed_into(&mut batch, bytes, received_ns, category)?;
        Ok(batch)
    }

    /// Applies frames in their order, as [`Self::feed`] would one by one, into one batch.
    ///
    /// A malformed frame does not keep the others from being applied: those that were refused come
    /// beside the batch, each with its index and its error.
    pub fn feed_many<'a>(
        &mut self,
        frames: impl IntoIterator<Item = &'a [u8]>,
        received_ns: i64,
        category: Category,
    ) -> (Batch, Vec<(usize, FrameError)>) {
        let (mut batch, mut refused) = (Batch::default(), Vec::new());
        for (index, bytes) in frames.into_iter().enumerate() {
            if let Err(error) = self.feed_into(&mut batch, bytes, received_ns, category) {
                refused.push((index, error));
            }
        }
        (batch, refused)
    }

    /// [`Self::feed`] that adds to a batch.
    ///
    /// # Errors
    ///
    /// The same; the batch is then unchanged.
    pub fn feed_into(
        &mut self,
        batch: &mut Batch,
        bytes: &[u8],
        received_ns: i64,
        category: Category,
    ) -> Result<(), FrameError> {
        self.counters.frames_total += 1;
        let applied = self.apply(bytes, received_ns, category);
        self.counters.bad_frames_total += u64::from(applied.is_err());
        applied?;
        self.primary.get_or_insert(category);
        if let (Clock::Wall, Some(made_ms)) = (self.settings.clock, self.frame.ts_ms) {
            self.on_the_way
                .record(received_ns.saturating_sub(made_ms.saturating_mul(1_000_000)), 1);
        }
        self.publish_applied(batch);
        Ok(())
    }

    fn apply(
        &mut self,
        bytes: &[u8],
        received_ns: i64,
        category: Category,
    ) -> Result<(), FrameError> {
        self.decode(bytes, received_ns, category)?;
        self.aggregator.apply(category, &mut self.frame, &mut self.verdicts, &mut self.news)
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        received_ns: i64,
        category: Category,
    ) -> Result<(), FrameError> {
        self.frame.decode(bytes, Some(category))?;
        let own_ms = match self.settings.clock {
            Clock::Wall => Some(received_ns / 1_000_000),
            Clock::Event => self.frame.ts_ms,
        };
        self.check_future(&self.frame.trades, own_ms)
    }

    /// Publishes what the frame that was applied last came to.
    fn publish_applied(&mut self, batch: &mut Batch) {
        let before = self.counters;
        self.publish_trades(batch);
        batch.fresh_trades += self.counters.trades_total - before.trades_total;
        let repeated = self.counters.duplicate_trades_total - before.duplicate_trades_total;
        batch.repeated_trades += repeated;
        batch.late_trades += self.counters.late_trades_total - before.late_trades_total;
        self.publish_news(batch);
        if let (Clock::Event, Some(now_ms)) = (self.settings.clock, self.aggregator.max_event_ms())
        {
            self.close(now_ms, batch);
        }
    }

    /// A single time far ahead of every clock would close all windows at once.
    pub(crate) fn check_future(
        &self,
        trades: &[Trade],
        own_ms: Option<i64>,
    ) -> Result<(), FrameError> {
        let limit_ms = self.future_limit_ms(own_ms.max(self.aggregator.max_event_ms()));
        let Some(trade) = trades.iter().find(|trade| trade.event_ms > limit_ms) else {
            return Ok(());
        };
        Err(self.too_early(trade, limit_ms))
    }

    #[cold]
    fn too_early(&self, trade: &Trade, limit_ms: i64) -> FrameError {
        let found = trade.event_ms.to_string();
        let expected =
            format!("at most {limit_ms} ms, {} ms ahead of the clock", self.settings.max_future_ms);
        let at = (trade.byte, found.as_bytes());
        FrameError::new(ErrorKind::FutureTime, "trade time", at, expected)
    }

    /// The greatest time that a trade may have at `now_ms`; any, where there is no clock yet.
    pub(crate) fn future_limit_ms(&self, now_ms: Option<i64>) -> i64 {
        now_ms.map_or(i64::MAX, |now_ms| now_ms.saturating_add(self.settings.max_future_ms))
    }

    fn publish_trades(&mut self, batch: &mut Batch) {
        /// Bytes of an ordinary trade message, so that a batch's buffer is allocated once.
        const TRADE_BYTES: usize = 352;
        batch.reserve(self.frame.trades.len(), TRADE_BYTES);
        let trades = self.frame.trades.drain(..).zip(&self.verdicts);
        for (trade, verdict) in trades {
            match verdict {
                Verdict::Duplicate => self.counters.duplicate_trades_total += 1,
                Verdict::Late => self.counters.late_trades_total += 1,
                Verdict::Fresh => {
                    self.seq += 1;
                    self.counters.trades_total += 1;
                    self.counters.block_trades_total += u64::from(trade.is_block);
                    let series = &self.aggregator.series()[trade.symbol as usize];
                    let of = Some((series.category, &series.symbol));
                    let about = About { kind: MessageKind::Trade, of, seq: self.seq };
                    let numbers = (self.seq, self.counters.trades_total);
                    batch.add(about, |out| {
                        self.encoder.trade(out, series, &trade, numbers);
                        None
                    });
                    self.ring.push(trade, numbers.0, numbers.1);
                }
            }
        }
    }

    fn publish_news(&mut self, batch: &mut Batch) {
        if !self.news.is_empty() {
            self.publish_candles(batch);
        }
    }

    /// Numbers and encodes the closed candles that have something new to say.
    #[cold]
    fn publish_candles(&mut self, batch: &mut Batch) {
        for news in std::mem::take(&mut self.news) {
            let Some(candle) = self.aggregator.published_mut(news) else { continue };
            self.seq += 1;
            self.counters.candles_total += 1;
            candle.seq = self.seq;
            let candle = candle.clone();
            let series = &self.aggregator.series()[news.series as usize];
            add_candle(batch, &mut self.encoder, series, &candle);
        }
    }

    fn close(&mut self, now_ms: i64, batch: &mut Batch) {
        if self.aggregator.is_due(now_ms) {
            self.aggregator.close(now_ms, &mut self.news);
            self.publish_news(batch);
            self.aggregator.evict(now_ms);
        }
    }

    /// Closes every window whose end and grace have passed, oldest first.
    ///
    /// A time before that of an earlier call changes nothing.
    pub fn advance(&mut self, now_ms: i64) -> Batch {
        let mut batch = Batch::default();
        self.close(now_ms, &mut batch);
        batch
    }

    /// The candles in progress that changed since `since` (0: all), without numbers of their own.
    ///
    /// Of each symbol the newest one. Their `seq` is that of the last published message, as in a
    /// snapshot. Returns the version to ask with next time.
    pub fn partials(&mut self, since: u64) -> (u64, Batch) {
        let mut batch = Batch::default();
        for series in self.aggregator.series() {
            if series.version <= since {
                continue;
            }
            if let Some(candle) = self.aggregator.open(series).next_back() {
                let candle = Candle { seq: self.seq, ..candle };
                add_candle(&mut batch, &mut self.encoder, series, &candle);
            }
        }
        (self.aggregator.version(), batch)
    }

    /// Publishes the stats.
    pub fn stats(&mut self, input: &StatsInput<'_>) -> Batch {
        self.seq += 1;
        let own = self.counters().named();
        let given = input.counts.iter().map(|(name, total)| (name.as_str(), *total));
        let is_given = |name: &str| input.counts.iter().any(|(given, _)| given == name);
        let own = own.into_iter().filter(|(name, _)| !is_given(name));
        let totals: Vec<(&str, u64)> = own.chain(given).collect();
        let rates = self.rates.update(&totals, input.interval_ns);
        let counts = totals.iter().zip(rates).map(|((name, total), rate)| (*name, *total, rate));
        let own = (EXCHANGE_TO_RECEIVED.to_owned(), self.on_the_way.take());
        let latencies: Vec<_> = std::iter::once(&own).chain(input.latencies).collect();
        let figures = StatsFigures {
            seq: self.seq,
            now_ms: input.now_ms.clamp(0, MAX_EVENT_MS),
            counts: counts.collect(),
            last_prices: self.last_prices(),
            thread_statuses: input.thread_statuses,
            rejected_symbols: input.rejected_symbols,
            sections: input.sections,
            latencies: &latencies,
        };
        let mut batch = Batch::default();
        let about = About { kind: MessageKind::Stats, of: None, seq: self.seq };
        batch.add(about, |out| Some(self.encoder.stats(out, &figures)));
        self.last_stats.clear();
        self.last_stats.extend_from_slice(batch.payload(0));
        batch
    }

    /// The last price of every symbol, those of the primary category first.
    fn last_prices(&self) -> Vec<(String, Vec<u8>)> {
        let is_primary = |series: &&Series| self.primary == Some(series.category);
        let series = self.aggregator.series().iter();
        let (first, others): (Vec<_>, Vec<_>) = series.partition(is_primary);
        let named = first.into_iter().chain(others).filter_map(|series| {
            let price = series.last_price()?;
            let name = if is_primary(&series) {
                series.symbol.to_string()
            } else {
                format!("{}:{}", series.category.name(), series.symbol)
            };
            let mut text = Vec::new();
            price.write(&mut text);
            Some((name, text))
        });
        named.collect()
    }

    /// Publishes a change of an upstream connection.
    pub fn upstream(&mut self, change: &LineChange<'_>) -> Batch {
        self.seq += 1;
        let mut batch = Batch::default();
        let about = About { kind: MessageKind::Upstream, of: None, seq: self.seq };
        batch.add(about, |out| {
            self.encoder.upstream(out, self.seq, change);
            None
        });
        batch
    }

    /// What a client needs to begin with: one finished JSON object, not a published message.
    #[must_use]
    pub fn snapshot(&mut self, options: &SnapshotOptions<'_>) -> Vec<u8> {
        let snapshot = Snapshot {
            epoch: &self.settings.epoch,
            seq: self.seq,
            stats: &self.last_stats,
            aggregator: &self.aggregator,
            trades: self.ring.iter(),
        };
        snapshot.encode(&mut self.encoder, options)
    }
}

fn add_candle(batch: &mut Batch, encoder: &mut Encoder, series: &Series, candle: &Candle) {
    let of = Some((series.category, &series.symbol));
    let about = About { kind: MessageKind::Ohlcv, of, seq: candle.seq };
    batch.add(about, |out| Some(encoder.candle(out, series, candle)));
}
