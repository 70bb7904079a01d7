//! What users set, and what it comes to for one series.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::glob::Glob;
use smollama_engine::registry::Problem;

use super::habits::Acuity;
use super::hold::HoldFor;

/// Scores each reading by how far its value is from anything its series said lately: 0 is usual, 1 and more is news.
///
/// A few dozen values of each series are remembered, each for as long as the series visits it. A reading's distance to the
/// nearest of them, as a share of the span of all values so far, divided by `news`, is its score. So news is a new extreme, a value between
/// habitual levels, or the return of a level not seen for long; a daily rise and fall is not, nor is a sensor that is always
/// restless. There is nothing to tune for each sensor. After news, for `hold`, only what is newer still gets a score; all
/// else gets 0.
///
/// Every reading goes on, with its score in place of any it had. Of a counter (a monotonic series) the rate per second is
/// scored, so that its steady growth is not news. On and off are 1 and 0. A text is news when it was not said in the last
/// `memory` readings of its series. JSON values are not scored.
///
/// What it cannot see: values in a strange order, a strange rhythm, or readings that stay away, as long as the values themselves are
/// known. For the last there is `alarm` with `missing_after`.
///
/// **When its settings change** while it runs, what was learnt is kept as long as it holds. Values outside of a new `range` are
/// forgotten, and the span they made. A series is learnt anew, beginning with its warm-up, where readings that were remembered as one
/// value would now be news to one another, as `news` is less than `vigilance` was. So is the daily profile, and also when the host's
/// time zone changes.
///
/// Ports: `main` has every reading in order of its series; `late` those that are older than the last one of their series.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoveltyConfig {
    /// From which distance on a reading is news, as a share of the span of values. Must be greater than `vigilance`.
    /// Default: 0.025.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub news: f64,
    /// Values that lie nearer together than this share of the span are remembered as one. Default: 0.02.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub vigilance: f64,
    /// For how many readings of its series a value is remembered after its last visit. Default: 4000, which is two weeks at one
    /// reading in five minutes.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub memory: u32,
    /// How many values of a series are remembered at most, at 12 bytes each. Default: 64.
    #[schemars(range(min = 2, max = 4096))]
    pub cells: u32,
    /// For how long after news only what is newer still gets a score: a number of readings of the series, or a duration such as
    /// `6h`. Default: 75 readings.
    pub hold: HoldFor,
    /// How many readings of a series are only learnt from, and get score 0. Default: 100.
    #[schemars(range(max = 1_000_000_000))]
    pub warm_up: u32,
    /// The span of a series' values is taken to be at least this share of its greatest magnitude, so that the first small change of a
    /// constant series is not news. Default: 0.01.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub span_floor: f64,
    /// The step in which the sensor measures, in the series' unit, such as 0.0625: one step is then never news. Default:
    /// none.
    #[schemars(range(min = 0.0))]
    pub resolution: Option<f64>,
    /// What values are possible, such as `{ min: -40, max: 85 }`. A reading outside goes on with score 0 and nothing is learnt
    /// from it: one absurd value would widen the span for good. Of counters it bounds the counter itself. Default: all.
    pub range: Option<Range>,
    /// Also compare each number with what is usual at its hour of the day, in the host's time zone: catches usual
    /// values at unusual hours, from the sixth day on. Takes up to 1.4 KB more for each series. Default: false.
    pub daily_profile: bool,
    /// Other settings for some sources; the first entry that matches is used. Default: none.
    pub overrides: Vec<Override>,
}

/// The values that are possible.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least possible value. Default: none.
    #[serde(default = "lowest")]
    pub min: f64,
    /// The greatest possible value. Default: none.
    #[serde(default = "highest")]
    pub max: f64,
}

const fn lowest() -> f64 {
    f64::MIN
}
const fn highest() -> f64 {
    f64::MAX
}

