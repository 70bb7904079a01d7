//! What a graph costs the machine it runs on: what it may take of the disk, how often it makes the disk sync, where it listens.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::graph::{Graph, PlannedNode};
use super::journaled::journaled;
use crate::bytes::ByteSize;
use crate::config::Section;
use crate::config::host::{DurabilityWord, JournalConfig};
use crate::duration::Duration;
use crate::registry::{Claim, Delivery, Pace};

/// What a graph costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// What it may take of the disk.
    pub disk: DiskBudget,
    /// What keeping what enters costs.
    pub journal: JournalCost,
    /// Where it listens.
    pub listens: Vec<Listens>,
}

/// Bytes that may be taken of the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiskBudget {
    /// The journal; 0 where nothing is journaled.
    pub journal: u64,
    /// All spools.
    pub spools: u64,
    /// The dead letters.
    pub dead_letters: u64,
    /// What sinks keep, those that know a bound.
    pub kept: u64,
    /// The addresses of sinks that keep without a bound.
    pub unbounded: Vec<String>,
}

/// What keeping what enters costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalCost {
    /// How many sources are journaled.
    pub journaled: usize,
    /// How many sources there are.
    pub sources: usize,
    /// How often a day it syncs at most, not counting what senders wait for.
    pub syncs_per_day: u64,
    /// Whether it also syncs for what senders wait for: once for all that gathered meanwhile.
    pub syncs_for_senders: bool,
    /// About how many bytes a day are written, where that follows from `every` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
}

/// Something that a node listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listens {
    /// The node.
    pub node: String,
    /// The port, or the path of a socket.
    pub on: String,
}

const DAY: Duration = Duration::from_days(1);
/// What the journal writes for one read of a source, and for each reading in it. With the frame of a sync of its own, a reading alone takes
/// some 40 bytes, and fifty of twenty seconds' sensors 5 each.
const READ_BYTES: u64 = 36;
const READING_BYTES: u64 = 5;

/// What a graph costs on a host with this journal, whose dead letters may take so much.
#[must_use]
pub fn cost(graph: &Graph, journal: &JournalConfig, dead_letters: ByteSize) -> Cost {
    let kept = journaled(graph);
    let journaled: Vec<&PlannedNode> = kept.into_iter().map(|index| &*graph.dag[index]).collect();
    let mut cost = Cost::default();
    cost.disk.dead_letters = dead_letters.0;
    for (_, node) in graph.nodes() {
        cost.node(node);
    }
    cost.journal.journaled = journaled.len();
    if journaled.is_empty() {
        return cost;
    }
    cost.disk.journal = journal.size.0;
    let polls: Vec<Option<u64>> = journaled.iter().map(|node| polls_per_day(node)).collect();
    let by_flush = DAY.as_micros().unsigned_abs() / journal.flush.as_micros().unsigned_abs().max(1);
    let waited_for =
        |node: &&PlannedNode| node.profile.promises && journal.durability == DurabilityWord::Power;
    cost.journal.syncs_for_senders = journaled.iter().any(waited_for);
    cost.journal.syncs_per_day = polls
        .iter()
        .map(|polls| polls.unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
        .min(by_flush);
    let bytes = journaled.iter().zip(&polls).map(|(node, polls)| {
        let per_read = READ_BYTES + READING_BYTES * readings_per_read(node)?;
        Some((*polls)?.saturating_mul(per_read))
    });
    cost.journal.bytes_per_day = bytes.sum();
    cost
}

/// How often a day a source is asked, where it is.
fn polls_per_day(node: &PlannedNode) -> Option<u64> {
    let every = match node.profile.pace? {
        Pace::Polled(default) | Pace::Simulated(default) => node.every.unwrap_or(default),
        Pace::Live | Pace::Recorded => return None,
    };
    Some(DAY.as_micros().unsigned_abs() / every.as_micros().unsigned_abs().max(1))
}

/// How many readings a source gives each time, where all its ids are known.
fn readings_per_read(node: &PlannedNode) -> Option<u64> {
    let ids = node.profile.ids.as_ref()?;
    let known = ids.iter().all(|id| !id.as_str().contains(['*', '?']));
    known.then_some(ids.len() as u64)
}

impl Cost {
    fn node(&mut self, node: &PlannedNode) {
        self.journal.sources += usize::from(node.profile.pace.is_some());
        let waits = node.section == Section::Agents || node.profile.delivery == Delivery::Sent;
        if let Some(cap) = node.queue.spool_cap().filter(|_| waits) {
            self.disk.spools = self.disk.spools.saturating_add(cap.0);
        }
        match node.profile.disk {
            Some(cap) => self.disk.kept = self.disk.kept.saturating_add(cap.0),
            None if node.profile.delivery == Delivery::Kept => {
                self.disk.unbounded.push(node.address.to_string());
            }
            None => {}
        }
        let listens = node.profile.claims.iter().filter(|claim| claim.is_listening());
        let listens = listens
            .map(|Claim { key, .. }| Listens { node: node.address.to_string(), on: key.clone() });
        self.listens.extend(listens);
    }

    /// What it costs, as lines for a person, each behind so many blanks.
    #[must_use]
    pub fn text(&self, indent: usize) -> String {
        let mut text = String::new();
        let DiskBudget { journal, spools, dead_letters, kept, unbounded } = &self.disk;
        let parts = [
            ("journal", *journal),
            ("spools", *spools),
            ("dead letters", *dead_letters),
            ("what sinks keep", *kept),
        ];
        let total = parts.iter().map(|(_, bytes)| bytes).fold(0, |a: u64, b| a.saturating_add(*b));
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| format!("{name} {}", ByteSize(*bytes)))
            .collect();
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{:indent$}disk     up to {}", "", ByteSize(total));
        if !parts.is_empty() {
            let _ = write!(text, ": {}", parts.join(", "));
        }
        if !unbounded.is_empty() {
            let _ = write!(text, "; without a bound: {}", unbounded.join(", "));
        }
        let _ = writeln!(text, "\n{:indent$}journal  {}", "", self.journal.text());
        for Listens { node, on } in &self.listens {
            let _ = writeln!(text, "{:indent$}listens  {on} ({node})", "");
        }
        text
    }
}

