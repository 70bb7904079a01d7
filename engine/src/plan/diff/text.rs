//! The plan as a person reads it: a line for each node that does not stay as it is.

use std::fmt::{self, Write};

use super::Difference;
use super::show::{PipelineRow, Plan, Row, RowChange, RowState, Summary, Undone, Waiting};
use crate::diagnostic::shortened;
use crate::plan::by_pipeline;

/// What colours a text, or nothing.
#[derive(Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    fn code(self, code: &'static str) -> &'static str {
        if self.on { code } else { "" }
    }

    fn sign(self, change: RowChange) -> (&'static str, char) {
        let (code, sign) = match change {
            RowChange::Add => ("\x1b[32m", '+'),
            RowChange::Remove => ("\x1b[31m", '-'),
            RowChange::Change => ("\x1b[33m", '~'),
            RowChange::Rename => ("\x1b[36m", '>'),
            RowChange::Keep => ("", ' '),
        };
        (self.code(code), sign)
    }

    fn bold(self) -> &'static str {
        self.code("\x1b[1m")
    }

    fn off(self) -> &'static str {
        self.code("\x1b[0m")
    }
}

impl Plan {
    /// The plan as text, with colours of a terminal if they are wanted. It ends with the line that says how many there are of
    /// each.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let paint = Paint { on: colour };
        let mut text = String::new();
        let shown: Vec<&Row> =
            self.changes.iter().filter(|row| row.change != RowChange::Keep).collect();
        let width = |of: fn(&Row) -> &str| {
            shown.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let widths = (width(|row| row.names().1), width(|row| &row.type_name));
        let by_pipeline = by_pipeline(shown.iter().copied(), |row| row.names().0);
        let of = |name: &str| by_pipeline.get(name).into_iter().flatten().copied();
        for pipeline in &self.pipelines {
            // What goes with the name that a pipeline had before goes from it.
            let before = pipeline.renamed_from.iter().flat_map(|before| of(before));
            let gone = before.filter(|row| row.change == RowChange::Remove);
            let rows: Vec<&Row> = of(&pipeline.name).chain(gone).collect();
            if rows.is_empty() && pipeline.change == RowChange::Keep {
                continue;
            }
            // Writing to a `String` cannot fail.
            let _ = header(&mut text, pipeline, paint);
            for row in rows {
                let _ = line(&mut text, row, widths, paint);
            }
            text.push('\n');
        }
        let (bold, off) = (paint.bold(), paint.off());
        if let Some(cost) = self.cost.as_ref().filter(|_| !self.is_empty()) {
            let _ = writeln!(text, "  {bold}What it costs{off}\n{}", cost.text(4));
        }
        let _ = writeln!(text, "{bold}{}{off}", self.headline());
        text
    }

    fn headline(&self) -> String {
        let Summary { add, change, remove, rename, keep } = self.summary;
        if self.is_empty() {
            return format!(
                "Nothing to change: {}",
                nodes(keep, "runs as it should", "run as they should")
            );
        }
        let mut parts = vec![format!("{add} to add"), format!("{change} to change")];
        if rename > 0 {
            parts.push(format!("{rename} to rename"));
        }
        parts.push(format!("{remove} to remove"));
        format!("Plan: {}, {keep} kept", parts.join(", "))
    }
}

fn nodes(number: usize, one: &str, more: &str) -> String {
    match number {
        1 => format!("1 node {one}"),
        _ => format!("{number} nodes {more}"),
    }
}

fn header(text: &mut String, pipeline: &PipelineRow, paint: Paint) -> fmt::Result {
    let (bold, off) = (paint.bold(), paint.off());
    write!(text, "  {bold}{}{off}  {}", pipeline.name, pipeline.file.display())?;
    match pipeline.change {
        RowChange::Add => text.push_str("  (new)"),
        RowChange::Remove => text.push_str("  (goes)"),
        _ => {}
    }
    text.push('\n');
    if let Some(was) = &pipeline.renamed_from {
        let (on, sign) = paint.sign(RowChange::Rename);
        writeln!(text, "    {on}{sign}{off} was {was}")?;
    }
    for setting in &pipeline.settings {
        let (on, sign) = paint.sign(RowChange::Change);
        writeln!(text, "    {on}{sign}{off} {}", difference(setting, ""))?;
    }
    Ok(())
}