/// Other settings for some sources. What is left out is as for all others.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The sources it is for, such as `air:**/humidity`.
    #[serde(rename = "match")]
    pub pattern: Glob,
    /// See `news` above.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub news: Option<f64>,
    /// See `vigilance` above.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub vigilance: Option<f64>,
    /// See `memory` above.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub memory: Option<u32>,
    /// See `cells` above.
    #[schemars(range(min = 2, max = 4096))]
    pub cells: Option<u32>,
    /// See `hold` above.
    pub hold: Option<HoldFor>,
    /// See `warm_up` above.
    #[schemars(range(max = 1_000_000_000))]
    pub warm_up: Option<u32>,
    /// See `span_floor` above.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub span_floor: Option<f64>,
    /// See `resolution` above.
    #[schemars(range(min = 0.0))]
    pub resolution: Option<f64>,
    /// See `range` above.
    pub range: Option<Range>,
    /// See `daily_profile` above.
    pub daily_profile: Option<bool>,
}

impl Default for NoveltyConfig {
    fn default() -> Self {
        NoveltyConfig {
            news: 0.025,
            vigilance: 0.02,
            memory: 4000,
            cells: 64,
            hold: HoldFor::Readings(75),
            warm_up: 100,
            span_floor: 0.01,
            resolution: None,
            range: None,
            daily_profile: false,
            overrides: Vec::new(),
        }
    }
}

/// How one series is scored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub(super) acuity: Acuity,
    pub(super) news: f64,
    pub(super) hold: HoldFor,
    pub(super) warm_up: u32,
    pub(super) range: Range,
    pub(super) daily_profile: bool,
}

impl NoveltyConfig {
    /// The rule for all, then those of the overrides in their order.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let merged = self.overrides.iter().map(|over| self.with(over).rule());
        std::iter::once(self.rule()).chain(merged).collect()
    }

    fn rule(&self) -> Rule {
        Rule {
            acuity: Acuity {
                vigilance: self.vigilance,
                memory: self.memory,
                cells: self.cells as usize,
                span_floor: self.span_floor,
                // One step is then `vigilance` of the span, which is less than news.
                span_min: self.resolution.map_or(0.0, |step| step / self.vigilance),
            },
            news: self.news,
            hold: self.hold,
            warm_up: self.warm_up,
            range: self.range.unwrap_or(Range { min: lowest(), max: highest() }),
            daily_profile: self.daily_profile,
        }
    }

    /// As for the sources of an override.
    fn with(&self, over: &Override) -> NoveltyConfig {
        NoveltyConfig {
            news: over.news.unwrap_or(self.news),
            vigilance: over.vigilance.unwrap_or(self.vigilance),
            memory: over.memory.unwrap_or(self.memory),
            cells: over.cells.unwrap_or(self.cells),
            hold: over.hold.unwrap_or(self.hold),
            warm_up: over.warm_up.unwrap_or(self.warm_up),
            span_floor: over.span_floor.unwrap_or(self.span_floor),
            resolution: over.resolution.or(self.resolution),
            range: over.range.or(self.range),
            daily_profile: over.daily_profile.unwrap_or(self.daily_profile),
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
        let mut within = |field: &str, value: f64, range: RangeInclusive<f64>| {
            if !range.contains(&value) {
                let (min, max) = range.into_inner();
                let message = format!("`{field}` is {value}; it must be from {min} to {max}");
                problems.push(Problem::at(format!("{at}{field}"), message));
            }
        };
        within("vigilance", self.vigilance, 1e-6..=1.0);
        within("news", self.news, 1e-6..=10.0);
        within("memory", f64::from(self.memory), 1.0..=1e9);
        within("cells", f64::from(self.cells), 2.0..=4096.0);
        within("warm_up", f64::from(self.warm_up), 0.0..=1e9);
        within("span_floor", self.span_floor, 0.0..=1.0);
        within("resolution", self.resolution.unwrap_or(0.0), 0.0..=1e300);
        if problems.is_empty() && self.news <= self.vigilance {
            let message = format!(
                "`news` ({}) must be greater than `vigilance` ({})",
                self.news, self.vigilance
            );
            let help = "values nearer than `vigilance` are one and the same; raise `news`";
            problems.push(Problem::at(format!("{at}news"), message).help(help));
        }
        if let Some(range) = self.range
            && !(range.min < range.max && range.min.is_finite() && range.max.is_finite())
        {
            let message = format!("`min` ({}) must be less than `max` ({})", range.min, range.max);
            problems.push(Problem::at(format!("{at}range"), message));
        }
        problems
    }
}
