//! What is asked of a running engine, and when it is not.

use std::path::{Path, PathBuf};

use clap::Parser;
use smollama_engine::control::{ApplyReply, PlanReply};
use smollama_engine::plan::diff::{diff, nobody_asked};
use smollama_engine::plan::{Graph, plan};

use super::running::apply_to_running;
use crate::cli::{Cli, Command, commands};
use crate::commands::stand_in::StandIn;
use crate::terminal::Failure;

const HOME: &str = "\
pipeline: home
sources:
  air:
    simulate:
      base: ${SMOLLAMA_TEST_UNSET:-20}
transforms: { news: { inputs: [air], dedup: { deadband: 0.2 } } }
sinks: { gone: { inputs: [news], discard: {} } }
";

fn graph(yaml: &str) -> Graph {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("home.yaml");
    std::fs::write(&file, yaml).unwrap();
    plan(&[file], &|_| None, &smollama_nodes::registry()).graph.unwrap()
}

/// The answer of an engine that runs `old` to a plan for `new`.
fn reply(old: &Graph, new: &Graph) -> PlanReply {
    let changes = diff(old, new, &nobody_asked);
    let plan = changes.plan(old, new, &|_| None);
    PlanReply {
        pending: !changes.is_empty(),
        revision: Some(7),
        changes: serde_json::to_value(&plan).unwrap(),
        text: plan.text(false),
        diagnostics: vec![],
    }
}

fn engine(planned: PlanReply) -> StandIn {
    let PlanReply { changes, text, .. } = planned.clone();
    let diagnostics = vec![];
    let applied =
        ApplyReply { revision: 8, changes, text, diagnostics, took_ms: 12.0, sync_ms: 3.0 };
    StandIn { plan: Some(planned), applied: Some(applied), ..StandIn::default() }
}

fn args(file: &Path, flags: &[&str]) -> commands::Apply {
    let line = ["smollama", "apply", file.to_str().unwrap()];
    match Cli::try_parse_from(line.iter().chain(flags)).unwrap().command {
        Command::Apply(args) => args,
        other => panic!("{other:?}"),
    }
}

fn written(yaml: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("home.yaml");
    std::fs::write(&file, yaml).unwrap();
    (folder, file)
}

async fn asked(engine: &StandIn, yaml: &str, flags: &[&str]) -> (bool, Vec<String>) {
    let (_folder, file) = written(yaml);
    let done = apply_to_running(&engine.call(), &args(&file, flags)).await;
    (done.is_ok(), engine.asked())
}

#[tokio::test]
async fn what_was_planned_is_applied_over_the_revision_that_was_seen() {
    let engine = engine(reply(&Graph::default(), &graph(HOME)));
    let (done, asked) = asked(&engine, HOME, &["--all", "-m", "at last"]).await;
    assert!(done);
    assert_eq!(asked, ["plan all=true {}", "apply expect=Some(7) Some(\"at last\")"]);
}

#[tokio::test]
async fn a_dry_run_and_nothing_to_change_end_with_the_plan() {
    let new = engine(reply(&Graph::default(), &graph(HOME)));
    assert_eq!(asked(&new, HOME, &["--dry-run"]).await.1, ["plan all=false {}"]);
    let home = graph(HOME);
    let same = engine(reply(&home, &home));
    assert_eq!(asked(&same, HOME, &["-y"]).await.1, ["plan all=false {}"]);
}

#[tokio::test]
async fn the_variables_that_the_files_name_are_sent() {
    let engine = engine(reply(&Graph::default(), &graph(HOME)));
    let yaml = HOME.replace("pipeline: home\n", "pipeline: home\ndescription: \"${PATH}\"\n");
    let (_, asked) = asked(&engine, &yaml, &[]).await;
    assert_eq!(asked[0], "plan all=false {\"PATH\"}");
}

#[tokio::test]
async fn what_is_wrong_in_any_case_is_said_here() {
    let engine = engine(reply(&Graph::default(), &graph(HOME)));
    let (_folder, file) = written(&HOME.replace("dedup", "dedupe"));
    let failed = apply_to_running(&engine.call(), &args(&file, &[])).await;
    assert!(matches!(failed, Err(Failure::BadInput)));
    assert_eq!(engine.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_only_the_engine_can_know_is_left_to_it() {
    let engine = engine(reply(&Graph::default(), &graph(HOME)));
    let elsewhere = HOME.replace("[air]", "[air, weather/outdoor]");
    let unset = HOME.replace(":-20}", "}");
    let secret = HOME.replace("${SMOLLAMA_TEST_UNSET:-20}", "secret://env/SMOLLAMA_TEST_UNSET");
    for (number, yaml) in (1..).zip([elsewhere, unset, secret]) {
        let (done, asked) = asked(&engine, &yaml, &[]).await;
        assert!(done, "{yaml}");
        assert_eq!(asked.len(), 2 * number, "{yaml}");
    }
}

#[tokio::test]
async fn flags_for_an_engine_that_starts_are_refused() {
    let engine = engine(reply(&Graph::default(), &graph(HOME)));
    let (_folder, file) = written(HOME);
    for flags in [&["--speed", "max"][..], &["--port", "80"], &["--no-dashboard"]] {
        let failed = apply_to_running(&engine.call(), &args(&file, flags)).await;
        assert!(matches!(failed, Err(Failure::Wrong(why)) if why.contains(flags[0])), "{flags:?}");
    }
    assert_eq!(engine.asked(), Vec::<String>::new());
}
