//! What users set, and what is wrong with it.

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

/// Passes some readings of each series: one in so many, one per span of time, or a share that is always the same.
///
/// One setting says which: `one_in`, `per` or `share`. Each passed reading carries in `count` how many it stands for: itself and those that were left out
/// before it.
///
/// Spans of `per` begin at whole multiples of it since 1970 in UTC, and a reading belongs to one by its own time. The last of a span passes when
/// the span is over, by the host's clock, or when the input ends; what comes of it after that is left out.
///
/// **When its settings change** while it runs, all is kept; what is held passes when it would have.
///
/// Ports: `main` what passes; `dropped` what is left out; `late` readings older than the last one of their series, which change nothing here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// One in so many passes: `10` is the first, the eleventh, the twenty-first of each series.
    #[schemars(range(min = 2))]
    pub one_in: Option<u32>,
    /// One in so long passes of each series: `1m`.
    pub per: Option<Duration>,
    /// With `per`: which one. `first`: the first, at once. `last`: the last, when the span is over. Default: `first`.
    pub keep: Option<Keep>,
    /// Which share passes, from 0 to 1: `0.1` is about one in ten. By source and time alone: the same readings pass each time, on each host.
    #[schemars(range(min = 0, max = 1))]
    pub share: Option<f64>,
}

/// Which reading of a span passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
}

/// Which readings pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// One in so many.
    OneIn(u32),
    /// The first of each step.
    First(Duration),
    /// The last of each step.
    Last(Duration),
    /// Those whose hash is less.
    Share(u64),
}

impl SampleConfig {
    /// Of settings that have no problems, what they say.
    pub(super) fn mode(&self) -> Mode {
        match (self.one_in, self.per, self.share) {
            (Some(many), ..) => Mode::OneIn(many),
            (_, Some(step), _) => match self.keep.unwrap_or_default() {
                Keep::First => Mode::First(step),
                Keep::Last => Mode::Last(step),
            },
            // The largest of 64 bits as a double is one more than that, and as such a number it is the largest again.
            (.., share) => Mode::Share((share.unwrap_or(1.0) * u64::MAX as f64) as u64),
        }
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String, help: &str| {
            problems.push(Problem::at(field, message).help(help));
        };
        let given = [
            ("one_in", self.one_in.is_some()),
            ("per", self.per.is_some()),
            ("share", self.share.is_some()),
        ];
        let given: Vec<&str> =
            given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
        match given.as_slice() {
            [] => wrong("", "leaves nothing out".into(), "give one of one_in, per, share"),
            [first, second, ..] => {
                let message = format!("`{first}` and `{second}` are two ways to choose");
                wrong(second, message, "give one of them");
            }
            [_] => {}
        }
        if self.one_in.is_some_and(|many| many < 2) {
            wrong("one_in", "nothing would be left out".into(), "give 2 or more");
        }
        if self.per == Some(Duration::ZERO) {
            wrong("per", "it is longer than nothing".into(), "write it like `1m`");
        }
        if self.keep.is_some() && self.per.is_none() {
            wrong("keep", "it is a setting of `per`".into(), "give `per` too");
        }
        if let Some(share) = self.share.filter(|share| !(0.0..=1.0).contains(share)) {
            let message = format!("{share} is no share; it must be from 0 to 1");
            wrong("share", message, "write `0.1` for a tenth");
        }
        problems
    }
}
