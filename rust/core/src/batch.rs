//! What one step of the engine publishes: messages as finished WebSocket frames, in one buffer.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::trade::Category;
use crate::wire;

/// The types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// Counters, rates, prices and workers, once a second.
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
    /// All of them, in the order of their discriminants.
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

/// A symbol (of a gap: the topic) with its category.
pub(crate) type Instrument = (Category, Arc<str>);

/// One message: what it is about, and where it stands in its batch.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Its type.
    pub kind: MessageKind,
    /// Its number.
    pub seq: u64,
    /// Index of its instrument.
    instrument: Option<u32>,
    /// Index of its console line.
    text: Option<u32>,
    /// Where its frame ends; it begins where the one before ends.
    end: usize,
}

/// Messages in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Finished text frames, one after the other.
    buffer: Vec<u8>,
    // Most frames have one or two trades, of one symbol.
    messages: SmallVec<[Message; 2]>,
    instruments: SmallVec<[Instrument; 1]>,
    texts: Vec<String>,
    /// Trades of the frames that counted.
    pub fresh_trades: u64,
    /// Trades of the frames that were known already.
    pub repeated_trades: u64,
    /// How many trades of the frames came too late for their windows.
    pub late_trades: u64,
}

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) kind: MessageKind,
    pub(crate) of: Option<(Category, &'a Arc<str>)>,
    pub(crate) seq: u64,
}

impl Batch {
    /// The messages.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// All messages as finished WebSocket text frames, one after the other.
    #[must_use]
    pub fn frames(&self) -> &[u8] {
        &self.buffer
    }

    /// The console lines of stats and candles.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The message at `index` as a finished WebSocket text frame.
    #[must_use]
    pub fn frame(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.messages[before].end);
        &self.buffer[start..self.messages[index].end]
    }

    /// The message at `index`: one JSON object as UTF-8.
    #[must_use]
    pub fn payload(&self, index: usize) -> &[u8] {
        wire::payload(self.frame(index))
    }

    /// The symbol (of a gap: the topic) that a message is about, with its category.
    #[must_use]
    pub fn instrument(&self, message: &Message) -> Option<(Category, &str)> {
        let (category, symbol) = &self.instruments[message.instrument? as usize];
        Some((*category, symbol))
    }

    /// The console line of a message, for stats and candles.
    #[must_use]
    pub fn text(&self, message: &Message) -> Option<&str> {
        Some(&self.texts[message.text? as usize])
    }

    /// Appends all messages of another batch.
    pub fn append(&mut self, other: &Self) {
        let (bytes, instruments, texts) =
            (self.buffer.len(), count(&self.instruments), count(&self.texts));
        self.buffer.extend_from_slice(&other.buffer);
        self.instruments.extend(other.instruments.iter().cloned());
        self.texts.extend_from_slice(&other.texts);
        self.fresh_trades += other.fresh_trades;
        self.repeated_trades += other.repeated_trades;
        self.late_trades += other.late_trades;
        self.messages.extend(other.messages.iter().map(|message| Message {
            instrument: message.instrument.map(|at| at + instruments),
            text: message.text.map(|at| at + texts),
            end: message.end + bytes,
            ..*message
        }));
    }

    /// The messages at which `wanted` is true, in a batch of their own that counts no trades.
    ///
    /// # Errors
    ///
    /// What `wanted` returns.
    pub fn filtered<E>(
        &self,
        mut wanted: impl FnMut(&Message, Option<(Category, &str)>) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut chosen = Self::default();
        for (index, message) in self.messages.iter().enumerate() {
            if !wanted(message, self.instrument(message))? {
                continue;
            }
            chosen.buffer.extend_from_slice(self.frame(index));
            let of = message.instrument.map(|at| &self.instruments[at as usize]);
            chosen.note(
                message.kind,
                of.map(|(category, symbol)| (*category, symbol)),
                message.seq,
                message.text.map(|at| self.texts[at as usize].clone()),
            );
        }
        Ok(chosen)
    }

    /// Makes room for `count` messages of about `bytes` each.
    pub(crate) fn reserve(&mut self, count: usize, bytes: usize) {
        self.messages.reserve(count);
        self.buffer.reserve(count * bytes);
    }

    /// Adds the message that `write` appends to the buffer; it returns the console line, if any.
    pub(crate) fn add(
        &mut self,
        about: About<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<String>,
    ) {
        let start = wire::begin(&mut self.buffer);
        let text = write(&mut self.buffer);
        wire::finish(&mut self.buffer, start);
        self.note(about.kind, about.of, about.seq, text);
    }

    /// Takes note of the message whose frame stands last in the buffer.
    fn note(
        &mut self,
        kind: MessageKind,
        of: Option<(Category, &Arc<str>)>,
        seq: u64,
        text: Option<String>,
    ) {
        let instrument = of.map(|(category, symbol)| {
            // Messages of one step are mostly about one symbol.
            let is_last =
                |(known, name): &Instrument| *known == category && Arc::ptr_eq(name, symbol);
            if !self.instruments.last().is_some_and(is_last) {
                self.instruments.push((category, Arc::clone(symbol)));
            }
            count(&self.instruments) - 1
        });
        let text = text.map(|line| {
            self.texts.push(line);
            count(&self.texts) - 1
        });
        self.messages.push(Message { kind, seq, instrument, text, end: self.buffer.len() });
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
