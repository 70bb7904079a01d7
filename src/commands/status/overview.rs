//! The whole host on one screen: a line for each thing, a row for each node, and a line for each trouble.

use smollama_engine::control::{
    NodeState, NodeStatus, QueueStatus, ReadingsStatus, SpoolStatus, Status,
};
use smollama_engine::plan::by_pipeline;

use crate::text::{
    Cell, Column, Paint, Table, Tone, bytes, count, cut, percent, plain, rate, short, span,
};

/// From which part of its cap on something is worth a colour, in percent.
const NEARLY_FULL: u64 = 80;
/// Where the text after a label begins.
const LABEL: usize = 12;

/// The status as a person reads it, in lines of at most `width` characters where that can be done.
pub(super) fn overview(status: &Status, width: Option<usize>, paint: Paint) -> String {
    let mut out = headline(status, paint);
    let mut line = |label: &str, tone: Tone, text: &str| {
        out += &format!("{}{}\n", paint.faint(&format!("{label:LABEL$}")), paint.tone(tone, text));
    };
    let readings = &status.readings;
    let mut text = format!(
        "{} of {}, {} of {} series",
        count(readings.source_count, "source"),
        count(readings.source_types.len() as u64, "type"),
        readings.series,
        readings.series_cap
    );
    if readings.series_given_back > 0 {
        text += &format!(", {} given back", readings.series_given_back);
    }
    line("readings", fill_tone(readings.series, readings.series_cap), &text);
    if let Some(lack) = lack_of_series(readings) {
        line("", Tone::Bad, &lack);
    }
    if let Some(journal) = &status.journal {
        let mut text = format!(
            "{}, {} of {} ({}), {} and {} a day",
            plain(&journal.durability),
            bytes(journal.bytes),
            bytes(journal.cap),
            percent(journal.bytes, journal.cap),
            bytes(journal.written_bytes_per_day),
            count(journal.syncs_per_day, "sync"),
        );
        let mut tone = fill_tone(journal.bytes, journal.cap);
        if journal.quarantined > 0 {
            text += &format!(", {} put aside", count(journal.quarantined, "damaged segment"));
            tone = Tone::Bad;
        }
        line("journal", tone, &text);
        if let Some(failure) = &journal.failure {
            let lasted = span(status.timestamp.since(failure.since).as_secs_f64());
            let text = format!("! it cannot be written for {lasted}: {}", plain(&failure.error));
            line("", Tone::Bad, &text);
        }
    }
    let mut checkpoint = match &status.checkpoint {
        Some(one) => {
            format!("number {}, {} ago, {}", one.number, span(one.age_s), bytes(one.bytes))
        }
        None => "none yet".into(),
    };
    let mut tone = Tone::Plain;
    if let Some(node) = &status.blocked_by {
        checkpoint += &format!("; the next one waits for {}", plain(node));
        tone = Tone::Doubtful;
    }
    if status.journal.is_some() || status.checkpoint.is_some() || status.blocked_by.is_some() {
        line("checkpoint", tone, &checkpoint);
    }
    let dead = &status.dead_letters;
    if dead.letters > 0 {
        let text = format!(
            "{}, {}; `smollama dlq list` shows them",
            count(dead.letters, "letter"),
            bytes(dead.bytes)
        );
        line("dead", Tone::Doubtful, &text);
    }
    line("data", Tone::Plain, &plain(&status.host.data_dir));
    out + &pipelines(status, width, paint)
}

/// What is refused while a cap of series is reached.
fn lack_of_series(readings: &ReadingsStatus) -> Option<String> {
    let full = &readings.at_series_cap;
    let who = if readings.series >= readings.series_cap {
        "there is no room for more series".to_owned()
    } else if let [one] = full.as_slice() {
        format!("{} holds as many series as a source may", plain(one))
    } else if let [first @ .., last] = full.as_slice() {
        let first: Vec<_> = first.iter().map(|one| plain(one)).collect();
        format!("{} and {} hold as many series as a source may", first.join(", "), plain(last))
    } else {
        return None;
    };
    Some(format!("! {who}; refused {}", count(readings.series_refused, "time")))
}

fn headline(status: &Status, paint: Paint) -> String {
    let host = &status.host;
    let mut parts = vec![paint.strong(&plain(&host.name))];
    parts.extend(host.role.as_deref().map(|role| plain(role).into_owned()));
    parts.push(format!("smollama {}", host.version));
    parts.push(match status.revision {
        Some(revision) => format!("revision {revision}"),
        None => "nothing applied".into(),
    });
    parts.push(format!("up {}", span(host.uptime_s)));
    parts.push(format!("pid {}", host.pid));
    parts.extend(host.rss_bytes.map(bytes));
    parts.join("  ") + "\n"
}

