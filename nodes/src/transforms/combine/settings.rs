//! What users set, and what is wrong with it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;

use crate::transforms::expression::{Expression, Fault, is_name};
use crate::transforms::groups;

/// Makes one reading of the latest values of several sources: the mean of a room's thermometers, the difference between inside and outside,
/// whether any window is open.
///
/// `function` says what is made of them: of all series that come in, or of those that fit `sources`. Where it matters which is which,
/// `expression` calculates with names: `names: { indoor: "air:*/temperature", outdoor: "weather:temperature" }` and `expression: "indoor -
/// outdoor"`. It knows `+ - * /`, brackets, numbers, and `abs`, `exp`, `ln`, `max`, `min`, `pow`, `round` and `sqrt`. Where several series fit
/// a name, the one that spoke last counts. A result that is no number, as of a division by zero, is left out.
///
/// With `by: room` that is done for each value of the label `room` apart. A series without that label is left out, unless it has a
/// name: then it counts in all rooms, as the weather does.
///
/// A reading comes out with each that comes in, or, with `every`, so often and once for all that came since. Before all names have a value, or
/// `at_least` so many series, there is none. On and off count as 1 and 0, so that `sum` counts what is on. It has the time of the
/// reading that led to it; with `every`, that of the whole multiple. It is of type `as` (default `pipeline.node`), and its id is the function, or
/// `name`, behind the values of `by`: `home.room:kitchen/mean`.
///
/// Units: what `mean`, `median`, `min`, `max`, `sum`, `difference` and `ratio` are made of has one unit. The first series decides; one of
/// another unit is refused, and the dead letters say so once. A ratio has no unit, and neither have `count`, `any`, `all` and expressions, which
/// take all units; `unit` gives them one.
///
/// **When its settings change** while it runs, the last values are kept, and combined by the new settings.
///
/// A last value that is no reading (a retained message of MQTT) counts where a series has none yet, and nothing comes out because of it.
///
/// Ports: `main` what is made; `dropped` readings without a number (but `count` takes them), and those of series that are left out or refused; `late` those
/// that are older than the last one of their series, which change nothing here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CombineConfig {
    /// What is made of the values.
    pub function: Option<Function>,
    /// Instead of `function`: how it is calculated from the values under `names`, such as `(indoor - outdoor) / 2`.
    pub expression: Option<String>,
    /// With `expression`: its names, and a pattern for the sources of each. There can be 32.
    pub names: BTreeMap<String, Glob>,
    /// With `function`: the sources that are combined, 1,000 series at most for each value of `by`. `difference` and `ratio` take two: the first minus the second, or divided by it. Default: all
    /// that come in.
    pub sources: OneOrMany<Glob>,
    /// The labels by whose values series are combined apart: `room`. Default: all together.
    pub by: OneOrMany<String>,
    /// With `function`: how many series must have a value before anything comes out. Default: 1.
    #[schemars(range(min = 1, max = 1000))]
    pub at_least: Option<u32>,
    /// A series that was silent for so long is left out until it speaks again: `15m`. Default: its last value holds for ever.
    pub stale_after: Option<Duration>,
    /// Comes out so often, if anything came in since: `1m`. At whole multiples of it since 1970, in UTC. Default: with each reading that comes in.
    pub every: Option<Duration>,
    /// The unit of what comes out. Default: that of what goes in, where all have one, as above.
    pub unit: Option<String>,
    /// What the quantity is called, as the last part of its id. Default: the function, or `value` for an expression.
    pub name: Option<String>,
}

/// What can be made of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The mean.
    Mean,
    /// The one in the middle, or the mean of the two there.
    Median,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The sum.
    Sum,
    /// How many there are.
    Count,
    /// Whether any is on: `true`, or a number that is not 0.
    Any,
    /// Whether all are on.
    All,
    /// That of the first of `sources` minus that of the second.
    Difference,
    /// That of the first of `sources` divided by that of the second.
    Ratio,
}

impl Function {
    pub(super) fn name(self) -> &'static str {
        match self {
            Function::Mean => "mean",
            Function::Median => "median",
            Function::Min => "min",
            Function::Max => "max",
            Function::Sum => "sum",
            Function::Count => "count",
            Function::Any => "any",
            Function::All => "all",
            Function::Difference => "difference",
            Function::Ratio => "ratio",
        }
    }

    /// Whether it takes a first and a second.
    pub(super) fn takes_two(self) -> bool {
        matches!(self, Function::Difference | Function::Ratio)
    }

    /// Whether what it is made of must have one unit.
    pub(super) fn needs_one_unit(self) -> bool {
        !matches!(self, Function::Count | Function::Any | Function::All)
    }

    /// Whether what comes out has the unit of what goes in.
    pub(super) fn keeps_unit(self) -> bool {
        self.needs_one_unit() && self != Function::Ratio
    }
}

