//! Dead letters for people.

use smollama_engine::control::{Letter, LetterPage, LettersDone};

use crate::client::Call;
use crate::text::{Cell, Column, Table, count, plain};

/// A line for each letter.
pub(super) fn list(page: &LetterPage, call: &Call<'_>) -> String {
    let columns = [
        Column::text("ID"),
        Column::text("WHEN").rank(1),
        Column::text("NODE"),
        Column::text("KIND").rank(3),
        Column::number("ITEMS").rank(2),
        Column::text("WHY"),
    ];
    let mut table = Table::new(&columns);
    for letter in &page.letters {
        let items = letter.items.to_string();
        let texts = [&letter.id, &call.when(letter.time), &letter.address, &letter.kind, &items];
        let texts = texts.into_iter().chain([&letter.reason]);
        table.row(texts.map(|text| Cell::new(text.as_str())).collect());
    }
    table.render(call.width, call.paint)
}

/// One letter with all that is kept of it.
pub(super) fn letter(letter: &Letter, call: &Call<'_>) -> String {
    let Letter { letter: row, origin, bytes, items } = letter;
    let mut out = format!(
        "{}  {}  {}\n{}\n",
        call.paint.strong(&plain(&row.id)),
        call.when(row.time),
        plain(&row.address),
        plain(&row.reason)
    );
    if let Some(origin) = origin.as_deref().filter(|origin| !origin.is_empty()) {
        out += &format!("{}  {}\n", call.paint.faint("origin"), plain(origin));
    }
    if let Some(bytes) = bytes {
        out += &format!("{}\n", call.paint.faint("bytes"));
        bytes.lines().for_each(|line| out += &format!("  {}\n", plain(line)));
    }
    if !items.is_empty() {
        out += &format!("{}\n", call.paint.faint(&plain(&row.kind)));
        items.iter().for_each(|item| out += &format!("  {}\n", plain(&item.to_string())));
    }
    out
}

/// What was done with letters.
pub(super) fn done(done: &LettersDone, what: &str) -> String {
    let letters = count(done.letters, "letter");
    let mut out = match done.items {
        items if items == done.letters => format!("{letters} {what}"),
        items => format!("{letters} with {} {what}", count(items, "item")),
    };
    if done.refused > 0 {
        let verb = if done.refused == 1 { "stays" } else { "stay" };
        out += &format!("; {} refused again, and {verb}", done.refused);
    }
    out + "\n"
}
