//! What a backtest cannot know, said once.

use smollama_engine::backtest::{Report, behind};
use smollama_engine::plan::PlannedNode;
use smollama_nodes::sinks::parquet::ParquetConfig;
use smollama_supervisor::Comparison;

use super::input::Input;
use super::settings;
use crate::text::count;

/// How many names a sentence has.
const NAMES_MAX: usize = 10;

/// A sentence for each thing.
pub(super) fn notes(report: &Report, compared: &Comparison, input: &Input<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(why) = &compared.unknown {
        notes.push(format!(
            "what runs cannot be built here, so there is nothing to compare with: {why}"
        ));
    }
    let silent = report.sources.iter().filter(|row| row.readings.candidate == Some(0));
    let silent: Vec<&str> = silent.map(|row| &*row.address).collect();
    if !silent.is_empty() {
        notes.push(format!("nothing is recorded of {}", names(&silent)));
    }
    if let Some((_, running)) = compared.running.as_ref().filter(|_| input.is_history()) {
        let keeps = |node: &PlannedNode| settings::<ParquetConfig>(node).is_some();
        for (node, sources) in behind(running, &keeps) {
            let sources: Vec<&str> = sources.iter().map(|source| &**source).collect();
            notes.push(format!(
                "{} {} recorded behind `{node}`: what that did not let through is not known",
                names(&sources),
                if sources.len() == 1 { "is" } else { "are" }
            ));
        }
    }
    let unused = report.unused.iter().filter(|row| !row.derived);
    let unused: Vec<&str> = unused.map(|row| row.source.as_str()).collect();
    if !unused.is_empty() {
        notes.push(format!(
            "no source of the candidate gives {}, which is recorded",
            names(&unused)
        ));
    }
    if input.rejected() > 0 {
        notes.push(format!(
            "{} could not be read and were left out",
            count(input.rejected(), "row")
        ));
    }
    notes
}

fn names(all: &[&str]) -> String {
    let shown = all.iter().take(NAMES_MAX).map(|name| format!("`{name}`"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
