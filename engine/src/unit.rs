//! Units: the strings Home Assistant uses, the aliases people write instead, and how one becomes another.

mod convert;
mod over_time;

pub use convert::{Conversion, NoConversion, conversion, known};
pub use over_time::{TimeUnit, over_time, per_time};

/// The written forms that are brought to one spelling, lower case on the left.
const ALIASES: &[(&str, &str)] = &[
    ("celsius", "°C"),
    ("degc", "°C"),
    ("c", "°C"),
    ("°c", "°C"),
    ("fahrenheit", "°F"),
    ("degf", "°F"),
    ("f", "°F"),
    ("°f", "°F"),
    ("kelvin", "K"),
    ("percent", "%"),
    ("pct", "%"),
    ("hpa", "hPa"),
    ("pascal", "Pa"),
    ("pa", "Pa"),
    ("mbar", "mbar"),
    ("lux", "lx"),
    ("watt", "W"),
    ("watts", "W"),
    ("kwh", "kWh"),
    ("wh", "Wh"),
    ("volt", "V"),
    ("volts", "V"),
    ("ampere", "A"),
    ("amps", "A"),
    ("mhz", "MHz"),
    ("ghz", "GHz"),
    ("hz", "Hz"),
    ("bytes", "B"),
    ("mb", "MB"),
    ("mib", "MiB"),
    ("seconds", "s"),
    ("sec", "s"),
    ("minutes", "min"),
    ("hours", "h"),
    ("meter", "m"),
    ("meters", "m"),
];

/// A unit in the spelling that is used everywhere; what is no known alias stays as it was, without outer blanks.
#[must_use]
pub fn normalise(unit: &str) -> &str {
    let unit = unit.trim();
    ALIASES
        .iter()
        .find(|(alias, _)| unit.eq_ignore_ascii_case(alias) && !is_exact(unit))
        .map_or(unit, |(_, spelled)| spelled)
}

/// `C`, `F` and `A` in capitals could be coulomb, farad and ampere; only the lower-case and long forms are aliases there.
fn is_exact(unit: &str) -> bool {
    matches!(unit, "C" | "F" | "MB")
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn aliases_become_one_spelling() {
        assert_eq!(normalise(" Celsius "), "°C");
        assert_eq!(normalise("percent"), "%");
        assert_eq!(normalise("°C"), "°C");
        assert_eq!(normalise("µg/m³"), "µg/m³");
    }
}
