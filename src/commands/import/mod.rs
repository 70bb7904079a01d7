//! `import`: what a Python Smollama was told and what it kept, as settings, a pipeline and history of ours. Of the old one nothing
//! is changed.

mod history;
mod left;
mod old;
mod page;
mod pipelines;
mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde::Serialize;
use smollama_engine::config::host::HostConfig;

use self::history::{Data, Tally, Target};
use self::left::Left;
use self::old::Old;
use self::settings::Role;
use super::init::files::{self, Draft, FileReport};
use crate::cli::Global;
use crate::cli::setup::Import;
use crate::host;
use crate::terminal::{self, Failure};
use crate::text::{Paint, plain};

/// What `import --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    old: Found,
    /// Where the files are.
    folder: PathBuf,
    files: Vec<FileReport>,
    /// What became of the old readings and observations; absent with `--dry-run`, and where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<HistoryReport>,
    /// What stood in the old settings and has no place here.
    left: Vec<Left>,
    /// What to type next.
    next: Vec<String>,
}

/// What there is of a Python Smollama.
#[derive(Debug, Serialize)]
struct Found {
    /// The file of settings, and the one over it.
    settings: Vec<PathBuf>,
    memory: Option<PathBuf>,
    /// How many rows that has.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<RowCounts>,
    cache: Option<PathBuf>,
    /// How many values that has.
    cached: usize,
}

/// Rows of a `memory.db`; `null` where they cannot be counted.
#[derive(Debug, Serialize)]
struct RowCounts {
    readings: Option<u64>,
    observations: Option<u64>,
    memories: Option<u64>,
}

/// See [`Report::history`].
#[derive(Debug, Serialize)]
struct HistoryReport {
    folder: PathBuf,
    #[serde(flatten)]
    tally: Tally,
}

pub(crate) fn import(global: &Global, args: &Import) -> Result<ExitCode, Failure> {
    let old = old::find(args.path.as_deref(), host::home().as_deref())?;
    let folder = std::path::absolute(&args.to).unwrap_or_else(|_| args.to.clone());
    leave_alone(&old, &folder)?;
    let settings = target_settings(global, &folder)?;
    let data_dir = host::data_dir(global, &settings);
    leave_data_alone(&old, &data_dir)?;
    // All that can be refused is refused before anything is written.
    let has_data = old.memory.is_some() || old.cache.is_some();
    let target = (has_data && !args.dry_run).then(|| Target::take(&data_dir)).transpose()?;
    let scratch = match &target {
        Some(target) => target.scratch(),
        None => std::env::temp_dir().join(format!("smollama-import-{}", std::process::id())),
    };
    let data = Data::open(&old, &scratch)?;
    let zone = args.timezone.clone().or(settings.timezone.map(|zone| zone.0));
    let zone = zone.unwrap_or_else(TimeZone::system);
    if args.timezone.is_none()
        && let Some(doubt) = data.zone_doubt(&zone)?
    {
        return Err(Failure::Wrong(format!(
            "{doubt}\n  help: say the zone of the machine that wrote them: --timezone Europe/Berlin"
        )));
    }
    let (drafts, left) = drafts(&old, &zone);
    let files = write(&folder, &drafts, args)?;
    let filled = target.as_ref().map(|target| {
        let tally = target.fill(&data, &zone)?;
        Ok::<_, Failure>(HistoryReport { folder: target.folder(), tally })
    });
    let history = filled.transpose()?;
    if !args.dry_run {
        check(global, &folder)?;
    }
    let next = next(&folder, &files);
    let rows = data.counts().map(|counts| RowCounts {
        readings: counts.readings,
        observations: counts.observations,
        memories: counts.memories,
    });
    let found = Found {
        settings: old.configs.iter().map(|path| absolute(path)).collect(),
        memory: old.memory.as_deref().map(absolute),
        rows,
        cache: old.cache.as_deref().map(absolute),
        cached: data.cached(),
    };
    let report = Report { old: found, folder, files, history, left, next };
    if global.json {
        return super::print_json(&report);
    }
    let paint = Paint(terminal::stdout_colour());
    if args.dry_run {
        terminal::print(&page::texts(&drafts, paint))?;
    }
    terminal::print(&page::page(&report, args.dry_run, paint))?;
    Ok(ExitCode::SUCCESS)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Refuses to write where the old program has its files.
fn leave_alone(old: &Old, folder: &Path) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().ok();
    let theirs = old.configs.iter().chain(&old.memory).chain(&old.cache);
    let mut theirs = theirs.filter_map(|path| absolute(path).parent().and_then(real));
    let ours = real(folder);
    if ours.is_none() || !theirs.any(|path| Some(path) == ours) {
        return Ok(());
    }
    Err(Failure::Wrong(format!(
        "{} is the folder of the Python Smollama, in which nothing is changed\n  help: choose another one: smollama import --to DIR",
        folder.display()
    )))
}

