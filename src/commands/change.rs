//! What `plan`, `apply` and `rollback` share: what is asked of the engine, and how plans and their outcome are shown.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use smollama_engine::control::{ApplyReply, PlanReply, PlanRequest, Variables};
use smollama_engine::diagnostic::{JsonDiagnostic, Rule, Severity, rules};
use smollama_engine::plan::Planned;
use smollama_engine::plan::diff::{Plan, RowChange, RowState};
use smollama_engine::registry::Registry;

use crate::client::Call;
use crate::terminal::{self, Failure};
use crate::text::{Paint, count, plain};

/// What only the engine can judge: it knows the pipelines that run, and has an environment and a configuration of its own.
static ENGINE_KNOWS: [&Rule; 4] = [
    &rules::DANGLING_INPUT,
    &rules::UNSET_VARIABLE,
    &rules::SECRET_UNREADABLE,
    &rules::UNKNOWN_BROKER,
];

/// Files as they are on this side.
pub(super) struct Local {
    planned: Planned,
    request: PlanRequest,
}

impl Local {
    /// Reads and checks the files.
    pub(super) fn read(registry: &Registry, paths: &[PathBuf], all: bool) -> Local {
        // Variables are those of whoever asks, so all that the files name are sent along.
        let used = RefCell::new(BTreeMap::new());
        let lookup = |name: &str| {
            let value = crate::host::variable(name)?;
            used.borrow_mut().insert(name.to_owned(), value.clone());
            Some(value)
        };
        let planned = smollama_engine::plan::plan(paths, &lookup, registry);
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let paths = paths.iter().map(absolute).collect();
        let request = PlanRequest { paths, all, variables: Variables(used.into_inner()) };
        Local { planned, request }
    }

    /// What to ask the engine, unless the files are wrong whatever the engine knows. What is wrong is shown.
    pub(super) fn request(&self) -> Result<PlanRequest, Failure> {
        let Planned { diagnostics, files, .. } = &self.planned;
        let mut errors = diagnostics.iter().filter(|one| one.severity == Severity::Error);
        let is_known_there = |rule: &Rule| ENGINE_KNOWS.iter().any(|known| known.id == rule.id);
        if !diagnostics.has_errors() || !errors.all(|error| is_known_there(error.rule)) {
            terminal::diagnostics(diagnostics, files)?;
        }
        Ok(self.request.clone())
    }

    /// Shows the warnings of the engine that were not shown here.
    pub(super) fn further(&self, warnings: &[JsonDiagnostic]) {
        let Planned { diagnostics, files, .. } = &self.planned;
        // With an error that only the engine can judge, nothing was shown.
        let shown = match diagnostics.has_errors() {
            true => Vec::new(),
            false => diagnostics.to_json(files),
        };
        let is = |one: &JsonDiagnostic, other: &JsonDiagnostic| {
            (&one.rule, one.line, one.column) == (&other.rule, other.line, other.column)
        };
        for warning in warnings.iter().filter(|one| !shown.iter().any(|known| is(known, one))) {
            terminal::say(&warned(warning));
        }
    }
}

/// A warning without the line it is about.
fn warned(warning: &JsonDiagnostic) -> String {
    let JsonDiagnostic { rule, message, file, line, column, help } = warning;
    let mut text = format!("warning[{rule}]: {}", plain(message));
    if let Some(file) = file {
        text += &format!("\n --> {}:{line}:{column}", plain(file));
    }
    if let Some(help) = help {
        text += &format!("\n  help: {}", plain(help));
    }
    text
}

/// Shows a plan as the result of a command.
pub(crate) fn show(reply: &PlanReply, json: bool) -> Result<(), Failure> {
    if json {
        super::print_json(&plan_json(reply)).map(|_| ())
    } else {
        terminal::print(&text(reply, Paint(terminal::stdout_colour())))
    }
}

/// Shows a plan, which is all if nothing is to be changed. In JSON it is shown only then: a command has one result.
pub(super) fn ends_with_plan(
    call: &Call<'_>,
    reply: &PlanReply,
    dry_run: bool,
) -> Result<bool, Failure> {
    let ends = dry_run || !reply.pending;
    if ends || !call.json {
        show(reply, call.json)?;
    }
    if dry_run {
        terminal::say("Nothing was changed.");
    }
    Ok(ends)
}

/// The changes for a person; in the engine's words if they cannot be read.
fn text(reply: &PlanReply, paint: Paint) -> String {
    match serde_json::from_value::<Plan>(reply.changes.clone()) {
        Ok(plan) => plan.text(paint.0),
        Err(_) => reply.text.lines().map(|line| format!("{}\n", plain(line))).collect(),
    }
}

/// What `plan --json` prints: the rows, with whether there is anything to change.
fn plan_json(reply: &PlanReply) -> Value {
    let PlanReply { pending, revision, changes, diagnostics, .. } = reply;
    with(json!({ "pending": pending, "revision": revision }), changes, diagnostics)
}

