//! `dlq`: what nodes refused. Letters can be read and removed without an engine; only an engine can take one again.

#[cfg(test)]
mod tests;
mod text;

use std::process::ExitCode;

use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::control::{
    Control, ControlError, Letter, LetterFilter, LetterPage, LettersDone, Selection,
};
use smollama_engine::time::Timestamp;
use smollama_store::dead_letters::DeadLetterFile;

use crate::cli::Global;
use crate::cli::look::{self, DlqAction, Moment};
use crate::client::{self, Call};
use crate::commands::at_rest;
use crate::terminal::{self, Failure};
use crate::text::count;

pub(crate) fn dlq(global: &Global, args: &look::Dlq) -> Result<ExitCode, Failure> {
    let asked = client::ask_if_running(global, async |call| {
        act(&Letters::Of(call.engine), call, &args.action).await
    });
    if let Some(code) = asked? {
        return Ok(code);
    }
    if matches!(args.action, DlqAction::Replay(_)) {
        let message = "no engine runs that could take a dead letter again\n  help: start one with `smollama run`";
        return Err(Failure::Failed(message.into()));
    }
    // As long as it is kept, no engine can be started on it.
    let at_rest = at_rest::kept(global, "dead_letters")?;
    let letters = match &at_rest {
        Some(kept) => Letters::Kept(kept.letters()?),
        None => Letters::None,
    };
    client::ask(global, async |call| act(&letters, call, &args.action).await)
}

/// Where the letters are.
enum Letters<'a> {
    /// An engine has them.
    Of(&'a dyn Control),
    /// They lie there, and no engine runs.
    Kept(DeadLetterFile),
    /// None was ever written.
    None,
}

impl Letters<'_> {
    async fn page(&self, filter: LetterFilter, limit: usize) -> Result<LetterPage, ControlError> {
        match self {
            Letters::Of(engine) => engine.dead_letters(filter, limit).await,
            Letters::Kept(file) => file.page(&filter, limit).map_err(|error| unreadable(&error)),
            Letters::None => Ok(LetterPage::default()),
        }
    }

    async fn letter(&self, id: &str) -> Result<Letter, ControlError> {
        match self {
            Letters::Of(engine) => engine.dead_letter(id).await,
            Letters::Kept(file) => {
                let letter = file.letter(id).map_err(|error| unreadable(&error))?;
                letter.ok_or_else(|| no_such(id))
            }
            Letters::None => Err(no_such(id)),
        }
    }

    async fn drop(&self, selection: Selection) -> Result<LettersDone, ControlError> {
        let file = match self {
            Letters::Of(engine) => return engine.drop_dead_letters(selection, "").await,
            Letters::Kept(file) => file,
            Letters::None => return Ok(LettersDone::default()),
        };
        let letters = file.select(&selection).map_err(|error| unreadable(&error))?;
        if let Selection::Ids(ids) = &selection {
            let is_there = |id: &&String| letters.iter().any(|one| one.letter.id == **id);
            if let Some(missing) = ids.iter().find(|id| !is_there(id)) {
                return Err(no_such(missing));
            }
        }
        let ids: Vec<String> = letters.iter().map(|one| one.letter.id.clone()).collect();
        file.remove(&ids).map_err(|error| unreadable(&error))?;
        let items = letters.iter().map(|one| one.letter.items).sum();
        Ok(LettersDone { letters: ids.len() as u64, items, refused: 0 })
    }
}

fn unreadable(error: &std::io::Error) -> ControlError {
    ControlError::failed(format!("the dead letters cannot be read or written: {error}"))
}

fn no_such(id: &str) -> ControlError {
    ControlError::not_found(format!("there is no dead letter `{id}`"))
        .help("`smollama dlq list` shows all")
}

async fn act(
    letters: &Letters<'_>,
    call: &Call<'_>,
    action: &DlqAction,
) -> Result<ExitCode, Failure> {
    let now = SystemClock::default().now();
    match action {
        DlqAction::List { filter, limit } => {
            let page = letters.page(written(&filter.node, filter.since, now), *limit).await?;
            list(call, &page)
        }
        DlqAction::Show { id } => {
            let letter = letters.letter(id).await?;
            if call.json {
                return crate::commands::print_json(&letter);
            }
            terminal::print(&text::letter(&letter, call))?;
            terminal::say(&format!("`smollama dlq replay {id}` gives it to its node once more."));
            Ok(ExitCode::SUCCESS)
        }
        DlqAction::Replay(selection) => {
            let selection = selected(selection, now);
            done(call, call.engine.replay_dead_letters(selection, "").await?, "taken again")
        }
        DlqAction::Drop { selection, yes } => {
            let selection = selected(selection, now);
            if !yes && terminal::can_ask() {
                let letters = match &selection {
                    Selection::Ids(ids) => ids.len() as u64,
                    Selection::Filter(filter) => letters.page(filter.clone(), 0).await?.total,
                };
                let question = format!("Drop {}?", count(letters, "dead letter"));
                if letters > 0 && !terminal::confirmed(&question) {
                    terminal::say("Nothing was dropped.");
                    return Ok(ExitCode::from(1));
                }
            }
            done(call, letters.drop(selection).await?, "dropped")
        }
    }
}

fn written(
    node: &Option<smollama_engine::glob::Glob>,
    since: Option<Moment>,
    now: Timestamp,
) -> LetterFilter {
    let since = since.map(|since| match since {
        Moment::At(time) => time,
        Moment::Ago(span) => now - span,
    });
    LetterFilter { address: node.clone(), since, before: None }
}

fn selected(selection: &look::Selection, now: Timestamp) -> Selection {
    match selection.ids.is_empty() {
        false => Selection::Ids(selection.ids.clone()),
        true => Selection::Filter(written(&selection.node, selection.since, now)),
    }
}

fn list(call: &Call<'_>, page: &LetterPage) -> Result<ExitCode, Failure> {
    if call.json {
        return crate::commands::print_json(page);
    }
    if page.letters.is_empty() {
        terminal::say("No dead letters.");
        return Ok(ExitCode::SUCCESS);
    }
    terminal::print(&text::list(page, call))?;
    let shown = page.letters.len() as u64;
    if page.total > shown {
        terminal::say(&format!("{shown} of {}; `--limit N` shows more.", page.total));
    }
    terminal::say("`smollama dlq show ID` shows one, `dlq replay` and `dlq drop` take IDs too.");
    Ok(ExitCode::SUCCESS)
}

/// What was done. It has failed where a letter was refused again.
fn done(call: &Call<'_>, done: LettersDone, what: &str) -> Result<ExitCode, Failure> {
    let code = if done.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) };
    if call.json {
        crate::commands::print_json(&done)?;
        return Ok(code);
    }
    terminal::print(&text::done(&done, what))?;
    Ok(code)
}
