//! tapecast's core: exact aggregation of Bybit's public trades.
//!
//! Numbers and bytes only: this crate knows no Python, no clock and no I/O. Time comes in as an
//! argument, what is to be published goes out as finished WebSocket frames.
//!
//! | module | what it does |
//! |---|---|
//! | [`engine`] | frames and ticks in, batches of messages out |
//! | [`settings`] | what an engine is told once |
//! | [`frame`], [`trade`], [`error`] | one exchange frame → trades, or why not |
//! | [`decimal`] | exact prices, sizes and sums |
//! | [`candle`], [`series`], [`kline`] | windows and their candles, symbol by symbol; the exchange's own |
//! | [`rate`], [`latency`] | counters, rates, and how long things take |
//! | [`lines`], [`archive`], [`bulk`] | whole files: lines decoded apart, applied with nothing encoded |
//! | [`batch`], [`encode`], [`snapshot`], [`ring`] | what goes out |
//! | [`checkpoint`], [`journal`], [`replay`] | what outlives a restart |
//! | [`selection`] | who wants which of it |

#![forbid(unsafe_code)]

mod aggregate;
pub mod archive;
pub mod batch;
mod block;
pub mod bulk;
pub mod candle;
pub mod checkpoint;
mod coverage;
pub mod decimal;
mod dedupe;
pub mod encode;
pub mod engine;
pub mod error;
mod fields;
pub mod frame;
pub mod journal;
mod json;
pub mod kline;
pub mod latency;
pub mod lines;
pub mod rate;
pub mod replay;
pub mod ring;
pub mod selection;
pub mod series;
pub mod settings;
mod shapes;
pub mod snapshot;
mod swar;
mod tokens;
pub mod trade;
mod undo;
mod wire;
