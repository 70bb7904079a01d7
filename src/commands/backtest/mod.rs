//! `backtest`: changed pipelines over recorded readings, beside the ones that run.

mod input;
mod notes;
mod page;
mod progress;

use std::any::Any;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use smollama_engine::backtest::{Backtest, Outcome, Report, Setup};
use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::context::Host;
use smollama_engine::duration::Duration;
use smollama_engine::lease::Leases;
use smollama_engine::plan::{Graph, PlannedNode, Scope};
use smollama_engine::running::Running;
use smollama_engine::series::SeriesTable;
use smollama_engine::time::Timestamp;
use smollama_nodes::sinks::discard::DiscardConfig;
use smollama_nodes::sinks::parquet::ParquetConfig;
use smollama_store::history::{Reader, RowBytes};
use smollama_supervisor::Comparison;

use self::input::Input;
use self::progress::Progress;
use super::change::Local;
use crate::cli::look::Moment;
use crate::cli::{Global, commands};
use crate::client;
use crate::engine::cannot_build;
use crate::host;
use crate::terminal::{self, Failure};

/// How far back is looked unless the user says so.
const SINCE: Duration = Duration::from_days(7);
/// What a row of Parquet costs where no history tells: measured on the recordings in `data/recordings`, and on their windows of an hour.
const ROW_BYTES: (f64, f64) = (4.6, 60.0);

pub(crate) fn backtest(global: &Global, args: &commands::Backtest) -> Result<ExitCode, Failure> {
    let look = Arc::new(host::look(global)?);
    let registry = host::registry(global);
    let local = Local::read(&registry, &args.paths.paths, args.all);
    let compared = Comparison::new(&look, &local.request()?, &registry)?;
    local.further(&compared.warnings);
    let running = compared.running.as_ref().map(|(_, graph)| graph);
    let span = Span::of(args);
    let recorded = Arc::new(host::look(global)?);
    let histories = histories(running, &compared.candidate, &recorded);
    let mut input = match args.from.is_empty() {
        true => Input::history(&histories, span.range(), &recorded)?,
        false => Input::files(&args.from, span.range(), &compared.candidate, &recorded)?,
    };
    let setup = Setup {
        running,
        candidate: &compared.candidate,
        pipelines: meant(args, running, &compared.candidate),
        host: &|| as_it_is(&look),
        writes_json: &writes_json,
        items_max: args.diff.unwrap_or(0),
        goes_on: args.from.is_empty(),
    };
    let mut backtest = Backtest::new(&setup, &recorded)
        .map_err(|errors| cannot_build(&errors, &compared.files))?;
    let mut progress = Progress::new();
    while let Some(reading) = input.next() {
        progress.step(reading.time);
        backtest.take(reading);
    }
    progress.end();
    input.ended()?;
    let mut report = backtest.finish(span.until.filter(|_| args.from.is_empty()));
    if report.readings == 0 {
        return Err(nothing(&input, &span));
    }
    weigh(&mut report, running, &compared.candidate, &recorded);
    let notes = notes::notes(&report, &compared, &input);
    let outcome = Outcome {
        revision: compared.running.as_ref().map(|(number, _)| *number),
        recorded: input.names().to_vec(),
        since: span.since,
        until: span.until,
        notes,
        report,
    };
    if global.json {
        return super::print_json(&outcome);
    }
    client::ask(global, async |call| terminal::print(&page::text(&outcome, args.diff, call)))?;
    Ok(ExitCode::SUCCESS)
}

/// From when to when.
#[derive(Debug, Clone, Copy)]
struct Span {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Span {
    fn of(args: &commands::Backtest) -> Span {
        let now = SystemClock::default().now();
        let at = |moment: Moment| match moment {
            Moment::At(time) => time,
            Moment::Ago(span) => now.saturating_sub(span),
        };
        let (mut since, mut until) = (args.since.map(at), args.until.map(at));
        if args.from.is_empty() {
            until = until.or(Some(now));
            since = since.or_else(|| until.map(|until| until.saturating_sub(SINCE)));
        }
        Span { since, until }
    }

