//! `run`: the engine in the foreground over exactly these files.

use std::process::ExitCode;
use std::sync::Arc;

use smollama_engine::plan::{Graph, mixed_time};

use crate::cli::commands::Speed;
use crate::cli::{Global, commands};
use crate::engine::{Engine, Outcome};
use crate::live::View;
use crate::service::Service;
use crate::terminal::{self, Failure};

pub(crate) fn run(global: &Global, args: &commands::Run) -> Result<ExitCode, Failure> {
    if !args.once {
        if !args.paths.is_empty() {
            // Before anything is made or locked.
            let (graph, planned) = super::checked(global, &args.paths)?;
            check_speed(&graph, args.speed, &planned.files)?;
        }
        let service = Service {
            paths: &args.paths,
            all: true,
            speed: args.speed,
            listen: &args.listen,
            attended: false,
            yes: true,
            watch: false,
            message: None,
        };
        return service.run(global);
    }
    let (graph, planned) = super::checked(global, &args.paths)?;
    check_speed(&graph, args.speed, &planned.files)?;
    ends_once(&graph)?;
    let view = Arc::new(View::none());
    let engine = Engine {
        graph: &graph,
        files: &planned.files,
        speed: args.speed,
        once: true,
        view,
        announces: false,
    };
    let outcome = engine.run(global)?;
    finish(&outcome, global.json)
}

/// Recordings and live sources meet only at the speed of life.
pub(super) fn check_speed(
    graph: &Graph,
    speed: Option<Speed>,
    files: &smollama_engine::diagnostic::Files,
) -> Result<(), Failure> {
    let mut found = smollama_engine::diagnostic::Diagnostics::new();
    mixed_time(graph, speed == Some(Speed::Times(1.0)), &mut found);
    terminal::diagnostics(&found, files)
}

/// With `--once`, every source must end or be one that can be asked once.
fn ends_once(graph: &Graph) -> Result<(), Failure> {
    use smollama_engine::registry::Pace;
    let endless =
        graph.nodes().find(|(_, node)| node.profile.pace == Some(Pace::Live) && !node.profile.ends);
    match endless {
        None => Ok(()),
        Some((_, node)) => Err(Failure::Failed(format!(
            "`{}` never ends, so `--once` would run for ever\n  help: leave out `--once`",
            node.address
        ))),
    }
}

/// Says how it ended, and where the data lie; in JSON as the result.
pub(crate) fn finish(outcome: &Outcome, json: bool) -> Result<ExitCode, Failure> {
    if json {
        super::print_json(outcome)?;
    }
    for error in &outcome.errors {
        terminal::error(&Failure::Failed(error.clone()));
    }
    terminal::say(&outcome.summary());
    Ok(if outcome.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
