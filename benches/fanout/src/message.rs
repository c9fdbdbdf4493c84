//! What is looked at in a message, found without parsing it as JSON: the client must keep up.

use memchr::memmem;

/// Finds one field of a JSON object by its name.
///
/// It takes the first place where the name stands as a key, or that where it stood in the message
/// before: the benches' servers write the fields of one type in one order.
#[derive(Debug)]
pub struct Finder {
    key: Vec<u8>,
    at: usize,
}

impl Finder {
    /// Makes one for a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { key: format!("\"{name}\":").into_bytes(), at: 0 }
    }

    /// Returns everything from the field's value on.
    pub fn value<'p>(&mut self, payload: &'p [u8]) -> Option<&'p [u8]> {
        let stands = |at: usize| payload.get(at..).is_some_and(|rest| rest.starts_with(&self.key));
        if !stands(self.at) {
            self.at = memmem::find(payload, &self.key)?;
        }
        payload.get(self.at + self.key.len()..)
    }

    /// Returns the field's value, or its beginning, as a whole number; quoted or not.
    ///
    /// A dash between digits is passed over: the benches write stamps into what looks like a UUID.
    pub fn number(&mut self, payload: &[u8]) -> Option<u64> {
        let value = self.value(payload)?;
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let mut number = None;
        for digit in value {
            if *digit == b'-' && number.is_some() {
                continue;
            }
            if !digit.is_ascii_digit() {
                break;
            }
            let above = number.unwrap_or(0_u64).checked_mul(10)?;
            number = Some(above.checked_add(u64::from(digit - b'0'))?);
        }
        number
    }

    /// Returns the field's value, which is text without escapes.
    pub fn text<'p>(&mut self, payload: &'p [u8]) -> Option<&'p [u8]> {
        let value = self.value(payload)?.strip_prefix(b"\"")?;
        value.get(..memchr::memchr(b'"', value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_wherever_it_stands() {
        let mut seq = Finder::new("seq");
        assert_eq!(seq.number(br#"{"type":"trade","seq":12,"x":1}"#), Some(12));
        assert_eq!(seq.number(br#"{"type":"trade","seq":13}"#), Some(13));
        assert_eq!(seq.number(br#"{"from_seq":7,"seq":"18446744073709551615"}"#), Some(u64::MAX));
        assert_eq!(seq.number(br#"{"seq":18446744073709551616}"#), None);
        assert_eq!(seq.number(br#"{"from_seq":7}"#), None);
        assert_eq!(seq.number(br#"{"seq":null}"#), None);
        assert_eq!(seq.number(br#"{"seq":-1}"#), None);
    }

    #[test]
    fn text_ends_at_its_quote_and_a_number_at_its_last_digit() {
        let payload = br#"{"type":"ohlcv","trade_id":"0012-34f5-6"}"#;
        assert_eq!(Finder::new("type").text(payload), Some(&b"ohlcv"[..]));
        assert_eq!(Finder::new("trade_id").number(payload), Some(1234));
    }
}
