//! Where all stages put what they found.

use std::collections::HashMap;

use super::{Diagnostic, Files, Severity, Span, render::Renderer};

/// Diagnostics that are kept; further ones are only counted.
pub(crate) const KEPT_MAX: usize = 10_000;
/// Diagnostics that are shown; the rest is named by its number.
const SHOWN_MAX: usize = 1_000;

/// A bounded list of diagnostics.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.kept.len() < KEPT_MAX {
            self.kept.push(diagnostic);
        }
    }

    /// Adds an error that is costly to word: once more are kept than are ever shown, it is only counted.
    pub fn push_error(&mut self, error: impl FnOnce() -> Diagnostic) {
        if self.kept.len() < KEPT_MAX {
            self.push(error());
        } else {
            self.errors += 1;
        }
    }

    /// Takes over what another stage found.
    pub fn append(&mut self, other: Self) {
        self.errors += other.errors;
        self.warnings += other.warnings;
        let room = KEPT_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    /// Takes over the errors that another stage found, not its warnings.
    pub fn append_errors(&mut self, other: Self) {
        self.append(Self {
            kept: other.kept.into_iter().filter(|d| d.severity == Severity::Error).collect(),
            warnings: 0,
            ..other
        });
    }

    /// Moves what was found in nodes of templates to where those were written, and notes where they are used. What is wrong with a
    /// template is told once, however often it is used.
    pub fn settle(&mut self, files: &Files) {
        // Where each lies among those that are kept, and how often it was found again.
        let mut told: HashMap<(&'static str, Span, String), (usize, usize)> = HashMap::new();
        for mut found in std::mem::take(&mut self.kept) {
            let (span, mut uses) = files.written(found.primary.span);
            if !uses.is_empty() {
                let what = (found.rule.id, span, found.message.clone());
                let (_, times) = told
                    .entry(what)
                    .and_modify(|(_, times)| *times += 1)
                    .or_insert((self.kept.len(), 0));
                if *times > 0 {
                    match found.severity {
                        Severity::Error => self.errors -= 1,
                        Severity::Warning => self.warnings -= 1,
                    }
                    continue;
                }
            }
            found.primary.span = span;
            for label in &mut found.secondary {
                let (span, more) = files.written(label.span);
                label.span = span;
                uses.extend(more);
            }
            for used in uses {
                if !found.uses.contains(&used) {
                    found.uses.push(used);
                }
            }
            self.kept.push(found);
        }
        for (index, times) in told.into_values() {
            let more = match times {
                0 => continue,
                1 => "another use of the template has it, too".to_owned(),
                _ => format!("{times} more uses of the template have it, too"),
            };
            self.kept[index].helps.push(more);
        }
    }

    /// Whether anything found is an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Errors found, kept or not.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Warnings found, kept or not.
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.errors + self.warnings == 0
    }

    /// What is kept, in the order of finding.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// What is kept, by file, then by place.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<_> = self.kept.iter().collect();
        sorted.sort_by_key(|d| d.primary.span);
        sorted
    }

    /// All of it as text for a terminal: the first thousand with source lines, then the counts.
    pub fn render(&self, files: &Files, colour: bool) -> String {
        let renderer = Renderer::new(files, colour);
        let mut text = String::new();
        for diagnostic in self.sorted().into_iter().take(SHOWN_MAX) {
            text.push_str(&renderer.render(diagnostic));
            text.push_str("\n\n");
        }
        if !self.is_empty() {
            text.push_str(&self.summary());
            text.push('\n');
        }
        text
    }

    /// "3 errors and 1 warning", with how many are not shown.
    pub fn summary(&self) -> String {
        let number = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{count} {word}s")),
        };
        let counts: Vec<_> = [number(self.errors, "error"), number(self.warnings, "warning")]
            .into_iter()
            .flatten()
            .collect();
        let total = self.errors + self.warnings;
        match total.saturating_sub(SHOWN_MAX.min(self.kept.len())) {
            0 => counts.join(" and "),
            hidden => format!("{} ({hidden} more not shown)", counts.join(" and ")),
        }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        diagnostics.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }
}
