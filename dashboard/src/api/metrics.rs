//! The status as the text that Prometheus reads. Labels are pipelines, nodes and ports: their number does not grow with what is
//! measured.

use std::fmt::Error;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use smollama_engine::control::{NodeState, NodeStatus, Status};

use super::Traffic;

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a status.
pub(super) fn text(status: Status, traffic: &Traffic) -> Result<String, Error> {
    let http = Http {
        requests: traffic.requests.load(Ordering::Relaxed),
        refused: traffic.refused.load(Ordering::Relaxed),
        turned_away: traffic.turned_away.load(Ordering::Relaxed),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot { status, http }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Snapshot {
    status: Status,
    http: Http,
}

#[derive(Debug)]
struct Http {
    requests: u64,
    refused: u64,
    turned_away: u64,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page(encoder);
        page.host(&self.status)?;
        page.nodes(&self.status.nodes)?;
        page.store(&self.status)?;
        page.counter("smollama_http_requests", "Requests that were let in", self.http.requests)?;
        page.counter("smollama_http_refused", "Requests that were refused", self.http.refused)?;
        let help = "Connections that were turned away because too many were open";
        page.counter("smollama_http_turned_away_connections", help, self.http.turned_away)
    }
}

/// A name, what it means, and where it comes from.
type Metric<T> = (&'static str, &'static str, fn(&NodeStatus) -> T);

struct Page<'a>(DescriptorEncoder<'a>);

type Labels<'a> = [(&'a str, &'a str); 2];