/// Refuses to keep anything where the old program keeps its data.
fn leave_data_alone(old: &Old, data_dir: &Path) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().ok();
    let mut theirs = old.memory.iter().chain(&old.cache);
    let ours = real(data_dir);
    if ours.is_none() || !theirs.any(|path| absolute(path).parent().and_then(real) == ours) {
        return Ok(());
    }
    Err(Failure::Wrong(format!(
        "the data directory {} is that of the Python Smollama, in which nothing is changed\n  help: choose another one with `--data-dir DIR`",
        data_dir.display()
    )))
}

/// The settings that hold in the folder already; those of the old program do not.
fn target_settings(global: &Global, folder: &Path) -> Result<HostConfig, Failure> {
    let there = ["config.yaml", "config.yml"].map(|name| folder.join(name));
    let there = global.config.clone().or_else(|| there.into_iter().find(|path| path.is_file()));
    match there {
        Some(path) => host::settings(&Global { config: Some(path), ..global.clone() }),
        None => Ok(HostConfig::default()),
    }
}

/// The files to write, and what has no place in them.
fn drafts(old: &Old, zone: &TimeZone) -> (Vec<Draft>, Vec<Left>) {
    let role = Role::of(old);
    let pipeline = pipelines::pipeline(old, &role);
    let settings = settings::settings(old, &role, zone.iana_name(), &pipeline.refused);
    let [config_schema, pipeline_schema] = files::schemas();
    let mut drafts = vec![Draft::new(files::CONFIG, settings.text)];
    drafts.extend(settings.password.map(|password| Draft {
        is_secret: true,
        ..Draft::new(settings::PASSWORD, format!("{password}\n"))
    }));
    drafts.extend(pipeline.text.map(|text| Draft::new(files::PIPELINE, text)));
    drafts.extend([config_schema, pipeline_schema]);
    (drafts, settings.left)
}

fn write(folder: &Path, drafts: &[Draft], args: &Import) -> Result<Vec<FileReport>, Failure> {
    let mut reports = Vec::new();
    for draft in drafts {
        let outcome = files::write(folder, draft, args.force, args.dry_run);
        let outcome = outcome.map_err(|error| {
            let path = folder.join(draft.path);
            Failure::Failed(format!(
                "cannot write {}: {error}\n  help: choose a folder that you may write to: smollama import --to DIR",
                path.display()
            ))
        })?;
        let text = (args.dry_run && !draft.is_secret).then(|| draft.text.clone());
        reports.push(FileReport { path: draft.path, outcome, text });
    }
    Ok(reports)
}

/// Checks what is in the folder now, as `validate` does, and shows what is wrong with it.
fn check(global: &Global, folder: &Path) -> Result<(), Failure> {
    let global = Global { config: Some(folder.join(files::CONFIG)), ..global.clone() };
    host::settings(&global)?;
    let pipeline = folder.join(files::PIPELINE);
    if pipeline.is_file() {
        super::checked(&global, &[pipeline])?;
    }
    Ok(())
}

/// What to type next, the command that runs it all last.
fn next(folder: &Path, files: &[FileReport]) -> Vec<String> {
    let mut next = Vec::new();
    if std::env::current_dir().is_ok_and(|current| current != folder) {
        next.push(format!("cd {}", plain(&folder.display().to_string())));
    }
    next.push("smollama doctor".into());
    match files.iter().any(|file| file.path == files::PIPELINE) {
        true => next.push("smollama apply pipelines/".into()),
        false => next.push("smollama nodes".into()),
    }
    next
}
