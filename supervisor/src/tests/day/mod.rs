//! What a day of `pipelines/home.yaml` costs a disk: the file as it is shipped, run by the whole engine in virtual time, on a disk that counts.
//!
//! Not real are the readings (`machine` stands for `system`), the clock, and the threads: sinks and spools work on the one of the test, and the
//! journal keeps the time of its own (`journal`). The lock of the data directory is not counted: it is written once, at the start.

mod disk;
mod journal;
mod machine;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use smollama_engine::clock::Clock;
use smollama_engine::context::Host;
use smollama_engine::control::{ApplyRequest, Control, PlanRequest};
use smollama_engine::disk::{Disk, SimulatedDisk, create_dir_durably};
use smollama_engine::duration::Duration;
use smollama_engine::registry::Registry;
use smollama_engine::series::SeriesTable;
use smollama_engine::time::Timestamp;
use smollama_nodes::sinks::console::ConsoleConfig;
use smollama_nodes::sinks::parquet::ParquetConfig;
use smollama_nodes::transforms::adaptive_rate::AdaptiveRateConfig;
use smollama_nodes::transforms::dedup::DedupConfig;
use smollama_nodes::transforms::filter::FilterConfig;
use smollama_nodes::transforms::novelty::NoveltyConfig;
use smollama_store::history::{Reader, Sources};
use smollama_store::log::Durability;
use uuid::Uuid;

use super::START;
use super::inline::{self, Inline};
use super::site::FLUSH;
use crate::kept::{Kept, Manner, Settings};
use crate::logs::Logs;
use crate::supervisor::{Start, Supervisor};
use disk::{BLOCK, Cost, CountedDisk};
use journal::Timed;
use machine::{EVERY, Machine, SERIES_COUNT};

/// Into the morning, so that the day before is merged on the way.
const BEGIN: Timestamp = START.saturating_add(Duration::from_hours(8));

fn registry() -> Registry {
    Registry::new()
        .with::<Machine>()
        .with::<NoveltyConfig>()
        .with::<DedupConfig>()
        .with::<FilterConfig>()
        .with::<AdaptiveRateConfig>()
        .with::<Inline<ConsoleConfig>>()
        .with::<Inline<ParquetConfig>>()
}

/// The clock of the runtime. Whoever wakes does so up to a millisecond late, so that times are no rounder than in life.
#[derive(Debug)]
struct LateClock(tokio::time::Instant);

impl Clock for LateClock {
    fn now(&self) -> Timestamp {
        let passed = self.0.elapsed();
        let late = (passed.as_millis() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let micros = passed.as_millis() as i64 * 1_000 + (late % 1_000) as i64;
        BEGIN.saturating_add(Duration::from_micros(micros))
    }
}

/// What came of it.
#[derive(Debug)]
struct Lived {
    /// By kind of file.
    costs: BTreeMap<String, Cost>,
    /// Rows of readings and of windows in the history, and the bytes of its files.
    readings: usize,
    windows: usize,
    kept: u64,
}

impl Lived {
    fn total(&self) -> Cost {
        self.costs.values().copied().sum()
    }

    /// What is aimed at, for a part of a day.
    fn is_gentle(&self, hours: u64) {
        let total = self.total();
        let (syncs, bytes) = (total.syncs + total.folder_syncs, total.blocks * BLOCK);
        assert!(24 * syncs <= 20_000 * hours, "{syncs} syncs in {hours} h");
        assert!(24 * bytes <= (50 << 20) * hours, "{bytes} bytes of blocks in {hours} h");
        // As many as there are readings must be there: more than `flush` may no power cut take.
        assert!(self.costs["journal"].syncs >= 360 * hours, "what is written is synced");
    }

