//! What users set, and what is wrong with it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::condition::Range;
use smollama_engine::glob::Glob;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;
use smollama_engine::series::Series;
use smollama_engine::unit::{self, NoConversion};

use super::rule::name_problem;

/// Brings readings into another form: another name, another unit, other labels, and numbers that are scaled, clamped or rounded.
///
/// With a number this is done, in this order: `scale`, `offset`, `convert`, `clamp`, `round`. On and off count as 1 and 0. A whole number
/// stays whole where the settings are whole and nothing is converted. What cannot be calculated with (a text such as `unavailable`) goes to
/// port `dropped`, where anything is calculated at all. So do all readings of a series that cannot become what is asked for, since its
/// unit measures something else or it has none; the dead letters say so once for each such series.
///
/// A map is still the same quantity, so the source keeps its name, unless `source`, `id` or the engine word `as` gives it another: with `as` alone
/// the source is of that type and has the input's `type/id` as its id. Several series that get the same name, unit and labels
/// become one.
///
/// Time, score and count of a reading stay, and its place among the others. It takes readings alone: to have windows in another
/// form, map before `window`. Nothing is remembered, so its settings may change at any time.
///
/// Ports: `main` what became of the readings; `dropped` those of which nothing becomes, as they came.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapConfig {
    /// What the source is called, `type:id`, as a template: `"room:{{ labels.room }}/temperature"`. It can speak of `source`, `type`,
    /// `id`, `host`, and of `unit` and `labels` as they are afterwards. Default: as before.
    pub source: Option<String>,
    /// What the source is called within its type, as a template: `"{{ id | replace('/air', '') }}"`. Default: as before.
    pub id: Option<String>,
    /// The number is multiplied by this. Default: `1`.
    pub scale: Option<f64>,
    /// This is added. Default: `0`.
    pub offset: Option<f64>,
    /// The unit that the number has then, whatever the source says: `V`. Default: the unit of the series.
    pub unit: Option<String>,
    /// The unit it is converted to, of the same dimension: `°F` from `°C`, `kW` from `W`. Default: none.
    pub convert: Option<String>,
    /// What is less than `min` becomes `min`, and what is more than `max` becomes `max`. Default: no bounds.
    pub clamp: Option<Range>,
    /// How many decimals are left, from 0 to 12: `1` makes 21.4 of 21.38. Default: all.
    #[schemars(range(max = 12))]
    pub round: Option<u8>,
    /// What becomes of the labels. Default: they stay.
    pub labels: LabelChanges,
    /// Other settings for some series. The first entry whose pattern fits the source counts; what it leaves out is as above.
    pub overrides: Vec<Override>,
}

/// What becomes of the labels of a series. Labels are removed first, then renamed, then added.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LabelChanges {
    /// Labels that it then has, whatever they were before: `{ floor: "1" }`.
    pub add: BTreeMap<String, String>,
    /// Patterns over the names of labels that it loses: `[mac, "zigbee_*"]`.
    pub remove: OneOrMany<Glob>,
    /// Labels that are called otherwise, the old name first: `{ place: room }`.
    pub rename: BTreeMap<String, String>,
}

/// Other settings for the series whose source fits a pattern.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// A pattern over sources: `air:**/humidity`.
    #[serde(rename = "match")]
    pub pattern: Glob,
    /// Instead of `source` and `id`.
    #[serde(default)]
    pub source: Option<String>,
    /// Instead of `source` and `id`.
    #[serde(default)]
    pub id: Option<String>,
    /// Instead of `scale`.
    #[serde(default)]
    pub scale: Option<f64>,
    /// Instead of `offset`.
    #[serde(default)]
    pub offset: Option<f64>,
    /// Instead of `unit`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Instead of `convert`.
    #[serde(default)]
    pub convert: Option<String>,
    /// Instead of `clamp`.
    #[serde(default)]
    pub clamp: Option<Range>,
    /// Instead of `round`.
    #[serde(default)]
    #[schemars(range(max = 12))]
    pub round: Option<u8>,
    /// Instead of `labels`.
    #[serde(default)]
    pub labels: Option<LabelChanges>,
}

const DECIMALS_MAX: u8 = 12;

