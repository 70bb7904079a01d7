//! `doctor`: what on this machine keeps a host from working, or from keeping what it promises; each with what to do about it.
//!
//! Nothing is changed. It works beside an engine and without one, and says what cannot be seen from here.

mod broker;
mod clock;
mod data;
mod devices;
mod disk;
mod finding;
mod mosquitto;
mod ownership;
mod settings;

use std::process::ExitCode;

use serde::Serialize;

use self::finding::{Finding, Level, Section};
use super::nodes::{width, wrapped};
use crate::cli::Global;
use crate::terminal::{self, Failure};
use crate::text::{Paint, Tone, count, plain};
use crate::{client, host};

/// What `doctor --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// The release of this program.
    version: &'static str,
    errors: usize,
    warnings: usize,
    sections: Vec<Section>,
}

pub(crate) fn doctor(global: &Global) -> Result<ExitCode, Failure> {
    let read = host::read(global);
    let is_wrong = read.config.is_none() || read.diagnostics.has_errors();
    // What else is wrong can be found all the same.
    let config = read.config.clone().unwrap_or_default();
    let data_dir = host::data_dir(global, &config);
    let runtime = client::runtime()?;
    let engine = runtime.block_on(data::Engine::look(&data_dir));
    let mut sections = Vec::new();
    let mut add = |name: &str, findings: Vec<Finding>| {
        if !findings.is_empty() {
            sections.push(Section { name: name.to_owned(), findings });
        }
    };
    add("settings", settings::findings(global, &read));
    add("data", data::findings(&data_dir, &engine, &config.http));
    add("disk", disk::findings(&data_dir, &config.journal, &engine));
    add("clock", clock::findings(&config, &data_dir));
    add("devices", devices::findings());
    for (name, findings) in runtime.block_on(broker::findings(&config.mqtt, &engine)) {
        add(&name, findings);
    }
    let number = |level| {
        let all = sections.iter().flat_map(|section| &section.findings);
        all.filter(|finding| finding.level == level).count()
    };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        errors: number(Level::Error),
        warnings: number(Level::Warning),
        sections,
    };
    if global.json {
        super::print_json(&report)?;
    } else {
        terminal::print(&page(&report, width(), Paint(terminal::stdout_colour())))?;
    }
    Ok(match report.errors {
        _ if is_wrong => ExitCode::from(2),
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    })
}

/// Columns that the word for a level takes, with what is between it and the text.
const LEVEL: usize = 9;
const INDENT: usize = 2;

fn page(report: &Report, width: usize, paint: Paint) -> String {
    let mut out = String::new();
    for section in &report.sections {
        out += &format!("{}\n", paint.strong(&plain(&section.name)));
        for finding in &section.findings {
            out += &lines(finding, width, paint);
        }
        out.push('\n');
    }
    out + &summary(report)
}

fn lines(finding: &Finding, width: usize, paint: Paint) -> String {
    let tone = match finding.level {
        Level::Ok => Tone::Good,
        Level::Note => Tone::Faint,
        Level::Warning => Tone::Doubtful,
        Level::Error => Tone::Bad,
    };
    let room = |text: &str| wrapped(&shown(text), INDENT + LEVEL, width);
    let text = room(&finding.text);
    let word = format!("{:<LEVEL$}", finding.level.word());
    let mut out = format!("{:INDENT$}{}{}\n", "", paint.tone(tone, &word), text.trim_start());
    if let Some(fix) = &finding.fix {
        out += &format!("{}\n", room(&format!("fix: {fix}")));
    }
    out
}

/// Without anything that a terminal would obey, but for the ends of lines.
fn shown(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn summary(report: &Report) -> String {
    let errors = count(report.errors as u64, "error");
    let warnings = count(report.warnings as u64, "warning");
    match (report.errors, report.warnings) {
        (0, 0) => "Nothing is wrong.\n".into(),
        (0, _) => format!("{warnings}. What runs now goes on; a fix stands below each.\n"),
        _ => format!("{errors}, {warnings}. A fix stands below each.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_stands_below_what_is_wrong_and_lines_fit() {
        let findings = vec![
            Finding::ok("a.b", "all is well"),
            Finding::warning("c.d", "something that takes a few more words to say", "do this"),
        ];
        let sections = vec![Section { name: "disk".into(), findings }];
        let report = Report { version: "0", errors: 0, warnings: 1, sections };
        let wanted = "disk\n  ok       all is well\n  warning  something that takes a few\n           \
            more words to say\n           fix: do this\n\n\
            1 warning. What runs now goes on; a fix stands below each.\n";
        assert_eq!(page(&report, 40, Paint(false)), wanted);
    }

    #[test]
    fn what_a_stranger_wrote_commands_no_terminal() {
        let finding = Finding::ok("a.b", "a\x1b[2Jb\nc");
        assert_eq!(lines(&finding, 80, Paint(false)), "  ok       a\\u{1b}[2Jb\n           c\n");
    }
}
