//! Rows of the exchange's public archives of trades (`public.bybit.com`), read by their header.
//!
//! Two layouts are known: that of futures (`trading/`: seconds with a fraction, a symbol and the
//! exchange's trade id in each row) and that of spot (`spot/`: milliseconds, and for an id the
//! number of the row in its file).

use memchr::memchr_iter;

use crate::decimal::Decimal;
use crate::error::{ErrorKind, FrameError};
use crate::fields::{MAX_EVENT_MS, check_symbol, parse_decimal, parse_id, parse_ms};
use crate::swar;
use crate::trade::{Category, Side, Trade, TradeId};

/// Where a value stands in its line, and its text.
type Found<'a> = (usize, &'a [u8]);

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Time,
    Symbol,
    Side,
    Size,
    Price,
    Id,
    Rpi,
    /// Known, but said by the others already.
    Skipped,
}

/// How many columns are read.
const READ: usize = Column::Skipped as usize;

/// Whose columns these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Futures,
    Spot,
}

const FUTURES: [(&str, Column); 11] = [
    ("timestamp", Column::Time),
    ("symbol", Column::Symbol),
    ("side", Column::Side),
    ("size", Column::Size),
    ("price", Column::Price),
    ("tickDirection", Column::Skipped),
    ("trdMatchID", Column::Id),
    ("grossValue", Column::Skipped),
    ("homeNotional", Column::Skipped),
    ("foreignNotional", Column::Skipped),
    ("RPI", Column::Rpi),
];

const SPOT: [(&str, Column); 7] = [
    ("id", Column::Id),
    ("timestamp", Column::Time),
    ("price", Column::Price),
    ("volume", Column::Size),
    ("side", Column::Side),
    ("rpi", Column::Rpi),
    ("symbol", Column::Symbol),
];

/// Which column of a file holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    kind: Kind,
    columns: Vec<Column>,
    /// The symbol of every row, where there is no column of it.
    symbol: Option<String>,
}

/// A row that is refused, with what can be said of its trade all the same.
#[derive(Debug)]
pub(crate) struct RowFault {
    pub(crate) error: FrameError,
    pub(crate) symbol: Option<String>,
    pub(crate) event_ms: Option<i64>,
}

impl Layout {
    /// Reads a header: the names of the columns with commas between them.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] where columns are missing, repeated or unknown, or are those of another
    /// category, or where the symbol is in no column and is not given either.
    pub fn of(header: &[u8], category: Category, symbol: Option<&str>) -> Result<Self, FrameError> {
        let names: Vec<Found<'_>> = cells(header).collect();
        let has = |name: &str| names.iter().any(|(_, found)| *found == name.as_bytes());
        let (kind, known) = match (has("trdMatchID"), has("id")) {
            (true, _) => (Kind::Futures, FUTURES.as_slice()),
            (false, true) => (Kind::Spot, SPOT.as_slice()),
            (false, false) => {
                let expected = "a column \"trdMatchID\" (futures) or \"id\" (spot)";
                return Err(fault("header", (0, header), expected));
            }
        };
        if (kind == Kind::Spot) != (category == Category::Spot) || category == Category::Option {
            let expected = match kind {
                Kind::Futures => "linear or inverse, whose columns these are",
                Kind::Spot => "spot, whose columns these are",
            };
            return Err(fault("category", (0, category.name().as_bytes()), expected));
        }
        let mut columns: Vec<Column> = Vec::with_capacity(names.len());
        for &(at, name) in &names {
            let column = known.iter().find(|(known, _)| known.as_bytes() == name);
            let is_new = |column: Column| column == Column::Skipped || !columns.contains(&column);
            match column {
                Some(&(_, column)) if is_new(column) => columns.push(column),
                Some(_) => return Err(fault("column", (at, name), "each column once")),
                None => return Err(fault("column", (at, name), all(known))),
            }
        }
        let symbol = symbol.filter(|_| !columns.contains(&Column::Symbol)).map(str::to_owned);
        if let Some(name) = &symbol {
            check_symbol(name).map_err(|(kind, expected)| {
                FrameError::new(kind, "symbol", (0, name.as_bytes()), expected)
            })?;
        }
        let is_optional = |column: Column| match column {
            Column::Rpi | Column::Skipped => true,
            Column::Symbol => symbol.is_some(),
            _ => false,
        };
        let missing =
            known.iter().find(|(_, column)| !is_optional(*column) && !columns.contains(column));
        if let Some((name, _)) = missing {
            let expected = match *name {
                "symbol" => {
                    "a column \"symbol\", or a name of the file that begins with one".to_owned()
                }
                name => format!("a column \"{name}\""),
            };
            return Err(fault("header", (0, header), expected));
        }
        Ok(Self { kind, columns, symbol })
    }