    fn range(&self) -> std::ops::Range<Timestamp> {
        self.since.unwrap_or(Timestamp::MIN)..self.until.unwrap_or(Timestamp::MAX)
    }
}

fn nothing(input: &Input<'_>, span: &Span) -> Failure {
    let names = input.names().join(", ");
    let between = match (span.since, span.until) {
        (Some(since), Some(until)) => format!(" from {since} to {until}"),
        (Some(since), None) => format!(" since {since}"),
        (None, Some(until)) => format!(" until {until}"),
        (None, None) => String::new(),
    };
    let help = match input.is_history() {
        true => {
            "a sink `parquet` records readings; `--since` looks further back, `--from` reads other recordings"
        }
        false => "`--since` looks further back",
    };
    Failure::Failed(format!("no reading is recorded in {names}{between}\n  help: {help}"))
}

/// The pipelines that the paths speak for.
fn meant(
    args: &commands::Backtest,
    running: Option<&Graph>,
    candidate: &Graph,
) -> BTreeSet<Arc<str>> {
    let scope = Scope { paths: &args.paths.paths, all: args.all };
    let all = running.into_iter().chain([candidate]).flat_map(|graph| &graph.pipelines);
    all.filter(|pipeline| scope.owns(&pipeline.file)).map(|one| one.name.clone()).collect()
}

/// What a sink was told, if it is one of that type.
fn settings<T: 'static>(node: &PlannedNode) -> Option<&T> {
    let settings: &dyn Any = &*node.settings;
    settings.downcast_ref()
}

fn writes_json(node: &PlannedNode) -> bool {
    settings::<ParquetConfig>(node).is_none() && settings::<DiscardConfig>(node).is_none()
}

/// Where the graph that runs keeps its history; the candidate where nothing runs, and by default where none of them has one.
fn histories(running: Option<&Graph>, candidate: &Graph, host: &Host) -> Vec<PathBuf> {
    let of = |graph: &Graph| -> BTreeSet<PathBuf> {
        let sinks = graph.nodes().filter_map(|(_, node)| settings::<ParquetConfig>(node));
        sinks.map(|config| host.data_dir.join(&config.path)).collect()
    };
    let found = [running, Some(candidate)].into_iter().flatten().map(of);
    let found = found.into_iter().find(|folders| !folders.is_empty());
    found.map_or_else(
        || vec![host.data_dir.join(ParquetConfig::default().path)],
        |folders| folders.into_iter().collect(),
    )
}

/// Says how many bytes the sinks `parquet` would have written: rows by what a row costs in their folder as it is.
fn weigh(report: &mut Report, running: Option<&Graph>, candidate: &Graph, host: &Host) {
    for row in &mut report.sinks {
        let find = |graph: Option<&Graph>| {
            let graph = graph?;
            let config = settings::<ParquetConfig>(&graph.dag[graph.find(&row.address)?])?;
            Some(host.data_dir.join(&config.path))
        };
        let Some(folder) = find(Some(candidate)).or_else(|| find(running)) else { continue };
        // A folder that cannot be listed tells nothing.
        let costs = Reader::new(host.disk.clone(), &folder).row_bytes().unwrap_or_default();
        let RowBytes { readings, windows, observations } = costs;
        let (reading, window) = (readings.unwrap_or(ROW_BYTES.0), windows.unwrap_or(ROW_BYTES.1));
        for sent in row.sent.running.iter_mut().chain(&mut row.sent.candidate) {
            let bytes = sent.readings as f64 * reading
                + sent.summaries as f64 * window
                + sent.observations as f64 * observations.unwrap_or(window);
            sent.bytes = Some(bytes.round() as u64);
        }
    }
}

/// A host with nothing in common with the first but what it is.
fn as_it_is(host: &Host) -> Host {
    Host {
        name: host.name.clone(),
        id: host.id,
        data_dir: host.data_dir.clone(),
        timezone: host.timezone.clone(),
        disk: host.disk.clone(),
        console: host.console.clone(),
        series: SeriesTable::new(host.series.cap()),
        aliases: host.aliases.clone(),
        mqtt: host.mqtt.clone(),
        leases: Leases::default(),
        running: Running::default(),
    }
}
