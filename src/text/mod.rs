//! Numbers, spans and tables as a person reads them, in as few characters as say it.

mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use smollama_engine::bytes::ByteSize;

pub(crate) use table::{Cell, Column, Table};

/// The colours of a terminal, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Doubtful,
    Bad,
}

impl Paint {
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.tone(Tone::Strong, text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.tone(Tone::Faint, text)
    }
}

/// What a stranger wrote, without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c.is_control() {
        true => c.escape_debug().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(number: impl Into<u64>, what: &str) -> String {
    let number = number.into();
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A number in at most five characters: `8123`, `123k`, `1.2M`.
pub(crate) fn short(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..1_000_000 => format!("{}k", number / 1_000),
        1_000_000..10_000_000 => format!("{:.1}M", tenths(number, 1_000_000)),
        10_000_000..1_000_000_000 => format!("{}M", number / 1_000_000),
        1_000_000_000..10_000_000_000 => format!("{:.1}G", tenths(number, 1_000_000_000)),
        _ => format!("{}G", number / 1_000_000_000),
    }
}

/// Cut to a tenth, so that a counter never shows more than it says.
fn tenths(number: u64, unit: u64) -> f64 {
    (number / (unit / 10)) as f64 / 10.0
}

/// A number per second, as exactly as anybody reads it.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate <= 0.0 => "0".into(),
        rate if rate < 0.05 => "<0.1".into(),
        rate if rate < 99.95 => format!("{rate:.1}"),
        rate => short(rate.round() as u64),
    }
}

/// A span in its two largest units: `12s`, `4m 10s`, `3h 12m`, `5d 3h`.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = if seconds > 0.0 { seconds as u64 } else { 0 };
    let two = |large: &str, size: u64, small: &str, part: u64| match seconds % size / part {
        0 => format!("{}{large}", seconds / size),
        rest => format!("{}{large} {rest}{small}", seconds / size),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two("m", 60, "s", 1),
        3_600..86_400 => two("h", 3_600, "m", 60),
        _ => two("d", 86_400, "h", 3_600),
    }
}

/// How full something is: `0%`, `<1%`, `12%`.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (0, _) => "0%".into(),
        (_, 0) => "-".into(),
        (part, whole) => match (part as f64 / whole as f64 * 100.0).floor() {
            0.0 => "<1%".into(),
            percent => format!("{percent}%"),
        },
    }
}

/// Bytes in the largest binary unit.
pub(crate) fn bytes(count: u64) -> String {
    ByteSize(count).to_string()
}

/// Text cut to so many characters, with a mark where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    Cow::Owned(format!("{kept}…"))
}
