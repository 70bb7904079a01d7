//! The units of what is counted per time, and of what is summed up over time.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A unit of time, as rates and sums are told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Minutes.
    Min,
    /// Hours.
    H,
    /// Days of 24 hours.
    D,
}

impl TimeUnit {
    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        match self {
            TimeUnit::S => 1.0,
            TimeUnit::Min => 60.0,
            TimeUnit::H => 3600.0,
            TimeUnit::D => 86_400.0,
        }
    }

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeUnit::S => "s",
            TimeUnit::Min => "min",
            TimeUnit::H => "h",
            TimeUnit::D => "d",
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What per time has a name of its own, before and after.
const NAMED: &[(&str, TimeUnit, &str)] = &[
    ("mWh", TimeUnit::H, "mW"),
    ("Wh", TimeUnit::H, "W"),
    ("kWh", TimeUnit::H, "kW"),
    ("MWh", TimeUnit::H, "MW"),
    ("GWh", TimeUnit::H, "GW"),
    ("VAh", TimeUnit::H, "VA"),
    ("kVAh", TimeUnit::H, "kVA"),
    ("varh", TimeUnit::H, "var"),
    ("kvarh", TimeUnit::H, "kvar"),
    ("Ah", TimeUnit::H, "A"),
    ("mAh", TimeUnit::H, "mA"),
    ("J", TimeUnit::S, "W"),
    ("kJ", TimeUnit::S, "kW"),
    ("MJ", TimeUnit::S, "MW"),
];

/// The unit of how fast what has a unit changes: `W` of `Wh` per hour, `°C/min` of `°C` per minute, `1/s` of what has none.
#[must_use]
pub fn per_time(unit: Option<&str>, time: TimeUnit) -> String {
    match unit {
        None => format!("1/{time}"),
        Some(unit) => {
            let named = NAMED.iter().find(|(sum, per, _)| *sum == unit && *per == time);
            named.map_or_else(|| format!("{unit}/{time}"), |(.., rate)| (*rate).to_owned())
        }
    }
}

/// The unit of what has a unit, summed up over time: `Wh` of `W` in hours, `m³` of `m³/h` in hours, `lx·s` of `lx` in seconds, `h` of
/// what has none.
#[must_use]
pub fn over_time(unit: Option<&str>, time: TimeUnit) -> String {
    let Some(unit) = unit else { return time.to_string() };
    let rate = unit.rsplit_once('/').filter(|(_, per)| *per == time.as_str());
    if let Some((sum, _)) = rate {
        return sum.to_owned();
    }
    let named = NAMED.iter().find(|(_, per, rate)| *rate == unit && *per == time);
    named.map_or_else(|| format!("{unit}·{time}"), |(sum, ..)| (*sum).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_power_over_time_and_the_other_way() {
        for (sum, time, rate) in NAMED {
            assert_eq!(per_time(Some(sum), *time), *rate);
            assert_eq!(over_time(Some(rate), *time), *sum);
        }
    }

    #[test]
    fn what_has_no_name_is_written_out() {
        assert_eq!(per_time(Some("°C"), TimeUnit::Min), "°C/min");
        assert_eq!(per_time(Some("Wh"), TimeUnit::S), "Wh/s");
        assert_eq!(per_time(None, TimeUnit::H), "1/h");
        assert_eq!(over_time(Some("m³/h"), TimeUnit::H), "m³");
        assert_eq!(over_time(Some("m³/h"), TimeUnit::D), "m³/h·d");
        assert_eq!(over_time(Some("lx"), TimeUnit::S), "lx·s");
        assert_eq!(over_time(None, TimeUnit::H), "h");
    }
}
