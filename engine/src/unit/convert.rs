//! From one unit to another of the same dimension, and the units of rates and of sums over time.

use crate::diagnostic::nearest;

/// What can be measured in several units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Temperature,
    Pressure,
    Power,
    ApparentPower,
    ReactivePower,
    Energy,
    Charge,
    Length,
    Area,
    Volume,
    Flow,
    Speed,
    Mass,
    Time,
    Voltage,
    Current,
    Resistance,
    Conductivity,
    Frequency,
    Data,
    DataRate,
    Ratio,
    Concentration,
    Angle,
    Illuminance,
}

impl Dimension {
    const fn as_str(self) -> &'static str {
        match self {
            Dimension::Temperature => "a temperature",
            Dimension::Pressure => "a pressure",
            Dimension::Power => "a power",
            Dimension::ApparentPower => "an apparent power",
            Dimension::ReactivePower => "a reactive power",
            Dimension::Energy => "an energy",
            Dimension::Charge => "a charge",
            Dimension::Length => "a length",
            Dimension::Area => "an area",
            Dimension::Volume => "a volume",
            Dimension::Flow => "a flow",
            Dimension::Speed => "a speed",
            Dimension::Mass => "a mass",
            Dimension::Time => "a time",
            Dimension::Voltage => "a voltage",
            Dimension::Current => "a current",
            Dimension::Resistance => "a resistance",
            Dimension::Conductivity => "a conductivity",
            Dimension::Frequency => "a frequency",
            Dimension::Data => "an amount of data",
            Dimension::DataRate => "a rate of data",
            Dimension::Ratio => "a ratio",
            Dimension::Concentration => "a concentration",
            Dimension::Angle => "an angle",
            Dimension::Illuminance => "an illuminance",
        }
    }
}

