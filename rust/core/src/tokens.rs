//! The tokens of a frame, one after the other.
//!
//! Plain ones are read here, sixteen bytes at a time: keys and strings without escapes, numbers of the
//! usual length, `true` and `false`. At anything else the one token is handed to jiter, which reads all
//! JSON and names what is none; it keeps nothing but its position, so it can begin at any token.

#![expect(clippy::inline_always, reason = "measured: a call for each token costs as much as it")]

use jiter::{Jiter, JiterError, Peek};

use crate::block::Block;
use crate::decimal::Decimal;
use crate::fields::MAX_EVENT_MS;
use crate::swar;

/// A place in a frame.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte that comes next.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What stands from byte `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes()[start..self.at]
    }

    /// What kind of value comes next, behind white space.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Result<Peek, JiterError> {
        self.at = self.behind_white(self.at);
        match self.byte(self.at) {
            Some(byte) => Ok(Peek::new(byte)),
            None => self.jiter(Jiter::peek),
        }
    }

    /// Goes into the object that comes next: to its first key, or `None` behind its end.
    #[inline(always)]
    pub(crate) fn first_key<T>(
        &mut self,
        of: impl Fn(&[u8]) -> T,
    ) -> Result<Option<T>, JiterError> {
        let plain = match self.byte(self.at) {
            Some(b'{') => self.plain_key(self.at + 1),
            _ => None,
        };
        match plain {
            Some(key) => Ok(Some(of(key))),
            None => self.jiter(|jiter| Ok(jiter.next_object()?.map(|key| of(key.as_bytes())))),
        }
    }

    /// Goes to the next key of the object, or `None` behind its end.
    #[inline(always)]
    pub(crate) fn next_key<T>(&mut self, of: impl Fn(&[u8]) -> T) -> Result<Option<T>, JiterError> {
        self.at = self.behind_white(self.at);
        let plain = match self.byte(self.at) {
            Some(b',') => self.plain_key(self.at + 1),
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            _ => None,
        };
        match plain {
            Some(key) => Ok(Some(of(key))),
            None => self.jiter(|jiter| Ok(jiter.next_key()?.map(|key| of(key.as_bytes())))),
        }
    }

    /// Goes into the array that begins here: to its first value, or `None` behind its end.
    pub(crate) fn first_item(&mut self) -> Result<Option<Peek>, JiterError> {
        self.jiter(Jiter::known_array)
    }

    /// Goes to the next value of the array, or `None` behind its end.
    #[inline(always)]
    pub(crate) fn next_item(&mut self) -> Result<Option<Peek>, JiterError> {
        self.at = self.behind_white(self.at);
        match self.byte(self.at) {
            Some(b',') if self.byte(self.at + 1) == Some(b'{') => {
                self.at += 1;
                Ok(Some(Peek::Object))
            }
            Some(b']') => {
                self.at += 1;
                Ok(None)
            }
            _ => self.jiter(Jiter::array_step),
        }
    }

    /// Reads the string that begins here.
    #[inline(always)]
    pub(crate) fn string<T>(&mut self, of: impl FnOnce(&str) -> T) -> Result<T, JiterError> {
        match self.plain_string() {
            Some(text) => {
                self.at += text.len() + 2;
                Ok(of(text))
            }
            None => self.jiter(|jiter| jiter.known_str().map(of)),
        }
    }

    /// Skips the value that comes next, behind white space.
    #[inline(always)]
    pub(crate) fn skip(&mut self) -> Result<(), JiterError> {
        self.at = self.behind_white(self.at);
        match self.plain_string() {
            Some(text) => self.at += text.len() + 2,
            None => self.jiter(Jiter::next_skip)?,
        }
        Ok(())
    }

    /// Makes sure that nothing but white space follows.
    pub(crate) fn finish(&mut self) -> Result<(), JiterError> {
        self.jiter(Jiter::finish)
    }

    /// Reads on from here with jiter.
    #[cold]
    #[inline(never)]
    fn jiter<T>(
        &mut self,
        read: impl FnOnce(&mut Jiter<'a>) -> Result<T, JiterError>,
    ) -> Result<T, JiterError> {
        let mut jiter = Jiter::new(&self.bytes()[self.at..]);
        let read = read(&mut jiter).map_err(|mut error| {
            error.index += self.at;
            error
        });
        self.at += jiter.current_index();
        read
    }
}

