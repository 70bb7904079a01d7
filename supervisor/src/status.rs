//! How the engine is, out of what it counts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use smollama_engine::config::Section;
use smollama_engine::context::SERIES_PER_NODE_MAX;
use smollama_engine::control::{
    CheckpointStatus, DeadLetterStatus, DiskCost, HostStatus, JournalFailure, JournalStatus,
    NodeName, NodeState, NodeStatus, PipelineStatus, QueueStatus, Rates, ReadingsStatus,
    SOURCES_SHOWN, SpoolStatus, Status, Warning, hours_left,
};
use smollama_engine::duration::Duration;
use smollama_engine::plan::{PlannedPipeline, by_pipeline};
use smollama_engine::run::{CheckpointState, Journal, NodeGauge};
use smollama_engine::time::Timestamp;
use smollama_store::log::Durability;

use crate::kept::Kept;

/// Over how long it is looked how what waits for the other side of a sink grows. Longer than the pause between two readings of a sensor.
const WAITING_SPAN: Duration = Duration::from_mins(2);

/// What runs, as it was after the last apply, and what changes by itself.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) kept: Arc<Kept>,
    pub(crate) started: Timestamp,
    pub(crate) role: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    pipelines: Vec<PlannedPipeline>,
    paths: Vec<PathBuf>,
    nodes: Vec<NodeGauge>,
    checkpoint: CheckpointState,
    /// Since when the journal is seen to fail.
    failing_since: Option<Timestamp>,
    rates: BTreeMap<Arc<str>, NodeRates>,
}

#[derive(Debug)]
struct NodeRates {
    received: Rates,
    emitted: Rates,
    /// What waits for the other side, on disk and in memory.
    waiting: Rates,
}

impl Default for NodeRates {
    fn default() -> NodeRates {
        let (received, emitted) = (Rates::default(), Rates::default());
        NodeRates { received, emitted, waiting: Rates::over(WAITING_SPAN) }
    }
}

fn emitted(gauge: &NodeGauge) -> u64 {
    (0..gauge.node.profile.outputs.len()).map(|port| gauge.stats.emitted(port)).sum()
}

impl Overview {
    pub(crate) fn new(kept: &Arc<Kept>, started: Timestamp) -> Arc<Overview> {
        let (kept, state) = (kept.clone(), Mutex::default());
        Arc::new(Overview { kept, started, role: None, state })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another graph runs.
    pub(crate) fn runs(
        &self,
        revision: u64,
        pipelines: Vec<PlannedPipeline>,
        paths: Vec<PathBuf>,
        nodes: Vec<NodeGauge>,
    ) {
        let mut state = self.lock();
        (state.revision, state.pipelines, state.paths) = (revision, pipelines, paths);
        state.nodes = nodes;
        let State { rates, nodes, .. } = &mut *state;
        rates.retain(|address, _| nodes.iter().any(|gauge| gauge.node.address == *address));
    }

    /// How many items wait in the spool of a sink, as far as that is known.
    pub(crate) fn waiting(&self, address: &str) -> Option<u64> {
        let state = self.lock();
        let gauge = state.nodes.iter().find(|gauge| *gauge.node.address == *address)?;
        match (&gauge.queue, gauge.stats.spool()) {
            (_, Some((items, _))) => Some(items),
            (Some(queue), None) if queue.bytes() == 0 => Some(0),
            _ => None,
        }
    }

    /// The paths that what runs was applied from.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.lock().paths.clone()
    }

    pub(crate) fn gauges(&self) -> Vec<NodeGauge> {
        self.lock().nodes.clone()
    }

    /// Notes what the counters say; called every second or so.
    pub(crate) fn sample(&self, now: Timestamp, checkpoint: CheckpointState) {
        let mut state = self.lock();
        state.checkpoint = checkpoint;
        self.journal_failure(&mut state, now);
        let State { rates, nodes, .. } = &mut *state;
        for gauge in nodes {
            let rates = rates.entry(gauge.node.address.clone()).or_default();
            rates.received.sample(now, gauge.stats.received());
            rates.emitted.sample(now, emitted(gauge));
            if let Some((items, _)) = gauge.stats.spool() {
                rates.waiting.sample(now, items + gauge.stats.unspooled());
            }
        }
    }