    fn print(&self, title: &str) {
        println!("{title}");
        println!(
            "  {:14} {:>12} {:>14} {:>12} {:>12} {:>12}",
            "", "KiB written", "MiB of blocks", "file syncs", "folder syncs", "files made"
        );
        let rows = self.costs.iter().map(|(kind, cost)| (kind.as_str(), *cost));
        for (kind, cost) in rows.chain([("in all", self.total())]) {
            println!(
                "  {kind:14} {:12.1} {:14.1} {:12} {:12} {:12}",
                cost.bytes as f64 / 1_024.0,
                (cost.blocks * BLOCK) as f64 / f64::from(1 << 20),
                cost.syncs,
                cost.folder_syncs,
                cost.made
            );
        }
        println!(
            "  {} rows of readings and {} of windows are in the history, in {} bytes",
            self.readings, self.windows, self.kept
        );
    }
}

/// Starts an engine on an empty disk, applies the pipeline, lets time pass, stops.
fn live(settings: Settings, span: Duration) -> Lived {
    let folder = tempfile::tempdir().unwrap();
    let simulated = SimulatedDisk::new(1);
    let disk = CountedDisk::new(simulated.shared(), folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(run(settings, span, &disk, folder.path()));
    drop(runtime);
    let (readings, windows, kept) = check_history(&disk, folder.path(), span);
    assert_eq!(simulated.violations(), Vec::<String>::new());
    Lived { costs: disk.costs(), readings, windows, kept }
}

async fn run(settings: Settings, span: Duration, disk: &CountedDisk, data_dir: &Path) {
    let clock: Arc<dyn Clock> = Arc::new(LateClock(tokio::time::Instant::now()));
    create_dir_durably(disk, data_dir).unwrap();
    let host = Host { disk: Arc::new(disk.clone()), ..Host::for_tests(data_dir) };
    let manner =
        Manner { journal: Timed::open, spools: inline::spools, boot: Some(Uuid::from_u128(1)) };
    let flush = settings.flush;
    let mut kept = Kept::open_in(&Arc::new(host), settings, clock.now(), &manner).unwrap();
    kept.keep.journal = Arc::new(Timed::new(kept.journal.clone(), flush));
    let start =
        Start { kept, registry: registry(), clock, speed: None, view: None, logs: Logs::new() };
    let supervisor = Supervisor::start(start).unwrap();
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/home.yaml");
    let plan = PlanRequest { paths: vec![home], ..PlanRequest::default() };
    let apply = ApplyRequest { plan, expect: None, message: None };
    supervisor.handle().apply(apply, "test").await.unwrap();
    supervisor.handle().release().await;
    tokio::time::sleep(span.to_std()).await;
    assert_eq!(supervisor.stop().await, Vec::<String>::new());
}

/// Every reading of every series is in the history, as a row or counted by the next one. Gives how many rows of readings and of windows
/// there are, and the bytes of the files.
fn check_history(disk: &CountedDisk, data_dir: &Path, span: Duration) -> (usize, usize, u64) {
    let folder = data_dir.join("history");
    let (table, always) = (SeriesTable::default(), Timestamp::MIN..Timestamp::MAX);
    let reader = Reader::new(Arc::new(disk.clone()), &folder);
    let rows = reader.readings(always.clone(), Sources::all(), &table).unwrap();
    let rows: Vec<_> = rows.flat_map(Result::unwrap).collect();
    let mut series = BTreeMap::<_, (Timestamp, i64)>::new();
    for row in &rows {
        let (last, count) = series.entry(row.series.index()).or_insert((BEGIN, 0));
        *last = (*last).max(row.time);
        *count += i64::from(row.count);
    }
    assert_eq!(series.len(), SERIES_COUNT);
    let end = BEGIN.saturating_add(span);
    for (last, count) in series.into_values() {
        let polls = 1 + last.since(BEGIN).as_micros() / EVERY.as_micros();
        assert_eq!(count, polls, "readings until {last:?}");
        assert!(
            end.since(last) <= Duration::from_hours(1).saturating_add(EVERY),
            "there is one every hour"
        );
    }
    let windows = reader.windows(always, Sources::all(), &table).unwrap();
    let windows = windows.flat_map(Result::unwrap).map(|window| window.summaries.len()).sum();
    let files = ["readings", "windows", "observations"].map(|kind| folder.join(kind));
    let files = files.iter().flat_map(|folder| disk.list(folder).unwrap_or_default());
    (rows.len(), windows, files.map(|file| file.len).sum())
}

fn settings(durability: Durability, flush: Duration) -> Settings {
    Settings { durability, flush, ..Settings::default() }
}

#[test]
fn home_is_gentle_to_an_sd_card() {
    let lived = live(settings(Durability::Process, FLUSH), Duration::from_hours(2));
    lived.is_gentle(2);
}

#[test]
#[ignore = "a measurement: scripts/bench.sh day"]
fn figures() {
    for (durability, flush) in [
        (Durability::Process, FLUSH),
        (Durability::Power, FLUSH),
        (Durability::Process, Duration::from_mins(1)),
    ] {
        let lived = live(settings(durability, flush), Duration::from_days(1));
        lived.print(&format!("a day of pipelines/home.yaml, {durability:?}, flush {flush}"));
        if flush == FLUSH {
            lived.is_gentle(24);
        }
    }
}
