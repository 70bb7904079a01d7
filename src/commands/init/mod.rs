//! `init`: looks at this machine and writes what a host begins with. It asks nothing, and leaves alone what is there.

pub(super) mod files;
mod surroundings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use smollama_engine::config::mqtt::{DEFAULT_BROKER, MqttBroker};

use self::files::{Draft, FileReport, Outcome};
use self::surroundings::{Found, Surroundings};
use crate::cli::Global;
use crate::cli::setup::{HostPort, Init};
use crate::terminal::{self, Failure};
use crate::text::{Paint, plain};
use crate::{client, host};

/// How many sensors are named.
const NAMED: usize = 4;

/// What `init --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    folder: PathBuf,
    found: Surroundings,
    files: Vec<FileReport>,
    /// What to type next.
    next: Vec<String>,
}

pub(crate) fn init(global: &Global, args: &Init) -> Result<ExitCode, Failure> {
    let folder = std::path::absolute(&args.folder).unwrap_or_else(|_| args.folder.clone());
    let settings = broker_settings(global, &folder, &args.broker)?;
    let place = HostPort {
        host: settings.broker.clone().unwrap_or_else(|| "localhost".into()),
        port: settings.port.unwrap_or(if settings.tls.is_some() { 8883 } else { 1883 }),
    };
    let looked = surroundings::look(&settings, &place, &args.ollama, &folder);
    let found = client::runtime()?.block_on(looked);
    let drafts = files::drafts(&found, &place);
    let mut files = Vec::new();
    for draft in &drafts {
        let outcome = match draft.path == files::PIPELINE && files::has_pipelines(&folder) {
            true => Ok(Outcome::NotNeeded),
            false => files::write(&folder, draft, args.force, args.dry_run),
        };
        let outcome = outcome.map_err(|error| {
            let path = folder.join(draft.path);
            Failure::Failed(format!(
                "cannot write {}: {error}\n  help: choose a folder that you may write to: smollama init DIR",
                path.display()
            ))
        })?;
        let text = args.dry_run.then(|| draft.text.clone());
        files.push(FileReport { path: draft.path, outcome, text });
    }
    let next = next(&folder, &found, &files);
    let report = Report { folder, found, files, next };
    if global.json {
        return super::print_json(&report);
    }
    let paint = Paint(terminal::stdout_colour());
    if args.dry_run {
        terminal::print(&texts(&drafts, paint))?;
    }
    terminal::print(&page(&report, args.dry_run, paint))?;
    Ok(ExitCode::SUCCESS)
}

/// How to reach a broker: as the settings say that are there already, or at the place that was asked for.
fn broker_settings(
    global: &Global,
    folder: &Path,
    place: &HostPort,
) -> Result<MqttBroker, Failure> {
    let there = ["config.yaml", "config.yml"].map(|name| folder.join(name));
    if let Some(path) = there.into_iter().find(|path| path.is_file()) {
        let settings = host::settings(&Global { config: Some(path), ..global.clone() })?.mqtt;
        if let Some(broker) = settings.named(DEFAULT_BROKER).filter(|_| settings != <_>::default())
        {
            return Ok(broker);
        }
    }
    let broker = Some(place.host.clone());
    Ok(MqttBroker { broker, port: Some(place.port), ..MqttBroker::default() })
}

fn texts(drafts: &[Draft], paint: Paint) -> String {
    let shown = drafts.iter().filter(|draft| !draft.path.ends_with(".json"));
    shown.map(|draft| format!("{}\n{}\n", paint.strong(draft.path), draft.text)).collect()
}

fn page(report: &Report, dry_run: bool, paint: Paint) -> String {
    let mut out = format!("{}\n", paint.strong("This machine"));
    for (label, text) in found(&report.found) {
        out += &format!("  {}  {}\n", paint.faint(&format!("{label:<8}")), plain(&text));
    }
    let folder = plain(&report.folder.display().to_string()).into_owned();
    let verb = if dry_run { "Would be in" } else { "Files in" };
    out += &format!("\n{}\n", paint.strong(&format!("{verb} {folder}")));
    let longest = report.files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    for file in &report.files {
        let (tone, word) = file.outcome.word();
        let word = paint.tone(tone, &format!("{word:<8}"));
        let line = format!("  {word}  {:<longest$}  {}", file.path, why(file));
        out += &format!("{}\n", line.trim_end());
    }
    out += &format!("\n{}\n", paint.strong("Next"));
    for line in &report.next {
        out += &format!("  {line}\n");
    }
    out
}