fn pipelines(status: &Status, width: Option<usize>, paint: Paint) -> String {
    if status.nodes.is_empty() {
        return String::new();
    }
    let columns = [
        Column::text("NODE"),
        Column::text("TYPE").rank(1),
        Column::text("STATE"),
        Column::number("IN/S"),
        Column::number("OUT/S"),
        Column::number("IN").rank(4),
        Column::number("OUT").rank(3),
        Column::number("QUEUE"),
        Column::text("SPOOL").rank(2),
    ];
    let mut table = Table::new(&columns).indented(2);
    let by_pipeline = by_pipeline(&status.nodes, |node| node.names().0);
    for (position, pipeline) in status.pipelines.iter().enumerate() {
        if position > 0 {
            table.line("");
        }
        table.line(format!("{}  {}", paint.strong(&pipeline.name), plain(&pipeline.file)));
        for node in by_pipeline.get(&*pipeline.name).into_iter().flatten() {
            table.row(row(node));
            if let Some(trouble) = trouble(node) {
                let text = format!("! {trouble}");
                let room = width.map_or(usize::MAX, |width| width.saturating_sub(4));
                table
                    .line(format!("    {}", paint.tone(state_tone(node.state), &cut(&text, room))));
            }
            for warning in &node.warnings {
                let ago = span(status.timestamp.since(warning.since).as_secs_f64());
                let text = format!("! for {ago}: {}", plain(&warning.text));
                let room = width.map_or(usize::MAX, |width| width.saturating_sub(4));
                table.line(format!("    {}", paint.tone(Tone::Doubtful, &cut(&text, room))));
            }
        }
    }
    format!("\n{}", table.render(width, paint))
}

fn row(node: &NodeStatus) -> Vec<Cell> {
    let (is_source, is_sink) = (node.section == "source", node.section == "sink");
    let shown = |has: bool, text: String| Cell::new(if has { text } else { "-".into() });
    let queue = node.queue.as_ref();
    let spool = node.spool.as_ref();
    vec![
        Cell::new(node.names().1),
        Cell::new(&node.type_name),
        Cell::toned(node.state.as_str(), state_tone(node.state)),
        shown(!is_source, rate(node.received_per_s)),
        shown(!is_sink, rate(node.emitted_per_s)),
        shown(!is_source, short(node.received)),
        shown(!is_sink, short(node.emitted.values().sum())),
        queue.map_or(Cell::new("-"), |one| {
            Cell::toned(queue_fill(one), fill_tone(one.bytes, one.size))
        }),
        spool.map_or(Cell::new("-"), |one| {
            Cell::toned(spool_fill(one), fill_tone(one.bytes, one.cap))
        }),
    ]
}

/// How full a queue is.
pub(crate) fn queue_fill(queue: &QueueStatus) -> String {
    percent(queue.bytes, queue.size)
}

/// How full a spool is, and for how long it will do.
pub(crate) fn spool_fill(spool: &SpoolStatus) -> String {
    let fill = percent(spool.bytes, spool.cap);
    match spool.hours_left {
        Some(hours) => format!("{fill}, {} left", span(hours * 3600.0)),
        None => fill,
    }
}

/// What went wrong with a node, in a line.
pub(crate) fn trouble(node: &NodeStatus) -> Option<String> {
    let counts = [
        (node.errors, "error"),
        (node.rejected, "rejected"),
        (node.dropped, "dropped"),
        (node.corrected, "readings with an absurd time"),
    ];
    let counts = counts.into_iter().filter(|(number, _)| *number > 0);
    let counts: Vec<String> = counts
        .map(|(number, what)| match what {
            "error" => count(number, what),
            what => format!("{number} {what}"),
        })
        .collect();
    let error = node.error.as_deref().map(plain);
    match (counts.is_empty(), error) {
        (true, None) => None,
        (true, Some(error)) => Some(error.into_owned()),
        (false, None) => Some(counts.join(", ")),
        (false, Some(error)) => Some(format!("{}: {error}", counts.join(", "))),
    }
}

/// The colour of a state. What is as it should be has none.
pub(crate) fn state_tone(state: NodeState) -> Tone {
    match state {
        NodeState::Running => Tone::Plain,
        NodeState::Ended => Tone::Faint,
        NodeState::Lagging | NodeState::Retrying => Tone::Doubtful,
        NodeState::Failed => Tone::Bad,
    }
}

fn fill_tone(part: u64, whole: u64) -> Tone {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    if percent >= NEARLY_FULL { Tone::Doubtful } else { Tone::Plain }
}
