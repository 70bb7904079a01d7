//! What can be asked of a simulated source.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::duration::Duration;
use smollama_engine::reading::Value;
use smollama_engine::registry::Problem;

/// How often it is asked where the pipeline file does not say.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Makes readings up, for trying out pipelines without a sensor.
///
/// `simulate: {}` is one source, `value`, that wanders about 20 in steps of about 0.1. A wave with noise and faults makes something more
/// like a sensor: spikes, dropouts, and values that stick. With `series` there are several; what stands at the top then holds for all of
/// them unless they say otherwise.
///
/// Each value follows from `seed`, the name of the series and the number of the sample alone, so the same settings give the same
/// values at any speed; only the times are those of the clock. Periods count from the first sample: with `every: 1m`, sample 60 lies an
/// hour into the wave, and a `daily` wave begins at midnight unless `phase` says otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulateConfig {
    /// Where chance begins: another number gives other values. Default: 1.
    pub seed: u64,
    /// Several series by name, each with the settings below. Default: one, named `value`.
    pub series: BTreeMap<String, Shape>,
    /// End after so many samples. Default: never.
    pub count: Option<u64>,
    /// End after this much time, such as `1h`. Default: never.
    #[serde(rename = "for")]
    pub span: Option<Duration>,
    /// `random_walk` (the default), `constant`, `sine`, `square` or `daily`.
    pub wave: Option<Wave>,
    /// The middle of the wave, or where the walk begins. Default: 20.
    pub base: Option<f64>,
    /// How far the wave goes to either side. Default: 1.
    pub amplitude: Option<f64>,
    /// How long a sine or square wave takes. Default: `1m`; `24h` for `daily`.
    pub period: Option<Duration>,
    /// How far into the wave the first sample lies. Default: `0s`.
    pub phase: Option<Duration>,
    /// The standard deviation of a step of the walk. Default: 0.1.
    pub step: Option<f64>,
    /// The least value; a walk turns back there. Default: none.
    pub min: Option<f64>,
    /// The greatest value; a walk turns back there. Default: none.
    pub max: Option<f64>,
    /// The standard deviation of noise upon each value. Default: 0.
    pub noise: Option<f64>,
    /// Single values that stick out, such as `{ every: 10m, size: 5 }`. Default: none.
    pub spikes: Option<Spikes>,
    /// Times without a value, such as `{ probability: 0.01, for: 30s }`. Default: none.
    pub dropouts: Option<Fault>,
    /// Times in which the value does not move, such as `{ every: 1h, for: 5m }`. Default: none.
    pub stuck: Option<Fault>,
    /// The unit, such as `°C`. Default: none.
    pub unit: Option<String>,
    /// How many decimals values have; with 0 they are whole numbers. Default: 3.
    pub decimals: Option<u32>,
}

impl Default for SimulateConfig {
    fn default() -> SimulateConfig {
        SimulateConfig {
            seed: 1,
            series: BTreeMap::new(),
            count: None,
            span: None,
            wave: None,
            base: None,
            amplitude: None,
            period: None,
            phase: None,
            step: None,
            min: None,
            max: None,
            noise: None,
            spikes: None,
            dropouts: None,
            stuck: None,
            unit: None,
            decimals: None,
        }
    }
}

/// How one series behaves. What is left out is as it stands at the top of the node.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// `random_walk`, `constant`, `sine`, `square` or `daily`.
    pub wave: Option<Wave>,
    /// The middle of the wave, or where the walk begins.
    pub base: Option<f64>,
    /// How far the wave goes to either side.
    pub amplitude: Option<f64>,
    /// How long the wave takes.
    pub period: Option<Duration>,
    /// How far into the wave the first sample lies.
    pub phase: Option<Duration>,
    /// The standard deviation of a step of the walk.
    pub step: Option<f64>,
    /// The least value.
    pub min: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
    /// The standard deviation of noise upon each value.
    pub noise: Option<f64>,
    /// Single values that stick out.
    pub spikes: Option<Spikes>,
    /// Times without a value.
    pub dropouts: Option<Fault>,
    /// Times in which the value does not move.
    pub stuck: Option<Fault>,
    /// The unit.
    pub unit: Option<String>,
    /// How many decimals values have.
    pub decimals: Option<u32>,
}

/// How a series moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wave {
    /// By chance, from where it is.
    #[default]
    RandomWalk,
    /// Not at all.
    Constant,
    /// As a sine.
    Sine,
    /// Up for half the period, then down.
    Square,
    /// As a day does: least at four in the morning, greatest at four in the afternoon.
    Daily,
}

/// Single values that stick out.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spikes {
    /// One each time this much time is over. Default: none.
    pub every: Option<Duration>,
    /// How likely each sample is to be one, from 0 to 1. Default: 0.
    pub probability: f64,
    /// How far they stick out; below zero, downwards. Default: 10.
    pub size: f64,
}

impl Default for Spikes {
    fn default() -> Spikes {
        Spikes { every: None, probability: 0.0, size: 10.0 }
    }
}

