//! What `import` says at its end.

use std::path::Path;

use super::super::init::files::{Draft, FileReport, Outcome};
use super::{HistoryReport, Report};
use crate::text::{Paint, Tone, count, plain};

/// The files that would be written; schemas and secrets are left out.
pub(super) fn texts(drafts: &[Draft], paint: Paint) -> String {
    let shown = drafts.iter().filter(|one| !one.is_secret && !one.path.ends_with(".json"));
    shown.map(|draft| format!("{}\n{}\n", paint.strong(draft.path), draft.text)).collect()
}

pub(super) fn page(report: &Report, dry_run: bool, paint: Paint) -> String {
    let mut out = format!("{}\n", paint.strong("A Python Smollama, which is left as it is"));
    for (label, text) in found(report) {
        out += &format!("  {}  {}\n", paint.faint(&format!("{label:<8}")), plain(&text));
    }
    let folder = shown(&report.folder);
    let verb = if dry_run { "Would be in" } else { "Files in" };
    out += &format!("\n{}\n", paint.strong(&format!("{verb} {folder}")));
    let longest = report.files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    for file in &report.files {
        let (tone, word) = file.outcome.word();
        let word = paint.tone(tone, &format!("{word:<8}"));
        out += format!("  {word}  {:<longest$}  {}", file.path, why(file)).trim_end();
        out.push('\n');
    }
    if let Some(history) = &report.history {
        out += &format!("\n{}\n", paint.strong(&format!("History in {}", shown(&history.folder))));
        for (tone, word, text) in kept(history) {
            let word = paint.tone(tone, &format!("{word:<8}"));
            out += &format!("  {word}  {}\n", plain(&text));
        }
    }
    if let Some(memories) =
        report.old.rows.as_ref().and_then(|rows| rows.memories).filter(|rows| *rows > 0)
    {
        let stay = if memories == 1 { "It stays" } else { "They stay" };
        out += &format!(
            "\n{}\n  {stay} in memory.db, where nothing is lost: there is no place for them here yet.\n",
            paint.strong(&counted((Some(memories), "memory")))
        );
    }
    if !report.left.is_empty() {
        let place = "Without a place here (quoted at the end of config.yaml)";
        out += &format!("\n{}\n", paint.strong(place));
        let longest = report.left.iter().map(|one| one.key.chars().count()).max().unwrap_or(0);
        for one in &report.left {
            out += &format!("  {:<longest$}  {}\n", plain(&one.key), plain(&one.why));
        }
    }
    out += &format!("\n{}\n", paint.strong("Next"));
    for line in &report.next {
        out += &format!("  {line}\n");
    }
    out
}

fn found(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    lines.push((
        "settings",
        match &report.old.settings[..] {
            [] => "none: it ran on its defaults".into(),
            [one] => shown(one),
            [base, over @ ..] => {
                let over: Vec<String> = over.iter().map(|path| shown(path)).collect();
                format!("{}, and over it {}", shown(base), over.join(", "))
            }
        },
    ));
    lines.push((
        "memory",
        match (&report.old.memory, &report.old.rows) {
            (Some(path), Some(rows)) => {
                let rows = [
                    (rows.readings, "reading"),
                    (rows.observations, "observation"),
                    (rows.memories, "memory"),
                ];
                format!("{}, with {}", shown(path), rows.map(counted).join(", "))
            }
            _ => "none".into(),
        },
    ));
    if let Some(path) = &report.old.cache {
        let values = count(report.old.cached as u64, "last value");
        lines.push(("cache", format!("{}, with {values} of edge nodes", shown(path))));
    }
    lines
}

fn counted((rows, what): (Option<u64>, &str)) -> String {
    match rows {
        None => format!("an unknown number of {what}s").replace("memorys", "memories"),
        Some(rows) => count(rows, what).replace("memorys", "memories"),
    }
}

/// What became of the data.
fn kept(history: &HistoryReport) -> Vec<(Tone, &'static str, String)> {
    let tally = &history.tally;
    let mut lines = Vec::new();
    let of = match tally.span {
        None => String::new(),
        Some(span) => {
            let sources = count(tally.sources as u64, "source");
            format!(" of {sources}, from {} to {}", span.first, span.last)
        }
    };
    let tone = if tally.readings > 0 { Tone::Good } else { Tone::Faint };
    lines.push((tone, "new", format!("{}{of}", count(tally.readings, "reading"))));
    if tally.observations > 0 {
        lines.push((Tone::Good, "new", count(tally.observations, "observation")));
    }
    let known = [(tally.readings_known, "reading"), (tally.observations_known, "observation")];
    for (rows, what) in known.into_iter().filter(|(rows, _)| *rows > 0) {
        lines.push((Tone::Faint, "there", format!("{}, not put in again", count(rows, what))));
    }
    if tally.without_value > 0 {
        let rows = count(tally.without_value, "row");
        lines.push((Tone::Faint, "left out", format!("{rows} that stand for \"no value\"")));
    }
    if tally.metadata_left > 0 {
        let rows = count(tally.metadata_left, "reading");
        lines.push((
            Tone::Faint,
            "left out",
            format!("the metadata of {rows}: they stay in memory.db"),
        ));
    }
    for one in &tally.damage {
        lines.push((Tone::Bad, "damaged", format!("{}: {}", one.place, one.why)));
    }
    let more = tally.damaged.saturating_sub(tally.damage.len() as u64);
    if more > 0 {
        lines.push((Tone::Bad, "damaged", format!("{more} more")));
    }
    if let Some(doubt) = tally.zone {
        lines.push((Tone::Doubtful, "zone", doubt.to_string()));
    }
    lines
}

fn shown(path: &Path) -> String {
    plain(&path.display().to_string()).into_owned()
}

fn why(file: &FileReport) -> &'static str {
    match file.outcome {
        Outcome::Kept => {
            "it was there already: `--dry-run` shows what would be written, `--force` writes it"
        }
        _ => "",
    }
}
