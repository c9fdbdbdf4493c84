//! Exact decimals: prices and sizes as the exchange wrote them, and their sums.
//!
//! A [`Decimal`] is a `u64` mantissa and a decimal scale, which holds every number of up to 19
//! significant digits. A [`Sum`] is a `u128` mantissa, wide enough for the turnover of a market;
//! every operation on it is checked. Floats appear in [`nearest_quotient`] and `to_f64` alone, as
//! the last step towards a reader, and are the doubles nearest to the exact value.

use std::cmp::Ordering;

use num_bigint::BigUint;
use serde::{Deserialize, Serialize};

use crate::swar;

/// The most significant digits that a price or a size may have: any such number fits a `u64`.
pub const MAX_DIGITS: usize = 19;

/// The most digits after the decimal point that a price or a size may have.
pub const MAX_SCALE: u8 = 18;

/// The largest exponent that is read; anything beyond could not fit [`MAX_DIGITS`] anyway.
const MAX_EXPONENT: i32 = 64;

/// Why a text is not a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// Not of the form `digits[.digits][e[+-]digits]`, or zero or less.
    NotPositive,
    /// More than [`MAX_DIGITS`] significant digits, or more than [`MAX_SCALE`] after the point.
    TooLong,
}

/// A positive decimal without trailing zeros: `mantissa / 10^scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Decimal {
    mantissa: u64,
    scale: u8,
}

impl Decimal {
    /// Parses the text of a positive decimal exactly.
    ///
    /// Leading and trailing zeros are allowed, an exponent is applied; signs, white space, a bare
    /// point, `NaN` and `Infinity` are not.
    ///
    /// # Errors
    ///
    /// [`DecimalError::NotPositive`] for anything that is not a positive decimal,
    /// [`DecimalError::TooLong`] for one that has too many digits to be held exactly.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (number, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.iter().position(|&byte| byte == b'.') {
            Some(at) if at + 1 < number.len() => (&number[..at], &number[at + 1..]),
            Some(_) => return Err(DecimalError::NotPositive),
            None => (number, &[][..]),
        };
        if whole.is_empty() {
            return Err(DecimalError::NotPositive);
        }
        let mut digits = Digits::default();
        for &byte in whole.iter().chain(fraction) {
            digits.push(byte)?;
        }
        digits.finish(fraction.len(), exponent)
    }

    /// `digits / 10^scale`, the digits without trailing zeros after the point; `None` for zero.
    pub(crate) fn from_digits(digits: u64, scale: usize) -> Option<Self> {
        let scale = u8::try_from(scale).ok()?;
        (digits != 0).then_some(Self { mantissa: digits, scale })
    }

    /// The digits as an integer.
    #[must_use]
    pub fn mantissa(self) -> u64 {
        self.mantissa
    }

    /// How many of the digits stand after the point.
    #[must_use]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// The exact product with `other`.
    #[must_use]
    pub fn times(self, other: Self) -> Sum {
        Sum {
            mantissa: u128::from(self.mantissa) * u128::from(other.mantissa),
            scale: self.scale + other.scale,
        }
    }

    /// Appends the decimal text: no exponent, no trailing zeros.
    pub fn write(self, out: &mut Vec<u8>) {
        let places = usize::from(self.scale);
        if self.mantissa >= swar::EIGHT_DIGITS || places > 7 {
            write_scaled(out, itoa::Buffer::new().format(self.mantissa), self.scale);
            return;
        }
        // More is written than is meant, and cut off again: what has a fixed size costs least.
        let start = out.len();
        let (text, length) = swar::digits_text(self.mantissa, places);
        out.extend_from_slice(&text.to_le_bytes());
        let point = length - places;
        out.truncate(start + point);
        if places > 0 {
            out.push(b'.');
            out.extend_from_slice(&(text >> (8 * point)).to_le_bytes());
            out.truncate(start + length + 1);
        }
    }

    /// The double nearest to the exact value.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        Sum::from(self).to_f64()
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale == other.scale {
            return self.mantissa.cmp(&other.mantissa);
        }
        let scale = self.scale.max(other.scale);
        let widen = |value: &Self| widened(value.mantissa, scale - value.scale);
        widen(self).cmp(&widen(other))
    }
}

