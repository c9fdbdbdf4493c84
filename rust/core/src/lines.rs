//! Lines of a file, decoded apart from any engine: on any thread, to be applied in their order.

use std::sync::Arc;

use memchr::{memchr, memchr_iter};
use rustc_hash::FxHashMap;

use crate::archive::{Layout, RowFault};
use crate::error::FrameError;
use crate::frame::Frame;
use crate::trade::{Category, Trade};

/// A line that is no trade message: its place among the items of its block, and its text.
pub type OddLine = (usize, Vec<u8>);

/// The decoded lines of one piece of a file. Reused from piece to piece.
#[derive(Debug)]
pub struct Block {
    category: Category,
    layout: Option<Arc<Layout>>,
    /// Its trades are those of all frames of the block; what else it holds is of the last one.
    frame: Frame,
    /// The distinct symbols and topics, which trades and frames refer to.
    symbols: Vec<String>,
    index: FxHashMap<String, u32>,
    items: Vec<Item>,
    lines: usize,
    scratch: Scratch,
}

/// What applying a block needs, allocated once.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Frames that are applied together, and their trades.
    pub(crate) run: Vec<Span>,
    pub(crate) frame: Frame,
    /// The symbols of the run's trades as they were, for applying them once more.
    pub(crate) own_symbols: Vec<u32>,
    /// Where the symbols of a block stand among those of the frame.
    pub(crate) places: Vec<u32>,
}

/// What a line holds.
#[derive(Debug)]
pub(crate) enum Item {
    Frame(Span),
    Refused(Box<Refused>),
    /// Nothing that concerns an engine.
    Passed,
}

/// A frame, or a row of an archive: the next so many trades of its block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Number of its line in the block, from 0.
    pub(crate) line: usize,
    pub(crate) trades: usize,
    /// Index of its topic among the symbols of the block.
    pub(crate) topic: u32,
    pub(crate) ts_ms: Option<i64>,
    /// The smallest and the greatest time of its trades.
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

/// A line that could not be decoded, with what can be said of its trades all the same.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) line: usize,
    pub(crate) error: FrameError,
    pub(crate) topic: Option<String>,
    pub(crate) ts_ms: Option<i64>,
}

/// The parts of a block that an engine takes in.
pub(crate) struct Parts<'a> {
    pub(crate) category: Category,
    pub(crate) symbols: &'a [String],
    pub(crate) items: std::vec::Drain<'a, Item>,
    pub(crate) trades: std::vec::Drain<'a, Trade>,
    /// Whether a trade's position is the number of its line, to be counted through the file.
    pub(crate) is_archive: bool,
    pub(crate) scratch: &'a mut Scratch,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            category: Category::Linear,
            layout: None,
            frame: Frame::default(),
            symbols: Vec::new(),
            index: FxHashMap::default(),
            items: Vec::new(),
            lines: 0,
            scratch: Scratch::default(),
        }
    }
}

impl Block {
    /// Decodes whole lines, in place of what the block held.
    ///
    /// `head` is the beginning of the first line and `body` what follows it. Lines are frames, or
    /// rows where a `layout` is given. Of the lines returned the caller says by [`Self::settle`] or
    /// [`Self::pass_over`] what they are; until then they are refused frames.
    pub fn decode(
        &mut self,
        category: Category,
        layout: Option<&Arc<Layout>>,
        head: &[u8],
        mut body: &[u8],
    ) -> Vec<OddLine> {
        self.clear(category, layout);
        let mut odd = Vec::new();
        if !head.is_empty() {
            let end = memchr(b'\n', body).unwrap_or(body.len());
            let joined = [head, &body[..end]].concat();
            self.take(&joined, &mut odd);
            body = body.get(end + 1..).unwrap_or_default();
        }
        let mut begin = 0;
        for end in memchr_iter(b'\n', body) {
            self.take(&body[begin..end], &mut odd);
            begin = end + 1;
        }
        if begin < body.len() {
            self.take(&body[begin..], &mut odd);
        }
        odd
    }

    fn clear(&mut self, category: Category, layout: Option<&Arc<Layout>>) {
        self.category = category;
        self.layout = layout.cloned();
        self.frame.trades.clear();
        self.symbols.clear();
        self.index.clear();
        self.items.clear();
        self.lines = 0;
    }

