//! Device classes and state classes of Home Assistant: what there is, and what a unit and a name say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The device classes of sensors.
pub(super) const SENSOR_CLASSES: [&str; 60] = [
    "absolute_humidity",
    "apparent_power",
    "aqi",
    "area",
    "atmospheric_pressure",
    "battery",
    "blood_glucose_concentration",
    "carbon_dioxide",
    "carbon_monoxide",
    "conductivity",
    "current",
    "data_rate",
    "data_size",
    "date",
    "distance",
    "duration",
    "energy",
    "energy_distance",
    "energy_storage",
    "enum",
    "frequency",
    "gas",
    "humidity",
    "illuminance",
    "irradiance",
    "moisture",
    "monetary",
    "nitrogen_dioxide",
    "nitrogen_monoxide",
    "nitrous_oxide",
    "ozone",
    "ph",
    "pm1",
    "pm10",
    "pm25",
    "pm4",
    "power",
    "power_factor",
    "precipitation",
    "precipitation_intensity",
    "pressure",
    "reactive_energy",
    "reactive_power",
    "signal_strength",
    "sound_pressure",
    "speed",
    "sulphur_dioxide",
    "temperature",
    "temperature_delta",
    "timestamp",
    "volatile_organic_compounds",
    "volatile_organic_compounds_parts",
    "voltage",
    "volume",
    "volume_flow_rate",
    "volume_storage",
    "water",
    "weight",
    "wind_direction",
    "wind_speed",
];

/// The device classes of binary sensors.
pub(super) const BINARY_SENSOR_CLASSES: [&str; 28] = [
    "battery",
    "battery_charging",
    "carbon_monoxide",
    "cold",
    "connectivity",
    "door",
    "garage_door",
    "gas",
    "heat",
    "light",
    "lock",
    "moisture",
    "motion",
    "moving",
    "occupancy",
    "opening",
    "plug",
    "power",
    "presence",
    "problem",
    "running",
    "safety",
    "smoke",
    "sound",
    "tamper",
    "update",
    "vibration",
    "window",
];

/// Classes of sensors whose state is no number.
const TEXT_CLASSES: [&str; 3] = ["date", "enum", "timestamp"];
/// Classes of meters, of which Home Assistant takes no `measurement`.
const METERS: [&str; 5] = ["energy", "gas", "reactive_energy", "volume", "water"];

/// What kind of statistics Home Assistant keeps of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateClass {
    /// How things are now: mean, least and most.
    Measurement,
    /// An angle: as `measurement`, round the circle.
    MeasurementAngle,
    /// A sum that goes up and down.
    Total,
    /// A sum that only grows, and begins anew now and then.
    TotalIncreasing,
    /// None.
    None,
}

/// What an entity is for Home Assistant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    /// A number.
    Number,
    /// A text.
    Text,
    /// On or off.
    Binary,
}

impl Component {
    /// The word in the discovery topic.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Component::Number | Component::Text => "sensor",
            Component::Binary => "binary_sensor",
        }
    }

    /// One that is announced on another topic.
    pub(super) const fn other(self) -> Component {
        match self {
            Component::Number | Component::Text => Component::Binary,
            Component::Binary => Component::Number,
        }
    }

    /// Whether Home Assistant takes a device class for it.
    pub(super) fn takes(self, class: &str) -> bool {
        match self {
            Component::Binary => BINARY_SENSOR_CLASSES.contains(&class),
            Component::Text => TEXT_CLASSES.contains(&class),
            Component::Number => SENSOR_CLASSES.contains(&class) && !TEXT_CLASSES.contains(&class),
        }
    }
}

/// The words of a source's name, lower case, the last one first: what stands behind says most of what is measured.
fn words(name: &str) -> Vec<String> {
    let parts = name.rsplit(|c: char| !c.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// What is measured, by the first of its words that says so.
fn named<'a>(words: &[String], meanings: &[(&[&str], &'a str)]) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let meant = meanings.iter().find(|(names, _)| names.contains(&word.as_str()));
        meant.map(|(_, class)| *class)
    })
}