    /// All there is to know.
    pub(crate) fn status(&self, now: Timestamp) -> Status {
        let mut state = self.lock();
        let failure = self.journal_failure(&mut state, now);
        let host = &self.kept.host;
        let uptime_s = now.since(self.started).as_secs_f64();
        let age = state.checkpoint.at.map(|at| now.since(at).as_secs_f64());
        let nodes: Vec<NodeStatus> =
            state.nodes.iter().map(|gauge| node_status(gauge, &state.rates, now, age)).collect();
        let by_pipeline = by_pipeline(&nodes, |node| node.names().0);
        let pipelines = state.pipelines.iter().map(|pipeline| {
            let own = by_pipeline.get(&*pipeline.name).map_or(&[][..], Vec::as_slice);
            PipelineStatus {
                name: pipeline.name.to_string(),
                file: pipeline.file.display().to_string(),
                nodes: own.len(),
                state: own.iter().map(|node| node.state).max().unwrap_or(NodeState::Running),
            }
        });
        let durability = match self.kept.settings.durability {
            Durability::Power => "power",
            Durability::Process => "process",
        };
        let checkpoint = age.map(|age_s| CheckpointStatus {
            number: state.checkpoint.number,
            age_s,
            bytes: state.checkpoint.bytes,
        });
        let journal = JournalStatus::new(durability, self.kept.journal.fill(), uptime_s);
        let (letters, bytes) = self.kept.letters.count();
        Status {
            timestamp: now,
            host: HostStatus {
                name: host.name.clone(),
                id: host.id.to_string(),
                role: self.role.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
                data_dir: host.data_dir.display().to_string(),
                pid: std::process::id(),
                started: self.started,
                uptime_s,
                rss_bytes: resident_bytes(),
            },
            node: NodeName { name: host.name.clone() },
            revision: (state.revision > 0).then_some(state.revision),
            pipelines: pipelines.collect(),
            readings: self.readings(),
            journal: Some(journal.with_failure(failure)),
            checkpoint,
            blocked_by: state.checkpoint.blocked_by.as_ref().map(ToString::to_string),
            dead_letters: DeadLetterStatus { letters, bytes },
            nodes,
        }
    }

    /// What keeps the journal from being written. As it is looked at once a second or so, it is known to about a second since when.
    fn journal_failure(&self, state: &mut State, now: Timestamp) -> Option<JournalFailure> {
        let failure = self.kept.journal.failure();
        let since = &mut state.failing_since;
        *since = failure.as_ref().map(|_| since.unwrap_or(now));
        since.zip(failure).map(|(since, error)| JournalFailure { since, error })
    }

    fn readings(&self) -> ReadingsStatus {
        let table = &self.kept.host.series;
        let all = table.all();
        let mut sources: Vec<String> =
            all.iter().map(|series| series.source.name().to_owned()).collect();
        sources.sort();
        sources.dedup();
        let types = all.iter().map(|series| series.source.type_part().to_owned());
        let types: std::collections::BTreeSet<String> = types.collect();
        ReadingsStatus {
            available: !sources.is_empty(),
            source_types: types.into_iter().collect(),
            source_count: sources.len() as u64,
            series: all.len() as u64,
            series_cap: table.cap() as u64,
            series_given_back: table.given_back(),
            series_refused: table.refused(),
            at_series_cap: {
                let full = table.at_cap(SERIES_PER_NODE_MAX);
                full.iter().map(ToString::to_string).collect()
            },
            sources: {
                sources.truncate(SOURCES_SHOWN);
                sources
            },
        }
    }
}

fn node_status(
    gauge: &NodeGauge,
    rates: &BTreeMap<Arc<str>, NodeRates>,
    now: Timestamp,
    age: Option<f64>,
) -> NodeStatus {
    let NodeGauge { node, stats, .. } = gauge;
    let rates = rates.get(&node.address);
    let trouble = stats.trouble();
    let notices = stats.notices(now).into_iter();
    let warnings = notices.map(|notice| Warning { since: notice.since, text: notice.text });
    let ports = node.profile.outputs.iter().enumerate();
    let spool = stats.spool().map(|(items, fill)| {
        // It is written to in bursts, with pauses of minutes: what waits in memory meanwhile says how it goes on.
        let waiting = items + stats.unspooled();
        let items_per_s = rates.map_or(0.0, |rates| rates.waiting.per_second(now, waiting));
        let growth = items_per_s * fill.bytes as f64 / items.max(1) as f64;
        let left = hours_left(fill.bytes, fill.cap, growth);
        SpoolStatus { bytes: fill.bytes, cap: fill.cap, items, hours_left: left }
    });
    let disk =
        stats.spool().map(|(_, fill)| DiskCost { written_bytes: fill.written, syncs: fill.syncs });
    NodeStatus {
        address: node.address.to_string(),
        section: node.section.singular().into(),
        type_name: node.type_name.to_string(),
        state: if stats.failed() {
            NodeState::Failed
        } else if trouble.is_some() {
            NodeState::Retrying
        } else if gauge.is_lagging() && node.section != Section::Sources {
            NodeState::Lagging
        } else if gauge.has_ended() {
            NodeState::Ended
        } else {
            NodeState::Running
        },
        error: trouble,
        warnings: warnings.collect(),
        received: stats.received(),
        emitted: ports.map(|(port, one)| (one.name.to_string(), stats.emitted(port))).collect(),
        rejected: stats.rejected(),
        dropped: stats.dropped(),
        errors: stats.errors(),
        corrected: stats.corrected(),
        received_per_s: rates.map_or(0.0, |one| one.received.per_second(now, stats.received())),
        emitted_per_s: rates.map_or(0.0, |one| one.emitted.per_second(now, emitted(gauge))),
        queue: gauge
            .queue
            .as_ref()
            .map(|queue| QueueStatus { bytes: queue.bytes() as u64, size: node.queue.size.0 }),
        spool,
        state_age_s: age.filter(|_| node.profile.stateful),
        disk: disk.unwrap_or_default(),
    }
}

/// The memory of this process that is in RAM, by `/proc/self/statm` (pages; see proc(5)).
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
