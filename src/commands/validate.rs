//! `validate`: check, and say what is wrong.

use std::process::ExitCode;

use crate::cli::{Global, commands::Paths};
use crate::terminal::{self, Failure};
use crate::text::count;

pub(crate) fn validate(global: &Global, args: &Paths) -> Result<ExitCode, Failure> {
    let planned = super::plan(global, &args.paths);
    // What would keep the pipelines from being run is wrong with them, too.
    let host = crate::host::read(global);
    let host_is_fine = host.config.is_some() && !host.diagnostics.has_errors();
    if global.json {
        let mut found = host.diagnostics.to_json(&host.files);
        found.extend(planned.diagnostics.to_json(&planned.files));
        super::print_json(&found)?;
        let is_fine = planned.graph.is_some() && host_is_fine;
        return Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(2) });
    }
    let host = terminal::diagnostics(&host.diagnostics, &host.files);
    terminal::diagnostics(&planned.diagnostics, &planned.files)?;
    host?;
    let graph = planned.graph.ok_or(Failure::BadInput)?;
    let (pipelines, nodes) = (graph.pipelines.len() as u64, graph.order.len() as u64);
    let verb = if pipelines == 1 { "is" } else { "are" };
    let counted = format!("{} with {}", count(pipelines, "pipeline"), count(nodes, "node"));
    terminal::print(&format!("{counted} {verb} fine\n"))?;
    Ok(ExitCode::SUCCESS)
}