const PERCENTAGES: &[(&[&str], &str)] = &[
    (&["humidity", "rh", "hum"], "humidity"),
    (&["moisture", "soil"], "moisture"),
    (&["battery", "batt", "soc"], "battery"),
];
const PARTS: &[(&[&str], &str)] = &[
    (&["co2", "carbondioxide", "dioxide"], "carbon_dioxide"),
    (&["co", "monoxide"], "carbon_monoxide"),
    (&["voc", "tvoc"], "volatile_organic_compounds_parts"),
];
const MASSES_IN_AIR: &[(&[&str], &str)] = &[
    (&["pm25", "pm2"], "pm25"),
    (&["pm10"], "pm10"),
    (&["pm1"], "pm1"),
    (&["pm4"], "pm4"),
    (&["no2"], "nitrogen_dioxide"),
    (&["no"], "nitrogen_monoxide"),
    (&["n2o"], "nitrous_oxide"),
    (&["o3", "ozone"], "ozone"),
    (&["so2"], "sulphur_dioxide"),
    (&["voc", "tvoc"], "volatile_organic_compounds"),
];
const RAIN: &[(&[&str], &str)] = &[(&["rain", "precipitation", "snow"], "precipitation")];
const WIND: &[(&[&str], &str)] = &[(&["wind", "gust"], "wind_speed")];
const FLUIDS: &[(&[&str], &str)] = &[(&["water"], "water"), (&["gas"], "gas")];
const SIGNALS: &[(&[&str], &str)] = &[
    (&["rssi", "signal", "snr", "linkquality"], "signal_strength"),
    (&["sound", "noise", "loudness"], "sound_pressure"),
];

/// The device class of a number with a unit, as far as the two say. Home Assistant takes each of these units for its class.
pub(super) fn of_number(unit: &str, name: &str) -> Option<&'static str> {
    let words = words(name);
    Some(match unit {
        "°C" | "°F" | "K" => "temperature",
        "%" => return named(&words, PERCENTAGES),
        "hPa" | "mbar" | "Pa" | "kPa" | "bar" | "cbar" | "psi" | "inHg" | "mmHg" => "pressure",
        "lx" => "illuminance",
        "W/m²" => "irradiance",
        "W" | "kW" | "mW" | "MW" => "power",
        "VA" => "apparent_power",
        "var" => "reactive_power",
        "Wh" | "kWh" | "MWh" | "J" | "kJ" | "MJ" | "GJ" => "energy",
        "V" | "mV" | "kV" => "voltage",
        "A" | "mA" => "current",
        "Hz" | "kHz" | "MHz" | "GHz" => "frequency",
        "ppm" => return named(&words, PARTS),
        "ppb" => return named(&words, &PARTS[2..]),
        "µg/m³" | "μg/m³" => return named(&words, MASSES_IN_AIR),
        "dBm" => "signal_strength",
        "dB" => return named(&words, SIGNALS),
        "dBA" => "sound_pressure",
        "ms" | "s" | "min" | "h" | "d" => "duration",
        "mm" | "cm" | "in" if named(&words, RAIN).is_some() => "precipitation",
        "mm" | "cm" | "m" | "km" | "in" | "ft" | "yd" | "mi" => "distance",
        "mm/h" | "mm/d" | "in/h" | "in/d" => "precipitation_intensity",
        "m/s" | "km/h" | "mph" | "kn" | "ft/s" => named(&words, WIND).unwrap_or("speed"),
        "m³" | "ft³" => named(&words, FLUIDS).unwrap_or("volume_storage"),
        "L" | "gal" => named(&words, &FLUIDS[..1]).unwrap_or("volume_storage"),
        "m³/h" | "L/min" | "L/h" | "gal/min" | "ft³/min" => "volume_flow_rate",
        "B" | "kB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "TiB" => "data_size",
        "B/s" | "kB/s" | "MB/s" | "KiB/s" | "MiB/s" | "bit/s" | "kbit/s" | "Mbit/s" => "data_rate",
        "g" | "kg" | "mg" | "oz" | "lb" => "weight",
        "µS/cm" | "mS/cm" | "S/cm" => "conductivity",
        _ => return None,
    })
}

