//! `apply`: check, show the plan, and run it here.

use std::process::ExitCode;
use std::sync::Arc;

use smollama_engine::plan::Graph;
use smollama_engine::plan::diff::{diff, nobody_asked};

use super::run::{check_speed, finish};
use crate::cli::{Global, commands};
use crate::engine::Engine;
use crate::live::View;
use crate::terminal::{self, Failure};

pub(crate) fn apply(global: &Global, args: &commands::Apply) -> Result<ExitCode, Failure> {
    let (graph, planned) = super::checked(&args.paths.paths)?;
    check_speed(&graph, args.speed, &planned.files)?;
    // Nothing runs yet, so everything is new.
    let nothing = Graph::default();
    let plan = diff(&nothing, &graph, &nobody_asked).plan(&nothing, &graph, &|_| None);
    if global.json {
        super::print_json(&plan)?;
    } else {
        terminal::print(&plan.text(terminal::stdout_colour()))?;
    }
    if args.dry_run {
        terminal::say("Nothing was changed.");
        return Ok(ExitCode::SUCCESS);
    }
    let view = Arc::new(View::of(&graph));
    let engine = Engine {
        graph: &graph,
        files: &planned.files,
        speed: args.speed,
        once: false,
        view,
        announces: true,
    };
    let outcome = engine.run(global)?;
    finish(&outcome)
}
