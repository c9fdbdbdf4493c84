//! Messages as JSON text. The names of the wire stand here and nowhere else in this crate.
//!
//! Prices, sizes and sums are JSON numbers with every digit that the exchange sent: no exponent,
//! no trailing zeros. `vwap` is the nearest double in its shortest form.

use crate::candle::{Candle, Source, TIMEFRAME};
use crate::decimal::Sum;
use crate::json::{IsoClock, Tally, double, integer, raw, string};
use crate::latency::Summary;
use crate::series::Series;
use crate::trade::{Category, Side, Trade, TradeId};

/// A symbol with its category.
pub(crate) type Instrument<'a> = (Category, &'a str);

/// The figures of one stats message.
pub(crate) struct StatsFigures<'a> {
    pub(crate) seq: u64,
    pub(crate) now_ms: i64,
    /// Name, total and rate per second.
    pub(crate) counts: Vec<(&'a str, u64, f64)>,
    /// Name as on the wire and exact text.
    pub(crate) last_prices: Vec<(String, Vec<u8>)>,
    /// A finished JSON array.
    pub(crate) thread_statuses: &'a str,
    /// A finished JSON array.
    pub(crate) rejected_symbols: &'a str,
    /// Further members by name, each finished JSON.
    pub(crate) sections: &'a [(&'a str, &'a str)],
    /// How long things took, by name.
    pub(crate) latencies: &'a [&'a (String, Summary)],
}

/// Begins a message: topic, type and number.
fn begin(out: &mut Vec<u8>, kind: &str, seq: u64) {
    raw(out, "{\"topic\":\"status\",\"type\":\"");
    raw(out, kind);
    raw(out, "\",\"seq\":");
    integer(out, seq);
}

fn key(out: &mut Vec<u8>, name: &str) {
    raw(out, ",\"");
    raw(out, name);
    raw(out, "\":");
}

/// Appends a symbol and its category, behind other fields.
pub(crate) fn instrument(out: &mut Vec<u8>, (category, symbol): Instrument<'_>) {
    key(out, "category");
    string(out, category.name());
    key(out, "symbol");
    string(out, symbol);
}

fn flag(out: &mut Vec<u8>, name: &str, value: bool) {
    key(out, name);
    raw(out, if value { "true" } else { "false" });
}

/// Appends what is known, or null.
fn option<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => raw(out, "null"),
    }
}

fn sum(out: &mut Vec<u8>, name: &str, value: Sum) {
    key(out, name);
    value.write(out);
}

/// Encodes messages and their console lines.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    iso: IsoClock,
    /// The second of the last trade, and how its times are written.
    trade_second: Option<i64>,
    trade_times: Vec<u8>,
    seq: Tally,
    trades_total: Tally,
}

impl Encoder {
    fn time(&mut self, out: &mut Vec<u8>, name: &str, time_ms: i64) {
        key(out, name);
        out.push(b'"');
        self.iso.write(out, time_ms);
        out.push(b'"');
    }

    /// Appends a trade with its number and how many trades there were by then.
    pub(crate) fn trade(
        &mut self,
        out: &mut Vec<u8>,
        of: &Series,
        trade: &Trade,
        (seq, trades_total): (u64, u64),
    ) {
        raw(out, "{\"topic\":\"status\",\"type\":\"trade\",\"seq\":");
        self.seq.write(out, seq);
        out.extend_from_slice(&of.instrument_json);
        match trade.taker_side {
            Side::Buy => raw(out, ",\"side\":\"Buy\",\"price\":"),
            Side::Sell => raw(out, ",\"side\":\"Sell\",\"price\":"),
        }
        trade.price.write(out);
        raw(out, ",\"volume\":");
        trade.size.write(out);
        self.trade_times(out, trade.event_ms);
        raw(out, ",\"trade_id\":");
        match &trade.id {
            TradeId::Text(text) => string(out, text),
            packed => {
                out.push(b'"');
                packed.write(out);
                out.push(b'"');
            }
        }
        raw(out, ",\"message_counts\":{\"trade_messages\":");
        self.trades_total.write(out, trades_total);
        raw(out, "}}");
    }

