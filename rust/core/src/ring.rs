//! The last published trades, for snapshots.

use std::collections::VecDeque;

use crate::trade::Trade;

/// A trade as it was published.
#[derive(Debug, Clone)]
pub struct PublishedTrade {
    /// The trade; its symbol is an index of the engine's series.
    pub trade: Trade,
    /// Number of its message.
    pub seq: u64,
    /// How many trades had been published by then.
    pub trades_total: u64,
}

/// The newest trades, oldest first, at most as many as its capacity.
#[derive(Debug)]
pub(crate) struct Ring {
    trades: VecDeque<PublishedTrade>,
    capacity: usize,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { trades: VecDeque::with_capacity(capacity.min(1024)), capacity }
    }

    pub(crate) fn push(&mut self, trade: PublishedTrade) {
        if self.capacity == 0 {
            return;
        }
        if self.trades.len() == self.capacity {
            self.trades.pop_front();
        }
        self.trades.push_back(trade);
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &PublishedTrade> {
        self.trades.iter()
    }
}
