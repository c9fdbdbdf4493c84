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

/// Reads a frame of a known shape into `frame`, whose topic and trades are empty.
///
/// `None`, with the frame in any state, where it is of another.
pub(crate) fn decode(frame: &mut Frame, bytes: &[u8]) -> Option<()> {
    let mut walk = Walk { bytes, at: 0, last_time: ([0; 13], 0) };
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
        frame.trades.push(match shape {
            Shape::Futures => walk.futures_trade(topic, position)?,
            Shape::Spot => walk.spot_trade(topic, position)?,
        });
        if walk.eat(b",").is_none() {
            break;
        }
    }
    walk.eat(b"]}")?;
    (walk.at == bytes.len()).then_some(())
}

/// A place in a frame that moves forward while what stands there is what was expected.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Text and value of the time of the trade before: trades of one order share it.
    last_time: ([u8; 13], i64),
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn chunk<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    #[inline(always)]
    fn eat<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        (self.chunk::<N>()? == expected).then(|| self.at += N)
    }

    /// A symbol of capitals and digits up to its quote.
    fn symbol(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let length =
            rest.iter().position(|byte| !byte.is_ascii_uppercase() && !byte.is_ascii_digit())?;
        if length == 0 || length > MAX_SYMBOL_CHARS {
            return None;
        }
        self.at += length;
        self.eat(b"\"")?;
        Some(&rest[..length])
    }

    #[inline(always)]
    fn time(&mut self) -> Option<i64> {
        let text: &[u8; 13] = self.chunk()?;
        if *text != self.last_time.0 {
            let value = swar::thirteen_digits(text)?;
            if value >= MAX_EVENT_MS {
                return None;
            }
            self.last_time = (*text, value);
        }
        // That no further digit follows, the next expected byte tells.
        self.at += 13;
        Some(self.last_time.1)
    }

    #[inline(always)]
    fn decimal(&mut self) -> Option<Decimal> {
        if let Some((digits, scale, length)) = swar::decimal(self.bytes, self.at) {
            self.at += length + 1;
            return Decimal::from_digits(digits, scale);
        }
        // More digits than two words hold: the usual way, which also knows every fault.
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| *byte == b'"')?;
        self.at += length + 1;
        Decimal::parse(&rest[..length]).ok()
    }

    /// Both sides in one comparison: which one comes cannot be foretold.
    #[inline(always)]
    fn side(&mut self) -> Option<Side> {
        let word = swar::load(self.bytes, self.at)?;
        let buys = word & 0xffff_ffff == u64::from_le_bytes(*b"Buy\"\0\0\0\0");
        let sells = word & 0xff_ffff_ffff == u64::from_le_bytes(*b"Sell\"\0\0\0");
        self.at += 4 + usize::from(sells);
        (buys | sells).then_some(if sells { Side::Sell } else { Side::Buy })
    }

    #[inline(always)]
    fn flag(&mut self) -> Option<bool> {
        if self.eat(b"false").is_some() {
            return Some(false);
        }
        self.eat(b"true").map(|()| true)
    }

    /// A flag or a number that older frames lack.
    #[inline(always)]
    fn rpi(&mut self) -> Option<bool> {
        match self.eat(b",\"RPI\":") {
            Some(()) => self.flag(),
            None => Some(false),
        }
    }

    #[inline(always)]
    fn seq(&mut self) -> Option<u64> {
        /// Digits of the exchange's numbers in these years.
        const USUAL_DIGITS: usize = 12;
        if self.eat(b",\"seq\":").is_none() {
            return Some(0);
        }
        let rest = self.bytes.get(self.at..)?;
        let length = match rest.get(USUAL_DIGITS) {
            Some(b',' | b'}') => USUAL_DIGITS,
            _ => rest.iter().position(|byte| !byte.is_ascii_digit())?,
        };
        let value = swar::whole(self.bytes, self.at, self.at + length)?;
        self.at += length;
        Some(value)
    }

    #[inline(always)]
    fn same_symbol(&mut self, topic: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(topic).then(|| self.at += topic.len())
    }

    #[inline(always)]
    fn futures_trade(&mut self, topic: &[u8], position: u32) -> Option<Trade> {
        let byte = self.at;
        self.eat(b"{\"T\":")?;
        let event_ms = self.time()?;
        self.eat(b",\"s\":\"")?;
        self.same_symbol(topic)?;
        self.eat(b"\",\"S\":\"")?;
        let taker_side = self.side()?;
        self.eat(b",\"v\":\"")?;
        let size = self.decimal()?;
        self.eat(b",\"p\":\"")?;
        let price = self.decimal()?;
        self.eat(b",\"L\":\"")?;
        // The tick's direction is not looked at.
        self.at += swar::plain_text(self.bytes, self.at)?;
        self.eat(b"\",\"i\":\"")?;
        let (high, low) = swar::uuid(self.bytes, self.at)?;
        self.at += 36;
        self.eat(b"\",\"BT\":")?;
        let is_block = self.flag()?;
        let is_rpi = self.rpi()?;
        let exchange_seq = self.seq()?;
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
    fn spot_trade(&mut self, topic: &[u8], position: u32) -> Option<Trade> {
        let byte = self.at;
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
        let first = swar::whole(self.bytes, self.at, self.at + 16)?;
        let last: &[u8; 19] = self.chunk()?;
        let rest = last[16..].iter().try_fold(0_u64, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
        })?;
        self.at += 19;
        Some(TradeId::Number(first * 1_000 + rest))
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
        for length in 0..FUTURES.len() {
            assert!(!is_usual(&FUTURES[..length]), "{length}");
        }
    }
}
