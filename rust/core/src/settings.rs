//! What an engine is told once, at its making.

use serde::{Deserialize, Serialize};

use crate::trade::Category;

/// What an empty minute publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmptyPolicy {
    /// Nothing.
    Skip,
    /// A flat candle at the last close with volume 0, as the exchange's own klines do.
    Flat,
}

/// What a candle opens at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenRule {
    /// The first trade of its window.
    FirstTrade,
    /// The close before it, which its high and low then include: the rule of the exchange's klines.
    PreviousClose,
}

/// What moves the clock that closes windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    /// The caller, by [`Engine::advance`](crate::engine::Engine::advance).
    Wall,
    /// The greatest event time seen: for replay and batch.
    Event,
}

/// Settings of an [`Engine`](crate::engine::Engine).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// How long after its end a window still takes trades, in milliseconds.
    pub grace_ms: i64,
    /// How long after its end a closed window is still revised, in milliseconds.
    pub revise_window_ms: i64,
    /// What an empty minute publishes.
    pub empty: EmptyPolicy,
    /// What a candle opens at.
    pub open: OpenRule,
    /// Whether block trades count in candles.
    pub include_block_trades: bool,
    /// What moves the clock.
    pub clock: Clock,
    /// The category whose symbols stand bare in `last_prices`; the first one fed, where none.
    pub primary_category: Option<Category>,
    /// Opaque name of this numbering of messages.
    pub epoch: String,
    /// How far ahead of the clock an event time may lie, in milliseconds.
    pub max_future_ms: i64,
    /// Whether symbols count as received whole from the first trade on, without `cover`.
    pub assume_covered: bool,
    /// How many recent trades a snapshot holds.
    pub recent_trades: usize,
    /// How many candles of a symbol are kept after they can no longer be revised.
    pub history_candles: usize,
    /// How many symbols may be known.
    pub max_symbols: usize,
    /// How many trade ids may be remembered in all.
    pub max_trade_ids: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace_ms: 1_000,
            revise_window_ms: 600_000,
            empty: EmptyPolicy::Skip,
            open: OpenRule::FirstTrade,
            include_block_trades: true,
            clock: Clock::Wall,
            primary_category: None,
            epoch: String::new(),
            max_future_ms: 60_000,
            assume_covered: true,
            recent_trades: 100,
            history_candles: 120,
            max_symbols: 10_000,
            max_trade_ids: 4_000_000,
        }
    }
}
