//! The state as cells of a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};
use smollama_engine::control::NodeStatus;

use super::state::{Sort, State, troubles};
use crate::commands::status::{queue_fill, spool_fill, state_tone, trouble};
use crate::text::{Paint, Tone, bytes, count, percent, plain, rate, short, span};

/// A column: its title, whether it ends at the right, from which rank on it goes where there is no room, and its text.
struct Column {
    title: &'static str,
    right: bool,
    rank: u8,
    sort: Option<Sort>,
    text: fn(&NodeStatus) -> String,
}

const COLUMNS: [Column; 8] = [
    Column { title: "NODE", right: false, rank: 0, sort: None, text: |node| node.address.clone() },
    Column {
        title: "TYPE",
        right: false,
        rank: 2,
        sort: None,
        text: |node| node.type_name.clone(),
    },
    Column {
        title: "STATE",
        right: false,
        rank: 0,
        sort: None,
        text: |node| node.state.as_str().to_owned(),
    },
    Column {
        title: "IN/S",
        right: true,
        rank: 1,
        sort: Some(Sort::Rate),
        text: |node| of(node, "source", node.received_per_s),
    },
    Column {
        title: "OUT/S",
        right: true,
        rank: 1,
        sort: Some(Sort::Rate),
        text: |node| of(node, "sink", node.emitted_per_s),
    },
    Column {
        title: "QUEUE",
        right: true,
        rank: 1,
        sort: Some(Sort::Queue),
        text: |node| node.queue.as_ref().map_or("-".into(), queue_fill),
    },
    Column {
        title: "SPOOL",
        right: false,
        rank: 3,
        sort: Some(Sort::Queue),
        text: |node| node.spool.as_ref().map_or("-".into(), spool_fill),
    },
    Column {
        title: "ERRORS",
        right: true,
        rank: 1,
        sort: Some(Sort::Errors),
        text: |node| short(troubles(node)),
    },
];

/// What lies between two columns.
const GAP: u16 = 2;

fn of(node: &NodeStatus, but: &str, per_second: f64) -> String {
    if node.section == but { "-".into() } else { rate(per_second) }
}

