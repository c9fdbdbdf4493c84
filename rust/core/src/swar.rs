//! Numbers and ids out of text, eight bytes at a time: arithmetic on whole words, without branches
//! on the data where that can be helped.
//!
//! Everything here is right for any input: what is not of the expected form is `None`.

#![expect(
    clippy::inline_always,
    clippy::needless_bitwise_bool,
    reason = "measured: a call or a branch for each field costs as much as reading it"
)]

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

/// The eight bytes before `end`, the first one lowest.
#[inline(always)]
fn load_before(bytes: &[u8], end: usize) -> Option<u64> {
    load(bytes, end.checked_sub(8)?)
}

/// A mark in the highest bit of the first byte that equals `byte`; marks above it may be false.
#[inline(always)]
fn marks(word: u64, byte: u8) -> u64 {
    let differences = word ^ each(byte);
    differences.wrapping_sub(each(1)) & !differences & each(0x80)
}

/// Which byte has the first mark; 8 where there is none.
#[inline(always)]
fn first_mark(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Where `byte` first stands in sixteen bytes; 16 where it does not.
#[inline(always)]
fn find(low: u64, high: u64, byte: u8) -> usize {
    let first = first_mark(marks(low, byte));
    first + first / 8 * first_mark(marks(high, byte))
}

/// Keeps the last `count` of eight bytes, and makes the others zero.
#[inline(always)]
fn keep_last(word: u64, count: usize) -> u64 {
    let bits = 64 - 8 * u32::try_from(count.min(8)).unwrap_or(8);
    word & u64::MAX.checked_shl(bits).unwrap_or(0)
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
pub(crate) fn decimal(bytes: &[u8], at: usize) -> Option<(u64, usize, usize)> {
    let (low, high) = (load(bytes, at)?, load(bytes, at + 8)?);
    let length = find(low, high, b'"');
    let point = find(low, high, b'.');
    let has_point = usize::from(point < length);
    let whole = point.min(length);
    let fraction = length.wrapping_sub(whole).wrapping_sub(has_point);
    let is_odd = (length > 15)
        | (whole == 0)
        | (whole > 8)
        | (fraction > 8)
        | (has_point == 1 && fraction == 0);
    if is_odd {
        return None;
    }
    let before = keep_last(load_before(bytes, at + whole)? ^ each(b'0'), whole);
    let after = keep_last(load_before(bytes, at + length)? ^ each(b'0'), fraction);
    if !(are_digits(before) & are_digits(after)) {
        return None;
    }
    let zeros = (after.leading_zeros() as usize / 8).min(fraction);
    let scale = fraction - zeros;
    // The last digits stand in the highest bytes: zeros there are shifted out.
    let after = after.checked_shl(8 * u32::try_from(zeros).ok()?).unwrap_or(0);
    let digits = number(before).wrapping_mul(POWERS[scale]).wrapping_add(number(after));
    Some((digits, scale, length))
}

/// Thirteen digits, of which the first is not zero.
#[inline(always)]
pub(crate) fn thirteen_digits(text: &[u8; 13]) -> Option<i64> {
    let first = u64::from_le_bytes(*text.first_chunk()?) ^ each(b'0');
    let rest = keep_last(u64::from_le_bytes(*text.last_chunk()?) ^ each(b'0'), 5);
    let is_number = are_digits(first) & are_digits(rest) & (text[0] != b'0');
    let value = number(first).wrapping_mul(POWERS[5]).wrapping_add(number(rest));
    if is_number { i64::try_from(value).ok() } else { None }
}

/// The whole number of up to sixteen digits, without a zero before others, in `bytes[at..end]`.
#[inline(always)]
pub(crate) fn whole(bytes: &[u8], at: usize, end: usize) -> Option<u64> {
    let count = end.checked_sub(at)?;
    if count == 0 || count > 16 || (count > 1 && bytes.get(at) == Some(&b'0')) {
        return None;
    }
    let last = keep_last(load_before(bytes, end)? ^ each(b'0'), count);
    let first = match count {
        9.. => keep_last(load_before(bytes, end - 8)? ^ each(b'0'), count - 8),
        _ => 0,
    };
    let value = number(first).wrapping_mul(POWERS[8]).wrapping_add(number(last));
    (are_digits(first) & are_digits(last)).then_some(value)
}

/// How many bytes of plain text stand before the next quote, if it is among the next sixteen: no
/// backslash, no control character, nothing beyond ASCII.
#[inline(always)]
pub(crate) fn plain_text(bytes: &[u8], at: usize) -> Option<usize> {
    let (low, high) = (load(bytes, at)?, load(bytes, at + 8)?);
    let length = find(low, high, b'"');
    let odd = |word: u64| {
        let control = word.wrapping_sub(each(0x20)) & !word;
        (word | control) & each(0x80) | marks(word, b'\\')
    };
    let first = first_mark(odd(low));
    let first_odd = first + first / 8 * first_mark(odd(high));
    (length < 16 && first_odd > length).then_some(length)
}

/// Eight lower-case hexadecimal digits.
#[inline(always)]
fn hex(text: u64) -> Option<u64> {
    // Letters have bit 6 set: 'a' is 0x61, and 1 + 9 is its value.
    let letters = text >> 6 & each(1);
    let values = (text & each(0x0f)) + letters * 9;
    let spelt = values + each(b'0') + letters * u64::from(b'a' - b'0' - 10);
    let above_nine = (values + each(6)) >> 4 & each(1);
    let is_hex = (spelt == text) & (above_nine == letters) & (values & each(0xf0) == 0);
    let bytes = (values << 4 | values >> 8) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    let joined = (pairs | pairs >> 16) & 0xffff_ffff;
    is_hex.then(|| joined.swap_bytes() >> 32)
}

/// A lower-case hyphenated UUID at `at`, as two halves.
#[inline(always)]
pub(crate) fn uuid(bytes: &[u8], at: usize) -> Option<(u64, u64)> {
    let text: &[u8; 36] = bytes.get(at..)?.first_chunk()?;
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
        return None;
    }
    // Four digits before a hyphen and four after it.
    let around = |from: usize| {
        let nine = load(text, from)?;
        let last = u64::from(text[from + 8]);
        Some(nine & 0xffff_ffff | nine >> 8 & 0x00ff_ffff_0000_0000 | last << 56)
    };
    let high = hex(load(text, 0)?)? << 32 | hex(around(9)?)?;
    let low = hex(around(19)?)? << 32 | hex(load(text, 28)?)?;
    Some((high, low))
}

/// The eight lower-case hexadecimal digits of a number.
#[inline(always)]
pub(crate) fn hex_text(value: u32) -> [u8; 8] {
    let bytes = u64::from(value.swap_bytes());
    let pairs = (bytes | bytes << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    let values = (bytes >> 4 | bytes << 8) & each(0x0f);
    let letters = (values + each(6)) >> 4 & each(1);
    let spelt = values + each(b'0') + letters * u64::from(b'a' - b'0' - 10);
    spelt.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        format!("        {text}\"               ").into_bytes()
    }

    #[test]
    fn decimals_are_read_without_their_trailing_zeros() {
        let read = |text: &str| decimal(&padded(text), 8);
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
                    bytes[8 + at] = byte;
                    if matches!(byte, b'.' | b'"') {
                        continue;
                    }
                    assert_eq!(decimal(&bytes, 8), None, "{text} {at} {byte}");
                }
            }
        }
    }

    #[test]
    fn whole_numbers_have_up_to_sixteen_digits_and_no_zero_before_them() {
        let read = |text: &str| whole(&padded(text), 8, 8 + text.len());
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("804921550364"), Some(804_921_550_364));
        assert_eq!(read("9999999999999999"), Some(9_999_999_999_999_999));
        for odd in ["", "01", "-1", "1.0", "12345678901234567", "80492155036x", "x04921550364"] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(thirteen_digits(b"1788488627047"), Some(1_788_488_627_047));
        assert_eq!(thirteen_digits(b"0788488627047"), None);
        assert_eq!(thirteen_digits(b"178848862704x"), None);
    }

    #[test]
    fn plain_text_ends_at_a_quote_within_sixteen_bytes() {
        let read = |text: &str| plain_text(&padded(text), 8);
        assert_eq!(read("ZeroMinusTick"), Some(13));
        assert_eq!(read(""), Some(0));
        for odd in ["back\\slash", "tab\t", "caf\u{e9}", "sixteen bytes or"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn hexadecimal_digits_are_written_as_the_standard_library_does() {
        for value in [0, 1, 0x0123_4567, 0x89ab_cdef, 0xffff_ffff, 0xa000_000a] {
            assert_eq!(hex_text(value), format!("{value:08x}").as_bytes(), "{value}");
        }
    }

    #[test]
    fn uuids_are_read_in_lower_case_alone() {
        let text = b"ab76cb24-30df-59ce-8a55-f07fd91ff646";
        assert_eq!(uuid(text, 0), Some((0xab76_cb24_30df_59ce, 0x8a55_f07f_d91f_f646)));
        for at in 0..36 {
            for byte in 0..=255_u8 {
                let mut other = *text;
                other[at] = byte;
                let good = match at {
                    8 | 13 | 18 | 23 => byte == b'-',
                    _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                };
                assert_eq!(uuid(&other, 0).is_some(), good, "{at} {byte}");
            }
        }
    }
}
