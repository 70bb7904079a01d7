//! What users set, and what it comes to for one series.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::registry::Problem;

use super::measure::{Measure, Reach};

/// Scores each reading by how restless its series has been lately: its volatility over `high`, so that 1 and more is
/// volatile.
///
/// The volatility of a series is measured over its last readings (`samples`, or `span`, or both) once there are three:
///
/// - `cv`: the sample standard deviation (n − 1) over the mean's magnitude.
/// - `mad`: 1.4826 × the median absolute deviation over the median's magnitude: as `cv`, but single outliers do not count.
/// - `delta`: the largest difference between one reading and the next, in the unit of the series.
///
/// Where the mean may come near zero (a temperature in °C), `cv` and `mad` say little: use `delta`, or set `floor`. Of on and off,
/// and of texts, whatever the measure, the share of readings that differ from the one before is taken. Of a counter (a
/// monotonic series) the rate per second is measured. JSON values are not scored.
///
/// A series becomes volatile after `hysteresis` readings in a row at or above `high`, and calm again after as many at or
/// below `low`.
///
/// **When its settings change** while it runs, all is kept: the last readings are measured anew, and a volatile series stays so until
/// enough readings in a row say that it is calm by the new settings. More `samples` fill up as readings come; with a `span`
/// where there was none, the window begins anew, as the times of its readings are not known.
///
/// To find out what is worth attention, `novelty` is the better score: a series that is always restless is no news.
///
/// Ports: `main` has every reading, with its score in place of any it had; `values` the volatility itself, as a series of its own (label
/// `stat: volatility`); `changes` a reading, on or off, whenever a series becomes volatile or calm (label `stat: volatile`); `late` the readings
/// that are older than the last one of their series.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VolatilityConfig {
    /// What is measured: `cv`, `delta` or `mad`. Default: cv.
    pub measure: Measure,
    /// Over how many readings at most. Default: 10; with `span`, 1000.
    #[schemars(range(min = 2, max = 10_000))]
    pub samples: Option<u32>,
    /// Over the readings of how long at most, such as `10m`; the one exactly so old no longer counts. Default: however long
    /// `samples` readings take.
    pub span: Option<Duration>,
    /// From which volatility on a series is volatile. Default: 0.5; `delta` has none, as it depends on the unit.
    #[schemars(range(min = 0.0))]
    pub high: Option<f64>,
    /// Up to which volatility a series is calm. Default: a fifth of `high`.
    #[schemars(range(min = 0.0))]
    pub low: Option<f64>,
    /// How many readings in a row must agree before a series becomes volatile or calm. Default: 3.
    #[schemars(range(min = 1))]
    pub hysteresis: u32,
    /// What the magnitude of mean and median counts as at least, in the unit of the series. Default: 0.000000001.
    #[schemars(range(min = 0.0))]
    pub floor: f64,
    /// Other settings for some sources; the first entry that matches is used. Default: none.
    pub overrides: Vec<Override>,
}

/// Other settings for some sources. What is left out is as for all others.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The sources it is for, such as `air:**/humidity`.
    #[serde(rename = "match")]
    pub pattern: Glob,
    /// See `measure` above.
    pub measure: Option<Measure>,
    /// See `samples` above.
    #[schemars(range(min = 2, max = 10_000))]
    pub samples: Option<u32>,
    /// See `span` above.
    pub span: Option<Duration>,
    /// See `high` above. It is in the unit of the measure, so an entry with another `measure` does not take over the `high` and `low`
    /// for all.
    #[schemars(range(min = 0.0))]
    pub high: Option<f64>,
    /// See `low` above.
    #[schemars(range(min = 0.0))]
    pub low: Option<f64>,
    /// See `hysteresis` above.
    #[schemars(range(min = 1))]
    pub hysteresis: Option<u32>,
    /// See `floor` above.
    #[schemars(range(min = 0.0))]
    pub floor: Option<f64>,
}