/// How many names there can be.
pub(super) const NAMES_MAX: usize = 32;

impl CombineConfig {
    /// The last part of the ids of what comes out.
    pub(super) fn quantity(&self) -> &str {
        match (&self.name, self.function) {
            (Some(name), _) => name,
            (None, Some(function)) => function.name(),
            (None, None) => "value",
        }
    }

    /// Whether all that comes in is put together, and must have one unit.
    pub(super) fn puts_all_together(&self) -> bool {
        let one_unit = self.function.is_some_and(Function::needs_one_unit);
        one_unit && self.sources.is_empty() && self.by.is_empty()
    }

    /// The expression over its names; the fault where it is none.
    pub(super) fn parsed(&self) -> Option<Result<Expression, Fault>> {
        let names: Vec<&str> = self.names.keys().map(String::as_str).collect();
        Some(Expression::parse(self.expression.as_deref()?, &names))
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (self.function, &self.expression) {
            (Some(_), Some(_)) => problems.push(
                Problem::at("expression", "`function` and `expression` are two ways to combine")
                    .help("leave out one of them"),
            ),
            (None, None) => problems.push(
                Problem::at("", "does not say what to make of its values")
                    .help("give `function`, such as mean, or `expression` with `names`"),
            ),
            (Some(function), None) => self.check_function(function, &mut problems),
            (None, Some(_)) => self.check_expression(&mut problems),
        }
        for (field, span) in [("stale_after", self.stale_after), ("every", self.every)] {
            if span == Some(Duration::ZERO) {
                let message = format!("`{field}` is longer than nothing");
                problems.push(Problem::at(field, message).help("write it like `15m`"));
            }
        }
        problems.extend(groups::problems(&self.by));
        problems.extend(groups::name_problem(self.name.as_deref()));
        problems
    }

    fn check_function(&self, function: Function, problems: &mut Vec<Problem>) {
        let name = function.name();
        if !self.names.is_empty() {
            let problem = Problem::at("names", format!("`{name}` knows no names"));
            problems.push(problem.help("write `sources`, or `expression` instead of `function`"));
        }
        if function.takes_two() {
            if self.sources.len() != 2 {
                let found = self.sources.len();
                let message = format!("`{name}` is made of two sources, and there are {found}");
                let help = "write the first and the second: `sources: [\"a:**\", \"b:**\"]`";
                problems.push(Problem::at("sources", message).help(help));
            }
            if self.at_least.is_some() {
                let problem = Problem::at("at_least", format!("`{name}` always needs both"));
                problems.push(problem.help("leave out `at_least`"));
            }
        } else if self.at_least.is_some_and(|least| !(1..=1000).contains(&least)) {
            let problem = Problem::at("at_least", "it must be from 1 to 1000");
            problems.push(problem.help("leave it out for 1"));
        }
    }

    fn check_expression(&self, problems: &mut Vec<Problem>) {
        for (field, given) in
            [("sources", !self.sources.is_empty()), ("at_least", self.at_least.is_some())]
        {
            if given {
                let message = format!("`{field}` goes with `function`, and not with `expression`");
                let help = "the names say which sources there are, and all of them are needed";
                problems.push(Problem::at(field, message).help(help));
            }
        }
        if self.names.is_empty() {
            let help = "name what it is made of: `names: { indoor: \"air:**\" }`";
            problems.push(Problem::at("names", "an expression needs names").help(help));
            return;
        }
        if self.names.len() > NAMES_MAX {
            let message = format!("{} names; there can be {NAMES_MAX}", self.names.len());
            problems.push(Problem::at("names", message).help("combine in two steps"));
            return;
        }
        for name in self.names.keys().filter(|name| !is_name(name)) {
            let message = format!("`{name}` can be no name in an expression");
            let help = "write letters, digits and `_`, and no function's name";
            problems.push(Problem::at("names", message).help(help));
        }
        match self.parsed() {
            Some(Err(fault)) => {
                let mut problem = Problem::at("expression", fault.to_string());
                problem.help.clone_from(&fault.help);
                problems.push(problem);
            }
            Some(Ok(expression)) => {
                let names = self.names.keys().enumerate();
                for (_, name) in names.filter(|(at, _)| !expression.uses(*at)) {
                    let message = format!("the expression does not use `{name}`");
                    problems.push(Problem::at("names", message).help("remove it, or use it"));
                }
            }
            None => {}
        }
    }
}