    /// Reads a row: its symbol, and its trade, whose `symbol` and `position` are not set.
    pub(crate) fn read<'a>(&'a self, line: &'a [u8]) -> Result<(&'a str, Trade), Box<RowFault>> {
        let mut row = [None; READ];
        let mut count = 0;
        for (found, column) in cells(line).zip(self.columns.iter().map(Some).chain([None])) {
            count += 1;
            if let Some(place) = column.and_then(|column| row.get_mut(*column as usize)) {
                *place = Some(found);
            }
        }
        let symbol = self.symbol_of(row[Column::Symbol as usize]);
        let event_ms = self.time_of(row[Column::Time as usize].unwrap_or_default());
        let trade = if count == self.columns.len() {
            match (&symbol, &event_ms) {
                (Err(error), _) | (_, Err(error)) => Err(error.clone()),
                (Ok(_), Ok(event_ms)) => self.trade_of(&row, *event_ms),
            }
        } else {
            let more = if count > self.columns.len() { "more" } else { "fewer" };
            let found = format!("{more} columns than the header");
            let expected = format!("{}", self.columns.len());
            let at = (line.len(), found.as_bytes());
            Err(FrameError::new(ErrorKind::MissingField, "row", at, expected))
        };
        match (symbol, trade) {
            (Ok(symbol), Ok(trade)) => Ok((symbol, trade)),
            (symbol, trade) => Err(Box::new(RowFault {
                symbol: symbol.as_ref().ok().map(|symbol| (*symbol).to_owned()),
                event_ms: event_ms.ok(),
                error: trade.err().or(symbol.err()).unwrap_or_else(|| fault("row", (0, line), "")),
            })),
        }
    }

    fn symbol_of<'a>(&'a self, found: Option<Found<'a>>) -> Result<&'a str, FrameError> {
        if let Some(symbol) = &self.symbol {
            return Ok(symbol);
        }
        let found = found.unwrap_or_default();
        let text = text_of("symbol", found)?;
        match check_symbol(text) {
            Ok(()) => Ok(text),
            Err((kind, expected)) => Err(FrameError::new(kind, "symbol", found, expected)),
        }
    }

    fn time_of(&self, found: Found<'_>) -> Result<i64, FrameError> {
        match self.kind {
            Kind::Spot => parse_ms("trade time", found),
            Kind::Futures => seconds(found.1).ok_or_else(|| {
                let expected = format!("seconds from 0 to {}", MAX_EVENT_MS / 1_000 - 1);
                FrameError::new(ErrorKind::BadTime, "trade time", found, expected)
            }),
        }
    }

    fn trade_of(
        &self,
        row: &[Option<Found<'_>>; READ],
        event_ms: i64,
    ) -> Result<Trade, FrameError> {
        let cell = |column: Column| row[column as usize].unwrap_or_default();
        Ok(Trade {
            symbol: 0,
            event_ms,
            exchange_seq: 0,
            position: 0,
            byte: 0,
            price: decimal("trade price", ErrorKind::BadPrice, cell(Column::Price))?,
            size: decimal("trade size", ErrorKind::BadSize, cell(Column::Size))?,
            taker_side: side(cell(Column::Side))?,
            id: self.id_of(cell(Column::Id), event_ms)?,
            is_block: false,
            is_rpi: row[Column::Rpi as usize].map_or(Ok(false), flag)?,
        })
    }

    /// A row number begins anew in each file of spot trades: with the time it is an identity.
    fn id_of(&self, found: Found<'_>, event_ms: i64) -> Result<TradeId, FrameError> {
        if self.kind == Kind::Futures
            && let Ok(text) = found.1.try_into()
            && let Some((high, low)) = swar::uuid(text)
        {
            return Ok(TradeId::Uuid(high, low));
        }
        let text = text_of("trade id", found)?;
        match self.kind {
            Kind::Futures => parse_id(text)
                .map_err(|(kind, expected)| FrameError::new(kind, "trade id", found, expected)),
            Kind::Spot => {
                let number: Option<u64> = text.parse().ok();
                let number = number.filter(|_| !text.starts_with('+')).ok_or_else(|| {
                    let expected = "a whole number below 2^64";
                    FrameError::new(ErrorKind::BadTradeId, "trade id", found, expected)
                })?;
                Ok(TradeId::Uuid(event_ms.unsigned_abs(), number))
            }
        }
    }
}

