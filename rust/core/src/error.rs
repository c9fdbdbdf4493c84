//! Why a frame was refused: a kind, a byte position, and the text, built when it is shown.

use std::borrow::Cow;
use std::fmt;

/// The most bytes of a frame that an error quotes.
pub const MAX_EXCERPT_BYTES: usize = 64;

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Longer than a frame may be.
    TooLarge,
    /// Not UTF-8.
    BadUtf8,
    /// Not JSON, or not an object.
    BadJson,
    /// The topic is missing or not one of public trades.
    BadTopic,
    /// A field has another JSON type than it must have.
    BadType,
    /// A required field is missing.
    MissingField,
    /// The price is not a positive decimal of bounded length.
    BadPrice,
    /// The size is not a positive decimal of bounded length.
    BadSize,
    /// The taker side is neither `Buy` nor `Sell`.
    BadSide,
    /// The symbol does not fit the topic, or cannot be a symbol.
    BadSymbol,
    /// The trade id cannot be one.
    BadTradeId,
    /// The time lies outside every possible range.
    BadTime,
    /// The time lies too far ahead of the clock.
    FutureTime,
    /// One symbol more than the engine may hold.
    TooManySymbols,
    /// More trade ids of open windows than the engine may hold.
    TooManyTradeIds,
    /// A sum would not fit its integers.
    Overflow,
    /// The first line of an archive does not name the columns that it must.
    BadHeader,
}

impl ErrorKind {
    /// The stable name, as Python and the log show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::BadUtf8 => "bad_utf8",
            Self::BadJson => "bad_json",
            Self::BadTopic => "bad_topic",
            Self::BadType => "bad_type",
            Self::MissingField => "missing_field",
            Self::BadPrice => "bad_price",
            Self::BadSize => "bad_size",
            Self::BadSide => "bad_side",
            Self::BadSymbol => "bad_symbol",
            Self::BadTradeId => "bad_trade_id",
            Self::BadTime => "bad_time",
            Self::FutureTime => "future_time",
            Self::TooManySymbols => "too_many_symbols",
            Self::TooManyTradeIds => "too_many_trade_ids",
            Self::Overflow => "overflow",
            Self::BadHeader => "bad_header",
        }
    }
}

/// A refused frame: nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Byte of the frame at which it was found.
    pub position: usize,
    /// What stands there, at most [`MAX_EXCERPT_BYTES`] bytes of it.
    pub excerpt: String,
    /// What the fault is in, such as `trade size`.
    pub subject: &'static str,
    /// What would have been right, with its unit.
    pub expected: Cow<'static, str>,
}

impl FrameError {
    /// An error whose found value is quoted from the frame.
    #[must_use]
    pub fn new(
        kind: ErrorKind,
        subject: &'static str,
        (position, found): (usize, &[u8]),
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { kind, position, excerpt: excerpt(found), subject, expected: expected.into() }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, excerpt, expected, position, .. } = self;
        write!(formatter, "{subject} is {excerpt}, expected {expected} (byte {position})")
    }
}

impl std::error::Error for FrameError {}

/// The first bytes of `found` as text, cut at a character, with `…` where something is missing.
fn excerpt(found: &[u8]) -> String {
    if found.len() <= MAX_EXCERPT_BYTES {
        return String::from_utf8_lossy(found).into_owned();
    }
    let text = String::from_utf8_lossy(&found[..MAX_EXCERPT_BYTES]);
    format!("{}…", text.trim_end_matches('\u{fffd}'))
}
