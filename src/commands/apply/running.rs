//! An apply to an engine that runs: in place, after the plan was seen.

use std::process::ExitCode;

use smollama_engine::control::ApplyRequest;

use crate::cli::commands::Apply;
use crate::client::Call;
use crate::commands::change::{self, Local};
use crate::commands::watch::{Watcher, marks};
use crate::signals::Signals;
use crate::terminal::{self, Failure};

/// Plans, shows, asks, applies; with `--watch`, again whenever a file is saved.
pub(super) async fn apply_to_running(call: &Call<'_>, args: &Apply) -> Result<ExitCode, Failure> {
    let listen = &args.listen;
    let starts = [
        ("--speed", args.speed.is_some()),
        ("--host", listen.host.is_some()),
        ("--port", listen.port.is_some()),
        ("--no-dashboard", listen.no_dashboard),
    ];
    if let Some((flag, _)) = starts.iter().find(|(_, given)| *given) {
        return Err(Failure::Wrong(format!(
            "an engine runs on this data directory, and `{flag}` is for one that starts here\n  help: leave out `{flag}`, or choose another `--data-dir`"
        )));
    }
    if !args.watch {
        return Ok(match once(call, args, !args.yes).await? {
            Outcome::Declined => ExitCode::from(1),
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Applied => {
                let hint =
                    "`smollama status` shows how it goes, `smollama rollback` takes it back.";
                terminal::say(hint);
                ExitCode::SUCCESS
            }
        });
    }
    // Before the first look at the files, so that what is saved meanwhile is noticed.
    let mut watcher = Watcher::new(&args.paths.paths);
    // While a question is open, Ctrl-C ends the command as it always does.
    let mut signals = None;
    let mut asks = !args.yes;
    loop {
        match once(call, args, asks).await {
            Ok(Outcome::Applied | Outcome::Done) => {}
            Ok(Outcome::Declined) => return Ok(ExitCode::from(1)),
            Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
            Err(failure) => {
                terminal::error(&failure);
                terminal::say("What ran before runs on.");
            }
        }
        // Whoever saves a file now means it.
        asks = false;
        let signals = match &mut signals {
            Some(signals) => signals,
            none => {
                terminal::say("Watching the files; Ctrl-C ends that, and the engine runs on.");
                none.insert(Signals::new()?)
            }
        };
        tokio::select! {
            () = watcher.changed() => {}
            _ = signals.next() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// How a round ended that did not fail.
enum Outcome {
    /// It was applied.
    Applied,
    /// There was nothing to apply, or nothing was to be applied.
    Done,
    /// The user did not want it.
    Declined,
}

async fn once(call: &Call<'_>, args: &Apply, asks: bool) -> Result<Outcome, Failure> {
    loop {
        let seen = marks(&args.paths.paths);
        let local = Local::read(&call.registry, &args.paths.paths, args.all);
        let request = local.request()?;
        let planned = call.engine.plan(request.clone()).await?;
        local.further(&planned.diagnostics);
        if change::ends_with_plan(call, &planned, args.dry_run)? {
            return Ok(Outcome::Done);
        }
        if asks && !change::agreed(&planned, call.json, "Apply this?") {
            return Ok(Outcome::Declined);
        }
        // The engine reads the files itself, and nobody agreed to what is in them by now.
        if seen != marks(&args.paths.paths) {
            terminal::say("The files were saved meanwhile. Here is what would change now.");
            continue;
        }
        let (expect, message) = (planned.revision, args.message.clone());
        let request = ApplyRequest { plan: request, expect, message };
        let applied = call.engine.apply(request, "").await?;
        change::done(call, &applied)?;
        return Ok(Outcome::Applied);
    }
}
