//! NumPy structured arrays, built as packed bytes: one copy, no object a value.
//!
//! The fields stand in `_core.pyi`.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};
use tapecast_core::candle::Candle;
use tapecast_core::decimal::Sum;
use tapecast_core::engine::Engine;
use tapecast_core::frame::Frame;
use tapecast_core::trade::{Category, Trade};

/// What a column holds.
#[derive(Clone, Copy)]
enum Column {
    /// Unicode text of at most so many characters.
    Text(usize),
    Integer,
    Double,
    Flag,
    /// A double, or its exact text on request.
    Decimal,
}

/// Characters of an exact decimal: 39 digits, a leading zero and a point.
const DECIMAL_CHARS: usize = 41;

const CANDLE_COLUMNS: [(&str, Column); 16] = [
    ("category", Column::Text(7)),
    ("symbol", Column::Text(32)),
    ("start_ms", Column::Integer),
    ("end_ms", Column::Integer),
    ("open", Column::Decimal),
    ("high", Column::Decimal),
    ("low", Column::Decimal),
    ("close", Column::Decimal),
    ("volume", Column::Decimal),
    ("turnover", Column::Decimal),
    ("buy_volume", Column::Decimal),
    ("trades", Column::Integer),
    ("vwap", Column::Double),
    ("closed", Column::Flag),
    ("complete", Column::Flag),
    ("revision", Column::Integer),
];

/// A frame does not say its category: trades that come straight from one begin at the symbol.
const TRADE_COLUMNS: [(&str, Column); 10] = [
    ("category", Column::Text(7)),
    ("symbol", Column::Text(32)),
    ("event_ms", Column::Integer),
    ("taker_side", Column::Text(4)),
    ("price", Column::Decimal),
    ("size", Column::Decimal),
    ("trade_id", Column::Text(64)),
    ("exchange_seq", Column::Integer),
    ("is_block", Column::Flag),
    ("is_rpi", Column::Flag),
];

/// A value on its way into a row.
enum Cell<'a> {
    Text(&'a str),
    Integer(i64),
    Double(f64),
    Flag(bool),
    Decimal(Sum),
    /// A decimal that nobody knows.
    Unknown,
}

/// Rows packed as NumPy lays out a structured array.
struct Table {
    columns: &'static [(&'static str, Column)],
    bytes: Vec<u8>,
    exact: bool,
}

impl Table {
    fn new(columns: &'static [(&'static str, Column)], exact: bool) -> Self {
        Self { columns, bytes: Vec::new(), exact }
    }

    fn push(&mut self, cells: &[Cell<'_>]) {
        debug_assert_eq!(cells.len(), self.columns.len(), "one cell a column");
        for (cell, &(_, column)) in cells.iter().zip(self.columns) {
            match *cell {
                Cell::Text(text) => self.put_text(text, column),
                Cell::Integer(value) => self.bytes.extend(value.to_le_bytes()),
                Cell::Double(value) => self.bytes.extend(value.to_le_bytes()),
                Cell::Flag(value) => self.bytes.push(u8::from(value)),
                Cell::Decimal(value) if self.exact => {
                    let mut text = Vec::new();
                    value.write(&mut text);
                    self.put_text(&String::from_utf8_lossy(&text), Column::Text(DECIMAL_CHARS));
                }
                Cell::Decimal(value) => self.bytes.extend(value.to_f64().to_le_bytes()),
                Cell::Unknown if self.exact => self.put_text("NaN", Column::Text(DECIMAL_CHARS)),
                Cell::Unknown => self.bytes.extend(f64::NAN.to_le_bytes()),
            }
        }
    }

    fn put_text(&mut self, text: &str, column: Column) {
        let Column::Text(width) = column else { return };
        let characters = text.chars().chain(std::iter::repeat('\0')).take(width);
        self.bytes.extend(characters.flat_map(|character| u32::from(character).to_le_bytes()));
    }

    fn format(&self, column: Column) -> String {
        match column {
            Column::Text(width) => format!("<U{width}"),
            Column::Integer => "<i8".to_owned(),
            Column::Flag => "?".to_owned(),
            Column::Decimal if self.exact => format!("<U{DECIMAL_CHARS}"),
            Column::Double | Column::Decimal => "<f8".to_owned(),
        }
    }

    fn array(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let numpy = py.import("numpy")?;
        let named = self.columns.iter().map(|&(name, column)| (name, self.format(column)));
        let dtype = numpy.call_method1("dtype", (named.collect::<Vec<_>>(),))?;
        if self.bytes.is_empty() {
            return numpy.call_method1("empty", (0, dtype));
        }
        let options = PyDict::new(py);
        options.set_item("dtype", dtype)?;
        // A bytearray, unlike bytes, gives an array that its owner may write to.
        let bytes = PyByteArray::new(py, &self.bytes);
        numpy.call_method("frombuffer", (bytes,), Some(&options))
    }
}

