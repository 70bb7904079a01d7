//! `completions`: the script that completes commands in a shell.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, commands};
use crate::terminal::{self, Failure};

pub(crate) fn completions(args: &commands::Completions) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "smollama", &mut script);
    terminal::print_bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
