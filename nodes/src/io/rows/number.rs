//! Numbers from decimal text: exact, and in one pass over the digits where a double allows it.

use super::{Cell, word};

/// The powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// What is wrong with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadNumber {
    /// Not a number as JSON writes them; at this position.
    Syntax(usize),
    /// Larger than any double.
    TooLarge,
}

/// Reads the JSON number at a position and says where it ends. Whole numbers beyond 64 bits become floats, and so does
/// `-0`.
#[inline]
pub(super) fn json_number(bytes: &[u8], start: usize) -> Result<(Cell, usize), BadNumber> {
    let digit = |at: usize| bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|d| *d < 10);
    let negative = bytes.get(start) == Some(&b'-');
    let first = start + usize::from(negative);
    let mut at = first;
    let mut mantissa: u64;
    match digit(at) {
        Some(0) => {
            at += 1;
            mantissa = 0;
            if digit(at).is_some() {
                return Err(BadNumber::Syntax(at));
            }
        }
        Some(_) => (mantissa, at) = digits(bytes, at, 0),
        None => return Err(BadNumber::Syntax(at)),
    }
    let mut count = at - first;
    let next = bytes.get(at).copied().unwrap_or(0);
    if next != b'.' && next | 0x20 != b'e' {
        // Eighteen digits always fit.
        return if count <= 18 && (mantissa, negative) != (0, true) {
            let value = mantissa as i64;
            Ok((Cell::Int(if negative { -value } else { value }), at))
        } else {
            Ok((large_integer(bytes.get(start..at).unwrap_or_default())?, at))
        };
    }
    let mut decimals = 0;
    if next == b'.' {
        let point = at;
        (mantissa, at) = digits(bytes, at + 1, mantissa);
        decimals = at - point - 1;
        if decimals == 0 {
            return Err(BadNumber::Syntax(at));
        }
        count += decimals;
    }
    let exponent = bytes.get(at).is_some_and(|byte| byte | 0x20 == b'e');
    // Clinger's fast path (1990): both operands are exact, so the quotient is the nearest double.
    if !exponent && count <= 19 && mantissa <= 1 << 53 && decimals < POWERS.len() {
        let value = mantissa as f64 / POWERS[decimals];
        return Ok((Cell::Float(if negative { -value } else { value }), at));
    }
    if exponent {
        at = exponent_end(bytes, at)?;
    }
    Ok((large_float(bytes.get(start..at).unwrap_or_default())?, at))
}

/// Reads digits from a position on, onto a number that wraps beyond 19 of them, and says where they end.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(eight) = word(bytes, at) {
        let Some(value) = eight_digits(eight) else { break };
        number = number.wrapping_mul(100_000_000).wrapping_add(value);
        at += 8;
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|d| *d < 10) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (number, at)
}

/// The number that eight digits write, if that is what the word holds. After Johnny Lee, "Fast numeric string to int"
/// (2016), as in simdjson.
#[inline]
pub(super) fn eight_digits(word: u64) -> Option<u64> {
    let over = word.wrapping_add(0x4646_4646_4646_4646);
    let value = word.wrapping_sub(0x3030_3030_3030_3030);
    if (over | value) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = value.wrapping_mul(10).wrapping_add(value >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF)
}

fn exponent_end(bytes: &[u8], at: usize) -> Result<usize, BadNumber> {
    let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
    let first = at + 1 + sign;
    let (_, end) = digits(bytes, first, 0);
    if end == first { Err(BadNumber::Syntax(end)) } else { Ok(end) }
}

#[cold]
fn large_integer(text: &[u8]) -> Result<Cell, BadNumber> {
    if text != b"-0"
        && let Some(value) = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
    {
        return Ok(Cell::Int(value));
    }
    large_float(text)
}

fn large_float(text: &[u8]) -> Result<Cell, BadNumber> {
    match fast_float2::parse::<f64, _>(text) {
        Ok(value) if value.is_finite() => Ok(Cell::Float(value)),
        _ => Err(BadNumber::TooLarge),
    }
}

/// What a text says when it is a number and nothing else: JSON's numbers, and the forms people also write (`+1`, `.5`,
/// `1.`, `007`). `None` for anything else, NaN and infinities included.
#[inline]
#[must_use]
pub fn from_text(text: &[u8]) -> Option<Cell> {
    match json_number(text, 0) {
        Ok((cell, end)) if end == text.len() => Some(cell),
        _ => from_loose_text(text),
    }
}

#[cold]
fn from_loose_text(text: &[u8]) -> Option<Cell> {
    let text = text.trim_ascii();
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if !unsigned.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let text = text.strip_prefix(b"+").unwrap_or(text);
    if unsigned.iter().all(u8::is_ascii_digit) {
        return large_integer(text).ok();
    }
    large_float(text).ok()
}

/// Whether a text is one of the usual words for NaN and infinities.
#[must_use]
pub fn is_not_finite(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['-', '+']);
    ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn decimals_become_the_nearest_double(text in "-?((0|[1-9][0-9]{0,24})\\.[0-9]{1,30}([eE][+-]?[0-9]{1,2})?|[1-9][0-9]{12,15}\\.[0-9]{1,3})") {
            let (cell, end) = json_number(text.as_bytes(), 0).unwrap();
            prop_assert_eq!(end, text.len());
            let Cell::Float(value) = cell else { panic!("{cell:?}") };
            prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
        }

        #[test]
        fn whole_numbers_stay_whole(number in any::<i64>(), behind in ",|}| |\n|") {
            let text = format!("{number}{behind}");
            prop_assert_eq!(json_number(text.as_bytes(), 0), Ok((Cell::Int(number), number.to_string().len())));
        }
    }

    #[test]
    fn numbers_people_write() {
        assert_eq!(from_text(b" +1.5 "), Some(Cell::Float(1.5)));
        assert_eq!(from_text(b"007"), Some(Cell::Int(7)));
        assert_eq!(from_text(b".5"), Some(Cell::Float(0.5)));
        assert_eq!(from_text(b"1."), Some(Cell::Float(1.0)));
        assert_eq!(
            from_text(b"18446744073709551616"),
            Some(Cell::Float(18_446_744_073_709_551_616.0))
        );
        for text in ["", "-", "nan", "inf", "-inf", "1e999", "1 2", "0x10", "1_000", "--1", "+-1"] {
            assert_eq!(from_text(text.as_bytes()), None, "{text}");
        }
    }
}
