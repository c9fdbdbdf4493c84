//! The fields of one trade object, read one by one into a draft.

use jiter::{JiterError, Peek};
use rustc_hash::FxHashMap;

use crate::decimal::{Decimal, DecimalError, MAX_DIGITS, MAX_SCALE};
use crate::error::{ErrorKind, FrameError};
use crate::tokens::Tokens;
use crate::trade::{Side, Trade, TradeId};

/// Times from here on (2100-01-01) cannot be an exchange's.
pub(crate) const MAX_EVENT_MS: i64 = 4_102_444_800_000;

/// The longest symbol, in characters.
pub(crate) const MAX_SYMBOL_CHARS: usize = 32;

/// From so many symbols in one frame on they are found by their hash.
const MANY_SYMBOLS: usize = 8;

/// The longest trade id, in bytes.
const MAX_ID_BYTES: usize = 64;

/// What was found: its byte position and its text as it stands in the frame.
type Found<'a> = (usize, &'a [u8]);

/// Why a value does not fit its field: the kind of the fault, and what was expected.
type Unfit = (ErrorKind, String);

/// A field of a trade object that tapecast reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Time,
    Symbol,
    Side,
    Size,
    Price,
    Id,
    Block,
    Rpi,
    Seq,
}

impl Field {
    /// The field of a key; `None` for those that are skipped.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"T" => Self::Time,
            b"s" => Self::Symbol,
            b"S" => Self::Side,
            b"v" => Self::Size,
            b"p" => Self::Price,
            b"i" => Self::Id,
            b"BT" => Self::Block,
            b"RPI" => Self::Rpi,
            b"seq" => Self::Seq,
            _ => return None,
        })
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Time => "trade time",
            Self::Symbol => "symbol",
            Self::Side => "taker side",
            Self::Size => "trade size",
            Self::Price => "trade price",
            Self::Id => "trade id",
            Self::Block => "block trade flag",
            Self::Rpi => "RPI flag",
            Self::Seq => "exchange sequence",
        }
    }
}

/// A trade object while it is read.
pub(crate) struct Draft {
    start: usize,
    event_ms: Option<i64>,
    symbol: Option<u32>,
    taker_side: Option<Side>,
    size: Option<Decimal>,
    price: Option<Decimal>,
    id: Option<TradeId>,
    is_block: bool,
    is_rpi: bool,
    exchange_seq: u64,
    /// In the order of the frame; a later value of the same field replaces its fault.
    faults: Vec<(Field, FrameError)>,
}

impl Draft {
    /// A draft of the object that begins at byte `start`.
    pub(crate) fn new(start: usize) -> Self {
        Self {
            start,
            event_ms: None,
            symbol: None,
            taker_side: None,
            size: None,
            price: None,
            id: None,
            is_block: false,
            is_rpi: false,
            exchange_seq: 0,
            faults: Vec::new(),
        }
    }

    /// Reads the value of `field`, which comes next.
    #[inline]
    pub(crate) fn read(
        &mut self,
        field: Field,
        tokens: &mut Tokens<'_>,
        symbols: &mut Symbols<'_>,
    ) -> Result<(), JiterError> {
        let peek = tokens.peek()?;
        let start = tokens.at();
        let outcome = match self.read_plain(field, tokens) {
            Some(()) => Ok(()),
            None => self.read_any((field, peek), tokens, symbols)?,
        };
        if !self.faults.is_empty() {
            self.faults.retain(|(known, _)| *known != field);
        }
        if let Err((kind, expected)) = outcome {
            let found = (start, tokens.since(start));
            self.faults.push((field, FrameError::new(kind, field.subject(), found, expected)));
        }
        Ok(())
    }

    /// Reads the value if it has the usual form.
    #[inline]
    fn read_plain(&mut self, field: Field, tokens: &mut Tokens<'_>) -> Option<()> {
        match field {
            Field::Time => self.event_ms = Some(tokens.plain_time()?),
            Field::Size => self.size = Some(tokens.plain_decimal()?),
            Field::Price => self.price = Some(tokens.plain_decimal()?),
            Field::Id => {
                let (high, low) = tokens.plain_uuid()?;
                self.id = Some(TradeId::Uuid(high, low));
            }
            Field::Block => self.is_block = tokens.plain_flag()?,
            Field::Rpi => self.is_rpi = tokens.plain_flag()?,
            Field::Seq => self.exchange_seq = tokens.plain_seq()?,
            Field::Symbol | Field::Side => return None,
        }
        Some(())
    }

    /// Reads the value, of whatever form.
    fn read_any(
        &mut self,
        (field, peek): (Field, Peek),
        tokens: &mut Tokens<'_>,
        symbols: &mut Symbols<'_>,
    ) -> Result<Result<(), Unfit>, JiterError> {
        let start = tokens.at();
        let bad_type = |expected: &str| Err((ErrorKind::BadType, expected.to_owned()));
        Ok(match (field, peek) {
            (Field::Time | Field::Seq, _) => {
                tokens.skip()?;
                self.set_number(field, (start, tokens.since(start)))
            }
            // A flag is of its usual form, or none.
            (Field::Block | Field::Rpi, _) => {
                tokens.skip()?;
                bad_type("true or false")
            }
            (_, Peek::String) => tokens.string(|text| self.set_text(field, text, symbols))?,
            _ => {
                tokens.skip()?;
                bad_type("a string")
            }
        })
    }

