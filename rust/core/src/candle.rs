//! One window of one symbol: the fold of its trades, and the candle that is read off it.

use serde::{Deserialize, Serialize};

use crate::decimal::{Decimal, Sum, nearest_quotient};
use crate::kline::{Audit, Kline};
use crate::settings::OpenRule;
use crate::trade::{Side, Trade, TradeOrder};

/// Length of a window in milliseconds.
pub const WINDOW_MS: i64 = 60_000;

/// Label of the timeframe.
pub const TIMEFRAME: &str = "1m";

/// Start of the window that a time belongs to.
#[must_use]
pub fn window_start(event_ms: i64) -> i64 {
    event_ms.div_euclid(WINDOW_MS) * WINDOW_MS
}

/// What a candle was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Trades as they were streamed.
    Trades,
    /// Trades of which at least one was fetched later.
    Backfill,
    /// The exchange's own candle, because trades are missing.
    Kline,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Trades, Self::Backfill, Self::Kline];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Backfill => "backfill",
            Self::Kline => "kline",
        }
    }
}

/// OHLCV over one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candle {
    /// Start of the window, in milliseconds since the epoch.
    pub start_ms: i64,
    /// First price, or the close before, by the rule for opens.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Sum of sizes.
    pub volume: Sum,
    /// Sum of price × size.
    pub turnover: Sum,
    /// Sum of the sizes that takers bought; `None` exactly where the source is the exchange's candle.
    pub buy_volume: Option<Sum>,
    /// Number of trades; `None` exactly where the source is the exchange's candle.
    pub trades: Option<u64>,
    /// Whether the window is final.
    pub closed: bool,
    /// Whether the window was seen whole.
    pub complete: bool,
    /// What it was made of.
    pub source: Source,
    /// Whether it equals the exchange's own candle; `None` where that is not known.
    pub verified: Option<bool>,
    /// How often the candle was published again.
    pub revision: u32,
    /// Number of the message that last published it; 0 before.
    pub seq: u64,
}

impl Candle {
    /// End of the window, exclusive, in milliseconds since the epoch.
    #[must_use]
    pub fn end_ms(&self) -> i64 {
        self.start_ms + WINDOW_MS
    }

    /// Turnover ÷ volume as the nearest double; `None` where nothing was traded.
    #[must_use]
    pub fn vwap(&self) -> Option<f64> {
        nearest_quotient(self.turnover, self.volume)
    }

    /// Whether `other` says the same of the market, whatever its revision and number.
    fn agrees_with(&self, other: &Self) -> bool {
        let unnumbered = Self { revision: self.revision, seq: self.seq, ..other.clone() };
        *self == unnumbered
    }
}

/// The first or last trade, as its place in the order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Edge(TradeOrder);

impl Edge {
    pub(crate) fn of(trade: &Trade) -> Self {
        Self(trade.order())
    }

    pub(crate) fn price(self) -> Decimal {
        self.0.price()
    }

    /// The later one of both.
    pub(crate) fn later(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// Becomes the edge of `trade`, if that comes later.
    #[inline]
    fn advance_to(&mut self, trade: &Trade) {
        // Trades mostly come in order, and then their times alone say so.
        if trade.event_ms > self.0.event_ms() {
            self.0 = trade.order();
        } else if trade.event_ms == self.0.event_ms() {
            self.0 = self.0.max(trade.order());
        }
    }

    /// Becomes the edge of `trade`, if that comes earlier.
    #[inline]
    fn retreat_to(&mut self, trade: &Trade) {
        if trade.event_ms <= self.0.event_ms() {
            self.0 = self.0.min(trade.order());
        }
    }
}

/// The exact fold of a window's trades, the same for every order of their arrival.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fold {
    first: Edge,
    last: Edge,
    high: Decimal,
    low: Decimal,
    volume: Sum,
    turnover: Sum,
    buy_volume: Sum,
    trades: u64,
}

impl Fold {
    pub(crate) fn of(trade: &Trade) -> Self {
        let edge = Edge::of(trade);
        let volume = Sum::from(trade.size);
        Self {
            first: edge,
            last: edge,
            high: trade.price,
            low: trade.price,
            volume,
            turnover: trade.price.times(trade.size),
            buy_volume: if trade.taker_side == Side::Buy { volume } else { Sum::ZERO },
            trades: 1,
        }
    }