    fn take(&mut self, line: &[u8], odd: &mut Vec<OddLine>) {
        let number = self.lines;
        self.lines += 1;
        let text = trimmed(line);
        if text.is_empty() {
            return;
        }
        let item = match self.layout.clone() {
            Some(layout) => self.take_row(&layout, number, text),
            None => match self.frame.decode_more(text, Some(self.category)) {
                Ok(kept) => Item::Frame(self.span(number, kept)),
                Err(error) => {
                    odd.push((self.items.len(), text.to_vec()));
                    let refused = Refused { line: number, error, topic: None, ts_ms: None };
                    Item::Refused(Box::new(refused))
                }
            },
        };
        self.items.push(item);
    }

    /// Describes the frame that was decoded last, whose trades begin at `kept`.
    fn span(&mut self, line: usize, kept: usize) -> Span {
        let topic = intern(&mut self.symbols, &mut self.index, &self.frame.topic);
        let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
        let is_plain = matches!(self.frame.symbols.as_slice(), [one] if *one == self.frame.topic);
        let own: Vec<u32> = if is_plain {
            Vec::new()
        } else {
            let names = self.frame.symbols.iter();
            names.map(|name| intern(&mut self.symbols, &mut self.index, name)).collect()
        };
        let trades = &mut self.frame.trades[kept..];
        for trade in &mut *trades {
            trade.symbol = if is_plain { topic } else { own[trade.symbol as usize] };
            first_ms = first_ms.min(trade.event_ms);
            last_ms = last_ms.max(trade.event_ms);
        }
        Span { line, trades: trades.len(), topic, ts_ms: self.frame.ts_ms, first_ms, last_ms }
    }

    fn take_row(&mut self, layout: &Layout, line: usize, text: &[u8]) -> Item {
        match layout.read(text) {
            Ok((symbol, mut trade)) => {
                let topic = intern(&mut self.symbols, &mut self.index, symbol);
                trade.symbol = topic;
                // Within one millisecond the order of the file decides.
                trade.position = u32::try_from(line).unwrap_or(u32::MAX);
                let at_ms = trade.event_ms;
                self.frame.trades.push(trade);
                let (first_ms, last_ms) = (at_ms, at_ms);
                Item::Frame(Span { line, trades: 1, topic, ts_ms: Some(at_ms), first_ms, last_ms })
            }
            Err(fault) => {
                let RowFault { error, symbol, event_ms } = *fault;
                Item::Refused(Box::new(Refused { line, error, topic: symbol, ts_ms: event_ms }))
            }
        }
    }

    /// Says of what topic and time an odd line is that is a refused frame indeed.
    pub fn settle(&mut self, item: usize, topic: Option<String>, ts_ms: Option<i64>) {
        if let Some(Item::Refused(refused)) = self.items.get_mut(item) {
            refused.topic = topic;
            refused.ts_ms = ts_ms;
        }
    }

    /// Says of an odd line that it is no trade message.
    pub fn pass_over(&mut self, item: usize) {
        if let Some(item) = self.items.get_mut(item) {
            *item = Item::Passed;
        }
    }

    /// How many lines it held, blank ones included.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// The smallest time of its first frame with trades.
    #[must_use]
    pub fn first_ms(&self) -> Option<i64> {
        self.items.iter().find_map(|item| match item {
            Item::Frame(span) if span.trades > 0 => Some(span.first_ms),
            _ => None,
        })
    }

    pub(crate) fn parts(&mut self) -> Parts<'_> {
        Parts {
            category: self.category,
            symbols: &self.symbols,
            items: self.items.drain(..),
            trades: self.frame.trades.drain(..),
            is_archive: self.layout.is_some(),
            scratch: &mut self.scratch,
        }
    }
}

fn intern(names: &mut Vec<String>, index: &mut FxHashMap<String, u32>, name: &str) -> u32 {
    if let Some(&known) = index.get(name) {
        return known;
    }
    let at = u32::try_from(names.len()).unwrap_or(u32::MAX);
    names.push(name.to_owned());
    index.insert(name.to_owned(), at);
    at
}

/// Without the white space of ASCII at both ends.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t'..=b'\r');
    let Some(begin) = line.iter().position(is_text) else { return &[] };
    let end = line.iter().rposition(is_text).map_or(line.len(), |last| last + 1);
    &line[begin..end]
}