/// Times in which a sensor fails.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// One begins each time this much time is over. Default: none.
    pub every: Option<Duration>,
    /// How likely one is to begin at each sample, from 0 to 1. Default: 0.
    pub probability: f64,
    /// How long one lasts. Default: one sample.
    #[serde(rename = "for")]
    pub span: Option<Duration>,
}

impl SimulateConfig {
    /// The series there are, each with all that is said of it.
    pub(super) fn shapes(&self) -> Vec<(String, Shape)> {
        if self.series.is_empty() {
            return vec![("value".into(), self.with(&Shape::default()))];
        }
        self.series.iter().map(|(name, shape)| (name.clone(), self.with(shape))).collect()
    }

    /// A shape, with what it leaves out as it stands at the top.
    fn with(&self, own: &Shape) -> Shape {
        Shape {
            wave: own.wave.or(self.wave),
            base: own.base.or(self.base),
            amplitude: own.amplitude.or(self.amplitude),
            period: own.period.or(self.period),
            phase: own.phase.or(self.phase),
            step: own.step.or(self.step),
            min: own.min.or(self.min),
            max: own.max.or(self.max),
            noise: own.noise.or(self.noise),
            spikes: own.spikes.clone().or_else(|| self.spikes.clone()),
            dropouts: own.dropouts.clone().or_else(|| self.dropouts.clone()),
            stuck: own.stuck.clone().or_else(|| self.stuck.clone()),
            unit: own.unit.clone().or_else(|| self.unit.clone()),
            decimals: own.decimals.or(self.decimals),
        }
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, shape) in self.shapes() {
            let at = |field: &str| match self.series.is_empty() {
                true => field.to_owned(),
                false => format!("series.{name}.{field}"),
            };
            shape.problems(&at, &mut problems);
        }
        if self.series.contains_key("") {
            problems.push(Problem::at("series", "a series needs a name"));
        }
        problems
    }
}

impl Shape {
    pub(super) fn base(&self) -> f64 {
        self.base.unwrap_or(20.0)
    }

    pub(super) fn wave(&self) -> Wave {
        self.wave.unwrap_or_default()
    }

    pub(super) fn period(&self) -> Duration {
        let usual = match self.wave() {
            Wave::Daily => Duration::from_days(1),
            _ => Duration::from_mins(1),
        };
        self.period.unwrap_or(usual)
    }

    pub(super) fn clamp(&self, value: f64) -> f64 {
        value.max(self.min.unwrap_or(f64::NEG_INFINITY)).min(self.max.unwrap_or(f64::INFINITY))
    }

    /// A value beyond a bound comes back by as much as it went over.
    pub(super) fn reflect(&self, value: f64) -> f64 {
        let mut value = value;
        if let Some(min) = self.min.filter(|&min| value < min) {
            value = min + (min - value);
        }
        if let Some(max) = self.max.filter(|&max| value > max) {
            value = max - (value - max);
        }
        self.clamp(value)
    }

    /// A value with the decimals that were asked for.
    pub(super) fn rounded(&self, value: f64) -> Option<Value> {
        let decimals = self.decimals.unwrap_or(3);
        if decimals == 0 {
            return Some(Value::Int(value.round() as i64));
        }
        let factor = 10f64.powi(i32::try_from(decimals).unwrap_or(i32::MAX));
        let rounded = (value * factor).round() / factor;
        Value::float(if rounded.is_finite() { rounded } else { value })
    }

    fn problems(&self, at: &dyn Fn(&str) -> String, problems: &mut Vec<Problem>) {
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            let problem = Problem::at(at("min"), format!("`min` {min} is above `max` {max}"));
            problems.push(problem.help("swap them"));
        }
        if self.period.is_some_and(Duration::is_zero) {
            problems.push(Problem::at(at("period"), "a period must be longer than nothing"));
        }
        let negative = |value: Option<f64>| value.is_some_and(|value| value < 0.0);
        for (field, value) in [("step", self.step), ("noise", self.noise)] {
            if negative(value) {
                problems.push(Problem::at(at(field), format!("`{field}` must not be negative")));
            }
        }
        if self.decimals.is_some_and(|decimals| decimals > 15) {
            let problem = Problem::at(at("decimals"), "a double has no more than 15 decimals");
            problems.push(problem.help("leave `decimals` out, or ask for 15 at most"));
        }
        let chances = [
            ("spikes", self.spikes.as_ref().map(|it| (it.probability, it.every))),
            ("dropouts", self.dropouts.as_ref().map(|it| (it.probability, it.every))),
            ("stuck", self.stuck.as_ref().map(|it| (it.probability, it.every))),
        ];
        for (field, fault) in chances {
            let Some((probability, every)) = fault else { continue };
            if !(0.0..=1.0).contains(&probability) {
                let field = at(&format!("{field}.probability"));
                problems.push(Problem::at(field, "a probability lies between 0 and 1"));
            } else if probability == 0.0 && every.is_none() {
                let problem = Problem::at(at(field), format!("`{field}` never come up"));
                problems.push(problem.help("add `every: 10m` or `probability: 0.01`"));
            }
        }
    }
}