fn style(tone: Tone, paint: Paint) -> Style {
    let style = Style::new();
    match (tone, paint.0) {
        (Tone::Strong, _) => style.add_modifier(Modifier::BOLD),
        (Tone::Faint, true) => style.add_modifier(Modifier::DIM),
        (Tone::Good, true) => style.fg(Color::Green),
        (Tone::Doubtful, true) => style.fg(Color::Yellow),
        (Tone::Bad, true) => style.fg(Color::Red),
        _ => style,
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, paint: Paint) {
    let [head, table, about, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(2),
        Constraint::Length(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(headline(state, paint)), head);
    nodes(frame, table, state, paint);
    let about_text = Paragraph::new(selected(state, paint)).wrap(Wrap { trim: false });
    frame.render_widget(about_text, about);
    frame.render_widget(Paragraph::new(keys(state, paint)), foot);
}

fn headline(state: &State, paint: Paint) -> Line<'static> {
    let status = &state.status;
    let name = plain(&status.host.name).into_owned();
    let mut line = vec![Span::styled(name, style(Tone::Strong, paint))];
    if let Some(trouble) = &state.trouble {
        let text = format!("  no answer: {}", plain(trouble));
        line.push(Span::styled(text, style(Tone::Bad, paint)));
        return Line::from(line);
    }
    let mut parts = Vec::new();
    parts.extend(status.revision.map(|revision| format!("revision {revision}")));
    parts.push(format!("up {}", span(status.host.uptime_s)));
    parts.extend(status.host.rss_bytes.map(bytes));
    let journal = status.journal.as_ref();
    parts.extend(journal.map(|one| match one.failure {
        Some(_) => "journal cannot be written".into(),
        None => format!("journal {}", percent(one.bytes, one.cap)),
    }));
    parts.extend(status.checkpoint.map(|one| format!("checkpoint {} ago", span(one.age_s))));
    parts.extend(status.blocked_by.as_deref().map(|node| format!("waits for {}", plain(node))));
    if status.dead_letters.letters > 0 {
        parts.push(count(status.dead_letters.letters, "dead letter"));
    }
    parts.push(count(status.nodes.len() as u64, "node"));
    line.push(Span::raw(format!("  {}", parts.join("  "))));
    Line::from(line)
}

fn nodes(frame: &mut Frame<'_>, area: Rect, state: &mut State, paint: Paint) {
    let rows = state.rows();
    let texts: Vec<Vec<String>> = rows
        .iter()
        .map(|node| COLUMNS.iter().map(|one| plain(&(one.text)(node)).into_owned()).collect())
        .collect();
    let width = |column: usize| {
        let cells = texts.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(COLUMNS[column].title.len()) as u16
    };
    let widths: Vec<u16> = (0..COLUMNS.len()).map(width).collect();
    let shown = fitting(&widths, area.width);
    let cell = |column: usize, text: &str, style: Style| {
        let line = Line::styled(text.to_owned(), style);
        Cell::from(if COLUMNS[column].right { line.right_aligned() } else { line })
    };
    let header = shown.iter().map(|&column| {
        let is_sorted = COLUMNS[column].sort == Some(state.sort);
        let tone = if is_sorted { Tone::Strong } else { Tone::Faint };
        cell(column, COLUMNS[column].title, style(tone, paint))
    });
    let header = Row::new(header.collect::<Vec<_>>());
    let lines = rows.iter().zip(&texts).map(|(node, texts)| {
        let style = style(state_tone(node.state), paint);
        Row::new(
            shown.iter().map(|&column| cell(column, &texts[column], style)).collect::<Vec<_>>(),
        )
    });
    let table = Table::new(lines.collect::<Vec<_>>(), shown.iter().map(|&column| widths[column]))
        .header(header)
        .column_spacing(GAP)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let position = (!rows.is_empty()).then(|| state.position(&rows));
    state.table.select(position);
    state.page = usize::from(area.height.saturating_sub(1)).max(1);
    frame.render_stateful_widget(table, area, &mut state.table);
}

/// The columns that there is room for.
fn fitting(widths: &[u16], room: u16) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..widths.len()).collect();
    let needed = |shown: &[usize]| -> u16 {
        shown.iter().map(|column| widths[*column] + GAP).sum::<u16>().saturating_sub(GAP)
    };
    while needed(&shown) > room {
        match shown.iter().copied().max_by_key(|column| (COLUMNS[*column].rank, *column)) {
            Some(column) if COLUMNS[column].rank > 0 => shown.retain(|other| *other != column),
            _ => break,
        }
    }
    shown
}

/// What there is to say about the node that the user is at.
fn selected(state: &State, paint: Paint) -> Vec<Line<'static>> {
    let rows = state.rows();
    let Some(node) = rows.get(state.position(&rows)) else {
        return vec![Line::raw("nothing runs; begin with: smollama apply pipelines/")];
    };
    let mut parts = vec![format!("{}: {}", node.address, node.section)];
    if node.section != "source" {
        parts.push(format!("{} in", node.received));
    }
    parts.extend(node.emitted.iter().map(|(port, number)| format!("{number} out by {port}")));
    let mut lines = vec![Line::raw(plain(&parts.join(", ")).into_owned())];
    lines
        .extend(trouble(node).map(|text| Line::styled(text, style(state_tone(node.state), paint))));
    let warnings = node.warnings.iter().map(|warning| plain(&warning.text).into_owned());
    lines.extend(warnings.map(|text| Line::styled(text, style(Tone::Doubtful, paint))));
    lines
}

fn keys(state: &State, paint: Paint) -> Line<'static> {
    let faint = style(Tone::Faint, paint);
    let mut line = vec![Span::styled("q quit  up down select  sort by", faint)];
    for (number, sort) in (1..).zip(Sort::ALL) {
        let style = if sort == state.sort { style(Tone::Strong, paint) } else { faint };
        line.push(Span::styled(format!("  {number} {}", sort.name()), style));
    }
    Line::from(line)
}