/// Why a file was not written, and what to do about that.
fn why(file: &FileReport) -> &'static str {
    match (file.outcome, file.path) {
        (Outcome::Kept, files::CONFIG_SCHEMA) => {
            "of another version: smollama schema config > schema/config.schema.json"
        }
        (Outcome::Kept, files::PIPELINE_SCHEMA) => {
            "of another version: smollama schema pipeline > schema/pipeline.schema.json"
        }
        (Outcome::Kept, _) => {
            "it was there already: `--dry-run` shows what would be written, `--force` writes it"
        }
        (Outcome::NotNeeded, _) => "there are pipelines already",
        _ => "",
    }
}

/// What was found, in lines with a label.
fn found(found: &Surroundings) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    lines.push((
        "sensors",
        match &found.sensors[..] {
            [] => "none: no /proc is here; the pipeline makes its values up".into(),
            sensors => {
                let names: Vec<&str> = best(sensors);
                let more = sensors.len() - names.len();
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                format!("{}{more}", names.join(", "))
            }
        },
    ));
    let place = &found.broker.place;
    lines.push((
        "broker",
        match &found.broker.found {
            Found::Open { mqtt, name } => {
                let name = name.as_deref().unwrap_or("one");
                format!("{name} answers at {place}, by MQTT {mqtt}")
            }
            Found::Locked => {
                format!("one answers at {place}, and wants a user name and a password")
            }
            Found::Strange { why } => format!("none that can be used at {place}: {why}"),
            Found::Nothing => {
                format!("none at {place}: with `mqtt: {{ embedded: true }}` this program is one")
            }
        },
    ));
    lines.push((
        "ollama",
        match &found.ollama {
            None => "none answers".into(),
            Some(ollama) => {
                let models = match &ollama.models[..] {
                    [] => "no models".into(),
                    models => models.join(", "),
                };
                format!("{} answers at {}, with {models}", ollama.version, ollama.place)
            }
        },
    ));
    if !found.original.is_empty() {
        let paths: Vec<String> =
            found.original.iter().map(|path| path.display().to_string()).collect();
        lines.push((
            "original",
            format!("a Python Smollama, which `smollama import` takes over: {}", paths.join(", ")),
        ));
    }
    lines
}

/// The sensors that people know best.
fn best(sensors: &[String]) -> Vec<&str> {
    const KNOWN: [&str; 4] = ["cpu_temp", "cpu_percent", "mem_percent", "disk/root/percent"];
    let names = sensors.iter().map(|name| name.strip_prefix("system:").unwrap_or(name));
    let (mut known, others): (Vec<&str>, Vec<&str>) = names.partition(|name| KNOWN.contains(name));
    known.sort_by_key(|name| KNOWN.iter().position(|one| one == name));
    known.extend(others);
    known.truncate(NAMED);
    known
}

/// What to type next, the command that runs it all last.
fn next(folder: &Path, found: &Surroundings, files: &[FileReport]) -> Vec<String> {
    let here = std::env::current_dir().is_ok_and(|current| current == folder);
    let mut steps: Vec<(String, String)> = Vec::new();
    if !here {
        steps.push((format!("cd {}", plain(&folder.display().to_string())), String::new()));
    }
    if found.broker.found == Found::Locked {
        let file = files.first().map_or("config.yaml", |file| file.path);
        steps.push((format!("$EDITOR {file}"), "the user name that the broker wants".into()));
    }
    steps.push((
        "smollama doctor".into(),
        "checks this machine, and what it is to work with".into(),
    ));
    steps.push((
        "smollama test pipelines/".into(),
        "the pipeline's own tests, in virtual time".into(),
    ));
    steps.push(("smollama apply pipelines/".into(), "shows the plan, and runs it".into()));
    let longest = steps.iter().map(|(step, _)| step.chars().count()).max().unwrap_or(0);
    let line = |(step, why): &(String, String)| match why.is_empty() {
        true => step.clone(),
        false => format!("{step:<longest$}  # {why}"),
    };
    steps.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sensors_that_people_know_come_first() {
        let all = ["system:a", "system:b", "system:cpu_percent", "system:cpu_temp", "system:c"];
        let all = all.map(ToOwned::to_owned);
        assert_eq!(best(&all), ["cpu_temp", "cpu_percent", "a", "b"]);
        assert_eq!(best(&all[..1]), ["a"]);
    }
}
