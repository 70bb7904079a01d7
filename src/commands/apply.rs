//! `apply`: check, show the plan, and make it so.

use std::process::ExitCode;

use crate::cli::{Global, commands};
use crate::service::Service;
use crate::terminal::Failure;

pub(crate) fn apply(global: &Global, args: &commands::Apply) -> Result<ExitCode, Failure> {
    let service = Service {
        paths: &args.paths.paths,
        all: args.all,
        speed: args.speed,
        listen: &args.listen,
        attended: true,
        yes: args.yes,
        dry_run: args.dry_run,
    };
    service.run(global)
}