/// Values in their usual form; `None`, without a step, for any other.
impl Tokens<'_> {
    /// A positive decimal in a string.
    #[inline(always)]
    pub(crate) fn plain_decimal(&mut self) -> Option<Decimal> {
        let (digits, scale, length) = swar::decimal(self.quoted()?)?;
        let value = Decimal::from_digits(digits, scale)?;
        self.at += length + 2;
        Some(value)
    }

    /// A lower-case UUID in a string, as two halves.
    #[inline(always)]
    pub(crate) fn plain_uuid(&mut self) -> Option<(u64, u64)> {
        let (text, rest) = self.quoted()?.split_first_chunk()?;
        let halves = swar::uuid(text)?;
        (*rest.first()? == b'"').then(|| self.at += 38)?;
        Some(halves)
    }

    /// A time of thirteen digits.
    #[inline(always)]
    pub(crate) fn plain_time(&mut self) -> Option<i64> {
        let (text, rest) = self.rest()?.split_first_chunk()?;
        let value = swar::thirteen_digits(text)?;
        (value < MAX_EVENT_MS && ends_number(rest)).then(|| self.at += 13)?;
        Some(value)
    }

    /// A sequence of twelve digits, as the exchange's are in these years.
    #[inline(always)]
    pub(crate) fn plain_seq(&mut self) -> Option<u64> {
        let (text, rest) = self.rest()?.split_first_chunk()?;
        let value = swar::twelve_digits(text)?;
        ends_number(rest).then(|| self.at += 12)?;
        Some(value)
    }

    /// `true` or `false`.
    #[inline(always)]
    pub(crate) fn plain_flag(&mut self) -> Option<bool> {
        let rest = self.rest()?;
        let is_true = rest.starts_with(b"true");
        (is_true || rest.starts_with(b"false")).then(|| self.at += 5 - usize::from(is_true))?;
        Some(is_true)
    }

    /// What stands behind the quote that comes next.
    #[inline(always)]
    fn quoted(&self) -> Option<&[u8]> {
        self.rest()?.strip_prefix(b"\"")
    }
}

/// Whether a number ends before `rest`: no point follows, no exponent, no further digit.
#[inline(always)]
fn ends_number(rest: &[u8]) -> bool {
    matches!(rest, [b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t', ..])
}

impl<'a> Tokens<'a> {
    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    #[inline(always)]
    fn rest(&self) -> Option<&'a [u8]> {
        self.bytes().get(self.at..)
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes().get(at).copied()
    }

    #[inline(always)]
    fn behind_white(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// The plain key behind byte `from` and white space, if its colon follows at once: then this
    /// place is behind that.
    #[inline(always)]
    fn plain_key(&mut self, from: usize) -> Option<&'a [u8]> {
        let quote = self.behind_white(from);
        let end = self.plain_end(quote)?;
        (self.byte(end + 1)? == b':').then(|| self.at = end + 2)?;
        self.bytes().get(quote + 1..end)
    }

    /// The text of the plain string that begins here.
    #[inline(always)]
    fn plain_string(&self) -> Option<&'a str> {
        self.text.get(self.at + 1..self.plain_end(self.at)?)
    }

    /// The closing quote of the string that begins at byte `quote`, if it is plain: ASCII without
    /// escapes and control characters.
    #[inline(always)]
    fn plain_end(&self, quote: usize) -> Option<usize> {
        if self.byte(quote)? != b'"' {
            return None;
        }
        let mut at = quote + 1;
        loop {
            let block = Block::load(self.bytes().get(at..)?)?;
            let stops = block.equal(b'"') | block.equal(b'\\') | block.odd();
            if stops != 0 {
                at += stops.trailing_zeros() as usize;
                return (self.byte(at)? == b'"').then_some(at);
            }
            at += 16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind another value, as in a frame.
    fn tokens(text: &str) -> Tokens<'_> {
        Tokens { text, at: 8 }
    }

    #[test]
    fn a_plain_string_has_neither_escapes_nor_control_characters() {
        let read = |inside: &str| {
            let text = format!("        \"{inside}\"               ");
            tokens(&text).plain_string().map(str::to_owned)
        };
        for plain in ["", "a", "ZeroPlusTick", "BTC-25JUN27-106000-C-USDT", "\u{7f}"] {
            assert_eq!(read(plain).as_deref(), Some(plain));
        }
        for at in 0..20 {
            for odd in ["\\n", "\n", "\u{0}", "\u{1f}", "\u{e9}"] {
                let inside = format!("{}{odd}{}", "x".repeat(at), "y".repeat(20 - at));
                assert_eq!(read(&inside), None, "{inside:?}");
            }
        }
    }

    #[test]
    fn a_number_that_goes_on_is_not_plain() {
        for end in [",", "}", "]", " ", "\n", "\r", "\t"] {
            let text = format!("        1788488627047{end}");
            assert_eq!(tokens(&text).plain_time(), Some(1_788_488_627_047));
            let text = format!("        804921550364{end}");
            assert_eq!(tokens(&text).plain_seq(), Some(804_921_550_364));
        }
        for end in ["0", ".0", "e1", "E1", "x", "\"", ""] {
            let text = format!("        1788488627047{end}");
            assert_eq!(tokens(&text).plain_time(), None, "{end}");
            let text = format!("        804921550364{end}");
            assert_eq!(tokens(&text).plain_seq(), None, "{end}");
        }
    }

    #[test]
    fn a_time_ends_with_the_century() {
        assert_eq!(tokens("        4102444799999,").plain_time(), Some(4_102_444_799_999));
        assert_eq!(tokens("        4102444800000,").plain_time(), None);
    }

    #[test]
    fn jiter_names_a_fault_by_its_byte_in_the_frame() {
        let error = tokens("[0,1,2],{\"a\" 1}").first_key(<[u8]>::len).unwrap_err();
        assert_eq!(error.to_string(), "expected `:` at index 13");
    }
}
