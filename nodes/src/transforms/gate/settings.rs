//! What users set, and what is wrong with it.

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::condition::{Literal, ValueCondition};
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

/// Lets items through while something else is so: an office's air while people are there, a pump's readings while it runs.
///
/// Port `main` takes what is to pass, of any kind. Port `gate` takes the readings that open and close: the gate is open while the last value
/// there meets `open_when`. Of several series there each is judged by itself, with its own `for` and `hold`; one that holds the gate open
/// is enough, or all must (`needs`). A value that the condition cannot be asked of (a text where a number is needed) does not meet it.
///
/// What is on its way is judged when it takes effect: by its own time, or when it came where that is later. Nothing is held back, so what came
/// while the gate was shut stays out when it opens. Before the first value on port `gate` the gate is as `unknown` says, and a series that begins
/// there begins with what the gate was: `for` and `hold` are counted from its first value. So it is again for a series whose last value is
/// older than `stale_after`: until it speaks it counts as one that never did.
///
/// **When its settings change** while it runs, all is kept: the last values are judged by the new condition.
///
/// Ports: `main` what passes and `dropped` what does not, both the kind that comes in; `late` readings of port `gate` that are older than the last
/// one of their series, which change nothing here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// What a value on port `gate` must be like: `{ above: 30 }`, `{ equals: "on" }`. Default: `{ equals: true }`, which is what an
    /// `alarm` says while it rings.
    pub open_when: Option<ValueCondition>,
    /// How long the condition must hold before the gate opens: `1m`. Default: `0s`, at once.
    #[serde(rename = "for")]
    pub hold_off: Duration,
    /// How long the gate stays open after the condition has ended: `10m`. Default: `0s`, not at all.
    pub hold: Duration,
    /// Of several series on port `gate`: whether `any` one is enough, or `all` must hold it open. Default: `any`.
    pub needs: Needs,
    /// What the gate is while nothing is known: before the first value on port `gate`, and when all are stale. Default: `closed`.
    pub unknown: Unknown,
    /// A series on port `gate` that was silent for so long is not believed any more: `15m`. Default: its last value holds for ever.
    pub stale_after: Option<Duration>,
}

/// How many of the series on port `gate` must hold it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// One.
    #[default]
    Any,
    /// Each that is known.
    All,
}

/// What a gate is while nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Everything passes.
    Open,
    /// Nothing does.
    #[default]
    Closed,
}

impl GateConfig {
    /// What a value must be like.
    pub(super) fn condition(&self) -> ValueCondition {
        let on = || ValueCondition { equals: Some(Literal::Bool(true)), ..Default::default() };
        self.open_when.clone().unwrap_or_else(on)
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(condition) = &self.open_when {
            problems.extend(condition.problems("open_when"));
            if condition.of.is_some() {
                let message = "`of` is asked of windows, and port `gate` takes readings";
                problems.push(Problem::at("open_when.of", message).help("leave out `of`"));
            }
        }
        if self.stale_after == Some(Duration::ZERO) {
            let message = "a value is always older than nothing";
            let problem = Problem::at("stale_after", message);
            problems.push(problem.help("give a few times the usual pause of what opens it"));
        }
        problems
    }
}