/// A unit: its dimension, and how much of the dimension's first unit it is, as a fraction, so that what is exact on paper is
/// exact here.
type Unit = (&'static str, Dimension, f64, f64);

/// A US gallon in litres, and an international pound, mile and inch in their SI units: all exact by definition (NIST SP 811, appendix B).
const GALLON: f64 = 3.785_411_784;
const POUND: f64 = 0.453_592_37;
const MILE: f64 = 1609.344;
const INCH: f64 = 0.0254;
const FOOT: f64 = 0.3048;
/// A cubic foot in litres.
const CUBIC_FOOT: f64 = 28.316_846_592;
/// A pound-force per square inch, and millimetre and inch of mercury, in pascals (NIST SP 811).
const PSI: f64 = 6_894.757_293_168;
const MM_HG: f64 = 133.322_387_415;
const IN_HG: f64 = 3_386.388_640_341;

const UNITS: &[Unit] = &[
    ("°C", Dimension::Temperature, 1.0, 1.0),
    ("K", Dimension::Temperature, 1.0, 1.0),
    ("°F", Dimension::Temperature, 5.0, 9.0),
    ("Pa", Dimension::Pressure, 1.0, 1.0),
    ("hPa", Dimension::Pressure, 100.0, 1.0),
    ("mbar", Dimension::Pressure, 100.0, 1.0),
    ("kPa", Dimension::Pressure, 1e3, 1.0),
    ("MPa", Dimension::Pressure, 1e6, 1.0),
    ("bar", Dimension::Pressure, 1e5, 1.0),
    ("cbar", Dimension::Pressure, 1e3, 1.0),
    ("psi", Dimension::Pressure, PSI, 1.0),
    ("mmHg", Dimension::Pressure, MM_HG, 1.0),
    ("inHg", Dimension::Pressure, IN_HG, 1.0),
    ("W", Dimension::Power, 1.0, 1.0),
    ("mW", Dimension::Power, 1.0, 1e3),
    ("kW", Dimension::Power, 1e3, 1.0),
    ("MW", Dimension::Power, 1e6, 1.0),
    ("GW", Dimension::Power, 1e9, 1.0),
    ("VA", Dimension::ApparentPower, 1.0, 1.0),
    ("kVA", Dimension::ApparentPower, 1e3, 1.0),
    ("var", Dimension::ReactivePower, 1.0, 1.0),
    ("kvar", Dimension::ReactivePower, 1e3, 1.0),
    ("J", Dimension::Energy, 1.0, 1.0),
    ("kJ", Dimension::Energy, 1e3, 1.0),
    ("MJ", Dimension::Energy, 1e6, 1.0),
    ("GJ", Dimension::Energy, 1e9, 1.0),
    ("mWh", Dimension::Energy, 3.6, 1.0),
    ("Wh", Dimension::Energy, 3.6e3, 1.0),
    ("kWh", Dimension::Energy, 3.6e6, 1.0),
    ("MWh", Dimension::Energy, 3.6e9, 1.0),
    ("GWh", Dimension::Energy, 3.6e12, 1.0),
    ("cal", Dimension::Energy, 4.184, 1.0),
    ("kcal", Dimension::Energy, 4184.0, 1.0),
    ("Ah", Dimension::Charge, 1.0, 1.0),
    ("mAh", Dimension::Charge, 1.0, 1e3),
    ("m", Dimension::Length, 1.0, 1.0),
    ("µm", Dimension::Length, 1.0, 1e6),
    ("mm", Dimension::Length, 1.0, 1e3),
    ("cm", Dimension::Length, 1.0, 100.0),
    ("km", Dimension::Length, 1e3, 1.0),
    ("in", Dimension::Length, INCH, 1.0),
    ("ft", Dimension::Length, FOOT, 1.0),
    ("yd", Dimension::Length, 3.0 * FOOT, 1.0),
    ("mi", Dimension::Length, MILE, 1.0),
    ("nmi", Dimension::Length, 1852.0, 1.0),
    ("m²", Dimension::Area, 1.0, 1.0),
    ("cm²", Dimension::Area, 1.0, 1e4),
    ("km²", Dimension::Area, 1e6, 1.0),
    ("ha", Dimension::Area, 1e4, 1.0),
    ("ft²", Dimension::Area, FOOT * FOOT, 1.0),
    ("L", Dimension::Volume, 1.0, 1.0),
    ("mL", Dimension::Volume, 1.0, 1e3),
    ("m³", Dimension::Volume, 1e3, 1.0),
    ("ft³", Dimension::Volume, CUBIC_FOOT, 1.0),
    ("gal", Dimension::Volume, GALLON, 1.0),
    ("L/h", Dimension::Flow, 1.0, 1.0),
    ("L/min", Dimension::Flow, 60.0, 1.0),
    ("L/s", Dimension::Flow, 3600.0, 1.0),
    ("m³/h", Dimension::Flow, 1e3, 1.0),
    ("m³/min", Dimension::Flow, 6e4, 1.0),
    ("m³/s", Dimension::Flow, 3.6e6, 1.0),
    ("ft³/min", Dimension::Flow, 60.0 * CUBIC_FOOT, 1.0),
    ("gal/min", Dimension::Flow, 60.0 * GALLON, 1.0),
    ("m/s", Dimension::Speed, 1.0, 1.0),
    ("km/h", Dimension::Speed, 1.0, 3.6),
    ("mph", Dimension::Speed, MILE, 3600.0),
    ("kn", Dimension::Speed, 1852.0, 3600.0),
    ("ft/s", Dimension::Speed, FOOT, 1.0),
    ("mm/s", Dimension::Speed, 1.0, 1e3),
    ("mm/h", Dimension::Speed, 1.0, 3.6e6),
    ("mm/d", Dimension::Speed, 1.0, 86.4e6),
    ("in/h", Dimension::Speed, INCH, 3600.0),
    ("g", Dimension::Mass, 1.0, 1.0),
    ("µg", Dimension::Mass, 1.0, 1e6),
    ("mg", Dimension::Mass, 1.0, 1e3),
    ("kg", Dimension::Mass, 1e3, 1.0),
    ("t", Dimension::Mass, 1e6, 1.0),
    ("lb", Dimension::Mass, 1e3 * POUND, 1.0),
    ("oz", Dimension::Mass, 1e3 * POUND, 16.0),
    ("s", Dimension::Time, 1.0, 1.0),
    ("ns", Dimension::Time, 1.0, 1e9),
    ("µs", Dimension::Time, 1.0, 1e6),
    ("ms", Dimension::Time, 1.0, 1e3),
    ("min", Dimension::Time, 60.0, 1.0),
    ("h", Dimension::Time, 3600.0, 1.0),
    ("d", Dimension::Time, 86_400.0, 1.0),
    ("V", Dimension::Voltage, 1.0, 1.0),
    ("µV", Dimension::Voltage, 1.0, 1e6),
    ("mV", Dimension::Voltage, 1.0, 1e3),
    ("kV", Dimension::Voltage, 1e3, 1.0),
    ("A", Dimension::Current, 1.0, 1.0),
    ("µA", Dimension::Current, 1.0, 1e6),
    ("mA", Dimension::Current, 1.0, 1e3),
    ("Ω", Dimension::Resistance, 1.0, 1.0),
    ("kΩ", Dimension::Resistance, 1e3, 1.0),
    ("MΩ", Dimension::Resistance, 1e6, 1.0),
    ("S/cm", Dimension::Conductivity, 1.0, 1.0),
    ("mS/cm", Dimension::Conductivity, 1.0, 1e3),
    ("µS/cm", Dimension::Conductivity, 1.0, 1e6),
    ("Hz", Dimension::Frequency, 1.0, 1.0),
    ("kHz", Dimension::Frequency, 1e3, 1.0),
    ("MHz", Dimension::Frequency, 1e6, 1.0),
    ("GHz", Dimension::Frequency, 1e9, 1.0),
    ("rpm", Dimension::Frequency, 1.0, 60.0),
    ("B", Dimension::Data, 1.0, 1.0),
    ("kB", Dimension::Data, 1e3, 1.0),
    ("MB", Dimension::Data, 1e6, 1.0),
    ("GB", Dimension::Data, 1e9, 1.0),
    ("TB", Dimension::Data, 1e12, 1.0),
    ("KiB", Dimension::Data, 1024.0, 1.0),
    ("MiB", Dimension::Data, 1_048_576.0, 1.0),
    ("GiB", Dimension::Data, 1_073_741_824.0, 1.0),
    ("TiB", Dimension::Data, 1_099_511_627_776.0, 1.0),
    ("bit", Dimension::Data, 1.0, 8.0),
    ("kbit", Dimension::Data, 1e3, 8.0),
    ("Mbit", Dimension::Data, 1e6, 8.0),
    ("Gbit", Dimension::Data, 1e9, 8.0),
    ("B/s", Dimension::DataRate, 1.0, 1.0),
    ("kB/s", Dimension::DataRate, 1e3, 1.0),
    ("MB/s", Dimension::DataRate, 1e6, 1.0),
    ("GB/s", Dimension::DataRate, 1e9, 1.0),
    ("KiB/s", Dimension::DataRate, 1024.0, 1.0),
    ("MiB/s", Dimension::DataRate, 1_048_576.0, 1.0),
    ("GiB/s", Dimension::DataRate, 1_073_741_824.0, 1.0),
    ("bit/s", Dimension::DataRate, 1.0, 8.0),
    ("kbit/s", Dimension::DataRate, 1e3, 8.0),
    ("Mbit/s", Dimension::DataRate, 1e6, 8.0),
    ("Gbit/s", Dimension::DataRate, 1e9, 8.0),
    ("%", Dimension::Ratio, 1.0, 100.0),
    ("‰", Dimension::Ratio, 1.0, 1e3),
    ("ppm", Dimension::Ratio, 1.0, 1e6),
    ("ppb", Dimension::Ratio, 1.0, 1e9),
    ("g/m³", Dimension::Concentration, 1.0, 1.0),
    ("mg/m³", Dimension::Concentration, 1.0, 1e3),
    ("µg/m³", Dimension::Concentration, 1.0, 1e6),
    ("°", Dimension::Angle, std::f64::consts::PI, 180.0),
    ("rad", Dimension::Angle, 1.0, 1.0),
    ("lx", Dimension::Illuminance, 1.0, 1.0),
    ("klx", Dimension::Illuminance, 1e3, 1.0),
];

/// What a unit shows where the first of its dimension shows zero.
fn zero(unit: &str) -> f64 {
    match unit {
        "°F" => 32.0,
        "K" => 273.15,
        _ => 0.0,
    }
}

/// From one unit to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    from_zero: f64,
    times: f64,
    by: f64,
    to_zero: f64,
}