/// What `apply --json` prints: the rows, with the revision that runs now.
fn applied_json(reply: &ApplyReply) -> Value {
    let ApplyReply { revision, changes, diagnostics, took_ms, sync_ms, .. } = reply;
    let head = json!({ "revision": revision, "took_ms": took_ms, "sync_ms": sync_ms });
    with(head, changes, diagnostics)
}

fn with(mut head: Value, changes: &Value, diagnostics: &[JsonDiagnostic]) -> Value {
    if let (Value::Object(head), Value::Object(changes)) = (&mut head, changes) {
        head.extend(changes.clone());
        head.insert("diagnostics".into(), json!(diagnostics));
    }
    head
}

/// Asks on a terminal, if something that runs would change.
pub(crate) fn agreed(reply: &PlanReply, json: bool, question: &str) -> bool {
    if !terminal::can_ask() || !touches_what_runs(reply) {
        return true;
    }
    if json {
        // What is asked about was not shown yet.
        terminal::say(text(reply, Paint(terminal::stderr_colour())).trim_end());
    }
    let agreed = terminal::confirmed(question);
    if !agreed {
        terminal::say("Nothing was changed.");
    }
    agreed
}

/// Whether something that runs would change. What cannot be read might.
fn touches_what_runs(reply: &PlanReply) -> bool {
    let Ok(plan) = serde_json::from_value::<Plan>(reply.changes.clone()) else {
        return reply.pending;
    };
    let touches = |change| !matches!(change, RowChange::Add | RowChange::Keep);
    plan.changes.iter().any(|row| touches(row.change))
        || plan.pipelines.iter().any(|row| touches(row.change))
}

/// Says what was done, in a line or two.
fn applied_text(reply: &ApplyReply) -> String {
    let mut text = format!(
        "Revision {} runs. It took {:.0} ms, {:.0} ms of them for the disk.\n",
        reply.revision, reply.took_ms, reply.sync_ms
    );
    let Ok(plan) = serde_json::from_value::<Plan>(reply.changes.clone()) else { return text };
    let is_reset = |change, state| change != RowChange::Remove && state == RowState::Reset;
    let reset = plan.changes.iter().filter(|row| is_reset(row.change, row.state));
    let reset: Vec<&str> = reset.map(|row| row.address.as_str()).collect();
    if !reset.is_empty() {
        let verb = if reset.len() == 1 { "begins" } else { "begin" };
        let nodes = count(reset.len() as u64, "node");
        text += &format!("{nodes} {verb} with nothing remembered: {}\n", reset.join(", "));
    }
    text
}

/// Shows what was done.
pub(super) fn done(call: &Call<'_>, reply: &ApplyReply) -> Result<(), Failure> {
    if call.json {
        super::print_json(&applied_json(reply))?;
        return Ok(());
    }
    terminal::print(&applied_text(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(change: &str, state: &str) -> Value {
        json!({
            "address": "home/pace", "section": "transform", "type": "adaptive_rate", "change": change,
            "state": state, "settings": [], "detail": ""
        })
    }

    fn changes(rows: &[Value]) -> Value {
        let summary = json!({ "add": 0, "change": 0, "remove": 0, "rename": 0, "keep": 0 });
        json!({ "changes": rows, "pipelines": [], "summary": summary })
    }

    fn reply(changes: Value) -> PlanReply {
        let (text, diagnostics) = ("a plan\x1b[2J".to_owned(), vec![]);
        PlanReply { pending: true, revision: Some(7), changes, text, diagnostics }
    }

    #[test]
    fn only_what_runs_is_asked_about() {
        let asks = |row: Value| touches_what_runs(&reply(changes(&[row])));
        assert!(!asks(row("add", "none")));
        assert!(!asks(row("keep", "kept")));
        for change in ["change", "remove", "rename"] {
            assert!(asks(row(change, "none")), "{change}");
        }
        assert!(touches_what_runs(&reply(json!("of another release"))));
    }

    #[test]
    fn the_plan_of_another_release_is_shown_in_its_own_words() {
        assert_eq!(text(&reply(json!("what?")), Paint(false)), "a plan\\u{1b}[2J\n");
    }

    #[test]
    fn json_has_the_rows_and_what_goes_with_them() {
        let shown = plan_json(&reply(changes(&[row("change", "kept")])));
        assert_eq!((&shown["pending"], &shown["revision"]), (&json!(true), &json!(7)));
        assert_eq!(shown["changes"][0]["address"], "home/pace");
        assert_eq!(shown["diagnostics"], json!([]));
    }

    #[test]
    fn states_that_begin_anew_are_named() {
        let changes = changes(&[row("change", "reset"), row("remove", "reset")]);
        let (text, diagnostics) = (String::new(), vec![]);
        let (took_ms, sync_ms) = (41.6, 12.0);
        let reply = ApplyReply { revision: 8, changes, text, diagnostics, took_ms, sync_ms };
        assert_eq!(
            applied_text(&reply),
            "Revision 8 runs. It took 42 ms, 12 ms of them for the disk.
1 node begins with nothing remembered: home/pace
"
        );
    }
}
