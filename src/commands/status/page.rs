//! One node with all that is known of it.

use smollama_engine::control::NodeStatus;

use super::overview::state_tone;
use crate::text::{Paint, bytes, count, percent, plain, rate, span};

/// A line for each thing there is to say.
pub(super) fn page(node: &NodeStatus, paint: Paint) -> String {
    let mut out = format!(
        "{}  {}  {}  {}\n",
        paint.strong(&node.address),
        node.section,
        node.type_name,
        paint.tone(state_tone(node.state), node.state.as_str())
    );
    let mut line = |label: &str, text: &str| {
        out += &format!("{}{text}\n", paint.faint(&format!("{label:12}")))
    };
    if let Some(error) = &node.error {
        line("trouble", &plain(error));
    }
    for warning in &node.warnings {
        line("warning", &format!("since {}: {}", warning.since, plain(&warning.text)));
    }
    if node.section != "source" {
        line("received", &format!("{}, {}/s", node.received, rate(node.received_per_s)));
    }
    if node.section != "sink" {
        let ports = node.emitted.iter().map(|(port, number)| format!("{number} by {port}"));
        let ports: Vec<String> = ports.collect();
        line("emitted", &format!("{}, {}/s", ports.join(", "), rate(node.emitted_per_s)));
    }
    for (label, number, help) in [
        ("errors", node.errors, "calls that failed"),
        ("rejected", node.rejected, "went to the dead letters"),
        ("dropped", node.dropped, "by its queue, as its policy says"),
        ("corrected", node.corrected, "had an absurd time and took that of their receipt"),
    ] {
        if number > 0 {
            line(label, &format!("{number} {help}"));
        }
    }
    if let Some(queue) = &node.queue {
        let fill = percent(queue.bytes, queue.size);
        line("queue", &format!("{} of {} ({fill})", bytes(queue.bytes), bytes(queue.size)));
    }
    if let Some(spool) = &node.spool {
        let mut text = format!(
            "{} of {} ({}), {}",
            bytes(spool.bytes),
            bytes(spool.cap),
            percent(spool.bytes, spool.cap),
            count(spool.items, "item")
        );
        if let Some(hours) = spool.hours_left {
            text += &format!(", full in {}", span(hours * 3600.0));
        }
        line("spool", &text);
    }
    if let Some(age) = node.state_age_s {
        line("state", &format!("saved {} ago", span(age)));
    }
    if node.disk.written_bytes > 0 || node.disk.syncs > 0 {
        let written = bytes(node.disk.written_bytes);
        line("disk", &format!("{written} and {}", count(node.disk.syncs, "sync")));
    }
    out
}
