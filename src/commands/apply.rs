//! `apply`: check, show the plan, and make it so.

use std::process::ExitCode;

use smollama_engine::plan::Graph;
use smollama_engine::plan::diff::{diff, nobody_asked};

use super::run::check_speed;
use crate::cli::{Global, commands};
use crate::service::Service;
use crate::terminal::{self, Failure};

pub(crate) fn apply(global: &Global, args: &commands::Apply) -> Result<ExitCode, Failure> {
    // Before anything is made or locked.
    let (graph, planned) = super::checked(&args.paths.paths)?;
    check_speed(&graph, args.speed, &planned.files)?;
    if args.dry_run {
        // Nothing runs, so everything is new.
        let nothing = Graph::default();
        let plan = diff(&nothing, &graph, &nobody_asked).plan(&nothing, &graph, &|_| None);
        if global.json {
            super::print_json(&plan)?;
        } else {
            terminal::print(&plan.text(terminal::stdout_colour()))?;
        }
        terminal::say("Nothing was changed.");
        return Ok(ExitCode::SUCCESS);
    }
    let service = Service {
        paths: &args.paths.paths,
        all: args.all,
        speed: args.speed,
        listen: &args.listen,
        attended: true,
        yes: args.yes,
    };
    service.run(global)
}