impl JournalCost {
    fn text(&self) -> String {
        let Self { journaled, sources, .. } = self;
        if *journaled == 0 {
            return match sources {
                0 => "no sources".to_owned(),
                _ => "nothing that has to be kept".to_owned(),
            };
        }
        let mut text =
            format!("{journaled} of {sources} source{}", if *sources == 1 { "" } else { "s" });
        let _ = write!(text, ", at most {} syncs a day", self.syncs_per_day);
        if self.syncs_for_senders {
            text += " beside those that senders wait for";
        }
        if let Some(bytes) = self.bytes_per_day {
            let _ = write!(text, ", about {} a day", ByteSize(bytes));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_nodes::graph;

    fn of(yaml: &str, journal: &JournalConfig) -> Cost {
        cost(&graph(yaml), journal, ByteSize::mib(8))
    }

    const HOME: &str = "\
pipeline: home
sources:
  air: { feed: { promises: true } }
  soil: { feed: { polled: 10s, ids: [a, b] }, as: soil }
  rain: { feed: { polled: 10s }, as: rain, every: 1m }
transforms:
  news: { inputs: [soil], smooth: {} }
sinks:
  mail: { inputs: [air], queue: { spool: 1MiB }, post: {} }
  net: { inputs: [air], post: { port: 8000 } }
  history: { inputs: [news], post: { delivery: kept, max_size: 1GiB } }
  log: { inputs: [news], post: { delivery: kept } }
  show: { inputs: [rain], post: { delivery: shown } }
";

    #[test]
    fn every_cap_is_counted_once_and_what_has_none_is_named() {
        let cost = of(HOME, &JournalConfig::default());
        assert_eq!(
            cost.disk,
            DiskBudget {
                journal: 64 << 20,
                spools: (1 << 20) + (64 << 20),
                dead_letters: 8 << 20,
                kept: 1 << 30,
                unbounded: vec!["home/log".into()],
            }
        );
        assert_eq!(cost.listens, [Listens { node: "home/net".into(), on: "8000".into() }]);
        insta::assert_snapshot!(cost.text(0), @r#"
disk     up to 1.1GiB: journal 64MiB, spools 65MiB, dead letters 8MiB, what sinks keep 1GiB; without a bound: home/log
journal  2 of 3 sources, at most 17280 syncs a day beside those that senders wait for
listens  8000 (home/net)
"#);
    }

    #[test]
    fn syncs_follow_from_the_flush_and_from_every() {
        let flush = |seconds, durability| JournalConfig {
            flush: Duration::from_secs(seconds),
            durability,
            ..JournalConfig::default()
        };
        let polled = HOME.replace(
            "  air: { feed: { promises: true } }",
            "  air: { feed: { polled: 20s, ids: [c] } }",
        );
        use DurabilityWord::{Power, Process};
        // `soil` is read 8,640 times a day, `air` 4,320 times; `rain` is not journaled.
        for (yaml, seconds, durability, syncs, for_senders, bytes) in [
            (HOME, 5, Power, 17_280, true, None),
            (HOME, 5, Process, 17_280, false, None),
            (&polled, 5, Power, 12_960, false, Some(8_640 * 46 + 4_320 * 41)),
            (&polled, 60, Power, 1_440, false, Some(8_640 * 46 + 4_320 * 41)),
        ] {
            let cost = of(yaml, &flush(seconds, durability)).journal;
            let found = (cost.syncs_per_day, cost.syncs_for_senders, cost.bytes_per_day);
            assert_eq!(found, (syncs, for_senders, bytes), "{seconds} s, {durability:?}");
            assert_eq!((cost.journaled, cost.sources), (2, 3));
        }
    }

    #[test]
    fn what_nobody_would_miss_costs_nothing() {
        let yaml = "pipeline: home\nsources:\n  air: { feed: {} }\nsinks:\n  show: { inputs: [air], post: { delivery: shown } }\n";
        let cost = of(yaml, &JournalConfig::default());
        assert_eq!((cost.disk.journal, cost.journal.syncs_per_day), (0, 0));
        assert_eq!(
            cost.text(2),
            "  disk     up to 8MiB: dead letters 8MiB\n  journal  nothing that has to be kept\n"
        );
    }
}
