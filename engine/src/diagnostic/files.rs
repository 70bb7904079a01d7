//! The texts that were read, and places in them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// A file in [`Files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

impl FileId {
    pub(crate) fn from_index(index: u32) -> Self {
        Self(index)
    }

    pub(crate) fn index(self) -> u32 {
        self.0
    }
}

/// A range of bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The place of something that nobody wrote, for instance a default.
    pub const NOWHERE: Self = Self { file: FileId(u32::MAX), start: 0, end: 0 };

    /// The very beginning of a file; used when the file as a whole is meant.
    pub fn file(file: FileId) -> Self {
        Self { file, start: 0, end: 0 }
    }

    /// From where `self` begins to where `other` ends; both lie in one file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { end: other.end.max(self.start), ..self }
    }

    /// Whether it points at text at all.
    pub fn is_somewhere(self) -> bool {
        self.file != Self::NOWHERE.file
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::NOWHERE
    }
}

/// Line and column, both counted from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

#[derive(Debug)]
struct SourceFile {
    path: PathBuf,
    text: Arc<str>,
    line_starts: OnceLock<Box<[u32]>>,
    instance: Option<Instance>,
}

/// A part of a file that stands for itself once more where a template is used.
#[derive(Clone, Copy, Debug)]
struct Instance {
    of: FileId,
    used: Span,
}

/// Every file that was named or read, with its text. Grows only.
#[derive(Debug, Default)]
pub struct Files(Vec<SourceFile>);

impl Files {
    /// Adds a file; one that could not be read has an empty text.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(SourceFile {
            path: path.into(),
            text: text.into(),
            line_starts: OnceLock::new(),
            instance: None,
        });
        id
    }

    /// Adds a file once more, for the nodes that a template in it becomes where it is used: what is found at their places is found in
    /// that use alone.
    pub fn instance(&mut self, of: FileId, used: Span) -> FileId {
        let Some(SourceFile { path, text, .. }) = self.get(of) else { return of };
        let id = self.add(path.clone(), text.clone());
        if let Some(added) = self.0.last_mut() {
            added.instance = Some(Instance { of, used });
        }
        id
    }

    /// Where a span was written, and the uses of templates that led there, the nearest first.
    pub fn written(&self, span: Span) -> (Span, Vec<Span>) {
        let instance = |span: Span| self.get(span.file)?.instance;
        let real = |span| instance(span).map_or(span, |found| Span { file: found.of, ..span });
        let mut uses = Vec::new();
        let mut at = span;
        while let Some(Instance { used, .. }) = instance(at) {
            uses.push(real(used));
            at = used;
        }
        (real(span), uses)
    }

    /// The path as the user gave it; empty for an id of another `Files`.
    pub fn path(&self, file: FileId) -> &Path {
        self.get(file).map_or(Path::new(""), |f| &f.path)
    }

    /// The text; empty for an id of another `Files`.
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |f| &f.text)
    }

    /// What a span covers.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Every file in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Path, &str)> {
        let read = (0u32..).zip(&self.0).filter(|(_, file)| file.instance.is_none());
        read.map(|(i, f)| (FileId(i), f.path.as_path(), &*f.text))
    }

    /// Line and column of a byte; `1:1` where there is no text.
    pub fn position(&self, file: FileId, offset: u32) -> Position {
        let Some(found) = self.get(file) else { return Position { line: 1, column: 1 } };
        let line = found.line_of(offset);
        let (start, _) = found.line_range(line);
        let before = found.text.get(start..offset as usize).unwrap_or("");
        Position { line: line + 1, column: 1 + count(before) }
    }

    /// The line (from 1) a byte lies in, with the byte range of that line without its line break.
    pub(super) fn line(&self, file: FileId, offset: u32) -> (u32, std::ops::Range<usize>) {
        let Some(found) = self.get(file) else { return (1, 0..0) };
        let line = found.line_of(offset);
        let (start, end) = found.line_range(line);
        (line + 1, start..end)
    }

    fn get(&self, file: FileId) -> Option<&SourceFile> {
        self.0.get(file.0 as usize)
    }
}

impl SourceFile {
    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let breaks = self.text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
            let after = breaks.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX));
            std::iter::once(0).chain(after).collect()
        })
    }

    fn line_of(&self, offset: u32) -> u32 {
        let after = self.line_starts().partition_point(|&start| start <= offset);
        u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn line_range(&self, line: u32) -> (usize, usize) {
        let starts = self.line_starts();
        let at = |line: usize| starts.get(line).map(|&start| start as usize);
        let start = at(line as usize).unwrap_or(self.text.len());
        let end = at(line as usize + 1).map_or(self.text.len(), |next| next.saturating_sub(1));
        let end = match self.text.as_bytes().get(start..end) {
            Some([.., b'\r']) => end - 1,
            _ => end,
        };
        (start, end.max(start))
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}
