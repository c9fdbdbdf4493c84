//! The last published trades, for snapshots.

use serde::{Deserialize, Serialize};

use crate::trade::Trade;

/// A trade as it was published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishedTrade {
    /// The trade; its symbol is an index of the engine's series.
    pub trade: Trade,
    /// Number of its message.
    pub seq: u64,
    /// How many trades had been published by then.
    pub trades_total: u64,
}

/// The newest trades, at most as many as its capacity.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ring {
    trades: Vec<PublishedTrade>,
    /// Where the oldest one stands, once it is full.
    oldest: usize,
    capacity: usize,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { trades: Vec::new(), oldest: 0, capacity }
    }

    pub(crate) fn push(&mut self, trade: Trade, seq: u64, trades_total: u64) {
        if self.trades.len() < self.capacity {
            self.trades.push(PublishedTrade { trade, seq, trades_total });
        } else if let Some(place) = self.trades.get_mut(self.oldest) {
            // Field by field: what is put together first must be waited for before it is moved.
            place.trade = trade;
            place.seq = seq;
            place.trades_total = trades_total;
            self.oldest = (self.oldest + 1) % self.capacity;
        }
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PublishedTrade> {
        let (newer, older) = self.trades.split_at(self.oldest);
        older.iter().chain(newer)
    }

    /// Whether it can be read, and its trades are of the first `series` symbols.
    pub(crate) fn fits(&self, series: usize) -> bool {
        let is_of_one = |it: &PublishedTrade| (it.trade.symbol as usize) < series;
        self.oldest <= self.trades.len() && self.trades.iter().all(is_of_one)
    }

    /// Keeps the newest `capacity` trades from now on.
    pub(crate) fn resize(&mut self, capacity: usize) {
        if capacity == self.capacity {
            return;
        }
        let surplus = self.trades.len().saturating_sub(capacity);
        self.trades = self.iter().skip(surplus).cloned().collect();
        (self.oldest, self.capacity) = (0, capacity);
    }

    /// Takes the numbers off its trades.
    pub(crate) fn unnumber(&mut self) {
        self.trades.iter_mut().for_each(|published| published.seq = 0);
    }
}
