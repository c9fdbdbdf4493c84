//! The usual shapes of a frame, read in one walk.
//!
//! Nearly all frames of linear, inverse and spot come in two spellings, with two fields that older
//! ones lack. This path knows them byte by byte and gives up at the first surprise: the general path
//! then reads the frame from its beginning, so that every fault is named by one place. What is
//! accepted here is read as the general path reads it.

#![expect(clippy::inline_always, reason = "measured: a call for each field costs as much as it")]

use crate::decimal::Decimal;
use crate::fields::{MAX_EVENT_MS, MAX_SYMBOL_CHARS};
use crate::frame::Frame;
use crate::swar;
use crate::trade::{Side, Trade, TradeId};

/// Whose spelling a frame has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Linear and inverse.
    Futures,
    Spot,
}

/// What stands for the trade before the first one: any text with its value.
const FIRST_TIME: ([u8; 13], i64) = (*b"1000000000000", 1_000_000_000_000);
const FIRST_SEQ: ([u8; 12], u64) = (*b"100000000000", 100_000_000_000);

/// Reads a frame of a known shape into `frame`, whose topic and trades are empty.
///
/// `None`, with the frame in any state, where it is of another.
pub(crate) fn decode(frame: &mut Frame, bytes: &[u8]) -> Option<()> {
    let mut walk = Walk { rest: bytes, names: b"", last_time: FIRST_TIME, last_seq: FIRST_SEQ };
    walk.eat(b"{\"topic\":\"publicTrade.")?;
    let topic = walk.symbol()?;
    let shape = match walk.eat(b",\"type\":\"snapshot\",\"ts\":") {
        Some(()) => Shape::Futures,
        None => walk.eat(b",\"ts\":").map(|()| Shape::Spot)?,
    };
    frame.ts_ms = Some(walk.time()?);
    if shape == Shape::Spot {
        walk.eat(b",\"type\":\"snapshot\"")?;
    }
    walk.eat(b",\"data\":[")?;
    frame.topic.push_str(std::str::from_utf8(topic).ok()?);
    // The text of the frame before is overwritten, not allocated anew.
    frame.symbols.truncate(1);
    match frame.symbols.first_mut() {
        Some(symbol) => frame.topic.clone_into(symbol),
        None => frame.symbols.push(frame.topic.clone()),
    }
    for position in 0.. {
        let byte = bytes.len() - walk.rest.len();
        let place = Place { position, byte };
        frame.trades.push(match shape {
            Shape::Futures => walk.futures_trade(topic, place)?,
            Shape::Spot => walk.spot_trade(topic, place)?,
        });
        if walk.eat(b",").is_none() {
            break;
        }
    }
    (walk.rest == b"]}").then_some(())
}

/// Where a trade stands in its frame.
#[derive(Clone, Copy)]
struct Place {
    position: u32,
    byte: usize,
}

