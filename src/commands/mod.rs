//! One file per command.

mod apply;
mod at_rest;
mod backtest;
pub(crate) mod change;
mod completions;
mod config;
mod dlq;
mod doctor;
mod explain;
mod graph;
mod history;
mod import;
mod init;
mod junit;
mod logs;
mod mqtt;
mod nodes;
mod plan;
mod rollback;
mod run;
mod schema;
#[cfg(test)]
mod stand_in;
mod status;
mod tap;
mod test;
mod top;
mod validate;
pub(crate) mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use smollama_engine::plan::{Graph, Planned};

pub(crate) use self::run::finish;
use crate::cli::{Cli, Command, Global};
use crate::client;
use crate::terminal::{self, Failure};

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Init(args) => init::init(global, &args),
        Command::Import(args) => import::import(global, &args),
        Command::Apply(args) => apply::apply(global, &args),
        Command::Plan(args) => plan::plan(global, &args),
        Command::History => history::history(global),
        Command::Rollback(args) => {
            client::ask(global, async |call| rollback::rollback(call, &args).await)
        }
        Command::Status(args) => {
            client::ask(global, async |call| status::status(call, &args).await)
        }
        Command::Top => top::top(global),
        Command::Tap(args) => client::ask(global, async |call| tap::tap(call, &args).await),
        Command::Logs(args) => client::ask(global, async |call| logs::logs(call, &args).await),
        Command::LogLevel(args) => {
            client::ask(global, async |call| logs::set_level(call, &args).await)
        }
        Command::Dlq(args) => dlq::dlq(global, &args),
        Command::Run(args) => run::run(global, &args),
        Command::Test(args) => test::test(global, &args),
        Command::Backtest(args) => backtest::backtest(global, &args),
        Command::Mqtt(command) => mqtt::mqtt(global, &command),
        Command::Doctor => doctor::doctor(global),
        Command::Config(what) => config::config(global, &what),
        Command::Validate(args) => validate::validate(global, &args),
        Command::Graph(args) => graph::graph(global, &args),
        Command::Nodes(args) => nodes::nodes(global, &args),
        Command::Schema(args) => schema::schema(&args),
        Command::Explain(args) => explain::explain(global, &args),
        Command::Completions(args) => completions::completions(&args),
    }
}

/// Prints a result as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<ExitCode, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))?;
    terminal::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Loads and checks pipelines.
fn plan(global: &Global, paths: &[PathBuf]) -> Planned {
    let registry = crate::host::registry(global);
    smollama_engine::plan::plan(paths, &crate::host::variable, &registry)
}

/// Loads and checks pipelines, and shows what is wrong with them.
fn checked(global: &Global, paths: &[PathBuf]) -> Result<(Graph, Planned), Failure> {
    let mut planned = plan(global, paths);
    terminal::diagnostics(&planned.diagnostics, &planned.files)?;
    let graph = planned.graph.take().ok_or(Failure::BadInput)?;
    Ok((graph, planned))
}
