//! One window of one symbol: the fold of its trades, and the candle that is read off it.

use serde::{Deserialize, Serialize};

use crate::decimal::{Decimal, Sum, nearest_quotient};
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
    /// Sum of the sizes that takers bought.
    pub buy_volume: Sum,
    /// Number of trades.
    pub trades: u64,
    /// Whether the window is final.
    pub closed: bool,
    /// Whether the window was seen whole.
    pub complete: bool,
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
}

impl Window {
    pub(crate) fn new(start_ms: i64) -> Self {
        Self { start_ms, fold: None, published: None }
    }

    /// Adds one trade; `None`, with this window spoilt, where a sum would not fit.
    pub(crate) fn add(&mut self, trade: &Trade) -> Option<()> {
        match &mut self.fold {
            Some(fold) => fold.add(trade)?,
            None => self.fold = Some(Fold::of(trade)),
        }
        Some(())
    }

    /// The last price, where anything was traded.
    pub(crate) fn close(&self) -> Option<Decimal> {
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
            buy_volume: fold.buy_volume,
            trades: fold.trades,
            closed: false,
            complete: false,
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
            buy_volume: Sum::ZERO,
            trades: 0,
            closed: false,
            complete: false,
            revision: self.published.as_ref().map_or(0, |candle| candle.revision),
            seq: 0,
        }
    }

    /// Takes `candle` as the newest word on this window; whether it says anything new.
    pub(crate) fn publish(&mut self, mut candle: Candle) -> bool {
        match &self.published {
            Some(known) if known.agrees_with(&candle) => return false,
            Some(known) => candle.revision = known.revision.saturating_add(1),
            None => candle.revision = 0,
        }
        self.published = Some(candle);
        true
    }
}