/// Counts and sequences as NumPy's signed integers; the exchange's fit 63 bits.
fn count(value: u64) -> Cell<'static> {
    Cell::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The cells of a trade; a table without a category column takes them from the second on.
fn trade_cells<'a>(
    category: &'a str,
    symbol: &'a str,
    trade: &Trade,
    id: &'a str,
) -> [Cell<'a>; 10] {
    [
        Cell::Text(category),
        Cell::Text(symbol),
        Cell::Integer(trade.event_ms),
        Cell::Text(trade.taker_side.name()),
        Cell::Decimal(trade.price.into()),
        Cell::Decimal(trade.size.into()),
        Cell::Text(id),
        count(trade.exchange_seq),
        Cell::Flag(trade.is_block),
        Cell::Flag(trade.is_rpi),
    ]
}

fn candle_cells<'a>(category: &'a str, symbol: &'a str, candle: &Candle) -> [Cell<'a>; 16] {
    [
        Cell::Text(category),
        Cell::Text(symbol),
        Cell::Integer(candle.start_ms),
        Cell::Integer(candle.end_ms()),
        Cell::Decimal(candle.open.into()),
        Cell::Decimal(candle.high.into()),
        Cell::Decimal(candle.low.into()),
        Cell::Decimal(candle.close.into()),
        Cell::Decimal(candle.volume),
        Cell::Decimal(candle.turnover),
        candle.buy_volume.map_or(Cell::Unknown, Cell::Decimal),
        candle.trades.map_or(Cell::Integer(-1), count),
        Cell::Double(candle.vwap().unwrap_or(f64::NAN)),
        Cell::Flag(candle.closed),
        Cell::Flag(candle.complete),
        Cell::Integer(i64::from(candle.revision)),
    ]
}

/// The closed candles that are still known and those in progress, by symbol, oldest first.
pub(crate) fn candles<'py>(
    py: Python<'py>,
    engine: &Engine,
    (category, symbol): (Option<Category>, Option<&str>),
    exact: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let mut table = Table::new(&CANDLE_COLUMNS, exact);
    let wanted = engine.series().iter().filter(|series| {
        category.is_none_or(|category| category == series.category)
            && symbol.is_none_or(|symbol| symbol == &*series.symbol)
    });
    for series in wanted {
        let name = series.category.name();
        for candle in series.closed() {
            table.push(&candle_cells(name, &series.symbol, candle));
        }
        for candle in engine.open(series) {
            table.push(&candle_cells(name, &series.symbol, &candle));
        }
    }
    table.array(py)
}

/// The most recent trades, oldest first.
pub(crate) fn recent_trades<'py>(
    py: Python<'py>,
    engine: &Engine,
    exact: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let mut table = Table::new(&TRADE_COLUMNS, exact);
    for published in engine.recent_trades() {
        let trade = &published.trade;
        let series = &engine.series()[trade.symbol as usize];
        let id = trade.id.to_string();
        table.push(&trade_cells(series.category.name(), &series.symbol, trade, &id));
    }
    table.array(py)
}

/// The trades of one frame, in its order.
pub(crate) fn frame_trades<'py>(
    py: Python<'py>,
    frame: &Frame,
    exact: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let mut table = Table::new(&TRADE_COLUMNS[1..], exact);
    for trade in &frame.trades {
        let id = trade.id.to_string();
        table.push(&trade_cells("", &frame.symbols[trade.symbol as usize], trade, &id)[1..]);
    }
    table.array(py)
}
