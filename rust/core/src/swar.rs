//! Numbers and ids out of text, eight or sixteen bytes at a time, without branches on the data where
//! that can be helped; and hexadecimal digits into it.
//!
//! Everything here is right for any input: what is not of the expected form is `None`.

#![expect(clippy::inline_always, reason = "measured: a call for each field costs as much as it")]

use crate::block::Block;

/// The powers of ten that two groups of eight digits need.
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Eight times the same byte.
#[inline(always)]
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The eight bytes at `at`, the first one lowest.
#[inline(always)]
pub(crate) fn load(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The four bytes at `at`, the first one lowest.
#[inline(always)]
fn load_half(text: &[u8; 36], at: usize) -> u64 {
    let half = text[at..].first_chunk().map(|chunk| u32::from_le_bytes(*chunk));
    u64::from(half.unwrap_or_default())
}

/// The first `count` digits of a word, up to eight, moved to its end, their values behind zeros.
#[inline(always)]
fn leading(word: u64, count: usize) -> u64 {
    let bits = 64 - 8 * u32::try_from(count).unwrap_or(8).min(8);
    (word ^ each(b'0')).checked_shl(bits).unwrap_or(0)
}

/// Whether all eight bytes are 0 to 9.
#[inline(always)]
fn are_digits(values: u64) -> bool {
    (values.wrapping_add(each(0x76)) | values) & each(0x80) == 0
}

/// The number that eight digits make, of which the first is the most significant, each 0 to 9.
#[inline(always)]
fn number(values: u64) -> u64 {
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let quads = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    quads.wrapping_mul(10_000).wrapping_add(quads >> 32) & 0xffff_ffff
}

/// A decimal number that ends with a quote: its digits without trailing zeros after the point, as
/// an integer that may be zero; how many of them stand after the point; how long its text is.
///
/// `None` where it has more than eight digits on either side of its point, or is none.
#[inline(always)]
pub(crate) fn decimal(text: &[u8]) -> Option<(u64, usize, usize)> {
    let block = Block::load(text)?;
    let quote = block.equal(b'"');
    // Nothing before the quote, or no quote.
    if quote.trailing_zeros().wrapping_sub(1) > 14 {
        return None;
    }
    let end = quote & quote.wrapping_neg();
    let inside = end - 1;
    let first_point = block.equal(b'.') & inside | end;
    let point = first_point & first_point.wrapping_neg();
    if (block.digits() | point) & inside != inside {
        return None;
    }
    let length = end.trailing_zeros() as usize;
    let whole = point.trailing_zeros() as usize;
    let has_point = usize::from(point != end);
    let fraction = length - whole - has_point;
    if whole.wrapping_sub(1) > 7 || fraction > 8 || fraction < has_point {
        return None;
    }
    let before = leading(load(text, 0)?, whole);
    let after = leading(load(text, whole + has_point)?, fraction);
    let zeros = (after.leading_zeros() as usize / 8).min(fraction);
    let scale = fraction - zeros;
    // The last digits stand in the highest bytes: zeros there are shifted out.
    let after = after << ((8 * zeros) & 63);
    let digits = number(before) * POWERS[scale] + number(after);
    Some((digits, scale, length))
}

/// Eight digits and those at the end of `rest`, of which the first is not zero.
#[inline(always)]
fn joined(first: u64, rest: u64, rest_digits: usize) -> Option<u64> {
    if first.trailing_zeros() >= 8 || !are_digits(first) || !are_digits(rest) {
        return None;
    }
    Some(number(first) * POWERS[rest_digits] + number(rest))
}

/// The values of the first and the last eight bytes.
#[inline(always)]
fn ends(text: &[u8]) -> Option<(u64, u64)> {
    let value = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk) ^ each(b'0');
    Some((value(text.first_chunk()?), value(text.last_chunk()?)))
}

/// Twelve digits, of which the first is not zero.
#[inline(always)]
pub(crate) fn twelve_digits(text: &[u8; 12]) -> Option<u64> {
    let (first, last) = ends(text)?;
    joined(first, last >> 32 << 32, 4)
}

/// Thirteen digits, of which the first is not zero.
#[inline(always)]
pub(crate) fn thirteen_digits(text: &[u8; 13]) -> Option<i64> {
    let (first, last) = ends(text)?;
    joined(first, last >> 24 << 24, 5)?.try_into().ok()
}

/// Sixteen digits, of which the first is not zero.
#[inline(always)]
pub(crate) fn sixteen_digits(text: &[u8; 16]) -> Option<u64> {
    let (first, last) = ends(text)?;
    joined(first, last, 8)
}

/// How many bytes of plain text stand before the next quote, if it is among the next sixteen: no
/// backslash, no control character, nothing beyond ASCII.
#[inline(always)]
pub(crate) fn plain_text(text: &[u8]) -> Option<usize> {
    let block = Block::load(text)?;
    let quote = block.equal(b'"');
    let end = quote & quote.wrapping_neg();
    let odd = block.odd() | block.equal(b'\\');
    (quote != 0 && odd & end.wrapping_sub(1) == 0).then_some(quote.trailing_zeros() as usize)
}

/// A lower-case hyphenated UUID, as two halves.
#[inline(always)]
pub(crate) fn uuid(text: &[u8; 36]) -> Option<(u64, u64)> {
    const HYPHENS: [(usize, [u8; 8]); 2] = [(8, *b"-\0\0\0\0-\0\0"), (16, *b"\0\0-\0\0\0\0-")];
    for (at, expected) in HYPHENS {
        let expected = u64::from_le_bytes(expected);
        let mask = expected / u64::from(b'-') * 0xff;
        if load(text, at)? & mask != expected {
            return None;
        }
    }
    let high = Block::of(load(text, 0)?, load_half(text, 9) | load_half(text, 14) << 32);
    let low = Block::of(load_half(text, 19) | load_half(text, 24) << 32, load(text, 28)?);
    Some((high.hex()?, low.hex()?))
}