impl Conversion {
    /// Whether the same number is written in both units.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.times == self.by && self.from_zero == self.to_zero
    }

    /// A value in the other unit. May be infinite where a value is almost.
    #[inline]
    #[must_use]
    pub fn apply(&self, value: f64) -> f64 {
        (value - self.from_zero) * self.times / self.by + self.to_zero
    }

    /// The difference of two values in the other unit: where its zero lies is no matter.
    #[inline]
    #[must_use]
    pub fn apply_to_difference(&self, difference: f64) -> f64 {
        difference * self.times / self.by
    }
}

/// Why there is no conversion, as a fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoConversion {
    /// A unit that is in no table, and the known one that is spelled most like it.
    #[error("`{unit}` is no unit that can be converted")]
    Unknown {
        /// As it was written.
        unit: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// The dimensions differ.
    #[error("`{from}` is {what} and `{to}` is {other}")]
    Dimension {
        /// The unit at hand.
        from: String,
        /// What it measures.
        what: &'static str,
        /// The unit that is wanted.
        to: String,
        /// What that measures.
        other: &'static str,
    },
}

fn find(unit: &str) -> Result<&'static Unit, NoConversion> {
    let unit = super::normalise(unit);
    let known = UNITS.iter().find(|(name, ..)| *name == unit);
    known.ok_or_else(|| NoConversion::Unknown {
        unit: unit.to_owned(),
        nearest: nearest(unit, UNITS.iter().map(|(name, ..)| *name)),
    })
}

