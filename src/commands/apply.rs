//! `apply`: check, show the plan, and make it so: in the engine that runs, or here if none does.

mod running;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use super::{at_rest, change};
use crate::cli::{Global, commands};
use crate::client;
use crate::service::Service;
use crate::terminal::{self, Failure};

pub(crate) fn apply(global: &Global, args: &commands::Apply) -> Result<ExitCode, Failure> {
    let applied =
        client::ask_if_running(global, async |call| running::apply_to_running(call, args).await);
    match applied? {
        Some(code) => Ok(code),
        None => apply_here(global, args),
    }
}

/// Starts an engine here, in the foreground.
fn apply_here(global: &Global, args: &commands::Apply) -> Result<ExitCode, Failure> {
    // Before anything is made or locked.
    let planned = at_rest::plan(global, &args.paths.paths, args.all, args.speed)?;
    if args.dry_run {
        change::show(&planned, global.json)?;
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
        watch: args.watch,
        message: args.message.as_deref(),
    };
    service.run(global)
}
