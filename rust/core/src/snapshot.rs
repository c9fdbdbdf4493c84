//! What a client needs to begin with: the newest stats, trades and candles, and where they end.

use std::collections::HashSet;

use crate::aggregate::Aggregator;
use crate::batch::MessageKind;
use crate::candle::Candle;
use crate::encode::Encoder;
use crate::json::{integer, raw, string};
use crate::ring::PublishedTrade;
use crate::series::Series;

/// Which part of the state a client asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct SnapshotOptions<'a> {
    /// How many closed candles of each symbol; 0 and 1: the newest.
    pub history: usize,
    /// The types of messages; all where `None`.
    pub types: Option<&'a [MessageKind]>,
    /// The symbols, each bare or as `category:SYMBOL`; all where `None`.
    pub symbols: Option<&'a HashSet<String>>,
    /// Whether candles in progress follow the closed ones of each symbol.
    pub in_progress: bool,
}

impl SnapshotOptions<'_> {
    fn wants(&self, kind: MessageKind) -> bool {
        self.types.is_none_or(|types| types.contains(&kind))
    }

    fn wants_symbol(&self, series: &Series) -> bool {
        self.symbols.is_none_or(|symbols| {
            let qualified = || format!("{}:{}", series.category.name(), series.symbol);
            symbols.contains(&*series.symbol) || symbols.contains(&qualified())
        })
    }
}

/// The state that a snapshot is made of.
pub(crate) struct Snapshot<'a, T> {
    pub(crate) epoch: &'a str,
    pub(crate) seq: u64,
    /// The last stats message; empty before the first.
    pub(crate) stats: &'a [u8],
    pub(crate) aggregator: &'a Aggregator,
    pub(crate) trades: T,
}

impl<'a, T: Iterator<Item = &'a PublishedTrade>> Snapshot<'a, T> {
    /// One JSON object; a section without data is left out.
    pub(crate) fn encode(self, encoder: &mut Encoder, options: &SnapshotOptions<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        raw(&mut out, "{\"topic\":\"status\",\"type\":\"snapshot\",\"epoch\":");
        string(&mut out, self.epoch);
        raw(&mut out, ",\"seq\":");
        integer(&mut out, self.seq);
        if !self.stats.is_empty() && options.wants(MessageKind::Stats) {
            raw(&mut out, ",\"stats\":");
            out.extend_from_slice(self.stats);
        }
        if options.wants(MessageKind::Trade) {
            let wanted = self.trades.filter_map(|published| {
                let series = &self.aggregator.series()[published.trade.symbol as usize];
                options.wants_symbol(series).then_some((series, published))
            });
            section(&mut out, "trades", wanted, |out, (series, published)| {
                let numbers = (published.seq, published.trades_total);
                encoder.trade(out, series, &published.trade, numbers);
            });
        }
        if options.wants(MessageKind::Ohlcv) {
            let wanted = self.aggregator.series().iter();
            let wanted = wanted.filter(|series| options.wants_symbol(series));
            let candles = wanted.flat_map(|series| {
                let count = series.closed().count();
                let first = count.saturating_sub(options.history.max(1));
                let closed = series.closed().skip(first).cloned();
                let open = options.in_progress.then(|| self.aggregator.open(series));
                let open = open.into_iter().flatten();
                let open = open.map(|candle| Candle { seq: self.seq, ..candle });
                closed.chain(open).map(move |candle| (series, candle))
            });
            section(&mut out, "ohlcv", candles, |out, (series, candle)| {
                encoder.candle(out, series, &candle);
            });
        }
        out.push(b'}');
        out
    }
}

/// Writes a named array, or nothing where there are no items.
fn section<I>(
    out: &mut Vec<u8>,
    name: &str,
    items: impl Iterator<Item = I>,
    mut write: impl FnMut(&mut Vec<u8>, I),
) {
    let mut any = false;
    for item in items {
        raw(out, if any { "," } else { ",\"" });
        if !any {
            raw(out, name);
            raw(out, "\":[");
            any = true;
        }
        write(out, item);
    }
    if any {
        out.push(b']');
    }
}