impl MapConfig {
    /// The settings for the series of an override.
    pub(super) fn with(&self, over: &Override) -> MapConfig {
        let named = over.source.is_some() || over.id.is_some();
        let (source, id) = if named { (&over.source, &over.id) } else { (&self.source, &self.id) };
        MapConfig {
            source: source.clone(),
            id: id.clone(),
            scale: over.scale.or(self.scale),
            offset: over.offset.or(self.offset),
            unit: over.unit.clone().or_else(|| self.unit.clone()),
            convert: over.convert.clone().or_else(|| self.convert.clone()),
            clamp: over.clamp.or(self.clamp),
            round: over.round.or(self.round),
            labels: over.labels.clone().unwrap_or_else(|| self.labels.clone()),
            overrides: Vec::new(),
        }
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = self.check_one("", self);
        for (index, one) in self.overrides.iter().enumerate() {
            let bare = MapConfig::default().with(one);
            if bare == MapConfig::default() && one.labels.is_none() {
                problems.push(
                    Problem::at(format!("overrides.{index}"), "an override that changes nothing")
                        .help("give one of source, id, scale, offset, unit, convert, clamp, round, labels"),
                );
            }
            problems.extend(bare.check_one(&format!("overrides.{index}."), &self.with(one)));
        }
        problems
    }

    /// What is wrong with what is written at one place. `whole` is that with what it does not say itself.
    fn check_one(&self, at: &str, whole: &MapConfig) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String, help: &str| {
            problems.push(Problem::at(format!("{at}{field}"), message).help(help));
        };
        if self.source.is_some() && self.id.is_some() {
            let message = "`source` says the id too".to_owned();
            wrong("id", message, "give `source` or `id`");
        }
        for (name, number) in [("scale", self.scale), ("offset", self.offset)] {
            if number.is_some_and(|number| !number.is_finite()) {
                wrong(name, "it is not a finite number".into(), "give a number such as 0.1");
            }
        }
        if self.scale == Some(0.0) {
            wrong("scale", "every value would become the same".into(), "leave out `scale`");
        }
        match self.clamp.map(|clamp| (clamp.min, clamp.max)) {
            Some((None, None)) => {
                wrong("clamp", "it has no bounds".into(), "give `min`, `max` or both");
            }
            Some((Some(min), Some(max))) if min > max => {
                wrong("clamp.min", format!("{min} is more than `max`, {max}"), "swap them");
            }
            Some((min, max)) if min.into_iter().chain(max).any(f64::is_nan) => {
                wrong("clamp", "a bound is not a number".into(), "give a number such as 100");
            }
            _ => {}
        }
        if let Some(round) = self.round.filter(|round| *round > DECIMALS_MAX) {
            let message = format!("{round} decimals; it must be from 0 to {DECIMALS_MAX}");
            wrong("round", message, "write `round: 2` for two decimals");
        }
        if self.unit.as_ref().is_some_and(|unit| unit.trim().is_empty()) {
            wrong("unit", "it is empty".into(), "leave out `unit` to keep it");
        }
        let names = [("source", &self.source), ("id", &self.id)];
        let names = names.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        for (name, text) in names {
            problems.extend(name_problem(&format!("{at}{name}"), text));
        }
        // Said where either is written, and known beforehand only where both are.
        if self.unit.is_some() || self.convert.is_some() {
            problems.extend(whole.check_units(at));
        }
        problems
    }

    fn check_units(&self, at: &str) -> Option<Problem> {
        let to = self.convert.as_deref()?;
        let error = match self.unit.as_deref() {
            Some(from) => unit::conversion(from, to).err()?,
            None => unit::known(to).err()?,
        };
        let problem = Problem::at(format!("{at}convert"), error.to_string());
        Some(match error {
            NoConversion::Unknown { nearest: Some(nearest), .. } => {
                problem.help(format!("did you mean `{nearest}`?"))
            }
            NoConversion::Unknown { nearest: None, .. } => {
                problem.help("say it with `scale`, `offset` and `unit`")
            }
            NoConversion::Dimension { .. } => {
                problem.help("a conversion keeps what is measured; to make something else of it there is `derive`")
            }
        })
    }
}

impl LabelChanges {
    pub(super) fn apply(&self, series: &mut Series) {
        let removed = |name: &str| self.remove.iter().any(|glob| glob.matches(name));
        series.labels.retain(|name, _| !removed(name));
        // All at once, so that two can change places.
        let taken: Vec<_> = self
            .rename
            .iter()
            .filter_map(|(old, new)| Some((new, series.labels.remove(old.as_str())?)))
            .collect();
        for (name, value) in taken {
            series.labels.insert(name.as_str().into(), value);
        }
        for (name, value) in &self.add {
            series.labels.insert(name.as_str().into(), value.as_str().into());
        }
    }
}
