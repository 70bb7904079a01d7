//! Draws one diagnostic with its source lines.
//!
//! `annotate-snippets` looks at every line it is given, so it is given only the lines that carry a label, and of a
//! very long line only what surrounds it: the cost of a diagnostic does not grow with the size of its file.

use std::ops::Range;

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Snippet, normalize_untrusted_str,
    renderer::Renderer as Drawing,
};

use super::{Diagnostic, Files, Label, Severity};

/// Labels that lie at most this many lines apart share one snippet.
const SNIPPET_LINES_MAX: u32 = 24;
/// Longer lines are cut.
const LINE_BYTES_MAX: usize = 160;
/// What is kept before a label in a cut line.
const BEFORE_LABEL_BYTES: usize = 60;

pub(super) struct Renderer<'a> {
    files: &'a Files,
    drawing: Drawing,
}

/// A label with the line it stands in.
struct Placed<'a> {
    label: &'a Label,
    kind: AnnotationKind,
    line: u32,
    line_bytes: Range<usize>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(files: &'a Files, colour: bool) -> Self {
        let drawing = if colour { Drawing::styled().hyperlink(false) } else { Drawing::plain() };
        Self { files, drawing: drawing.term_width(LINE_BYTES_MAX + BEFORE_LABEL_BYTES) }
    }

    pub(super) fn render(&self, diagnostic: &Diagnostic) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.rule.id);
        let mut group = Group::with_title(title);
        let used: Vec<Label> =
            diagnostic.uses.iter().map(|&span| Label { span, text: "used here".into() }).collect();
        let pieces = self.pieces(diagnostic, &used);
        for piece in &pieces {
            group = self.draw(group, piece);
        }
        for help in &diagnostic.helps {
            group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
        }
        self.mend_columns(&pieces, self.drawing.render(&[group]))
    }

    /// Labels that can share a snippet, in the order of the text; the piece of the primary label comes first.
    fn pieces<'d>(&self, diagnostic: &'d Diagnostic, used: &'d [Label]) -> Vec<Vec<Placed<'d>>> {
        let mut pieces: Vec<Vec<Placed>> = Vec::new();
        let primary = std::iter::once((&diagnostic.primary, AnnotationKind::Primary));
        let secondary =
            diagnostic.secondary.iter().chain(used).map(|l| (l, AnnotationKind::Context));
        for (label, kind) in primary.chain(secondary).filter(|(l, _)| l.span.is_somewhere()) {
            let (line, line_bytes) = self.files.line(label.span.file, label.span.start);
            let placed = Placed { label, kind, line, line_bytes };
            match pieces.iter_mut().find(|piece| fits(piece, &placed)) {
                Some(piece) => piece.push(placed),
                None => pieces.push(vec![placed]),
            }
        }
        pieces
    }

    fn draw<'d>(&'d self, group: Group<'d>, piece: &[Placed<'d>]) -> Group<'d> {
        let (Some(head), Some(first), Some(last)) = (
            piece.first(),
            piece.iter().min_by_key(|p| p.line),
            piece.iter().max_by_key(|p| p.line),
        ) else {
            return group;
        };
        let file = head.label.span.file;
        let path = self.files.path(file).display().to_string();
        let text = self.files.text(file);
        if text.is_empty() {
            return group.element(Origin::path(path));
        }
        let shown = match piece {
            [only] => cut(text, only),
            _ => first.line_bytes.start..last.line_bytes.end,
        };
        let annotations = piece.iter().map(|placed| {
            let annotation = placed.kind.span(within(text, placed, &shown));
            match placed.label.text.as_ref() {
                "" => annotation,
                label => annotation.label(label),
            }
        });
        let source = text.get(shown.clone()).unwrap_or("");
        let snippet = Snippet::source(source)
            .path(path)
            .line_start(first.line as usize)
            .annotations(annotations);
        group.element(snippet)
    }

    /// A cut line was drawn as if it began where it was cut; its columns are put right.
    fn mend_columns(&self, pieces: &[Vec<Placed>], mut drawn: String) -> String {
        for placed in pieces.iter().filter_map(|piece| piece.first()) {
            let span = placed.label.span;
            let text = self.files.text(span.file);
            let start = cut(text, placed).start;
            if start > placed.line_bytes.start {
                let path = self.files.path(span.file).display();
                let drawn_column = 1 + text
                    .get(start..span.start as usize)
                    .map_or(0, |before| before.chars().count());
                let column = self.files.position(span.file, span.start).column;
                let line = placed.line;
                let wrong = format!("{path}:{line}:{drawn_column}");
                drawn = drawn.replacen(&wrong, &format!("{path}:{line}:{column}"), 1);
            }
        }
        drawn
    }
}

fn fits(piece: &[Placed], new: &Placed) -> bool {
    let short = |p: &Placed| p.line_bytes.len() <= LINE_BYTES_MAX;
    short(new)
        && piece.iter().all(|p| {
            short(p)
                && p.label.span.file == new.label.span.file
                && p.line.abs_diff(new.line) <= SNIPPET_LINES_MAX
        })
}

/// The part of a label's line that is shown.
fn cut(text: &str, placed: &Placed) -> Range<usize> {
    let line = placed.line_bytes.clone();
    if line.len() <= LINE_BYTES_MAX {
        return line;
    }
    let at = (placed.label.span.start as usize).clamp(line.start, line.end);
    let start = at.saturating_sub(BEFORE_LABEL_BYTES).max(line.start);
    let end = (start + LINE_BYTES_MAX).min(line.end);
    floor(text, start)..floor(text, end)
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The label's bytes counted from the beginning of what is shown; a label never leaves its first line.
fn within(text: &str, placed: &Placed, shown: &Range<usize>) -> Range<usize> {
    let end_of_line = placed.line_bytes.end.min(shown.end);
    let start = (placed.label.span.start as usize).clamp(shown.start, end_of_line);
    let end = (placed.label.span.end as usize).clamp(start, end_of_line);
    floor(text, start) - shown.start..floor(text, end) - shown.start
}