/// What is left of a frame; it shrinks while what stands first is what was expected.
struct Walk<'a> {
    rest: &'a [u8],
    /// What stands between the time and the side of each trade of a frame; empty before the first.
    names: &'a [u8],
    /// Text and value of the time of the trade before: trades of one order share it.
    last_time: ([u8; 13], i64),
    /// The same of the exchange's sequence.
    last_seq: ([u8; 12], u64),
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn eat<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let (found, rest) = self.rest.split_first_chunk::<N>()?;
        (found == expected).then(|| self.rest = rest)
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    /// A symbol of capitals and digits up to its quote.
    fn symbol(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest;
        let length =
            rest.iter().position(|byte| !byte.is_ascii_uppercase() && !byte.is_ascii_digit())?;
        if length == 0 || length > MAX_SYMBOL_CHARS {
            return None;
        }
        self.skip(length)?;
        self.eat(b"\"")?;
        Some(&rest[..length])
    }

    /// That no further digit follows, the next expected byte tells.
    #[inline(always)]
    fn time(&mut self) -> Option<i64> {
        let (text, rest) = self.rest.split_first_chunk()?;
        if *text != self.last_time.0 {
            let value = swar::thirteen_digits(text)?;
            if value >= MAX_EVENT_MS {
                return None;
            }
            self.last_time = (*text, value);
        }
        self.rest = rest;
        Some(self.last_time.1)
    }

    #[inline(always)]
    fn decimal(&mut self) -> Option<Decimal> {
        if let Some((digits, scale, length)) = swar::decimal(self.rest) {
            self.skip(length + 1)?;
            return Decimal::from_digits(digits, scale);
        }
        self.long_decimal()
    }

    /// More digits than two words hold: the usual way, which also knows every fault.
    #[cold]
    fn long_decimal(&mut self) -> Option<Decimal> {
        let length = self.rest.iter().position(|byte| *byte == b'"')?;
        let text = &self.rest[..length];
        self.skip(length + 1)?;
        Decimal::parse(text).ok()
    }

    /// Both sides in one comparison: which one comes cannot be foretold.
    #[inline(always)]
    fn side(&mut self) -> Option<Side> {
        let word = swar::load(self.rest, 0)?;
        let buys = word & 0xffff_ffff == u64::from_le_bytes(*b"Buy\"\0\0\0\0");
        let sells = word & 0xff_ffff_ffff == u64::from_le_bytes(*b"Sell\"\0\0\0");
        self.skip(4 + usize::from(sells))?;
        (buys | sells).then_some(if sells { Side::Sell } else { Side::Buy })
    }

    #[inline(always)]
    fn flag(&mut self) -> Option<bool> {
        if self.eat(b"false").is_some() {
            return Some(false);
        }
        self.eat(b"true").map(|()| true)
    }

    /// A flag that older frames lack.
    #[inline(always)]
    fn rpi(&mut self) -> Option<bool> {
        match self.eat(b",\"RPI\":") {
            Some(()) => self.flag(),
            None => Some(false),
        }
    }

    /// A number that older frames lack.
    #[inline(always)]
    fn seq(&mut self) -> Option<u64> {
        match self.eat(b",\"seq\":") {
            Some(()) => self.seq_value(),
            None => Some(0),
        }
    }

    /// Of twelve digits in these years; of another length, the general path reads it.
    #[inline(always)]
    fn seq_value(&mut self) -> Option<u64> {
        let (text, rest) = self.rest.split_first_chunk()?;
        if *text != self.last_seq.0 {
            self.last_seq = (*text, swar::twelve_digits(text)?);
        }
        self.rest = rest;
        Some(self.last_seq.1)
    }

    #[inline(always)]
    fn same_symbol(&mut self, topic: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(topic)?;
        Some(())
    }

    /// The symbol between its neighbours, of which all trades of a frame have the same text.
    #[inline(always)]
    fn futures_names(&mut self, topic: &[u8]) -> Option<()> {
        if !self.names.is_empty() {
            self.rest = self.rest.strip_prefix(self.names)?;
            return Some(());
        }
        let before = self.rest;
        self.eat(b",\"s\":\"")?;
        self.same_symbol(topic)?;
        self.eat(b"\",\"S\":\"")?;
        self.names = &before[..before.len() - self.rest.len()];
        Some(())
    }

    /// The flags and the sequence at the end of a trade.
    #[inline(always)]
    fn futures_end(&mut self) -> Option<(bool, bool, u64)> {
        if self.eat(b"\",\"BT\":false,\"RPI\":false,\"seq\":").is_some() {
            return Some((false, false, self.seq_value()?));
        }
        self.eat(b"\",\"BT\":")?;
        Some((self.flag()?, self.rpi()?, self.seq()?))
    }

    #[inline(always)]
    fn futures_trade(&mut self, topic: &[u8], Place { position, byte }: Place) -> Option<Trade> {
        self.eat(b"{\"T\":")?;
        let event_ms = self.time()?;
        self.futures_names(topic)?;
        let taker_side = self.side()?;
        self.eat(b",\"v\":\"")?;
        let size = self.decimal()?;
        self.eat(b",\"p\":\"")?;
        let price = self.decimal()?;
        self.eat(b",\"L\":\"")?;
        // The tick's direction is not looked at.
        self.skip(swar::plain_text(self.rest)?)?;
        self.eat(b"\",\"i\":\"")?;
        let (text, rest) = self.rest.split_first_chunk()?;
        let (high, low) = swar::uuid(text)?;
        self.rest = rest;
        let (is_block, is_rpi, exchange_seq) = self.futures_end()?;
        self.eat(b"}")?;
        let id = TradeId::Uuid(high, low);
        Some(Trade {
            symbol: 0,
            event_ms,
            exchange_seq,
            position,
            byte,
            price,
            size,
            taker_side,
            id,
            is_block,
            is_rpi,
        })
    }

    #[inline(always)]
    fn spot_trade(&mut self, topic: &[u8], Place { position, byte }: Place) -> Option<Trade> {
        self.eat(b"{\"i\":\"")?;
        let id = self.spot_id()?;
        self.eat(b"\",\"T\":")?;
        let event_ms = self.time()?;
        self.eat(b",\"p\":\"")?;
        let price = self.decimal()?;
        self.eat(b",\"v\":\"")?;
        let size = self.decimal()?;
        self.eat(b",\"S\":\"")?;
        let taker_side = self.side()?;
        let exchange_seq = self.seq()?;
        self.eat(b",\"s\":\"")?;
        self.same_symbol(topic)?;
        self.eat(b"\",\"BT\":")?;
        let is_block = self.flag()?;
        let is_rpi = self.rpi()?;
        self.eat(b"}")?;
        Some(Trade {
            symbol: 0,
            event_ms,
            exchange_seq,
            position,
            byte,
            price,
            size,
            taker_side,
            id,
            is_block,
            is_rpi,
        })
    }

    /// Nineteen digits: sixteen, and three.
    #[inline(always)]
    fn spot_id(&mut self) -> Option<TradeId> {
        let (text, rest) = self.rest.split_first_chunk::<19>()?;
        let first = swar::sixteen_digits(text.first_chunk()?)?;
        let last = text[16..].iter().try_fold(0_u64, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
        })?;
        self.rest = rest;
        Some(TradeId::Number(first * 1_000 + last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUTURES: &str = r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1788488627048,"data":[{"T":1788488627047,"s":"BTCUSDT","S":"Sell","v":"0.010","p":"80681.90","L":"MinusTick","i":"ab76cb24-30df-59ce-8a55-f07fd91ff646","BT":false,"RPI":false,"seq":804921550364},{"T":1788488627047,"s":"BTCUSDT","S":"Buy","v":"2","p":"0.0000057912","L":"ZeroPlusTick","i":"ab76cb24-30df-59ce-8a55-f07fd91ff647","BT":true,"RPI":true,"seq":804921550364}]}"#;
    const SPOT: &str = r#"{"topic":"publicTrade.BTCUSDT","ts":1788488776840,"type":"snapshot","data":[{"i":"2290000001203630617","T":1788488776839,"p":"80694.4","v":"0.000136","S":"Buy","seq":113596275875,"s":"BTCUSDT","BT":false,"RPI":false}]}"#;

    fn is_usual(text: &str) -> bool {
        decode(&mut Frame::default(), text.as_bytes()).is_some()
    }

    #[test]
    fn todays_frames_and_older_ones_are_usual() {
        assert!(is_usual(FUTURES));
        assert!(is_usual(SPOT));
        for field in [",\"RPI\":false", ",\"RPI\":true", ",\"seq\":804921550364"] {
            assert!(is_usual(&FUTURES.replace(field, "")), "{field}");
        }
        assert!(is_usual(&SPOT.replace(",\"RPI\":false", "").replace("\"seq\":113596275875,", "")));
    }

    #[test]
    fn whatever_else_is_handed_on() {
        for (usual, other) in [("{\"T\"", "{ \"T\""), ("BTCUSDT", "btcusdt"), ("0.010", "-1")] {
            assert!(!is_usual(&FUTURES.replace(usual, other)), "{other}");
        }
        for number in ["1788488627048", "1788488627047", "804921550364"] {
            assert!(!is_usual(&FUTURES.replace(number, &"\0".repeat(number.len()))), "{number}");
        }
        for length in 0..FUTURES.len() {
            assert!(!is_usual(&FUTURES[..length]), "{length}");
        }
    }
}