impl Page<'_> {
    fn host(&mut self, status: &Status) -> Result<(), Error> {
        let labels = vec![
            ("version".to_owned(), status.host.version.clone()),
            ("host".to_owned(), status.host.name.clone()),
        ];
        let info = Info::new(labels);
        let help = "The release that runs, and where";
        let encoder = self.0.encode_descriptor("smollama_build", help, None, info.metric_type())?;
        info.encode(encoder)?;
        self.gauge("smollama_uptime_seconds", "Age of the process", status.host.uptime_s)?;
        if let Some(bytes) = status.host.rss_bytes {
            self.gauge("process_resident_memory_bytes", "Memory of the process", bytes as f64)?;
        }
        let revision = status.revision.unwrap_or(0) as f64;
        self.gauge("smollama_revision", "The revision that runs; 0 for none", revision)?;
        let series = status.readings.series as f64;
        self.gauge("smollama_series", "Series the host holds", series)?;
        let cap = status.readings.series_cap as f64;
        self.gauge("smollama_series_cap", "Series the host may hold", cap)?;
        let help = "Series that were silent and gave their slots back";
        self.counter("smollama_series_given_back", help, status.readings.series_given_back)?;
        let help = "Times that a new series found no slot";
        self.counter("smollama_series_refused", help, status.readings.series_refused)
    }

    fn store(&mut self, status: &Status) -> Result<(), Error> {
        if let Some(journal) = &status.journal {
            self.gauge("smollama_journal_bytes", "Size of the journal", journal.bytes as f64)?;
            let help = "Size the journal may have";
            self.gauge("smollama_journal_cap_bytes", help, journal.cap as f64)?;
            let help = "Bytes written to the journal";
            self.counter("smollama_journal_written_bytes", help, journal.written_bytes)?;
            self.counter("smollama_journal_syncs", "Syncs of the journal", journal.syncs)?;
            let help = "Segments of the journal found damaged";
            self.counter("smollama_journal_quarantined", help, journal.quarantined)?;
            let failing = f64::from(u8::from(journal.failure.is_some()));
            self.gauge("smollama_journal_failing", "1 while it cannot be written", failing)?;
        }
        if let Some(last) = &status.checkpoint {
            self.gauge(
                "smollama_checkpoint_age_seconds",
                "Age of the last checkpoint",
                last.age_s,
            )?;
            let help = "Size of the last checkpoint";
            self.gauge("smollama_checkpoint_bytes", help, last.bytes as f64)?;
        }
        let letters = status.dead_letters;
        self.gauge("smollama_dead_letters", "Dead letters that are kept", letters.letters as f64)?;
        let help = "Size of the dead letters";
        self.gauge("smollama_dead_letters_bytes", help, letters.bytes as f64)
    }

    fn nodes(&mut self, nodes: &[NodeStatus]) -> Result<(), Error> {
        let counters: [Metric<u64>; 7] = [
            ("received_items", "Items that came in", |node| node.received),
            ("rejected_items", "Items that went to the dead letters", |node| node.rejected),
            ("dropped_items", "Items that a policy dropped", |node| node.dropped),
            ("corrected_items", "Readings with an absurd time", |node| node.corrected),
            ("errors", "Calls that failed", |node| node.errors),
            ("written_bytes", "Bytes written to disk", |node| node.disk.written_bytes),
            ("syncs", "Syncs of its files", |node| node.disk.syncs),
        ];
        for (name, help, value) in counters {
            self.node_counter(nodes, name, help, value)?;
        }
        self.emitted(nodes)?;
        self.states(nodes)?;
        let gauges: [Metric<Option<f64>>; 7] = [
            ("warnings", "Warnings of a node that works", |node| Some(node.warnings.len() as f64)),
            ("queue_bytes", "Bytes that wait in memory", |node| Some(node.queue?.bytes as f64)),
            ("queue_cap_bytes", "Bytes that may wait in memory", |node| {
                Some(node.queue?.size as f64)
            }),
            ("spool_bytes", "Bytes that wait on disk", |node| Some(node.spool?.bytes as f64)),
            ("spool_cap_bytes", "Bytes that may wait on disk", |node| Some(node.spool?.cap as f64)),
            ("spool_items", "Items that wait on disk", |node| Some(node.spool?.items as f64)),
            ("state_age_seconds", "Age of the last snapshot", |node| node.state_age_s),
        ];
        for (name, help, value) in gauges {
            self.node_gauge(nodes, name, help, value)?;
        }
        Ok(())
    }

    fn emitted(&mut self, nodes: &[NodeStatus]) -> Result<(), Error> {
        let help = "Items that left";
        let mut family = self.family("smollama_node_emitted_items", help, MetricType::Counter)?;
        for node in nodes {
            for (port, items) in &node.emitted {
                let (pipeline, name) = node.names();
                let labels = [("pipeline", pipeline), ("node", name), ("port", port)];
                ConstCounter::new(*items).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn states(&mut self, nodes: &[NodeStatus]) -> Result<(), Error> {
        let help = "1 for the state the node is in, 0 for the others";
        let mut family = self.family("smollama_node_state", help, MetricType::Gauge)?;
        for node in nodes {
            for state in NodeState::ALL {
                let (pipeline, name) = node.names();
                let labels = [("pipeline", pipeline), ("node", name), ("state", state.as_str())];
                let is = u32::from(node.state == state);
                ConstGauge::new(is).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn node_counter(
        &mut self,
        nodes: &[NodeStatus],
        name: &str,
        help: &str,
        value: fn(&NodeStatus) -> u64,
    ) -> Result<(), Error> {
        let name = format!("smollama_node_{name}");
        let mut family = self.family(&name, help, MetricType::Counter)?;
        for node in nodes {
            ConstCounter::new(value(node)).encode(family.encode_family(&labels(node))?)?;
        }
        Ok(())
    }

    fn node_gauge(
        &mut self,
        nodes: &[NodeStatus],
        name: &str,
        help: &str,
        value: fn(&NodeStatus) -> Option<f64>,
    ) -> Result<(), Error> {
        let name = format!("smollama_node_{name}");
        let mut family = self.family(&name, help, MetricType::Gauge)?;
        for (node, value) in nodes.iter().filter_map(|node| Some((node, value(node)?))) {
            ConstGauge::new(value).encode(family.encode_family(&labels(node))?)?;
        }
        Ok(())
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> Result<(), Error> {
        ConstCounter::new(value).encode(self.family(name, help, MetricType::Counter)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> Result<(), Error> {
        ConstGauge::new(value).encode(self.family(name, help, MetricType::Gauge)?)
    }
}

fn labels(node: &NodeStatus) -> Labels<'_> {
    let (pipeline, name) = node.names();
    [("pipeline", pipeline), ("node", name)]
}