const SWITCHES: &[(&[&str], &str)] = &[
    (&["alarm", "problem", "fault", "error", "failure", "frost"], "problem"),
    (&["motion", "pir"], "motion"),
    (&["occupancy", "occupied"], "occupancy"),
    (&["presence", "present"], "presence"),
    (&["door"], "door"),
    (&["window"], "window"),
    (&["leak", "flood", "wet"], "moisture"),
    (&["smoke"], "smoke"),
    (&["tamper"], "tamper"),
    (&["vibration"], "vibration"),
    (&["online", "connected", "connectivity"], "connectivity"),
    (&["charging"], "battery_charging"),
    (&["running"], "running"),
];

/// The device class of something that is on or off, as far as its name says: on is what is to be noticed.
pub(super) fn of_switch(name: &str) -> Option<&'static str> {
    named(&words(name), SWITCHES)
}

/// The state class of a number of a device class.
pub(super) fn state_class(class: Option<&str>, monotonic: bool) -> StateClass {
    match class {
        _ if monotonic => StateClass::TotalIncreasing,
        Some(class) if METERS.contains(&class) => StateClass::TotalIncreasing,
        Some("monetary") => StateClass::Total,
        Some("wind_direction") => StateClass::MeasurementAngle,
        _ => StateClass::Measurement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_and_a_name_tell_the_device_class() {
        for (unit, name, expected) in [
            ("°C", "air:north", Some("temperature")),
            ("%", "air:north/humidity", Some("humidity")),
            ("%", "mqtt:zigbee2mqtt/window/battery", Some("battery")),
            ("%", "soil:bed_3", Some("moisture")),
            ("%", "system:cpu_percent", None),
            ("hPa", "air:p", Some("pressure")),
            ("lx", "sky:light", Some("illuminance")),
            ("W", "plug:power", Some("power")),
            ("Wh", "plug:total", Some("energy")),
            ("V", "plug:u", Some("voltage")),
            ("A", "plug:i", Some("current")),
            ("ppm", "air:office/co2", Some("carbon_dioxide")),
            ("ppm", "air:office/co", Some("carbon_monoxide")),
            ("ppm", "water:chlorine", None),
            ("µg/m³", "air:pm25", Some("pm25")),
            ("mm", "yard:rain", Some("precipitation")),
            ("mm", "tank:level", Some("distance")),
            ("m/s", "roof:wind/gust", Some("wind_speed")),
            ("m³", "house:water", Some("water")),
            ("m³", "house:gas", Some("gas")),
            ("gal", "house:gas", Some("volume_storage")),
            ("L", "tank:fuel", Some("volume_storage")),
            ("dB", "radio:rssi", Some("signal_strength")),
            ("furlong", "horse:run", None),
        ] {
            assert_eq!(of_number(unit, name), expected, "{unit} of {name}");
            assert!(expected.is_none_or(|class| Component::Number.takes(class)), "{unit}");
        }
    }

    #[test]
    fn what_stands_last_in_a_name_says_most() {
        assert_eq!(of_number("%", "battery:soil/humidity"), Some("humidity"));
        assert_eq!(of_number("%", "humidity:soil/battery"), Some("battery"));
        assert_eq!(of_switch("home.door:alarm"), Some("problem"));
        assert_eq!(of_switch("zigbee:hall/motion"), Some("motion"));
        assert_eq!(of_switch("zigbee:hall/state"), None);
        for (_, class) in SWITCHES {
            assert!(Component::Binary.takes(class), "{class}");
        }
    }

    #[test]
    fn meters_are_totals_and_all_else_is_measured() {
        assert_eq!(state_class(Some("energy"), false), StateClass::TotalIncreasing);
        assert_eq!(state_class(Some("temperature"), false), StateClass::Measurement);
        assert_eq!(state_class(None, true), StateClass::TotalIncreasing);
        assert_eq!(state_class(None, false), StateClass::Measurement);
    }

    #[test]
    fn a_component_takes_the_classes_of_its_kind_only() {
        assert!(Component::Binary.takes("problem") && !Component::Number.takes("problem"));
        assert!(Component::Text.takes("timestamp") && !Component::Number.takes("timestamp"));
        assert!(!Component::Text.takes("temperature"));
    }
}
