//! What users set, and what is wrong with it.

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::condition::Range;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::registry::Problem;

use crate::transforms::cadence::MissingAfter;

/// Tells when a source cannot be believed: when it is silent, stuck, jumps, or says what cannot be, and keeps from others what cannot be.
///
/// It asks for what is given of `silent_after`, `stuck_after`, `jump` and `possible`, of each series for itself. Port `main` passes what can be believed, as it is. What
/// is not possible, and what jumps further than it can, goes to port `dropped`. Three readings in a row that agree with one another are believed
/// again, however far they jumped: then the world did. A value that does not move passes, as it may be right.
///
/// Port `news` has texts for people: of kind `anomaly` when something begins, and of kind `status` when it is over. Each is told once. Where a number is asked for
/// and the value is none (a text such as `unavailable`), the reading goes to port `dropped` and is no sign of life either.
///
/// Silence goes by the host's clock, everything else by the readings' own times. Where the host itself was away, silence is counted from
/// when it is back. A series is watched from its first reading on.
///
/// **When its settings change** while it runs, all is kept, and what is not asked for any more is over without a word.
///
/// Ports: `main` what can be believed; `news` what there is to tell; `dropped` what cannot be; `late` readings that are older than the last one of their
/// series, which change nothing here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchdogConfig {
    /// Nothing came for so long: `30m`, or `learned`: three times the longest pause that is usual for the series, once eight are known, and
    /// never less than 10 s. Default: silence is not told.
    pub silent_after: Option<MissingAfter>,
    /// It speaks, and its value has been the same for so long: `6h`. Default: it may stay the same.
    pub stuck_after: Option<Duration>,
    /// How far a value can be from the one before, in the unit of the series. Default: it can jump.
    pub jump: Option<f64>,
    /// What values there can be, in the unit of the series: `{ min: -40, max: 85 }`. Default: all.
    pub possible: Option<Range>,
    /// Other settings for some series. The first entry whose pattern fits the source counts; what it leaves out is as above.
    pub overrides: Vec<Override>,
}

/// Other settings for the series whose source fits a pattern.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// A pattern over sources: `air:**/humidity`.
    #[serde(rename = "match")]
    pub pattern: Glob,
    /// Instead of `silent_after`.
    #[serde(default)]
    pub silent_after: Option<MissingAfter>,
    /// Instead of `stuck_after`.
    #[serde(default)]
    pub stuck_after: Option<Duration>,
    /// Instead of `jump`.
    #[serde(default)]
    pub jump: Option<f64>,
    /// Instead of `possible`.
    #[serde(default)]
    pub possible: Option<Range>,
}

/// What is asked of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rule {
    pub(super) silent_after: Option<MissingAfter>,
    pub(super) stuck_after: Option<Duration>,
    pub(super) jump: Option<f64>,
    pub(super) possible: Option<Range>,
}

impl Rule {
    /// Whether the value must be a number.
    pub(super) fn counts(&self) -> bool {
        self.jump.is_some() || self.possible.is_some()
    }
}

impl WatchdogConfig {
    /// Each override as a whole rule, and last the one for all others.
    pub(super) fn rules(&self) -> Vec<(Option<Glob>, Rule)> {
        let rule = |one: &Override| Rule {
            silent_after: one.silent_after.or(self.silent_after),
            stuck_after: one.stuck_after.or(self.stuck_after),
            jump: one.jump.or(self.jump),
            possible: one.possible.or(self.possible),
        };
        let overrides = self.overrides.iter();
        let mut rules: Vec<_> =
            overrides.map(|one| (Some(one.pattern.clone()), rule(one))).collect();
        let Self { silent_after, stuck_after, jump, possible, .. } = *self;
        rules.push((None, Rule { silent_after, stuck_after, jump, possible }));
        rules
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let Self { silent_after, stuck_after, jump, possible, .. } = *self;
        let own = Rule { silent_after, stuck_after, jump, possible };
        let mut problems = check_rule("", &own);
        if self.rules().iter().all(|(_, rule)| *rule == Rule::default()) {
            let problem = Problem::at("", "asks for nothing, so it never has anything to tell");
            problems.push(problem.help("give one of silent_after, stuck_after, jump, possible"));
        }
        for (index, one) in self.overrides.iter().enumerate() {
            let Override { silent_after, stuck_after, jump, possible, .. } = *one;
            let rule = Rule { silent_after, stuck_after, jump, possible };
            let field = format!("overrides.{index}");
            if rule == Rule::default() {
                let problem = Problem::at(&field, "an override that changes nothing");
                problems
                    .push(problem.help("give one of silent_after, stuck_after, jump, possible"));
            }
            problems.extend(check_rule(&format!("{field}."), &rule));
        }
        problems
    }
}

/// What is wrong with what is written at one place.
fn check_rule(at: &str, rule: &Rule) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |field: &str, message: String, help: &str| {
        problems.push(Problem::at(format!("{at}{field}"), message).help(help));
    };
    if rule.silent_after == Some(MissingAfter::After(Duration::ZERO)) {
        let message = "a source is always silent between two readings".into();
        wrong("silent_after", message, "give a few times its usual pause, or `learned`");
    }
    if rule.stuck_after == Some(Duration::ZERO) {
        wrong(
            "stuck_after",
            "every value stays the same for a moment".into(),
            "write it like `6h`",
        );
    }
    if rule.jump.is_some_and(|jump| !(jump > 0.0 && jump.is_finite())) {
        wrong("jump", "it must be more than 0, and finite".into(), "write it like `5`");
    }
    match rule.possible.map(|range| (range.min, range.max)) {
        Some((None, None)) => {
            wrong("possible", "says nothing".into(), "give `min`, `max` or both");
        }
        Some((Some(min), Some(max))) if min > max => {
            wrong("possible.min", format!("{min} is more than `max`, {max}"), "swap them");
        }
        _ => {}
    }
    problems
}
