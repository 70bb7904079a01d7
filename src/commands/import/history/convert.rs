//! Rows of the old program as readings and observations of ours.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde_json::Value as Json;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Value;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::time::Timestamp;
use smollama_store::original;

use super::chunk::OldReading;
use super::tally::ZoneDoubt;

/// The longest value, in bytes.
const VALUE_MAX: usize = 64 << 10;
/// The longest name of a source with its unit, in bytes.
const NAME_MAX: usize = 2 << 10;
/// 2015-01-01T00:00:00Z: a clock that was never set.
const EARLIEST: Timestamp = Timestamp::from_micros(1_420_070_400_000_000);
/// What older releases put before the sources of edge nodes.
const EDGE_TYPE: &str = "mqtt_edge";
/// So many times that name no zone tell whether they are of the zone that was said.
const TOLD_LEAST: u64 = 20;
/// A quarter of an hour in microseconds: what the offsets of zones are multiples of.
const QUARTER: i64 = 900_000_000;

/// Why a row becomes no reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It stands for "no value".
    NoValue,
    /// It makes no sense.
    Damaged(String),
}

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused::Damaged(why)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Converter {
    /// The zone of times that name none.
    zone: TimeZone,
    /// Nothing was measured later.
    latest: Timestamp,
    /// By how many quarters of an hour times that name no zone are off from when they were written down, and how many.
    off: HashMap<i64, u64>,
    metadata_left: u64,
}

impl Converter {
    pub(super) fn new(zone: TimeZone, latest: Timestamp) -> Converter {
        Converter { zone, latest, off: HashMap::new(), metadata_left: 0 }
    }

    /// The readings of a row: with a camera's, those of its metadata.
    pub(super) fn reading(&mut self, row: &original::Reading) -> Result<Vec<OldReading>, Refused> {
        let time = self.time(&row.timestamp, row.created_at.as_deref())?;
        let name = match row.source_type.as_str() {
            EDGE_TYPE => row.source_id.clone(),
            own => format!("{own}:{}", row.source_id),
        };
        let json = value_json(&row.value)?;
        let mut series = series(&name, row.unit.as_deref())?;
        let metadata = row.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let mut readings = Vec::new();
        match (row.source_type.as_str(), metadata) {
            (_, None | Some(Json::Null)) => {}
            ("jetson_inference", Some(Json::Object(fields))) => {
                for (field, json) in fields {
                    let series = self::series(&format!("{name}/{field}"), None)?;
                    if let Ok(value) = value(json) {
                        readings.push(OldReading { time, series, value });
                    }
                }
            }
            ("gpio", Some(Json::Object(fields))) => {
                if let Some(Json::String(label)) = fields.get("name") {
                    series = series.with_label("name", label);
                }
            }
            // Which node it is from, its source says.
            (_, Some(Json::Object(fields))) if fields.len() == 1 && fields.contains_key("node") => {
            }
            _ => self.metadata_left += 1,
        }
        readings.insert(0, OldReading { time, series, value: value(json)? });
        Ok(readings)
    }

    /// The reading of an entry of the cache.
    pub(super) fn cached(&mut self, entry: &Json) -> Result<OldReading, Refused> {
        let text =
            |key: &str| entry.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
        let needed = |key: &str| text(key).ok_or_else(|| format!("it has no `{key}`"));
        let name = format!("{}:{}", needed("node")?, needed("source")?);
        Ok(OldReading {
            time: self.time(needed("timestamp")?, None)?,
            series: series(&name, text("unit"))?,
            value: value(entry.get("value").cloned().unwrap_or(Json::Null))?,
        })
    }

    pub(super) fn observation(
        &mut self,
        row: &original::Observation,
    ) -> Result<Observation, String> {
        let time = self.time(&row.timestamp, row.created_at.as_deref())?;
        if row.text.len() > VALUE_MAX {
            return Err(format!("its text has more than {VALUE_MAX} bytes"));
        }
        let kind = match row.observation_type.as_str() {
            "pattern" => ObservationKind::Pattern,
            "anomaly" => ObservationKind::Anomaly,
            "status" => ObservationKind::Status,
            "summary" => ObservationKind::Summary,
            // Whatever else a model wrote there was not checked.
            _ => ObservationKind::General,
        };
        let sources = row.related_sources.as_deref();
        let sources: Vec<Arc<str>> =
            sources.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
        Ok(Observation {
            id: row.uuid(time),
            time,
            author: format!("python/{}", row.node_id).into(),
            kind,
            text: row.text.as_str().into(),
            confidence: row.confidence.filter(|one| one.is_finite()).unwrap_or(0.8).clamp(0.0, 1.0),
            sources,
            evidence: Evidence::default(),
            model: None,
            rung: Rung::LocalModel,
        })
    }