/// Whether a unit can be converted at all.
///
/// # Errors
/// It is in no table.
pub fn known(unit: &str) -> Result<(), NoConversion> {
    find(unit).map(drop)
}

/// How values in one unit become values in another.
///
/// # Errors
/// One of them is not known, or they measure different things.
pub fn conversion(from: &str, to: &str) -> Result<Conversion, NoConversion> {
    let (from, what, from_times, from_by) = *find(from)?;
    let (to, other, to_times, to_by) = *find(to)?;
    if what != other {
        return Err(NoConversion::Dimension {
            from: from.to_owned(),
            what: what.as_str(),
            to: to.to_owned(),
            other: other.as_str(),
        });
    }
    let (times, by) = (from_times * to_by, from_by * to_times);
    // The same unit, or one in which the same number is written.
    let (times, by) = if times == by { (1.0, 1.0) } else { (times, by) };
    Ok(Conversion { from_zero: zero(from), times, by, to_zero: zero(to) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn convert(value: f64, from: &str, to: &str) -> f64 {
        conversion(from, to).unwrap().apply(value)
    }

    #[test]
    fn what_is_exact_on_paper_is_exact() {
        for (value, from, to, expected) in [
            (20.0, "°C", "°F", 68.0),
            (68.0, "°F", "°C", 20.0),
            (-40.0, "fahrenheit", "celsius", -40.0),
            (0.0, "°C", "K", 273.15),
            (32.0, "°F", "K", 273.15),
            (1013.25, "hPa", "Pa", 101_325.0),
            (1013.25, "hPa", "mbar", 1013.25),
            (1500.0, "W", "kW", 1.5),
            (1.0, "kWh", "MJ", 3.6),
            (36.0, "km/h", "m/s", 10.0),
            (1.0, "mi", "km", 1.609_344),
            (1.0, "GiB", "MiB", 1024.0),
            (1.0, "MB/s", "Mbit/s", 8.0),
            (60.0, "L/min", "m³/h", 3.6),
            (1.0, "lb", "kg", 0.453_592_37),
            (180.0, "°", "rad", std::f64::consts::PI),
            (0.5, "%", "ppm", 5000.0),
        ] {
            assert_eq!(convert(value, from, to), expected, "{value} {from} in {to}");
        }
    }

    #[test]
    fn another_dimension_and_an_unknown_unit_are_refused() {
        let error = |from, to| conversion(from, to).unwrap_err().to_string();
        assert_eq!(error("W", "kWh"), "`W` is a power and `kWh` is an energy");
        assert_eq!(error("clicks", "W"), "`clicks` is no unit that can be converted");
        let unknown = conversion("W", "kwatt").unwrap_err();
        assert!(matches!(unknown, NoConversion::Unknown { .. }));
    }

    #[test]
    fn no_unit_is_listed_twice_and_each_is_as_it_is_normalised() {
        for (at, (unit, ..)) in UNITS.iter().enumerate() {
            assert!(UNITS[..at].iter().all(|(other, ..)| other != unit), "{unit} is listed twice");
            assert_eq!(super::super::normalise(unit), *unit);
        }
    }

    proptest! {
        #[test]
        fn there_and_back_again(value in -1e6f64..1e6, from in 0..UNITS.len(), to in 0..UNITS.len()) {
            let (from, to) = (&UNITS[from], &UNITS[to]);
            let both = conversion(from.0, to.0);
            prop_assert_eq!(both.is_ok(), from.1 == to.1);
            if let Ok(there) = both {
                let back = conversion(to.0, from.0).unwrap().apply(there.apply(value));
                prop_assert!((back - value).abs() <= 1e-9 * value.abs().max(300.0), "{} {}", back, value);
            }
        }
    }
}
