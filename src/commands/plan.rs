//! `plan`: what an apply would change.

use std::process::ExitCode;

use smollama_engine::control::PlanReply;

use super::at_rest;
use super::change::{self, Local};
use crate::cli::{Global, commands};
use crate::client::{self, Call};
use crate::terminal::{self, Failure};

/// Here exit code 2 says that something would change, so everything that is wrong has code 1.
pub(crate) fn plan(global: &Global, args: &commands::Plan) -> Result<ExitCode, Failure> {
    let planned = client::ask_if_running(global, async |call| planned(call, args).await);
    let planned = planned.and_then(|reply| match reply {
        Some(reply) => Ok(reply),
        None => at_rest::plan(global, &args.paths.paths, args.all, None),
    });
    let shown = planned.and_then(|reply| {
        change::show(&reply, global.json)?;
        Ok(reply.pending)
    });
    match shown {
        Ok(pending) => Ok(ExitCode::from(if pending { 2 } else { 0 })),
        Err(Failure::OutputClosed) => Err(Failure::OutputClosed),
        Err(failure) => {
            terminal::error(&failure);
            Ok(ExitCode::from(1))
        }
    }
}

async fn planned(call: &Call<'_>, args: &commands::Plan) -> Result<PlanReply, Failure> {
    let local = Local::read(&call.registry, &args.paths.paths, args.all);
    let reply = call.engine.plan(local.request()?).await?;
    local.further(&reply.diagnostics);
    Ok(reply)
}