    /// Trades that follow each other have times of one second: its text is kept, and the
    /// milliseconds are written over it.
    fn trade_times(&mut self, out: &mut Vec<u8>, event_ms: i64) {
        /// Where the milliseconds of the time end, and how far before the end those of its text do:
        /// `,"timestamp":1788488627047,"timestamp_iso":"2026-09-04T04:23:47.047Z"`.
        const ENDS: (usize, usize) = (26, 2);
        /// Times of thirteen digits, as in these centuries.
        const FIRST_MS: i64 = 1_000_000_000_000;
        let second = event_ms / 1_000;
        if self.trade_second != Some(second) || event_ms < FIRST_MS {
            self.trade_second = Some(second);
            let mut text = std::mem::take(&mut self.trade_times);
            text.clear();
            key(&mut text, "timestamp");
            integer(&mut text, event_ms);
            self.time(&mut text, "timestamp_iso", event_ms);
            self.trade_times = text;
        }
        let start = out.len();
        out.extend_from_slice(&self.trade_times);
        if event_ms >= FIRST_MS {
            let rest = event_ms % 1_000;
            let digit = |place: i64| b'0' + u8::try_from(rest / place % 10).unwrap_or_default();
            let digits = [digit(100), digit(10), digit(1)];
            for end in [start + ENDS.0, out.len() - ENDS.1] {
                out[end - 3..end].copy_from_slice(&digits);
            }
        }
    }

    /// Appends a candle and returns its console line.
    pub(crate) fn candle(&mut self, out: &mut Vec<u8>, of: &Series, candle: &Candle) -> String {
        let vwap = candle.vwap();
        let text = self.candle_text(of, candle, vwap);
        begin(out, "ohlcv", candle.seq);
        raw(out, ",\"exchange\":\"bybit\"");
        out.extend_from_slice(&of.instrument_json);
        key(out, "timeframe");
        string(out, TIMEFRAME);
        key(out, "timestamp");
        integer(out, candle.end_ms());
        self.time(out, "timestamp_iso", candle.end_ms());
        key(out, "start");
        integer(out, candle.start_ms);
        let prices = [
            ("open", candle.open),
            ("high", candle.high),
            ("low", candle.low),
            ("close", candle.close),
        ];
        for (name, price) in prices {
            sum(out, name, price.into());
        }
        sum(out, "volume", candle.volume);
        sum(out, "turnover", candle.turnover);
        key(out, "buy_volume");
        option(out, candle.buy_volume, |out, volume| volume.write(out));
        key(out, "trades");
        option(out, candle.trades, integer);
        key(out, "vwap");
        double(out, vwap);
        flag(out, "closed", candle.closed);
        flag(out, "complete", candle.complete);
        key(out, "revision");
        integer(out, candle.revision);
        key(out, "source");
        string(out, candle.source.name());
        key(out, "verified");
        option(out, candle.verified, |out, equal| raw(out, if equal { "true" } else { "false" }));
        key(out, "text");
        string(out, &text);
        out.push(b'}');
        text
    }