impl Default for VolatilityConfig {
    fn default() -> Self {
        VolatilityConfig {
            measure: Measure::Cv,
            samples: None,
            span: None,
            high: None,
            low: None,
            hysteresis: 3,
            floor: 1e-9,
            overrides: Vec::new(),
        }
    }
}

/// How one series is measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub(super) measure: Measure,
    pub(super) reach: Reach,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) hysteresis: u32,
    pub(super) floor: f64,
}

/// By what a series is judged volatile or calm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Judgement {
    measure: Measure,
    floor: f64,
    high: f64,
    low: f64,
}

impl Rule {
    pub(super) fn judgement(&self) -> Judgement {
        let Rule { measure, floor, high, low, .. } = *self;
        Judgement { measure, floor, high, low }
    }
}

impl VolatilityConfig {
    /// The rule for all, then those of the overrides in their order.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let merged = self.overrides.iter().map(|over| self.with(over).rule());
        std::iter::once(self.rule()).chain(merged).collect()
    }

    fn rule(&self) -> Rule {
        let samples = self.samples.unwrap_or(if self.span.is_some() { 1000 } else { 10 });
        let high = self.high.unwrap_or(0.5);
        Rule {
            measure: self.measure,
            reach: Reach { samples: samples as usize, span: self.span },
            high,
            low: self.low.unwrap_or(high / 5.0),
            hysteresis: self.hysteresis,
            floor: self.floor,
        }
    }

    /// As for the sources of an override.
    fn with(&self, over: &Override) -> VolatilityConfig {
        let measure = over.measure.unwrap_or(self.measure);
        let (high, low) =
            if measure == self.measure { (self.high, self.low) } else { (None, None) };
        VolatilityConfig {
            measure,
            samples: over.samples.or(self.samples),
            span: over.span.or(self.span),
            high: over.high.or(high),
            low: over.low.or(low),
            hysteresis: over.hysteresis.unwrap_or(self.hysteresis),
            floor: over.floor.unwrap_or(self.floor),
            overrides: Vec::new(),
        }
    }

    /// All that is wrong, with the settings for all and with each override.
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = self.check_one("");
        for (index, over) in self.overrides.iter().enumerate() {
            let known: Vec<String> = problems.iter().map(|one| one.message.clone()).collect();
            let found = self.with(over).check_one(&format!("overrides.{index}."));
            problems.extend(found.into_iter().filter(|one| !known.contains(&one.message)));
        }
        problems
    }

    fn check_one(&self, at: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String, help: &str| {
            problems.push(Problem::at(format!("{at}{field}"), message).help(help));
        };
        let rule = self.rule();
        if !(2..=10_000).contains(&rule.reach.samples) {
            let message =
                format!("`samples` is {}; it must be from 2 to 10000", rule.reach.samples);
            wrong("samples", message, "for a long time at a high rate, put a `window` before it");
        }
        if self.span.is_some_and(Duration::is_zero) {
            wrong("span", "`span` is no time at all".into(), "write it like 10m");
        }
        if self.measure == Measure::Delta && self.high.is_none() {
            let help =
                "`delta` is in the unit of the series: say from which difference on it is volatile";
            wrong("high", "`measure: delta` needs `high`".into(), help);
        } else if !(rule.high > 0.0 && rule.high.is_finite()) {
            let help = "say from which volatility on a series is volatile, such as 0.5";
            wrong("high", format!("`high` is {}; it must be greater than 0", rule.high), help);
        } else if !(0.0..rule.high).contains(&rule.low) {
            let message = format!("`low` ({}) must be less than `high` ({})", rule.low, rule.high);
            wrong("low", message, "between the two a series stays what it was");
        }
        if rule.hysteresis == 0 {
            wrong("hysteresis", "`hysteresis` is 0".into(), "1 lets each reading decide");
        }
        if !(rule.floor > 0.0 && rule.floor.is_finite()) {
            let message = format!("`floor` is {}; it must be greater than 0", rule.floor);
            wrong("floor", message, "leave it out, or give it in the unit of the series");
        }
        problems
    }
}
