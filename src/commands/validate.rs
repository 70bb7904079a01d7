//! `validate`: check, and say what is wrong.

use std::process::ExitCode;

use crate::cli::{Global, commands::Paths};
use crate::terminal::{self, Failure};

pub(crate) fn validate(global: &Global, args: &Paths) -> Result<ExitCode, Failure> {
    let planned = super::plan(&args.paths);
    if global.json {
        let found = planned.diagnostics.to_json(&planned.files);
        let text = serde_json::to_string_pretty(&found)
            .map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))?;
        terminal::print(&format!("{text}\n"))?;
        return Ok(if planned.graph.is_some() { ExitCode::SUCCESS } else { ExitCode::from(2) });
    }
    terminal::diagnostics(&planned.diagnostics, &planned.files)?;
    let graph = planned.graph.ok_or(Failure::BadInput)?;
    let (pipelines, nodes) = (graph.pipelines.len(), graph.order.len());
    let verb = if pipelines == 1 { "is" } else { "are" };
    let counted = format!("{} with {}", count(pipelines, "pipeline"), count(nodes, "node"));
    terminal::print(&format!("{counted} {verb} fine\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