/// Collects digits, holding zeros back until a digit follows that makes them count.
#[derive(Default)]
struct Digits {
    mantissa: u64,
    significant: usize,
    zeros_held: usize,
    too_long: bool,
}

impl Digits {
    fn push(&mut self, byte: u8) -> Result<(), DecimalError> {
        match byte {
            b'0' => self.zeros_held += usize::from(self.significant > 0),
            b'1'..=b'9' => {
                self.significant += self.zeros_held + 1;
                if self.significant > MAX_DIGITS {
                    // Read on: what follows may be no digit, and then that is the fault to name.
                    self.too_long = true;
                } else {
                    for _ in 0..self.zeros_held {
                        self.mantissa *= 10;
                    }
                    self.mantissa = self.mantissa * 10 + u64::from(byte - b'0');
                }
                self.zeros_held = 0;
            }
            _ => return Err(DecimalError::NotPositive),
        }
        Ok(())
    }

    fn finish(self, fraction_digits: usize, exponent: i32) -> Result<Decimal, DecimalError> {
        if self.significant == 0 {
            return Err(DecimalError::NotPositive);
        }
        let count = |length: usize| i32::try_from(length).map_err(|_| DecimalError::TooLong);
        let scale = count(fraction_digits)? - count(self.zeros_held)? - exponent;
        if self.too_long || scale > i32::from(MAX_SCALE) {
            return Err(DecimalError::TooLong);
        }
        let Ok(scale) = u8::try_from(scale) else {
            return self.scaled_up(scale.unsigned_abs());
        };
        Ok(Decimal { mantissa: self.mantissa, scale })
    }

    /// A whole number that ends in `zeros` zeros.
    fn scaled_up(self, zeros: u32) -> Result<Decimal, DecimalError> {
        if self.significant + zeros as usize > MAX_DIGITS {
            return Err(DecimalError::TooLong);
        }
        Ok(Decimal { mantissa: self.mantissa * 10_u64.pow(zeros), scale: 0 })
    }
}

fn parse_exponent(text: &[u8]) -> Result<i32, DecimalError> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::NotPositive);
    }
    let size = digits.iter().fold(0_i32, |size, byte| {
        // Saturates just above the bound, whatever the length of the text.
        (size * 10 + i32::from(byte - b'0')).min(MAX_EXPONENT + 1)
    });
    if size > MAX_EXPONENT {
        return Err(DecimalError::TooLong);
    }
    Ok(if negative { -size } else { size })
}

/// An exact sum of positive decimals or of their products.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Sum {
    mantissa: u128,
    scale: u8,
}

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// Parses `digits[.digits]` exactly; `None` for anything else, and where 128 bits are not enough.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let point = text.iter().position(|&byte| byte == b'.');
        let (whole, fraction) = match point {
            Some(at) if at + 1 < text.len() => (&text[..at], &text[at + 1..]),
            Some(_) => return None,
            None => (text, &[][..]),
        };
        let zeros = fraction.iter().rev().take_while(|&&byte| byte == b'0').count();
        let fraction = &fraction[..fraction.len() - zeros];
        if whole.is_empty() || fraction.len() > 2 * usize::from(MAX_SCALE) {
            return None;
        }
        let add = |mantissa: u128, &byte: &u8| {
            let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
            mantissa.checked_mul(10)?.checked_add(digit.into())
        };
        let mantissa = whole.iter().chain(fraction).try_fold(0, add)?;
        Some(Self { mantissa, scale: u8::try_from(fraction.len()).ok()? })
    }

    /// Adds exactly; `None` where 128 bits are not enough.
    #[must_use]
    #[inline]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.scale == other.scale {
            let mantissa = self.mantissa.checked_add(other.mantissa)?;
            return Some(Self { mantissa, scale: self.scale });
        }
        let scale = self.scale.max(other.scale);
        let mantissa = self.at_scale(scale)?.checked_add(other.at_scale(scale)?)?;
        Some(Self { mantissa, scale })
    }

    /// How far both are from each other; the greater one, where 128 bits are not enough.
    #[must_use]
    pub fn distance(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(one), Some(other)) => Self { mantissa: one.abs_diff(other), scale },
            _ => self.max(other),
        }
    }

    /// Whether the sum is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    fn at_scale(self, scale: u8) -> Option<u128> {
        if scale == self.scale {
            return Some(self.mantissa);
        }
        let places = scale - self.scale;
        match u64::try_from(self.mantissa) {
            Ok(mantissa) if usize::from(places) < WORD_POWERS.len() => {
                Some(widened(mantissa, places))
            }
            _ => self.mantissa.checked_mul(pow10(places)),
        }
    }

    /// The same value without trailing zeros after the point.
    fn stripped(mut self) -> Self {
        while self.scale > 0 && self.mantissa.is_multiple_of(10) {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }

    /// Appends the decimal text: every digit, no exponent, no trailing zeros.
    pub fn write(self, out: &mut Vec<u8>) {
        let Self { mantissa, scale } = self.stripped();
        write_scaled(out, itoa::Buffer::new().format(mantissa), scale);
    }

    /// The double nearest to the exact value.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        let one = Self { mantissa: 1, scale: 0 };
        nearest_quotient(self, one).unwrap_or_default()
    }
}

