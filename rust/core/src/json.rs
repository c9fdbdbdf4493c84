//! Writing JSON text into a buffer, and times into JSON.

use jiff::Timestamp;

use crate::fields::MAX_EVENT_MS;

/// Appends text as it is.
#[inline]
pub(crate) fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let needs_escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().any(needs_escape) {
        escaped(out, text);
    } else {
        raw(out, text);
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match character {
            '"' => raw(out, "\\\""),
            '\\' => raw(out, "\\\\"),
            '\n' => raw(out, "\\n"),
            '\r' => raw(out, "\\r"),
            '\t' => raw(out, "\\t"),
            control if control < ' ' => raw(out, &format!("\\u{:04x}", u32::from(control))),
            other => raw(out, other.encode_utf8(&mut [0; 4])),
        }
    }
}

/// Appends a whole number.
#[inline]
pub(crate) fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    raw(out, itoa::Buffer::new().format(value));
}

/// Writes whole numbers that mostly grow by one: then the last digit is all that changes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    value: u64,
    /// Its digits, the first one lowest. In words, since a processor waits for what it has just
    /// written in smaller pieces.
    words: [u64; 3],
    length: usize,
}

impl Tally {
    /// Appends `value`.
    #[inline]
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, value: u64) {
        let last = self.length.wrapping_sub(1);
        let bits = 8 * (last % 8);
        match self.words.get_mut(last / 8) {
            Some(word)
                if *word >> bits < u64::from(b'9') && self.value.checked_add(1) == Some(value) =>
            {
                *word += 1 << bits;
            }
            _ => self.rewrite(value),
        }
        self.value = value;
        let end = out.len() + self.length;
        let [first, second, third] = self.words.map(u64::to_le_bytes);
        out.extend_from_slice(&first);
        out.extend_from_slice(&second);
        if self.length > 16 {
            out.extend_from_slice(&third);
        }
        out.truncate(end);
    }

    #[cold]
    fn rewrite(&mut self, value: u64) {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value).as_bytes();
        self.length = digits.len();
        self.words = [0; 3];
        for (at, digit) in digits.iter().enumerate() {
            self.words[at / 8] |= u64::from(*digit) << (8 * (at % 8));
        }
    }
}

/// Appends a double in its shortest form without an exponent, or `null` for none.
pub(crate) fn double(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) => raw(out, &value.to_string()),
        None => raw(out, "null"),
    }
}

/// Writes times as ISO-8601 UTC with milliseconds and `Z`, keeping the text of the last minute.
#[derive(Debug, Default)]
pub(crate) struct IsoClock {
    minute: Option<i64>,
    prefix: String,
}

impl IsoClock {
    /// Appends the text of a time in milliseconds since the epoch; years 1970 to 2099.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, time_ms: i64) {
        let time_ms = time_ms.clamp(0, MAX_EVENT_MS);
        let (minute, rest) = (time_ms / 60_000, time_ms % 60_000);
        if self.minute != Some(minute) {
            self.minute = Some(minute);
            let time = Timestamp::from_second(minute * 60).unwrap_or_default();
            self.prefix = time.strftime("%Y-%m-%dT%H:%M:").to_string();
        }
        raw(out, &self.prefix);
        let digit = |place: i64| b'0' + u8::try_from(rest / place % 10).unwrap_or_default();
        out.extend_from_slice(&[
            digit(10_000),
            digit(1_000),
            b'.',
            digit(100),
            digit(10),
            digit(1),
            b'Z',
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_writes_every_number_whatever_came_before() {
        let mut tally = Tally::default();
        let numbers = (0..1_200).chain([7, 7, 8, 9, 10, u64::MAX, 0, 1]);
        for value in numbers {
            let mut out = Vec::new();
            tally.write(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }
}
