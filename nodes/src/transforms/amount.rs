//! Values in texts that a person reads.

use std::fmt;

use smollama_engine::reading::Value;

/// Digits of a number that count in a text, where it has more of them behind the point.
const DIGITS: i32 = 6;

/// What stands behind a number: `%`, or a space and the unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suffix<'a>(Option<&'a str>);

pub(super) const fn suffix(unit: Option<&str>) -> Suffix<'_> {
    Suffix(unit)
}

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some("%") => f.write_str("%"),
            Some(unit) => write!(f, " {unit}"),
        }
    }
}

/// A value with its unit. What is behind the point is rounded to what a reader looks at: 21.299999999999997 is 21.3.
pub(super) fn amount(value: &Value, unit: Option<&str>) -> String {
    let unit = suffix(unit);
    match value {
        Value::Float(number) => format!("{}{unit}", rounded(*number)),
        other => format!("{other}{unit}"),
    }
}

fn rounded(number: f64) -> f64 {
    if !number.is_normal() {
        return number;
    }
    // From -308 to 308.
    let magnitude = number.abs().log10().floor() as i32;
    let decimals = usize::try_from(DIGITS - 1 - magnitude).unwrap_or(0);
    format!("{number:.decimals$}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_point_is_cut_to_what_counts() {
        let said = |number: f64| amount(&Value::Float(number), Some("W"));
        for (number, text) in [
            (21.299999999999997, "21.3 W"),
            (-15.0, "-15 W"),
            (1_234_567.8, "1234568 W"),
            (0.000_123_456_78, "0.000123457 W"),
            (999_999.96, "1000000 W"),
            (0.0, "0 W"),
            (f64::INFINITY, "inf W"),
        ] {
            assert_eq!(said(number), text);
        }
        assert_eq!(amount(&Value::Int(123_456_789), Some("%")), "123456789%");
        assert_eq!(amount(&Value::text("on"), None), "on");
    }
}
