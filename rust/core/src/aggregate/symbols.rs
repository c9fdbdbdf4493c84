//! The symbols of frames as indices of the series.

use std::sync::Arc;

use super::Aggregator;
use crate::error::{ErrorKind, FrameError};
use crate::frame::Frame;
use crate::series::Series;
use crate::trade::{Category, Trade};

impl Aggregator {
    /// Turns the frame's own symbol indices into those of the series, adding unknown ones.
    pub(super) fn resolve(
        &mut self,
        category: Category,
        frame: &mut Frame,
    ) -> Result<(), FrameError> {
        // Nearly all frames are of one symbol that is known.
        if let [symbol] = frame.symbols.as_slice()
            && let Some(&series) = self.index[category as usize].get(symbol.as_str())
        {
            frame.trades.iter_mut().for_each(|trade| trade.symbol = series);
            return Ok(());
        }
        self.resolve_all(category, frame)
    }

    #[cold]
    fn resolve_all(&mut self, category: Category, frame: &mut Frame) -> Result<(), FrameError> {
        let mut mapped = Vec::with_capacity(frame.symbols.len());
        let mut first_uses = vec![None; frame.symbols.len()];
        for trade in frame.trades.iter().rev() {
            first_uses[trade.symbol as usize] = Some(trade);
        }
        for (symbol, first_use) in frame.symbols.iter().zip(first_uses) {
            let known = self.index[category as usize].get(symbol.as_str()).copied();
            let series = match (known, first_use) {
                (Some(series), _) => series,
                (None, None) => 0,
                (None, Some(trade)) => self.add_series(category, symbol, trade)?,
            };
            mapped.push(series);
        }
        for trade in &mut frame.trades {
            trade.symbol = mapped[trade.symbol as usize];
        }
        Ok(())
    }

    fn add_series(
        &mut self,
        category: Category,
        symbol: &str,
        trade: &Trade,
    ) -> Result<u32, FrameError> {
        let limit = self.settings.max_symbols;
        if self.series.len() >= limit {
            let found = format!("\"{symbol}\", one more than the {limit} known");
            let expected = format!("at most {limit} symbols");
            let at = (trade.byte, found.as_bytes());
            return Err(FrameError::new(ErrorKind::TooManySymbols, "symbol", at, expected));
        }
        Ok(self.push_series(category, symbol))
    }

    /// Takes up a symbol that is unknown, and returns its index.
    pub(super) fn push_series(&mut self, category: Category, symbol: &str) -> u32 {
        let coverage = self.coverage_of(category, category.topic_of(symbol));
        let series = Series::new(category, symbol, coverage);
        let index = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        self.index[category as usize].insert(Arc::clone(&series.symbol), index);
        self.series.push(series);
        index
    }
}
