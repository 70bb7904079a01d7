//! What users set, and what is wrong with it.

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::duration::Duration;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;

use crate::transforms::expression::{Expression, Fault};
use crate::transforms::groups;

/// Puts to each reading what another source said at that time: power with the state of the switch, a count with the weather.
///
/// It is an as-of join: to each reading of port `left` belongs the last one of port `right` that is not later, if it is not older than
/// `tolerance`. Where both are of one instant, they belong together if the right one came first, or with `wait`. A right one may be joined to any
/// number of left ones. With `by: room` readings are joined where the label `room` is the same; otherwise the right side is one, whatever series it is of.
///
/// What comes out has the time of the left reading. Without `expression` it is JSON: `{"left": 230.5, "right": true}`. An `expression` makes a number of
/// `left` and `right`: it knows `+ - * /`, brackets, numbers, and `abs`, `exp`, `ln`, `max`, `min`, `pow`, `round` and `sqrt`; on and off are 1 and
/// 0. The series is of type `as` (default `pipeline.node`), has the left one's `type/id` as its id, and its labels.
///
/// A left reading is joined when it comes. Where the right side comes later though it is of that time or before, let it `wait`: it is joined as soon as the right side is known up
/// to its time, and at the latest after so long. Of the right side the last 64 readings for each value of `by` are remembered, and not for longer than `tolerance`; of
/// the left side as many wait.
///
/// **When its settings change** while it runs, what is remembered and what waits is kept.
///
/// Ports: `main` what is joined; `dropped` left readings without a right one, and readings that cannot be used: without a label of `by`, or without a number where
/// there is an `expression`; `late` readings that are older than the last one of their series on their port.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinConfig {
    /// How much older than the left reading the right one may be: a few times the usual pause of the right side, such as `5m`.
    pub tolerance: Duration,
    /// How long a left reading waits for the right side, by the host's clock. Default: `0s`, not at all.
    #[serde(default)]
    pub wait: Duration,
    /// The labels that must be the same on both sides: `room`. Default: none.
    #[serde(default)]
    pub by: OneOrMany<String>,
    /// What is made of the two: `left * right`. Default: both, as JSON.
    #[serde(default)]
    pub expression: Option<String>,
    /// The unit of what comes out. Default: none.
    #[serde(default)]
    pub unit: Option<String>,
}

impl JoinConfig {
    /// The expression over `left` and `right`; the fault where it is none.
    pub(super) fn parsed(&self) -> Option<Result<Expression, Fault>> {
        Some(Expression::parse(self.expression.as_deref()?, &["left", "right"]))
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(groups::problems(&self.by));
        match self.parsed() {
            Some(Err(fault)) => {
                let mut problem = Problem::at("expression", fault.to_string());
                problem.help.clone_from(&fault.help);
                problems.push(problem);
            }
            Some(Ok(expression)) if !expression.uses(1) => {
                let problem = Problem::at("expression", "the expression does not use `right`");
                problems.push(problem.help("then nothing needs to be joined; use both sides"));
            }
            Some(Ok(_)) => {}
            None if self.unit.is_some() => {
                let problem = Problem::at("unit", "two values in one have no unit");
                problems.push(problem.help("give an `expression`, or leave out `unit`"));
            }
            None => {}
        }
        problems
    }
}