    /// Of how many rows the metadata have no place here.
    pub(super) fn metadata_left(&self) -> u64 {
        self.metadata_left
    }

    /// Whether times that name no zone seem to be of another than was said.
    pub(super) fn zone_doubt(&self) -> Option<ZoneDoubt> {
        let rows: u64 = self.off.values().sum();
        let (quarters, most) = self.off.iter().max_by_key(|(_, rows)| **rows)?;
        let is_off = *quarters != 0 && rows >= TOLD_LEAST && *most > rows / 2;
        is_off.then(|| ZoneDoubt { rows: *most, minutes: quarters * 15 })
    }

    /// An instant as Python's `isoformat` writes it. Of two that one time of day can be, the one that is nearer to when it was written down.
    fn time(&mut self, text: &str, created_at: Option<&str>) -> Result<Timestamp, String> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return self.checked(Timestamp::from_jiff(instant), text);
        }
        let civil: DateTime =
            text.parse().map_err(|_| format!("`{}` is no time", crate::text::cut(text, 40)))?;
        let created = created_at.and_then(|text| text.parse::<DateTime>().ok());
        let created = created.and_then(|civil| civil.to_zoned(TimeZone::UTC).ok());
        let created = created.map(|zoned| zoned.timestamp().as_microsecond());
        let at = |instant: Result<jiff::Timestamp, jiff::Error>| {
            instant.map(|instant| instant.as_microsecond()).map_err(|error| error.to_string())
        };
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        let micros = match (ambiguous.offset(), created) {
            (AmbiguousOffset::Fold { before, after }, Some(created)) => {
                let (first, second) =
                    (at(before.to_timestamp(civil))?, at(after.to_timestamp(civil))?);
                let nearer = created.abs_diff(second) < created.abs_diff(first);
                if nearer { second } else { first }
            }
            _ => at(ambiguous.compatible())?,
        };
        if let Some(created) = created {
            let off =
                micros.saturating_sub(created).saturating_add(QUARTER / 2).div_euclid(QUARTER);
            if self.off.len() < 1_000 || self.off.contains_key(&off) {
                *self.off.entry(off).or_default() += 1;
            }
        }
        self.checked(Timestamp::from_micros(micros), text)
    }

    fn checked(&self, time: Timestamp, text: &str) -> Result<Timestamp, String> {
        if time < EARLIEST {
            return Err(format!("`{text}` is before 2015: the clock was not set"));
        }
        if time > self.latest {
            return Err(format!("`{text}` is in the future"));
        }
        Ok(time)
    }
}

/// The JSON of a value. Python writes what is no number as `NaN`, which is no JSON either.
fn value_json(text: &str) -> Result<Json, Refused> {
    if text.len() > VALUE_MAX {
        return Err(Refused::Damaged(format!("its value has more than {VALUE_MAX} bytes")));
    }
    match serde_json::from_str(text) {
        Ok(json) => Ok(json),
        Err(_) if matches!(text, "NaN" | "Infinity" | "-Infinity") => Err(Refused::NoValue),
        Err(_) => Err(Refused::Damaged(format!("`{}` is no JSON", crate::text::cut(text, 40)))),
    }
}

fn value(json: Json) -> Result<Value, Refused> {
    Value::from_json(json).ok_or(Refused::NoValue)
}