    fn set_number(&mut self, field: Field, found: Found<'_>) -> Result<(), Unfit> {
        if field == Field::Time {
            let time = parse_ms(field.subject(), found);
            self.event_ms = Some(time.map_err(|error| (error.kind, error.expected.into_owned()))?);
        } else {
            let expected = || (ErrorKind::BadType, "a whole number below 2^64".to_owned());
            let text = std::str::from_utf8(found.1).ok();
            self.exchange_seq = text.and_then(|text| text.parse().ok()).ok_or_else(expected)?;
        }
        Ok(())
    }

    fn set_text(
        &mut self,
        field: Field,
        text: &str,
        symbols: &mut Symbols<'_>,
    ) -> Result<(), Unfit> {
        match field {
            Field::Price => self.price = Some(parse_decimal(ErrorKind::BadPrice, text.as_bytes())?),
            Field::Size => self.size = Some(parse_decimal(ErrorKind::BadSize, text.as_bytes())?),
            Field::Side => self.taker_side = Some(parse_side(text)?),
            Field::Id => self.id = Some(parse_id(text)?),
            _ => self.symbol = Some(symbols.intern(text)?),
        }
        Ok(())
    }

    /// The finished trade, the `position`-th of its frame.
    pub(crate) fn finish(self, position: usize) -> Result<Trade, FrameError> {
        if let Some((_, fault)) = self.faults.into_iter().next() {
            return Err(fault);
        }
        let start = self.start;
        let missing = |found: &str, expected: &'static str| {
            let at = (start, found.as_bytes());
            FrameError::new(ErrorKind::MissingField, "trade", at, expected)
        };
        Ok(Trade {
            symbol: self.symbol.ok_or_else(|| missing("without \"s\"", "a symbol"))?,
            event_ms: self.event_ms.ok_or_else(|| missing("without \"T\"", "a time in ms"))?,
            exchange_seq: self.exchange_seq,
            position: u32::try_from(position).unwrap_or(u32::MAX),
            byte: start,
            price: self.price.ok_or_else(|| missing("without \"p\"", "a price"))?,
            size: self.size.ok_or_else(|| missing("without \"v\"", "a size"))?,
            taker_side: self.taker_side.ok_or_else(|| missing("without \"S\"", "a taker side"))?,
            id: self.id.ok_or_else(|| missing("without \"i\"", "a trade id"))?,
            is_block: self.is_block,
            is_rpi: self.is_rpi,
        })
    }
}

/// Reads whole milliseconds since the epoch.
pub(crate) fn parse_ms(subject: &'static str, found: Found<'_>) -> Result<i64, FrameError> {
    let text = std::str::from_utf8(found.1).unwrap_or_default();
    match text.parse::<i64>() {
        Ok(time) if (0..MAX_EVENT_MS).contains(&time) => Ok(time),
        _ => {
            let expected = format!("whole milliseconds from 0 to {}", MAX_EVENT_MS - 1);
            Err(FrameError::new(ErrorKind::BadTime, subject, found, expected))
        }
    }
}

pub(crate) fn parse_decimal(kind: ErrorKind, text: &[u8]) -> Result<Decimal, Unfit> {
    Decimal::parse(text).map_err(|error| match error {
        DecimalError::NotPositive => (kind, "a positive decimal".to_owned()),
        DecimalError::TooLong => (
            kind,
            format!("at most {MAX_DIGITS} significant digits and {MAX_SCALE} after the point"),
        ),
    })
}

fn parse_side(text: &str) -> Result<Side, Unfit> {
    match text {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        _ => Err((ErrorKind::BadSide, "\"Buy\" or \"Sell\"".to_owned())),
    }
}

pub(crate) fn parse_id(text: &str) -> Result<TradeId, Unfit> {
    if text.is_empty() || text.len() > MAX_ID_BYTES || text.chars().any(char::is_control) {
        let expected = format!("1 to {MAX_ID_BYTES} bytes without control characters");
        return Err((ErrorKind::BadTradeId, expected));
    }
    Ok(TradeId::from_text(text))
}

/// The distinct symbols of a frame, found again in constant time however many there are.
pub(crate) struct Symbols<'a> {
    pub(crate) names: &'a mut Vec<String>,
    pub(crate) index: &'a mut FxHashMap<String, u32>,
}

impl Symbols<'_> {
    /// The index of `symbol` among the symbols of the frame.
    fn intern(&mut self, symbol: &str) -> Result<u32, Unfit> {
        let known = if self.index.is_empty() {
            // Nearly every frame has one symbol.
            self.names.iter().position(|name| name == symbol)
        } else {
            self.index.get(symbol).map(|at| *at as usize)
        };
        if let Some(known) = known {
            return Ok(index_of(known));
        }
        check_symbol(symbol)?;
        let at = self.names.len();
        self.names.push(symbol.to_owned());
        if at >= MANY_SYMBOLS {
            let from = if self.index.is_empty() { 0 } else { at };
            let names = self.names.iter().enumerate().skip(from);
            self.index.extend(names.map(|(at, name)| (name.clone(), index_of(at))));
        }
        Ok(index_of(at))
    }
}

fn index_of(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

pub(crate) fn check_symbol(symbol: &str) -> Result<(), Unfit> {
    let is_odd = |character: char| character.is_control() || character.is_whitespace();
    let length = symbol.chars().count();
    if length == 0 || length > MAX_SYMBOL_CHARS || symbol.chars().any(is_odd) {
        let expected =
            format!("1 to {MAX_SYMBOL_CHARS} characters without white space or control characters");
        return Err((ErrorKind::BadSymbol, expected));
    }
    Ok(())
}