/// What has more than eight digits.
pub(crate) const EIGHT_DIGITS: u64 = POWERS[8];

/// The digits of a number below [`EIGHT_DIGITS`], the first one lowest, and how many they are: one
/// more than `places` (at most 7) at least.
#[inline(always)]
pub(crate) fn digits_text(number: u64, places: usize) -> (u64, usize) {
    // Halves, then quarters, then single digits, divided by multiplying and shifting.
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | ((pairs - tens * 10) << 8);
    let zeros = (digits.trailing_zeros() as usize / 8).min(7 - places);
    ((digits | each(b'0')) >> (8 * zeros), 8 - zeros)
}

/// The eight lower-case hexadecimal digits of a number, the first one lowest.
#[inline(always)]
pub(crate) fn hex_text(value: u32) -> u64 {
    let bytes = u64::from(value.swap_bytes());
    let pairs = (bytes | bytes << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    let values = (bytes >> 4 | bytes << 8) & each(0x0f);
    let letters = (values + each(6)) >> 4 & each(1);
    values + each(b'0') + letters * u64::from(b'a' - b'0' - 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        format!("{text}\"               ").into_bytes()
    }

    #[test]
    fn decimals_are_read_without_their_trailing_zeros() {
        let read = |text: &str| decimal(&padded(text));
        assert_eq!(read("0.010"), Some((1, 2, 5)));
        assert_eq!(read("80681.90"), Some((806_819, 1, 8)));
        assert_eq!(read("100"), Some((100, 0, 3)));
        assert_eq!(read("100.00"), Some((100, 0, 6)));
        assert_eq!(read("0.00"), Some((0, 0, 4)));
        assert_eq!(read("12345678.0"), Some((12_345_678, 0, 10)));
        assert_eq!(read("1234567.1234567"), Some((12_345_671_234_567, 7, 15)));
        for odd in ["", ".", "1.", ".5", "1.2.3", "-1", "+1", "1e5", " 1", "1 ", "1x", "123456789"]
        {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn every_byte_in_a_number_is_looked_at() {
        for text in ["80681.90", "0.0154401", "12345678"] {
            for at in 0..text.len() {
                for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_digit()) {
                    let mut bytes = padded(text);
                    bytes[at] = byte;
                    if matches!(byte, b'.' | b'"') {
                        continue;
                    }
                    assert_eq!(decimal(&bytes), None, "{text} {at} {byte}");
                }
            }
        }
    }

    #[test]
    fn whole_numbers_have_no_zero_before_them_and_nothing_but_digits() {
        assert_eq!(twelve_digits(b"804921550364"), Some(804_921_550_364));
        assert_eq!(thirteen_digits(b"1788488627047"), Some(1_788_488_627_047));
        assert_eq!(sixteen_digits(b"9999999999999999"), Some(9_999_999_999_999_999));
        assert_eq!(twelve_digits(b"004921550364"), None);
        assert_eq!(thirteen_digits(b"0788488627047"), None);
        assert_eq!(sixteen_digits(b"0999999999999999"), None);
        for at in 0..12 {
            for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_digit()) {
                let mut text = *b"9999999999999999";
                text[at] = byte;
                assert_eq!(twelve_digits(text.first_chunk().unwrap()), None, "{at} {byte}");
                assert_eq!(thirteen_digits(text.first_chunk().unwrap()), None, "{at} {byte}");
                assert_eq!(sixteen_digits(&text), None, "{at} {byte}");
            }
        }
        assert_eq!(thirteen_digits(b"178848862704x"), None);
        assert_eq!(sixteen_digits(b"999999999999999x"), None);
    }

    #[test]
    fn plain_text_ends_at_a_quote_within_sixteen_bytes() {
        let read = |text: &str| plain_text(&padded(text));
        assert_eq!(read("ZeroMinusTick"), Some(13));
        assert_eq!(read(""), Some(0));
        for odd in ["back\\slash", "tab\t", "caf\u{e9}", "sixteen bytes or more"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn digits_are_written_without_zeros_before_them_but_for_those_of_places() {
        let write = |number, places| {
            let (text, length) = digits_text(number, places);
            String::from_utf8_lossy(&text.to_le_bytes()[..length]).into_owned()
        };
        assert_eq!(write(0, 0), "0");
        assert_eq!(write(1, 1), "01");
        assert_eq!(write(57_912, 7), "00057912");
        assert_eq!(write(99_999_999, 7), "99999999");
        for number in (0..EIGHT_DIGITS).step_by(997) {
            assert_eq!(write(number, 0), number.to_string());
        }
    }

    #[test]
    fn hexadecimal_digits_are_written_as_the_standard_library_does() {
        for value in [0, 1, 0x0123_4567, 0x89ab_cdef, 0xffff_ffff, 0xa000_000a] {
            let text = hex_text(value).to_le_bytes();
            assert_eq!(text, format!("{value:08x}").as_bytes(), "{value}");
        }
    }

    #[test]
    fn uuids_are_read_in_lower_case_alone() {
        let text = b"ab76cb24-30df-59ce-8a55-f07fd91ff646";
        assert_eq!(uuid(text), Some((0xab76_cb24_30df_59ce, 0x8a55_f07f_d91f_f646)));
        for at in 0..36 {
            for byte in 0..=255_u8 {
                let mut other = *text;
                other[at] = byte;
                let good = match at {
                    8 | 13 | 18 | 23 => byte == b'-',
                    _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                };
                assert_eq!(uuid(&other).is_some(), good, "{at} {byte}");
            }
        }
    }
}