/// A source as this program names it, with the unit it has here.
fn series(name: &str, unit: Option<&str>) -> Result<Series, Refused> {
    if name.len() + unit.map_or(0, str::len) > NAME_MAX {
        return Err(Refused::Damaged(format!("its name has more than {NAME_MAX} bytes")));
    }
    let series = Series::new(SourceKey::parse(name));
    Ok(match (name, unit) {
        // What the source `system` measures under the same name goes on with it.
        ("system:mem_available_mb", Some("mb")) => series.with_unit("MiB"),
        ("system:load_avg", Some("load")) => series,
        (_, unit) => unit.into_iter().fold(series, Series::with_unit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(source: (&str, &str), value: &str, unit: &str) -> original::Reading {
        original::Reading {
            id: 1,
            timestamp: "2026-06-21T10:00:00.250000".into(),
            created_at: None,
            source_type: source.0.into(),
            source_id: source.1.into(),
            value: value.into(),
            unit: Some(unit.into()),
            metadata: None,
        }
    }

    fn converter(zone: &str) -> Converter {
        Converter::new(TimeZone::get(zone).unwrap(), "2027-01-01T00:00:00Z".parse().unwrap())
    }

    fn one(row: &original::Reading) -> OldReading {
        converter("Europe/Berlin").reading(row).unwrap().remove(0)
    }

    #[test]
    fn a_source_keeps_its_name_and_gets_the_unit_it_has_here() {
        for (source, unit, wanted, wanted_unit) in [
            (("system", "cpu_temp"), "celsius", "system:cpu_temp", Some("°C")),
            (("system", "mem_available_mb"), "mb", "system:mem_available_mb", Some("MiB")),
            (("system", "load_avg"), "load", "system:load_avg", None),
            (
                ("attic", "system:mem_available_mb"),
                "mb",
                "attic:system:mem_available_mb",
                Some("MB"),
            ),
            (("mqtt_edge", "attic:gpio:17"), "boolean", "attic:gpio:17", Some("boolean")),
        ] {
            let series = one(&row(source, "1", unit)).series;
            assert_eq!((series.source.name(), series.unit.as_deref()), (wanted, wanted_unit));
        }
    }

    #[test]
    fn a_value_keeps_its_kind_and_none_is_none() {
        for (text, wanted) in [
            ("1", Value::Int(1)),
            ("45.5", Value::Float(45.5)),
            ("true", Value::Bool(true)),
            ("\"dog\"", Value::text("dog")),
        ] {
            assert_eq!(one(&row(("a", "b"), text, "")).value, wanted);
        }
        let refused =
            |text: &str| converter("UTC").reading(&row(("a", "b"), text, "")).unwrap_err();
        assert_eq!([refused("null"), refused("NaN")], [Refused::NoValue, Refused::NoValue]);
        assert_eq!(refused("dog"), Refused::Damaged("`dog` is no JSON".into()));
    }

    #[test]
    fn a_time_without_a_zone_is_of_the_machine_and_one_with_it_as_it_says() {
        let mut berlin = converter("Europe/Berlin");
        let mut time =
            |text: &str, created| berlin.time(text, created).map(|time| time.to_string());
        assert_eq!(time("2026-06-21T10:00:00.25", None).unwrap(), "2026-06-21T08:00:00.250Z");
        assert_eq!(time("2026-06-21T10:00:00+05:30", None).unwrap(), "2026-06-21T04:30:00Z");
        assert_eq!(time("2026-01-21T10:00:00", None).unwrap(), "2026-01-21T09:00:00Z");
        // At the end of summer an hour comes twice; when it was written down tells which.
        let twice = "2025-10-26T02:30:00";
        assert_eq!(time(twice, None).unwrap(), "2025-10-26T00:30:00Z");
        assert_eq!(time(twice, Some("2025-10-26 00:30:01")).unwrap(), "2025-10-26T00:30:00Z");
        assert_eq!(time(twice, Some("2025-10-26 01:30:01")).unwrap(), "2025-10-26T01:30:00Z");
        for bad in [
            "",
            "yesterday",
            "1970-01-01T00:00:10",
            "2031-01-01T00:00:00+00:00",
            "2026-13-01T00:00:00",
        ] {
            assert!(time(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_zone_that_cannot_be_is_noticed() {
        let mut rows = row(("system", "load_avg"), "0.5", "load");
        rows.created_at = Some("2026-06-21 08:00:01".into());
        for (zone, wanted) in
            [("Europe/Berlin", None), ("UTC", Some(120)), ("Asia/Kolkata", Some(-210))]
        {
            let mut converter = converter(zone);
            for _ in 0..TOLD_LEAST {
                converter.reading(&rows).unwrap();
            }
            assert_eq!(converter.zone_doubt().map(|doubt| doubt.minutes), wanted, "{zone}");
        }
    }

    #[test]
    fn metadata_are_labels_and_readings_where_they_have_a_place() {
        let mut gpio = row(("gpio", "17"), "1", "boolean");
        gpio.metadata = Some(r#"{"name":"door","mode":"input"}"#.into());
        assert_eq!(one(&gpio).series.labels.get("name").map(|name| &**name), Some("door"));

        let mut converter = converter("UTC");
        let mut camera = row(("jetson_inference", "top_object"), "\"dog\"", "");
        camera.metadata = Some(r#"{"objects":{"dog":2},"none":null}"#.into());
        let readings = converter.reading(&camera).unwrap();
        let names: Vec<&str> = readings.iter().map(|one| one.series.source.name()).collect();
        assert_eq!(names, ["jetson_inference:top_object", "jetson_inference:top_object/objects"]);
        let mut edge = row(("attic", "system:load_avg"), "1", "");
        edge.metadata = Some(r#"{"node":"attic"}"#.into());
        converter.reading(&edge).unwrap();
        assert_eq!(converter.metadata_left(), 0);
        edge.metadata = Some(r#"{"pin":4}"#.into());
        converter.reading(&edge).unwrap();
        assert_eq!(converter.metadata_left(), 1);
    }
}
