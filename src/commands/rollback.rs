//! `rollback`: an earlier revision as it was then, applied as a new one.

use std::process::ExitCode;

use smollama_engine::control::{RollbackPlanRequest, RollbackRequest};

use super::change;
use crate::cli::commands::Rollback;
use crate::client::Call;
use crate::terminal::{self, Failure};

pub(crate) async fn rollback(call: &Call<'_>, args: &Rollback) -> Result<ExitCode, Failure> {
    let revision = args.revision;
    let planned = call.engine.plan_rollback(RollbackPlanRequest { revision }).await?;
    if change::ends_with_plan(call, &planned, args.dry_run)? {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !change::agreed(&planned, call.json, "Go back?") {
        return Ok(ExitCode::from(1));
    }
    let request = RollbackRequest { revision, expect: planned.revision };
    let applied = call.engine.rollback(request, "").await?;
    change::done(call, &applied)?;
    terminal::say("`smollama history` shows all revisions.");
    Ok(ExitCode::SUCCESS)
}