    /// The last trade.
    pub(crate) fn last(&self) -> Edge {
        self.last
    }

    /// Adds one trade; `None`, with this fold spoilt, where a sum would not fit.
    pub(crate) fn add(&mut self, trade: &Trade) -> Option<()> {
        self.first.retreat_to(trade);
        self.last.advance_to(trade);
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        let size = Sum::from(trade.size);
        self.volume = self.volume.checked_add(size)?;
        self.turnover = self.turnover.checked_add(trade.price.times(trade.size))?;
        if trade.taker_side == Side::Buy {
            self.buy_volume = self.buy_volume.checked_add(size)?;
        }
        self.trades = self.trades.checked_add(1)?;
        Some(())
    }
}

/// A window that still takes trades or may still be revised.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start_ms: i64,
    /// `None` while nothing was traded in it.
    pub(crate) fold: Option<Fold>,
    /// What was last published of it.
    pub(crate) published: Option<Candle>,
    /// Whether a trade of it was fetched later.
    pub(crate) is_backfilled: bool,
    /// The exchange's own candle, once it is known.
    pub(crate) kline: Option<Box<Kline>>,
}

impl Window {
    pub(crate) fn new(start_ms: i64) -> Self {
        Self { start_ms, fold: None, published: None, is_backfilled: false, kline: None }
    }

    pub(crate) fn end_ms(&self) -> i64 {
        self.start_ms + WINDOW_MS
    }

    /// Adds one trade; `None`, with this window spoilt, where a sum would not fit.
    pub(crate) fn add(&mut self, trade: &Trade) -> Option<()> {
        match &mut self.fold {
            Some(fold) => fold.add(trade)?,
            None => self.fold = Some(Fold::of(trade)),
        }
        Some(())
    }

    /// The close that the next window opens at; `None` where nothing was traded yet.
    pub(crate) fn close(&self) -> Option<Decimal> {
        let published = self.published.as_ref().map(|candle| candle.close);
        published.or_else(|| self.last_price())
    }

    /// The last price, where anything was traded.
    pub(crate) fn last_price(&self) -> Option<Decimal> {
        self.fold.as_ref().map(|fold| fold.last.price())
    }

    /// Reads the candle off the fold; `None` where there is neither a trade nor a close before.
    pub(crate) fn candle(&self, previous_close: Option<Decimal>, rule: OpenRule) -> Option<Candle> {
        let Some(fold) = &self.fold else {
            return previous_close.map(|close| self.flat(close));
        };
        let open = match (rule, previous_close) {
            (OpenRule::PreviousClose, Some(close)) => close,
            _ => fold.first.price(),
        };
        Some(Candle {
            start_ms: self.start_ms,
            open,
            high: fold.high.max(open),
            low: fold.low.min(open),
            close: fold.last.price(),
            volume: fold.volume,
            turnover: fold.turnover,
            buy_volume: Some(fold.buy_volume),
            trades: Some(fold.trades),
            closed: false,
            complete: false,
            source: if self.is_backfilled { Source::Backfill } else { Source::Trades },
            verified: None,
            revision: self.published.as_ref().map_or(0, |candle| candle.revision),
            seq: 0,
        })
    }

    fn flat(&self, close: Decimal) -> Candle {
        Candle {
            start_ms: self.start_ms,
            open: close,
            high: close,
            low: close,
            close,
            volume: Sum::ZERO,
            turnover: Sum::ZERO,
            buy_volume: Some(Sum::ZERO),
            trades: Some(0),
            closed: false,
            complete: false,
            source: Source::Trades,
            verified: None,
            revision: self.published.as_ref().map_or(0, |candle| candle.revision),
            seq: 0,
        }
    }

    /// The highest and the lowest price of its trades.
    pub(crate) fn extremes(&self) -> Option<(Decimal, Decimal)> {
        self.fold.as_ref().map(|fold| (fold.high, fold.low))
    }

    /// Takes `candle` as the newest word on this window; whether it says anything new.
    pub(crate) fn publish(&mut self, mut candle: Candle, audit: &mut Audit) -> bool {
        match &self.published {
            Some(known) if known.agrees_with(&candle) => return false,
            Some(known) => candle.revision = known.revision.saturating_add(1),
            None => candle.revision = 0,
        }
        audit.note(self.published.as_ref(), &candle);
        self.published = Some(candle);
        true
    }
}
