//! One public trade, its category, side and identity.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;
use crate::swar::hex_text;

/// The exchange's product categories, each with a symbol space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Category {
    /// Perpetuals and futures settled in USDT or USDC.
    Linear,
    /// Contracts settled in the base coin; sizes are in USD.
    Inverse,
    /// Spot pairs.
    Spot,
    /// Options; a topic is a base coin.
    Option,
}

impl Category {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Inverse, Self::Spot, Self::Option];

    /// The exchange's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Inverse => "inverse",
            Self::Spot => "spot",
            Self::Option => "option",
        }
    }

    /// The topic key that a symbol of this category arrives under.
    ///
    /// Options are subscribed by base coin: `BTC-25JUN27-106000-C-USDT` arrives under `BTC`.
    #[must_use]
    pub fn topic_of(self, symbol: &str) -> &str {
        match self {
            Self::Option => symbol.split('-').next().unwrap_or(symbol),
            _ => symbol,
        }
    }
}

/// A name that is none of the categories.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("category is \"{0}\", expected linear, inverse, spot or option")]
pub struct UnknownCategory(pub String);

impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|category| category.name() == name);
        found.ok_or_else(|| UnknownCategory(name.to_owned()))
    }
}

/// The taker's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The taker bought.
    Buy,
    /// The taker sold.
    Sell,
}

impl Side {
    /// The exchange's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Buy => "Buy",
            Self::Sell => "Sell",
        }
    }
}

/// A trade's identity within its category and symbol, compact where its text allows it.
///
/// Its `Display` is the exchange's text, byte for byte: only the canonical spellings are packed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TradeId {
    /// A lower-case hyphenated UUID (linear, inverse, option), as two halves.
    Uuid(u64, u64),
    /// A decimal number without leading zeros (spot).
    Number(u64),
    /// Anything else.
    Text(Box<str>),
}

impl TradeId {
    /// Packs the exchange's text.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if let Some((high, low)) = parse_uuid(text.as_bytes()) {
            return Self::Uuid(high, low);
        }
        match text.parse::<u64>() {
            Ok(number) if !text.starts_with(['0', '+']) => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }

    /// Appends the exchange's text; see [`Self`].
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uuid(high, low) => write_uuid(out, *high, *low),
            Self::Number(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

impl fmt::Display for TradeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text);
        formatter.write_str(&String::from_utf8_lossy(&text))
    }
}

/// Appends the lower-case hyphenated text of a UUID.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn write_uuid(out: &mut Vec<u8>, high: u64, low: u64) {
    const HYPHEN: u64 = b'-' as u64;
    let [first, second] = [(high >> 32) as u32, high as u32].map(hex_text);
    let [third, fourth] = [(low >> 32) as u32, low as u32].map(hex_text);
    // Put together in words, since a processor waits for what it has just written in pieces.
    let words = [
        first,
        HYPHEN | (second & 0xffff_ffff) << 8 | HYPHEN << 40 | (second >> 32) << 48,
        second >> 48 | HYPHEN << 16 | (third & 0xffff_ffff) << 24 | HYPHEN << 56,
        third >> 32 | fourth << 32,
    ];
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&((fourth >> 32) as u32).to_le_bytes());
}

fn parse_uuid(text: &[u8]) -> Option<(u64, u64)> {
    if text.len() != 36 {
        return None;
    }
    let mut halves = [0_u64; 2];
    let mut digits = 0;
    for (index, &byte) in text.iter().enumerate() {
        let digit = match (byte, index) {
            (b'-', 8 | 13 | 18 | 23) => continue,
            (_, 8 | 13 | 18 | 23) => return None,
            (b'0'..=b'9', _) => byte - b'0',
            (b'a'..=b'f', _) => byte - b'a' + 10,
            _ => return None,
        };
        let half = &mut halves[digits / 16];
        *half = *half << 4 | u64::from(digit);
        digits += 1;
    }
    Some((halves[0], halves[1]))
}

/// One public trade as it stood in a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// Index of the symbol among the symbols of its frame (or of its engine, once applied).
    pub symbol: u32,
    /// When the exchange matched it, in milliseconds since the epoch.
    pub event_ms: i64,
    /// The exchange's cross sequence; 0 where the frame has none (before 2025-08).
    pub exchange_seq: u64,
    /// Index in its frame.
    pub position: u32,
    /// Byte of the frame at which the trade begins.
    pub byte: usize,
    /// Price.
    pub price: Decimal,
    /// Size: base coin, contracts for options, USD for inverse.
    pub size: Decimal,
    /// The taker's side.
    pub taker_side: Side,
    /// Identity within category and symbol.
    pub id: TradeId,
    /// A block trade (`BT`).
    pub is_block: bool,
    /// A retail price improvement trade (`RPI`).
    pub is_rpi: bool,
}

/// The order of trades: exchange time, exchange sequence, position in the frame.
///
/// Trades of several frames may still tie. A numeric id tells them apart as the exchange counts;
/// else the price does, in the direction of the taker: the trades of one order walk the book. So the
/// order depends on the trades alone, and not on their arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeOrder {
    event_ms: i64,
    exchange_seq: u64,
    position: u32,
    number: u64,
    taker_side: Side,
    price: Decimal,
}

impl TradeOrder {
    /// The exchange time, which comes first in the order.
    pub(crate) fn event_ms(&self) -> i64 {
        self.event_ms
    }

    /// The trade's price.
    pub(crate) fn price(&self) -> Decimal {
        self.price
    }
}

impl Ord for TradeOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (it.event_ms, it.exchange_seq, it.position, it.number, it.taker_side);
        key(self).cmp(&key(other)).then_with(|| match self.taker_side {
            Side::Buy => self.price.cmp(&other.price),
            Side::Sell => other.price.cmp(&self.price),
        })
    }
}

impl PartialOrd for TradeOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Trade {
    /// This trade's place in the order of its symbol's trades.
    #[must_use]
    pub fn order(&self) -> TradeOrder {
        let number = match self.id {
            TradeId::Number(number) => number,
            TradeId::Uuid(..) | TradeId::Text(_) => 0,
        };
        TradeOrder {
            event_ms: self.event_ms,
            exchange_seq: self.exchange_seq,
            position: self.position,
            number,
            taker_side: self.taker_side,
            price: self.price,
        }
    }
}