/// Columns of a line; what there is to say beyond goes below it.
const COLUMNS: usize = 110;

fn line(
    text: &mut String,
    row: &Row,
    (name_width, type_width): (usize, usize),
    paint: Paint,
) -> fmt::Result {
    let ((on, sign), off) = (paint.sign(row.change), paint.off());
    let name = row.names().1;
    let head = format!("{name:name_width$}  {:9}  {:type_width$}", row.section, row.type_name);
    let indent = 6 + head.chars().count();
    let mut line = head;
    let mut columns = indent;
    for part in parts(row) {
        let width = 2 + part.chars().count();
        if columns > indent && columns + width > COLUMNS {
            write!(line, "\n{:indent$}", "")?;
            columns = indent;
        }
        write!(line, "  {part}")?;
        columns += width;
    }
    writeln!(text, "    {on}{sign}{off} {}", line.trim_end())
}

/// What there is to say about a node, shortest first what a reader looks for.
fn parts(row: &Row) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(was) = &row.renamed_from {
        let (pipeline, _) = row.names();
        let own = was.strip_prefix(&format!("{pipeline}/"));
        parts.push(format!("was {}", own.unwrap_or(was)));
    }
    if row.change == RowChange::Add {
        parts.push(row.detail.clone());
    }
    if !row.settings.is_empty() {
        let prefix = format!("{}.", row.type_name);
        let settings: Vec<String> =
            row.settings.iter().map(|one| difference(one, &prefix)).collect();
        parts.push(settings.join("; "));
    }
    match (row.state, &row.why) {
        (RowState::Kept, _) => parts.push("state kept".to_owned()),
        (RowState::Reset, _) if row.change == RowChange::Remove => {
            parts.push("state lost".to_owned());
        }
        (RowState::Reset, why) => {
            let why = why.as_deref().map(|why| format!(": {}", plain(why)));
            parts.push(format!("state reset{}", why.unwrap_or_default()));
        }
        (RowState::Unknown, _) => parts.push("state kept if it fits".to_owned()),
        (RowState::None, _) => {}
    }
    parts.extend(row.waiting.and_then(waiting));
    parts.extend(row.undone.as_ref().and_then(undone));
    parts.extend(row.note.clone());
    parts
}

fn waiting(Waiting { items, inherited }: Waiting) -> Option<String> {
    let (who, is) = match items {
        Some(0) => return None,
        Some(1) => ("1 item that waits".to_owned(), "is"),
        Some(items) => (format!("{items} items that wait"), "are"),
        None => ("what waits".to_owned(), "is"),
    };
    let goes = if is == "is" { "goes" } else { "go" };
    Some(match inherited {
        true => format!("{who} {goes} on to it"),
        false => format!("{who} {is} sent, or {goes} to the dead letters"),
    })
}

fn undone(Undone { what, items }: &Undone) -> Option<String> {
    match items {
        Some(0) => None,
        Some(items) => Some(format!("its {what} are removed ({items})")),
        None => Some(format!("its {what} are removed")),
    }
}

/// `deadband: 0.2 -> 0.5`; settings of the type are named without it.
fn difference(setting: &Difference, prefix: &str) -> String {
    let path = setting.path.strip_prefix(prefix).unwrap_or(&setting.path);
    let value = |value: &Option<String>| match value {
        Some(value) => plain(value),
        None => "not set".to_owned(),
    };
    match (&setting.from, &setting.to) {
        (None, None) => format!("{path} changed"),
        (from, to) => format!("{path}: {} -> {}", value(from), value(to)),
    }
}

/// What a stranger wrote, short, and without anything that a terminal would obey.
fn plain(text: &str) -> String {
    let shown = shortened(text);
    match shown.contains(char::is_control) {
        true => shown.escape_debug().to_string(),
        false => shown,
    }
}
