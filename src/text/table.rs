//! A table that leaves out columns where the terminal is narrow.

use super::{Paint, Tone, cut, plain};

/// What lies between two columns.
const GAP: usize = 2;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    /// Where there is no room, columns of the highest rank go first; those of rank 0 stay.
    rank: u8,
}

impl Column {
    /// Of text, which begins at the left.
    pub(crate) const fn text(title: &'static str) -> Column {
        Column { title, right: false, rank: 0 }
    }

    /// Of numbers, which end at the right.
    pub(crate) const fn number(title: &'static str) -> Column {
        Column { title, right: true, rank: 0 }
    }

    /// One that may be left out.
    pub(crate) const fn rank(self, rank: u8) -> Column {
        Column { rank, ..self }
    }
}

/// What stands in a column.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), tone: Tone::Plain }
    }

    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text)
    }
}

enum Row {
    Cells(Vec<Cell>),
    Line(String),
}

/// Rows in columns, and lines between them that belong to no column.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
    indent: usize,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new(), indent: 0 }
    }

    /// Begins every row further to the right.
    pub(crate) fn indented(self, indent: usize) -> Table {
        Table { indent, ..self }
    }

    /// Adds a row; a cell that is missing at its end is empty.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(Row::Cells(cells));
    }

    /// Adds a line that belongs to no column.
    pub(crate) fn line(&mut self, text: impl Into<String>) {
        self.rows.push(Row::Line(text.into()));
    }

    /// The table as lines, the titles first, in at most `width` characters if that can be done by leaving out columns; the last
    /// column is cut if it must be.
    pub(crate) fn render(&self, width: Option<usize>, paint: Paint) -> String {
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        let widths: Vec<usize> = kept.iter().map(|column| self.width(*column)).collect();
        let needed = |kept: &[usize]| -> usize {
            let columns: usize = kept.iter().map(|column| widths[*column] + GAP).sum();
            self.indent + columns.saturating_sub(GAP)
        };
        let room = width.unwrap_or(usize::MAX);
        while needed(&kept) > room {
            let last = kept.iter().max_by_key(|column| (self.columns[**column].rank, **column));
            match last {
                Some(&column) if self.columns[column].rank > 0 => {
                    kept.retain(|other| *other != column);
                }
                _ => break,
            }
        }
        let titles = self.columns.iter().map(|column| Cell::toned(column.title, Tone::Faint));
        let mut out = self.written(&titles.collect::<Vec<_>>(), &kept, &widths, room, paint);
        for row in &self.rows {
            match row {
                Row::Line(text) => out += &format!("{text}\n"),
                Row::Cells(cells) => out += &self.written(cells, &kept, &widths, room, paint),
            }
        }
        out
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => cells.get(column).map(|cell| plain(&cell.text).chars().count()),
            Row::Line(_) => None,
        });
        cells.max().unwrap_or(0).max(self.columns[column].title.chars().count())
    }

    fn written(
        &self,
        cells: &[Cell],
        kept: &[usize],
        widths: &[usize],
        room: usize,
        paint: Paint,
    ) -> String {
        let mut line = " ".repeat(self.indent);
        let mut used = self.indent;
        // Spaces are owed until something follows, so that no line ends in them.
        let mut owed = 0;
        for (position, &column) in kept.iter().enumerate() {
            let empty = Cell::new("");
            let cell = cells.get(column).unwrap_or(&empty);
            let text = plain(&cell.text);
            let is_last = position + 1 == kept.len();
            let width = if is_last { room.saturating_sub(used) } else { widths[column] };
            let text = cut(&text, width);
            let free = widths[column].saturating_sub(text.chars().count());
            let before = if self.columns[column].right { free } else { 0 };
            if !text.is_empty() {
                line += &" ".repeat(owed + before);
                line += &paint.tone(cell.tone, &text);
                owed = 0;
            } else {
                owed += before;
            }
            owed += free - before + GAP;
            used += widths[column] + GAP;
        }
        line.push('\n');
        line
    }
}