/// The cells of a line, with their places.
fn cells(line: &[u8]) -> impl Iterator<Item = Found<'_>> {
    let mut begin = 0;
    memchr_iter(b',', line).chain([line.len()]).map(move |end| {
        let found = (begin, &line[begin..end]);
        begin = end + 1;
        found
    })
}

fn fault(
    subject: &'static str,
    found: Found<'_>,
    expected: impl Into<std::borrow::Cow<'static, str>>,
) -> FrameError {
    let text = format!("\"{}\"", String::from_utf8_lossy(found.1));
    FrameError::new(ErrorKind::BadHeader, subject, (found.0, text.as_bytes()), expected)
}

fn all(known: &[(&str, Column)]) -> String {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    format!("one of {}", names.join(", "))
}

fn text_of<'a>(subject: &'static str, found: Found<'a>) -> Result<&'a str, FrameError> {
    std::str::from_utf8(found.1)
        .map_err(|_| FrameError::new(ErrorKind::BadUtf8, subject, found, "UTF-8"))
}

fn decimal(
    subject: &'static str,
    kind: ErrorKind,
    found: Found<'_>,
) -> Result<Decimal, FrameError> {
    parse_decimal(kind, found.1)
        .map_err(|(kind, expected)| FrameError::new(kind, subject, found, expected))
}

fn side(found: Found<'_>) -> Result<Side, FrameError> {
    match found.1 {
        b"Buy" | b"buy" => Ok(Side::Buy),
        b"Sell" | b"sell" => Ok(Side::Sell),
        _ => Err(FrameError::new(ErrorKind::BadSide, "taker side", found, "Buy or Sell")),
    }
}

fn flag(found: Found<'_>) -> Result<bool, FrameError> {
    match found.1 {
        b"0" | b"false" | b"False" => Ok(false),
        b"1" | b"true" | b"True" => Ok(true),
        _ => Err(FrameError::new(ErrorKind::BadType, "RPI flag", found, "0 or 1")),
    }
}

/// Seconds with a fraction → milliseconds; what is finer is cut off, as the exchange's streams do.
fn seconds(text: &[u8]) -> Option<i64> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b"0"[..]),
    };
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let milliseconds = fraction.iter().chain(b"00").take(3);
    let digits = whole.iter().chain(milliseconds);
    let value = digits.fold(0_i64, |value, digit| {
        // Saturates just above the bound, whatever the length of the text.
        (value * 10 + i64::from(digit - b'0')).min(MAX_EVENT_MS)
    });
    (value < MAX_EVENT_MS).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_milliseconds_without_a_float() {
        for (text, expected) in [
            ("1696982287.4922", Some(1_696_982_287_492)),
            ("1696982287.4999999", Some(1_696_982_287_499)),
            ("1696982287.5", Some(1_696_982_287_500)),
            ("1696982287.05", Some(1_696_982_287_050)),
            ("1696982287", Some(1_696_982_287_000)),
            ("0", Some(0)),
            ("4102444799.9999", Some(MAX_EVENT_MS - 1)),
            ("4102444800", None),
            ("99999999999999999999999999999999", None),
            ("", None),
            (".5", None),
            ("5.", None),
            ("-1", None),
            ("1.6e9", None),
            ("1.2.3", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
