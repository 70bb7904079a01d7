//! A backtest as a person reads it.

use std::collections::BTreeMap;

use serde_json::Value;
use smollama_engine::backtest::{Both, Done, Outcome, Sent, SinkRow};

use crate::client::Call;
use crate::commands::tap::line::readable;
use crate::text::{Cell, Column, Table, Tone, bytes, count, plain};

/// All of it. `diff`: whether items are shown.
pub(super) fn text(outcome: &Outcome, diff: Option<usize>, call: &Call<'_>) -> String {
    let mut out = head(outcome, call);
    out += "\n";
    out += &table(outcome).render(call.width, call.paint);
    if diff.is_some() {
        for row in &outcome.report.sinks {
            out += &items(row, call);
        }
    }
    if !outcome.notes.is_empty() {
        out += &format!("\n{}\n", call.paint.faint("Not known:"));
        for note in &outcome.notes {
            out += &format!("  {}\n", plain(note));
        }
    }
    out
}

fn head(outcome: &Outcome, call: &Call<'_>) -> String {
    let report = &outcome.report;
    let when = |time: Option<_>| time.map_or_else(|| "-".into(), |time| call.when(time));
    let recorded: Vec<_> = outcome.recorded.iter().map(|name| plain(name)).collect();
    let mut text = format!(
        "{} of {} series, {} to {}, from {}\n",
        count(report.readings, "reading"),
        report.series,
        when(report.from),
        when(report.to),
        recorded.join(", ")
    );
    text += &match outcome.revision {
        Some(revision) => format!("RUNNING is revision {revision}.\n"),
        None => "Nothing runs that it could be compared with.\n".to_owned(),
    };
    text
}

fn table(outcome: &Outcome) -> Table {
    let report = &outcome.report;
    let mut columns = vec![Column::text(""), Column::text("TYPE").rank(2)];
    columns.extend(report.compared.then_some(Column::text("RUNNING").rank(1)));
    columns.push(Column::text("CANDIDATE"));
    columns.extend(report.compared.then_some(Column::text("DIFFERENCE")));
    let mut table = Table::new(&columns);
    let add = |table: &mut Table, name: &str, kind: &str, both: Both<String>, more: Cell| {
        let mut cells = vec![Cell::new(format!("  {name}")), kind.into()];
        let shown = |text: Option<String>| Cell::new(text.unwrap_or_else(|| "-".into()));
        if report.compared {
            cells.push(shown(both.running));
        }
        cells.push(shown(both.candidate));
        cells.push(more);
        table.row(cells);
    };
    let none = || Cell::new("");
    let (windows, kept): (Vec<_>, Vec<_>) =
        report.transforms.iter().partition(|row| row.makes_windows);
    if !kept.is_empty() {
        table.line("readings kept");
    }
    for row in kept {
        let (name, kind) = (&row.address, &row.type_name);
        add(&mut table, name, kind, row.done.clone().map(|done| kept_text(&done)), none());
    }
    if !windows.is_empty() {
        table.line("windows closed");
    }
    for row in windows {
        let (name, kind) = (&row.address, &row.type_name);
        add(&mut table, name, kind, row.done.clone().map(|done| windows_text(&done)), none());
    }
    table.line(match report.agents.is_empty() {
        true => "calls due: none, there is no agent",
        false => "calls due",
    });
    for row in &report.agents {
        let calls = row.calls.map(|calls| count(calls, "call"));
        add(&mut table, &row.address, "", calls, none());
    }
    table.line("sent to sinks");
    for row in &report.sinks {
        let sent = row.sent.map(|sent| sent_text(&sent));
        add(&mut table, &row.address, &row.type_name, sent, difference(row));
    }
    table
}

fn refused(done: &Done, text: String) -> String {
    match (&done.reason, done.refused) {
        (_, 0) => text,
        (Some(why), number) => format!("{text}, {number} refused: {why}"),
        (None, number) => format!("{text}, {number} refused"),
    }
}

fn kept_text(done: &Done) -> String {
    refused(done, format!("{} of {}{}", done.kept, done.received, share(done.kept, done.received)))
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 || part == whole {
        return String::new();
    }
    let percent = part as f64 / whole as f64 * 100.0;
    match percent {
        percent if percent > 0.0 && percent < 0.1 => " (<0.1%)".into(),
        percent => format!(" ({percent:.1}%)"),
    }
}

fn windows_text(done: &Done) -> String {
    let all: u64 = done.windows.values().sum();
    let causes = |windows: &BTreeMap<&str, u64>| {
        windows.iter().map(|(cause, number)| format!("{number} {cause}")).collect::<Vec<_>>()
    };
    let causes = causes(&done.windows).join(", ");
    refused(done, if all == 0 { "none".into() } else { format!("{all}: {causes}") })
}

fn sent_text(sent: &Sent) -> String {
    let mut parts = Vec::new();
    for (number, what) in
        [(sent.readings, "reading"), (sent.windows, "window"), (sent.observations, "observation")]
    {
        if number > 0 {
            parts.push(count(number, what));
        }
    }
    let text = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
    match sent.bytes.filter(|_| sent.items() > 0) {
        Some(number) => format!("{text}, {}", bytes(number)),
        None => text,
    }
}

fn difference(row: &SinkRow) -> Cell {
    let parts = [("missed", row.missed), ("gained", row.gained), ("changed", row.changed)];
    let parts = parts.into_iter().filter(|(_, number)| *number > 0);
    let text: Vec<String> = parts.map(|(what, number)| format!("{number} {what}")).collect();
    match text.is_empty() {
        true => Cell::toned("none", Tone::Faint),
        false => Cell::new(text.join(", ")),
    }
}

/// The items that only one of the two sent, by time.
fn items(row: &SinkRow, call: &Call<'_>) -> String {
    if row.missed + row.gained == 0 {
        return String::new();
    }
    let mut out = format!("\n{}\n", call.paint.strong(&row.address));
    let of = |sign: char, tone, items: &[Value]| {
        items.iter().map(move |item| (when(item), sign, tone, item.clone())).collect::<Vec<_>>()
    };
    let mut all = of('-', Tone::Bad, &row.missed_items);
    all.extend(of('+', Tone::Good, &row.gained_items));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, sign, tone, item) in all {
        let sign = call.paint.tone(tone, &sign.to_string());
        for (index, line) in readable(item.to_string().as_bytes(), call).lines().enumerate() {
            out += &format!("{} {line}\n", if index == 0 { &sign } else { " " });
        }
    }
    let rest = |what, number: u64, shown: usize| {
        let more = number.saturating_sub(shown as u64);
        (more > 0).then(|| format!("{more} more {what}"))
    };
    let more: Vec<String> = [
        rest("missed", row.missed, row.missed_items.len()),
        rest("gained", row.gained, row.gained_items.len()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !more.is_empty() {
        out += &format!("  and {}\n", more.join(", "));
    }
    out
}

/// The time of an item: of a window its end.
fn when(item: &Value) -> String {
    let time = item.get("time").or_else(|| item.get("end"));
    time.and_then(Value::as_str).unwrap_or_default().to_owned()
}
