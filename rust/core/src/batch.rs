//! What one call of the engine publishes: finished messages in one buffer.

use std::ops::Range;
use std::sync::Arc;

use crate::trade::Category;

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Counters, rates, last prices and workers, once a second.
    Stats,
    /// One trade.
    Trade,
    /// One candle.
    Ohlcv,
    /// A stretch in which trades were or may have been missed.
    Gap,
    /// A change of an upstream connection.
    Upstream,
}

impl MessageKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stats, Self::Trade, Self::Ohlcv, Self::Gap, Self::Upstream];

    /// The value of `type` on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Trade => "trade",
            Self::Ohlcv => "ohlcv",
            Self::Gap => "gap",
            Self::Upstream => "upstream",
        }
    }
}

/// One message: what it is about, and where its bytes stand in the batch.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its type.
    pub kind: MessageKind,
    /// Category of its symbol, if it is about one.
    pub category: Option<Category>,
    /// Its symbol (of a gap: the topic), if it is about one.
    pub symbol: Option<Arc<str>>,
    /// Its number.
    pub seq: u64,
    /// The console line, for stats and candles.
    pub text: Option<String>,
    payload: Range<usize>,
}

/// Messages in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    buffer: Vec<u8>,
    messages: Vec<Message>,
}

/// What a message is about.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) kind: MessageKind,
    pub(crate) of: Option<(Category, Arc<str>)>,
    pub(crate) seq: u64,
}

impl Batch {
    /// The messages.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The bytes of one of this batch's messages: one JSON object as UTF-8.
    #[must_use]
    pub fn payload(&self, message: &Message) -> &[u8] {
        &self.buffer[message.payload.clone()]
    }

    /// Makes room for `count` messages of about `bytes` each.
    pub(crate) fn reserve(&mut self, count: usize, bytes: usize) {
        self.messages.reserve(count);
        self.buffer.reserve(count * bytes);
    }

    /// Adds the message that `write` appends to the buffer; it returns the console line, if any.
    pub(crate) fn add(&mut self, about: About, write: impl FnOnce(&mut Vec<u8>) -> Option<String>) {
        let start = self.buffer.len();
        let text = write(&mut self.buffer);
        let (category, symbol) = about.of.unzip();
        self.messages.push(Message {
            kind: about.kind,
            category,
            symbol,
            seq: about.seq,
            text,
            payload: start..self.buffer.len(),
        });
    }
}
