//! Exact decimals: grammar, printing, order, sums and the nearest double.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on says so by panicking")]

use std::cmp::Ordering;

use num_bigint::BigInt;
use proptest::prelude::*;
use tapecast_core::decimal::{Decimal, DecimalError, Sum, nearest_quotient};

fn text_of(value: impl Into<Sum>) -> String {
    let mut out = Vec::new();
    value.into().write(&mut out);
    String::from_utf8(out).unwrap()
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).unwrap()
}

#[test]
fn a_decimal_is_printed_with_every_digit_and_no_trailing_zero() {
    let table = [
        ("93580.00", "93580"),
        ("0.015440", "0.01544"),
        ("0.000001", "0.000001"),
        ("007.50", "7.5"),
        ("1e5", "100000"),
        ("1.5E-3", "0.0015"),
        ("12.50e+1", "125"),
        ("1000000000000000000", "1000000000000000000"),
        ("9999999999999999999", "9999999999999999999"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("1.0000000000000000000000", "1"),
    ];
    for (text, expected) in table {
        assert_eq!(text_of(decimal(text)), expected, "of {text}");
    }
}

#[test]
fn what_is_no_positive_decimal_is_told_from_what_is_too_long() {
    let not_positive = [
        "", " 1", "1 ", "+1", "-1", "-0", "0", "0.000", "0e9", ".5", "5.", ".", "e5", "1e", "1e+",
        "1e5.0", "1.2.3", "NaN", "Infinity", "0x1", "1_000", "１", "--1", "1-",
    ];
    for text in not_positive {
        assert_eq!(Decimal::parse(text.as_bytes()), Err(DecimalError::NotPositive), "of {text:?}");
    }
    let too_long = [
        "10000000000000000001",
        "1234567890123456789012345678901234567890",
        "0.0000000000000000001",
        "1e19",
        "1e-19",
        "1e400",
        "1e-99999999999999999999",
    ];
    for text in too_long {
        assert_eq!(Decimal::parse(text.as_bytes()), Err(DecimalError::TooLong), "of {text:?}");
    }
}

/// A decimal text with its exact value as `mantissa / 10^18`.
fn any_decimal() -> impl Strategy<Value = (String, BigInt)> {
    (1_u64..=9_999_999_999_999_999_999, 0_usize..=18, 0_usize..4).prop_map(
        |(digits, scale, zeros)| {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            let text = match (fraction.is_empty(), zeros) {
                (true, 0) => whole.to_owned(),
                _ => {
                    format!("{whole}.{fraction}{}", "0".repeat(zeros.max(usize::from(scale == 0))))
                }
            };
            (text, BigInt::from(digits) * BigInt::from(10).pow(18 - u32::try_from(scale).unwrap()))
        },
    )
}

/// The exact value of a double as a fraction.
fn fraction(value: f64) -> (BigInt, BigInt) {
    let bits = value.to_bits();
    let exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap() - 1075;
    let mantissa = BigInt::from(bits & ((1 << 52) - 1) | 1 << 52);
    let power = BigInt::from(1) << u64::try_from(exponent.abs()).unwrap();
    if exponent >= 0 { (mantissa * power, BigInt::from(1)) } else { (mantissa, power) }
}

/// Distance of `value` from `numerator / denominator`, times a common denominator of both.
fn distance(value: f64, numerator: &BigInt, denominator: &BigInt, scale: &BigInt) -> BigInt {
    let (top, bottom) = fraction(value);
    let difference = (top * denominator - numerator * &bottom) * scale / bottom;
    if difference < BigInt::ZERO { -difference } else { difference }
}

proptest! {
    #[test]
    fn printing_and_parsing_again_changes_nothing((text, _) in any_decimal()) {
        let value = decimal(&text);
        let printed = text_of(value);
        prop_assert_eq!(decimal(&printed), value);
        prop_assert!(!printed.contains('.') || !printed.ends_with('0'));
        prop_assert!(!printed.contains(['e', 'E', '+', '-']));
    }

    #[test]
    fn decimals_are_ordered_by_value((left, left_exact) in any_decimal(), (right, right_exact) in any_decimal()) {
        prop_assert_eq!(decimal(&left).cmp(&decimal(&right)), left_exact.cmp(&right_exact));
        prop_assert_eq!(decimal(&left) == decimal(&right), left_exact.cmp(&right_exact) == Ordering::Equal);
    }

    #[test]
    fn a_sum_is_exact_or_refused(items in prop::collection::vec(any_decimal(), 1..20)) {
        let mut sum = Some(Sum::ZERO);
        let mut exact = BigInt::ZERO;
        for (text, value) in &items {
            sum = sum.and_then(|sum| sum.checked_add(decimal(text).into()));
            exact += value;
        }
        if let Some(sum) = sum {
            let printed = text_of(sum);
            let (whole, part) = printed.split_once('.').unwrap_or((&printed, ""));
            let digits = format!("{whole}{part:0<18}");
            prop_assert_eq!(digits.parse::<BigInt>().unwrap(), exact);
        } else {
            prop_assert!(exact > BigInt::from(u128::MAX));
        }
    }

    #[test]
    fn a_product_is_exact((left, left_exact) in any_decimal(), (right, right_exact) in any_decimal()) {
        let printed = text_of(decimal(&left).times(decimal(&right)));
        let (whole, part) = printed.split_once('.').unwrap_or((&printed, ""));
        let digits = format!("{whole}{part:0<36}");
        prop_assert_eq!(digits.parse::<BigInt>().unwrap(), left_exact * right_exact);
    }

    #[test]
    fn a_quotient_is_the_nearest_double((top, top_exact) in any_decimal(), (bottom, bottom_exact) in any_decimal()) {
        let value = nearest_quotient(decimal(&top).into(), decimal(&bottom).into()).unwrap();
        // Scaled far enough that the truncation in `distance` cannot matter.
        let scale = BigInt::from(1) << 1300;
        let here = distance(value, &top_exact, &bottom_exact, &scale);
        prop_assert!(here <= distance(value.next_up(), &top_exact, &bottom_exact, &scale));
        prop_assert!(here <= distance(value.next_down(), &top_exact, &bottom_exact, &scale));
    }

    #[test]
    fn a_double_is_the_one_that_the_text_parses_to((text, _) in any_decimal()) {
        prop_assert_eq!(decimal(&text).to_f64().to_bits(), text.parse::<f64>().unwrap().to_bits());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Decimal::parse(&bytes);
    }
}

#[test]
fn a_quotient_by_nothing_is_none_and_of_nothing_is_zero() {
    let one = Sum::from(decimal("1"));
    assert_eq!(nearest_quotient(one, Sum::ZERO), None);
    assert_eq!(nearest_quotient(Sum::ZERO, one), Some(0.0));
}

#[test]
fn a_sum_that_would_not_fit_is_refused() {
    let largest = decimal("9999999999999999999");
    let square = largest.times(largest);
    let mut sum = square;
    let mut added = 1;
    while let Some(next) = sum.checked_add(square) {
        sum = next;
        added += 1;
    }
    assert_eq!(added, 3, "the fourth square of 10^19 - 1 passes 2^128");
    assert_eq!(
        Sum::from(largest).checked_add(decimal("0.000000000000000001").into()).map(text_of),
        Some("9999999999999999999.000000000000000001".to_owned())
    );
}
