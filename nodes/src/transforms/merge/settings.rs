//! What users set, and what is wrong with it.

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;

use crate::transforms::groups;

/// Makes one series of several sources that say the same: the good sensor while it is alive, and the spare one while it is not; or what comes
/// two ways, once.
///
/// `prefer` lists the sources, the best first. A reading passes while no source of an entry before its own spoke within `stale_after`; so the first
/// that is alive counts, and as soon as a better one speaks again, it counts again. Sources of one entry count alike. A source that fits no entry is
/// left out; without `prefer` all pass.
///
/// A reading that came before, with the same time and value, does not pass twice, and the merged series never goes back in time. It is of type `as`
/// (default `pipeline.node`), and its id is `name` behind the values of `by`: `home.air:kitchen/temperature`. Value, score and count are those of the
/// reading that passed. Items of several nodes reach any node in the order in which they came: to bring them together, several `inputs` are enough.
///
/// All have one unit: the first series decides; one of another unit is refused, and the dead letters say so once.
///
/// **When its settings change** while it runs, it is kept when each source spoke last.
///
/// Ports: `main` the merged series; `dropped` what did not pass; `late` readings that are older than the last one of their series, or of the merged
/// one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MergeConfig {
    /// Patterns for the sources, the best first: `["zigbee:**", "ble:**"]`. Default: all sources alike.
    pub prefer: OneOrMany<Glob>,
    /// A source that was silent for so long is not alive: a few times its usual pause. Default: `5m`.
    pub stale_after: Duration,
    /// The labels by whose values series are merged apart: `room`. Default: all together.
    pub by: OneOrMany<String>,
    /// What the quantity is called, as the last part of its id: `temperature`. Default: `value`.
    pub name: Option<String>,
}

impl Default for MergeConfig {
    fn default() -> MergeConfig {
        MergeConfig {
            prefer: OneOrMany::default(),
            stale_after: Duration::from_mins(5),
            by: OneOrMany::default(),
            name: None,
        }
    }
}

/// How many entries `prefer` can have.
const RANKS_MAX: usize = 32;

impl MergeConfig {
    /// The first entry that a source fits.
    pub(super) fn rank(&self, source: &str) -> Option<usize> {
        if self.prefer.is_empty() {
            return Some(0);
        }
        self.prefer.iter().position(|pattern| pattern.matches(source))
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.prefer.len() > RANKS_MAX {
            let message = format!("{} entries; there can be {RANKS_MAX}", self.prefer.len());
            problems.push(Problem::at("prefer", message).help("put alike sources in one pattern"));
        }
        if self.stale_after.is_zero() {
            let problem = Problem::at("stale_after", "a source is silent between two readings");
            problems.push(problem.help("give a few times its usual pause, such as 5m"));
        }
        problems.extend(groups::problems(&self.by));
        problems.extend(groups::name_problem(self.name.as_deref()));
        problems
    }
}