    fn candle_text(&mut self, of: &Series, candle: &Candle, vwap: Option<f64>) -> String {
        let mut line = Vec::with_capacity(160);
        self.iso.write(&mut line, candle.end_ms());
        raw(&mut line, " ohlcv ");
        raw(&mut line, of.category.name());
        line.push(b':');
        raw(&mut line, &of.symbol);
        line.push(b' ');
        raw(&mut line, TIMEFRAME);
        let prices = [
            (" open ", Sum::from(candle.open)),
            (" high ", candle.high.into()),
            (" low ", candle.low.into()),
            (" close ", candle.close.into()),
            (" volume ", candle.volume),
        ];
        for (name, value) in prices {
            raw(&mut line, name);
            value.write(&mut line);
        }
        if vwap.is_some() {
            raw(&mut line, " vwap ");
            double(&mut line, vwap);
        }
        if let Some(trades) = candle.trades {
            raw(&mut line, " trades ");
            integer(&mut line, trades);
        }
        if candle.revision > 0 {
            raw(&mut line, " revision ");
            integer(&mut line, candle.revision);
        }
        let remark = match (candle.closed, candle.complete) {
            (false, _) => " in progress",
            (true, false) => " incomplete",
            (true, true) => "",
        };
        raw(&mut line, remark);
        if candle.source != Source::Trades {
            raw(&mut line, " source ");
            raw(&mut line, candle.source.name());
        }
        if candle.verified == Some(false) {
            raw(&mut line, " mismatched");
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Appends the stats and returns their console line.
    pub(crate) fn stats(&mut self, out: &mut Vec<u8>, figures: &StatsFigures<'_>) -> String {
        let text = self.stats_text(figures);
        begin(out, "stats", figures.seq);
        self.time(out, "timestamp", figures.now_ms);
        for (name, json) in figures.sections {
            out.push(b',');
            string(out, name);
            out.push(b':');
            raw(out, json);
        }
        key(out, "text");
        string(out, &text);
        key(out, "last_prices");
        object(out, &figures.last_prices, |(name, _)| name, |out, (_, price)| out.extend(price));
        key(out, "message_counts");
        object(out, &figures.counts, |(name, ..)| name, |out, (_, total, _)| integer(out, *total));
        key(out, "message_rates");
        object(out, &figures.counts, |(name, ..)| name, |out, (.., rate)| double(out, Some(*rate)));
        key(out, "thread_statuses");
        raw(out, figures.thread_statuses);
        key(out, "rejected_symbols");
        raw(out, figures.rejected_symbols);
        key(out, "latency_ms");
        object(out, figures.latencies, |(name, _)| name, |out, (_, times)| latency(out, *times));
        out.push(b'}');
        text
    }

    fn stats_text(&mut self, figures: &StatsFigures<'_>) -> String {
        /// Shown always; all others when they are not zero.
        const ALWAYS: [&str; 4] = ["frames", "trade_messages", "ohlcv_messages", "sent_messages"];
        const SHOWN_PRICES: usize = 3;
        let mut line = Vec::with_capacity(240);
        self.iso.write(&mut line, figures.now_ms);
        raw(&mut line, " stats");
        for (name, total, rate) in &figures.counts {
            if *total == 0 && !ALWAYS.contains(name) {
                continue;
            }
            line.push(b' ');
            raw(&mut line, name);
            line.push(b' ');
            integer(&mut line, *total);
            raw(&mut line, &format!(" ({rate:.1}/s)"));
        }
        for (at, (name, price)) in figures.last_prices.iter().take(SHOWN_PRICES).enumerate() {
            raw(&mut line, if at == 0 { " | " } else { ", " });
            raw(&mut line, name);
            line.push(b' ');
            line.extend(price);
        }
        if figures.last_prices.len() > SHOWN_PRICES {
            raw(&mut line, &format!(", {} more", figures.last_prices.len() - SHOWN_PRICES));
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    pub(crate) fn upstream(&mut self, out: &mut Vec<u8>, seq: u64, change: &LineChange<'_>) {
        begin(out, "upstream", seq);
        self.time(out, "timestamp", change.now_ms);
        key(out, "line");
        string(out, change.line);
        key(out, "state");
        string(out, change.state);
        key(out, "reason");
        string(out, change.reason);
        out.push(b'}');
    }
}

/// Appends a stretch in which trades of a topic were or may have been missed.
pub(crate) fn gap(
    out: &mut Vec<u8>,
    seq: u64,
    of: Instrument<'_>,
    (from_ms, to_ms, state): (i64, i64, &str),
) {
    begin(out, "gap", seq);
    raw(out, ",\"scope\":\"upstream\"");
    instrument(out, of);
    key(out, "from");
    integer(out, from_ms);
    key(out, "to");
    integer(out, to_ms);
    key(out, "state");
    string(out, state);
    out.push(b'}');
}

/// Appends what times come to, in milliseconds; nulls where there were none.
fn latency(out: &mut Vec<u8>, times: Summary) {
    raw(out, "{\"count\":");
    integer(out, times.count);
    let percentiles = [("p50", times.p50_ns), ("p99", times.p99_ns), ("max", times.max_ns)];
    for (name, ns) in percentiles {
        key(out, name);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of an hour at most")]
        let ms = (times.count > 0).then(|| (ns / 1_000) as f64 / 1_000.0);
        double(out, ms);
    }
    out.push(b'}');
}

/// A change of an upstream connection.
#[derive(Debug, Clone, Copy)]
pub struct LineChange<'a> {
    /// When, in milliseconds since the epoch.
    pub now_ms: i64,
    /// Its name.
    pub line: &'a str,
    /// `connecting`, `connected`, `reconnecting`, `stale` or `closed`.
    pub state: &'a str,
    /// Why; may be empty.
    pub reason: &'a str,
}

fn object<'a, T>(
    out: &mut Vec<u8>,
    items: &'a [T],
    name: impl Fn(&'a T) -> &'a str,
    value: impl Fn(&mut Vec<u8>, &'a T),
) {
    out.push(b'{');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, name(item));
        out.push(b':');
        value(out, item);
    }
    out.push(b'}');
}

/// The members of every stats message.
pub const STATS_MEMBERS: [&str; 11] = [
    "topic",
    "type",
    "seq",
    "timestamp",
    "text",
    "last_prices",
    "message_counts",
    "message_rates",
    "thread_statuses",
    "rejected_symbols",
    "latency_ms",
];

/// Whether `text` is one JSON value, fit to be spliced into a message.
#[must_use]
pub fn is_value(text: &str) -> bool {
    let mut json = jiter::Jiter::new(text.as_bytes());
    json.next_skip().is_ok() && json.finish().is_ok()
}

/// Whether `text` is one JSON array, fit to be spliced into a message.
#[must_use]
pub fn is_array(text: &str) -> bool {
    let begins = jiter::Jiter::new(text.as_bytes()).peek();
    begins.is_ok_and(|peek| peek == jiter::Peek::Array) && is_value(text)
}
