//! Sixteen bytes of text at once: what stands where, as bits of a number, the first byte lowest.
//!
//! The registers are those that every x86-64 and aarch64 processor has. Wider ones gained nothing,
//! because the fields of a trade are shorter than they.

#![expect(clippy::inline_always, reason = "measured: a call costs as much as what it does")]

use wide::{u8x16, u16x8};

/// Sixteen bytes.
#[derive(Clone, Copy)]
pub(crate) struct Block(u8x16);

impl Block {
    /// The first sixteen bytes.
    #[inline(always)]
    pub(crate) fn load(bytes: &[u8]) -> Option<Self> {
        Some(Self(u8x16::new(*bytes.first_chunk()?)))
    }

    /// The bytes of two words, the lowest byte of `low` first.
    #[inline(always)]
    pub(crate) fn of(low: u64, high: u64) -> Self {
        Self(bytemuck::cast([low.to_le(), high.to_le()]))
    }

    /// Which bytes equal `byte`.
    #[inline(always)]
    pub(crate) fn equal(self, byte: u8) -> u32 {
        self.0.simd_eq(u8x16::splat(byte)).to_bitmask()
    }

    /// Which bytes are 0 to 9.
    #[inline(always)]
    pub(crate) fn digits(self) -> u32 {
        at_most(self.0 - u8x16::splat(b'0'), 9).to_bitmask()
    }

    /// Which bytes are control characters or beyond ASCII.
    #[inline(always)]
    pub(crate) fn odd(self) -> u32 {
        (at_most(self.0, b' ' - 1) | self.0).to_bitmask()
    }

    /// The number that sixteen lower-case hexadecimal digits make.
    #[inline(always)]
    pub(crate) fn hex(self) -> Option<u64> {
        let (digits, letters) = (self.0 - u8x16::splat(b'0'), self.0 - u8x16::splat(b'a'));
        let (are_digits, are_letters) = (at_most(digits, 9), at_most(letters, 5));
        let values = (digits & are_digits) | ((letters + u8x16::splat(10)) & are_letters);
        // Two digits make a byte, the first one its upper half.
        let values: u16x8 = bytemuck::cast(values);
        let pairs = (values << 4 | values >> 8) & u16x8::splat(0xff);
        let bytes = u8x16::narrow_i16x8(bytemuck::cast(pairs), bytemuck::cast(pairs));
        let [packed, _]: [u64; 2] = bytemuck::cast(bytes);
        ((are_digits | are_letters).to_bitmask() == 0xffff).then(|| u64::from_be(packed))
    }
}

/// A mark at each byte that is at most `most`.
#[inline(always)]
fn at_most(bytes: u8x16, most: u8) -> u8x16 {
    bytes.min(u8x16::splat(most)).simd_eq(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever stands at one place among ordinary text.
    fn texts() -> impl Iterator<Item = [u8; 16]> {
        let places = (0..16_usize).flat_map(|at| (0..=255_u8).map(move |byte| (at, byte)));
        places.flat_map(|(at, byte)| {
            [*b"0123456789abcdef", *b"80681.90\",\"L\":\"M", [byte; 16]].map(|mut text| {
                text[at] = byte;
                text
            })
        })
    }

    fn bits(text: [u8; 16], is_it: impl Fn(u8) -> bool) -> u32 {
        text.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(is_it(*byte)))
    }

    #[test]
    fn bytes_are_told_apart_as_one_would_by_hand() {
        for text in texts() {
            let Some(block) = Block::load(&text) else { unreachable!() };
            for byte in [b'"', b'.', b'0', 0, 0x80, 0xff, text[7]] {
                assert_eq!(block.equal(byte), bits(text, |found| found == byte), "{text:?}");
            }
            assert_eq!(block.digits(), bits(text, |byte| byte.is_ascii_digit()), "{text:?}");
            assert_eq!(block.odd(), bits(text, |byte| !(0x20..0x80).contains(&byte)), "{text:?}");
        }
    }

    #[test]
    fn lower_case_hexadecimal_digits_are_read_and_nothing_else() {
        for text in texts() {
            let is_hex = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let shown = String::from_utf8_lossy(&text).into_owned();
            let expected = is_hex.then(|| u64::from_str_radix(&shown, 16).unwrap_or_default());
            let [low, high] = bytemuck::cast::<_, [u64; 2]>(text).map(u64::from_le);
            assert_eq!(Block::of(low, high).hex(), expected, "{shown}");
        }
    }
}