impl PartialOrd for Sum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sum {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(one), Some(other)) => one.cmp(&other),
            // Only one of them is scaled, and the other fits.
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
        }
    }
}

impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (self.stripped(), other.stripped());
        left.mantissa == right.mantissa && left.scale == right.scale
    }
}

impl Eq for Sum {}

impl From<Decimal> for Sum {
    fn from(value: Decimal) -> Self {
        Self { mantissa: u128::from(value.mantissa), scale: value.scale }
    }
}

/// Appends `digits / 10^scale`.
#[inline(never)]
fn write_scaled(out: &mut Vec<u8>, digits: &str, scale: u8) {
    let (digits, scale) = (digits.as_bytes(), usize::from(scale));
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// The powers of ten that fit 64 bits.
const WORD_POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `mantissa · 10^places`, which fits for up to 19 places: one multiplication of two words.
fn widened(mantissa: u64, places: u8) -> u128 {
    u128::from(mantissa) * u128::from(WORD_POWERS[usize::from(places)])
}

/// The powers of ten that fit 128 bits.
const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

fn pow10(exponent: u8) -> u128 {
    POWERS[usize::from(exponent)]
}

/// The double nearest to the exact quotient of two sums, ties to even; `None` for a zero divisor.
#[must_use]
pub fn nearest_quotient(dividend: Sum, divisor: Sum) -> Option<f64> {
    if divisor.is_zero() {
        return None;
    }
    if dividend.is_zero() {
        return Some(0.0);
    }
    let scaled = |mantissa: u128, scale: u8| {
        BigUint::from(mantissa) * BigUint::from(10_u8).pow(u32::from(scale))
    };
    let numerator = scaled(dividend.mantissa, divisor.scale);
    let denominator = scaled(divisor.mantissa, dividend.scale);
    Some(round_to_double(&numerator, &denominator))
}

/// Long division to 54 or 55 bits and a sticky bit, then one rounding to 53 bits.
fn round_to_double(numerator: &BigUint, denominator: &BigUint) -> f64 {
    const WANTED_BITS: i64 = 55;
    let bits = |value: &BigUint| i64::try_from(value.bits()).unwrap_or(i64::MAX);
    let shift = WANTED_BITS - (bits(numerator) - bits(denominator));
    let widened = |value: &BigUint, by: i64| value << u64::try_from(by).unwrap_or_default();
    let (numerator, denominator) = (widened(numerator, shift), widened(denominator, -shift));
    let quotient = &numerator / &denominator;
    let inexact = &quotient * &denominator != numerator;
    // 55 or 56 bits with the sticky one at the end: `as f64` rounds to nearest even, once.
    let mantissa = u64::try_from(quotient).unwrap_or(u64::MAX) | u64::from(inexact);
    #[expect(clippy::cast_precision_loss, reason = "the one rounding that is wanted")]
    let rounded = mantissa as f64;
    // Both factors lie far inside the normal range: at most 2^128 · 10^36 over 1.
    rounded * 2_f64.powi(i32::try_from(-shift).unwrap_or_default())
}
