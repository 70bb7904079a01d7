//! `test`: run the pipelines' own tests in virtual time.

use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;
use smollama_engine::diagnostic::{Files, Span};
use smollama_engine::plan::Graph;
use smollama_engine::testing::{self, TestCase, TestFailure};

use super::junit::junit;
use crate::cli::{Global, commands};
use crate::terminal::{self, Failure};

/// What became of one test.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Its name; that of a template is `template NAME`.
    pub(super) pipeline: String,
    pub(super) name: String,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) failures: Vec<Miss>,
}

/// One thing that was not as expected, and where that stands.
#[derive(Debug, Serialize)]
pub(super) struct Miss {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) message: String,
    /// What was there instead, one item a line.
    pub(super) seen: Vec<String>,
}

impl Report {
    pub(super) fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// All results: what `--json` prints.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    passed: usize,
    failed: usize,
    without_tests: Vec<&'a str>,
    tests: &'a [Report],
}

pub(crate) fn test(global: &Global, args: &commands::Test) -> Result<ExitCode, Failure> {
    let (graph, planned) = super::checked(global, &args.paths.paths)?;
    let cases = testing::tests(&graph);
    let without_tests = without_tests(&graph, &cases);
    let of_templates = planned.trials.iter().flat_map(|graph| {
        testing::tests(graph).into_iter().map(move |case| (graph, case, Some("template")))
    });
    let chosen: Vec<(&Graph, TestCase, Option<&str>)> = cases
        .into_iter()
        .map(|case| (&graph, case, None))
        .chain(of_templates)
        .filter(|(_, case, _)| {
            args.only.as_ref().is_none_or(|text| case.name().contains(text.as_str()))
        })
        .collect();
    if let Some(text) = args.only.as_ref().filter(|_| chosen.is_empty()) {
        terminal::error(&Failure::Failed(format!("no test has `{text}` in its name")));
        return Err(Failure::BadInput);
    }
    let mut reports: Vec<Report> = Vec::new();
    for (graph, case, kind) in chosen {
        let mut report = report(&case, testing::run(graph, &case), &planned.files);
        if let Some(kind) = kind {
            report.pipeline = format!("{kind} {}", report.pipeline);
        }
        if !global.json {
            let first = reports.last().is_none_or(|last| last.pipeline != report.pipeline);
            terminal::print(&lines(&report, first, terminal::stdout_colour()))?;
        }
        reports.push(report);
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit(&reports)).map_err(|error| {
            Failure::Failed(format!("cannot write `{}`: {error}", path.display()))
        })?;
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    let passed = reports.len() - failed;
    if global.json {
        let summary = Summary { passed, failed, without_tests, tests: &reports };
        let text = serde_json::to_string_pretty(&summary)
            .map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))?;
        terminal::print(&format!("{text}\n"))?;
    } else {
        let mut text = String::new();
        for pipeline in without_tests {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{pipeline} has no tests");
        }
        terminal::print(&format!("{text}{passed} passed, {failed} failed\n"))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn without_tests<'a>(graph: &'a Graph, cases: &[TestCase]) -> Vec<&'a str> {
    let names = graph.pipelines.iter().map(|pipeline| &*pipeline.name);
    names.filter(|name| !cases.iter().any(|case| *case.pipeline == **name)).collect()
}

fn report(case: &TestCase, failures: Vec<TestFailure>, files: &Files) -> Report {
    let place = |span: Span| {
        let position = files.position(span.file, span.start);
        (files.path(span.file).display().to_string(), position.line, position.column)
    };
    let (file, line, _) = place(case.span);
    let failures = failures.into_iter().map(|failure| {
        let (file, line, column) = place(failure.span);
        Miss { file, line, column, message: failure.message, seen: failure.seen }
    });
    Report {
        pipeline: case.pipeline.to_string(),
        name: case.name().to_owned(),
        file,
        line,
        failures: failures.collect(),
    }
}

/// One test as a person reads it; the first one of a pipeline stands below the pipeline's name.
fn lines(report: &Report, first: bool, colour: bool) -> String {
    let (green, red, off) =
        if colour { ("\x1b[32m", "\x1b[1;31m", "\x1b[0m") } else { ("", "", "") };
    let mut text = String::new();
    if first {
        let _ = writeln!(text, "{}  {}", report.pipeline, report.file);
    }
    if report.passed() {
        let _ = writeln!(text, "  {green}ok{off}      {}", report.name);
        return text;
    }
    let _ = writeln!(text, "  {red}FAILED{off}  {}", report.name);
    for failure in &report.failures {
        let Miss { file, line, column, message, seen } = failure;
        let _ = writeln!(text, "    {file}:{line}:{column}: {message}");
        for item in seen {
            let _ = writeln!(text, "      {item}");
        }
    }
    text
}
