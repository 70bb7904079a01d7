//! The command line of Smollama: arguments in, exit code out. Everything else lives in the crates below.

mod cli;
mod client;
mod commands;
mod engine;
mod host;
mod live;
mod service;
mod signals;
mod systemd;
mod terminal;
mod text;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    terminal::init(&cli.global);
    match commands::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            terminal::error(&failure);
            failure.code()
        }
    }
}
