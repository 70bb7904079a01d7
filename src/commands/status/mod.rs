//! `status`: how a running engine and its nodes are.

mod overview;
mod page;
#[cfg(test)]
pub(super) mod tests;

use std::process::ExitCode;

use smollama_engine::control::{NodeState, Status};
use smollama_engine::diagnostic::nearest;

pub(super) use overview::{queue_fill, spool_fill, state_tone, trouble};

use crate::cli::look;
use crate::client::Call;
use crate::terminal::{self, Failure};

pub(crate) async fn status(call: &Call<'_>, args: &look::Status) -> Result<ExitCode, Failure> {
    let mut status = call.engine.status().await?;
    if let Some(address) = &args.address {
        if let Some(node) = status.nodes.iter().find(|node| node.address == *address) {
            if call.json {
                return super::print_json(node);
            }
            terminal::print(&page::page(node, call.paint))?;
            return Ok(ExitCode::SUCCESS);
        }
        only(&mut status, address)?;
    }
    if call.json {
        return super::print_json(&status);
    }
    terminal::print(&overview::overview(&status, call.width, call.paint))?;
    if let Some(hint) = hint(&status) {
        terminal::say(&hint);
    }
    Ok(ExitCode::SUCCESS)
}

/// Leaves only one pipeline in it.
fn only(status: &mut Status, pipeline: &str) -> Result<(), Failure> {
    if !status.pipelines.iter().any(|one| one.name == pipeline) {
        let nodes = status.nodes.iter().map(|node| node.address.as_str());
        let known = status.pipelines.iter().map(|one| one.name.as_str()).chain(nodes);
        let help = match nearest(pipeline, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`smollama status` lists all".into(),
        };
        return Err(Failure::Wrong(format!("no `{pipeline}` runs\n  help: {help}")));
    }
    status.pipelines.retain(|one| one.name == pipeline);
    status.nodes.retain(|node| node.names().0 == pipeline);
    Ok(())
}

/// Where there is more to read about what is worst.
fn hint(status: &Status) -> Option<String> {
    let ill = status.nodes.iter().filter(|node| node.state > NodeState::Lagging);
    if let Some(worst) = ill.max_by_key(|node| node.state) {
        return Some(format!("`smollama logs {}` says more.", worst.address));
    }
    let warned = status.nodes.iter().find(|node| !node.warnings.is_empty())?;
    Some(format!("`smollama status {}` says what helps.", warned.address))
}
