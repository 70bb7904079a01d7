//! Appends what comes to a file: JSON lines or CSV, with the columns the user chose, rotated and compressed.

mod appender;
pub(crate) mod fields;
mod rotate;
mod row;

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::{Context, Host};
use smollama_engine::json;
use smollama_engine::node::{Node, NodeError, Sink};
use smollama_engine::registry::{Delivery, NodeConfig, Problem, Profile, Section};
use smollama_engine::time::Timestamp;

use appender::{Appender, PIECE};
pub use fields::{Field, Fields};
use rotate::Names;
pub use rotate::Rotate;
use row::Rows;

/// Appends readings, windows and observations to a file, as JSON lines or CSV.
///
/// Without `fields`, JSON lines have the one form that `replay` reads, and CSV the usual columns of the kind of item that comes
/// first. With `fields` you choose columns and their names, in order: `time`, `source` (`type:id`), `type`, `id`, `host`, `value`,
/// `unit`, `score`, `count`, `labels`, `label.NAME`, `monotonic`; for windows also `start`, `end`, `cause`, `min`, `max`, `mean`,
/// `stddev`, `first`, `last`, and a window is then a row for each of its series; for observations `author`, `kind`, `text`,
/// `confidence`, `sources`, `model`, `rung`. What an item does not have is left out of JSON and is an empty cell in CSV.
///
/// An existing file is continued. What a crash or a power cut left damaged at its end is cut off when the file is opened: a line
/// half-written, or zeros in place of lines. At each checkpoint of the host the rows are made durable; those that came after the last one
/// come again from the host's journal after a power cut, so that none is lost and some are in the file twice. When the disk fails to make
/// a file durable, it is put aside under a name with the time and `-unsynced`, and not relied on: what came since the last checkpoint
/// comes again. A CSV file with other columns than now wanted is put aside under a name with the time, and a new one begun. When the
/// disk is full, the row that did not fit leaves nothing behind and is tried again.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file. A relative path lies in the data directory; missing folders are made.
    pub path: PathBuf,
    /// `jsonl` (a JSON object a line) or `csv`. Default: by the file's extension, `jsonl` where that says nothing.
    #[serde(default)]
    pub format: Option<Format>,
    /// The columns: a map from name to what it holds, such as `{ ts: time, room: label.room, value: value }`, or a list such
    /// as `[time, source, value]`. Default: the whole item.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// How times are written: `rfc3339` (the default), or whole seconds, milliseconds, microseconds or nanoseconds since 1970
    /// (`s`, `ms`, `us`, `ns`).
    #[serde(default)]
    pub time: TimeForm,
    /// When to put the file aside and begin a new one. Default: never.
    #[serde(default)]
    pub rotate: Option<Rotate>,
    /// How files that were put aside are compressed: `none` (the default), `gzip` or `zstd`.
    #[serde(default)]
    pub compress: Compress,
    /// When rows are made durable, so that a power cut takes none. `on_flush` (the default): whenever the input pauses, every few
    /// seconds while it does not, and at checkpoints. `on_checkpoint`: at checkpoints only, every ten seconds to five minutes,
    /// which is gentler to SD cards and as safe where the host keeps a journal. `never`: when the operating system likes, which survives a
    /// crash of this program, not a power cut.
    #[serde(default)]
    pub sync: Sync,
}

/// What a file is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// Rows of cells with a header, as RFC 4180.
    Csv,
}

/// How times are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeForm {
    /// `2026-11-21T01:02:03.500Z`.
    #[default]
    Rfc3339,
    /// Whole seconds since 1970.
    S,
    /// Whole milliseconds since 1970.
    Ms,
    /// Microseconds since 1970.
    Us,
    /// Nanoseconds since 1970.
    Ns,
}

/// How files that were put aside are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compress {
    /// Not at all.
    #[default]
    None,
    /// As `.gz`.
    Gzip,
    /// As `.zst`: smaller and faster.
    Zstd,
}

/// When rows are made durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// Whenever the engine flushes, and at checkpoints.
    #[default]
    OnFlush,
    /// At checkpoints.
    OnCheckpoint,
    /// When the operating system likes.
    Never,
}

impl FileConfig {
    fn format(&self) -> Format {
        let csv = || self.path.extension().is_some_and(|it| it.eq_ignore_ascii_case("csv"));
        self.format.unwrap_or_else(|| if csv() { Format::Csv } else { Format::Jsonl })
    }
}

impl NodeConfig for FileConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "file";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::sink(&ItemKind::ALL)
            .delivery(Delivery::Kept)
            .disk(self.rotate.as_ref().and_then(Rotate::disk))
            .claim("the file", tidy_path(&self.path))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.file_name().is_none() {
            let problem = Problem::at("path", format!("`{}` names no file", self.path.display()));
            problems.push(problem.help("write a file name, such as readings.jsonl"));
        }
        if self.fields.as_ref().is_some_and(|fields| fields.0.is_empty()) {
            let problem = Problem::at("fields", "`fields` chooses no column");
            problems.push(problem.help("leave it out for the whole item"));
        }
        match &self.rotate {
            Some(rotate) => problems.extend(rotate.problems()),
            None if self.compress != Compress::None => problems.push(
                Problem::at("compress", "only files that were put aside are compressed")
                    .help("add `rotate: { every: 1d }` or `rotate: { size: 10MiB }`"),
            ),
            None => {}
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let (path, disk) = (context.output_path(&self.path), context.host.disk.clone());
        // Only the file system knows when a file that is already there was last written.
        let written = std::fs::metadata(&path).and_then(|file| file.modified()).ok();
        let written = written.and_then(|time| jiff::Timestamp::try_from(time).ok());
        let out = Appender::open(disk, path.clone(), self.format()).map_err(|error| {
            let problem =
                Problem::at("path", format!("`{}` cannot be opened: {error}", path.display()));
            problem.help("check that the folder may be written, or choose another path")
        })?;
        let names = Names::of(&path);
        // What such a file lacks came again into the one after it, so the sink can do without it.
        if let Err(error) = names.mend(&*context.host.disk, self.format()) {
            tracing::warn!(file = %path.display(), %error, "files that were put aside unsynced were not looked at");
        }
        let rotate = self.rotate.clone().unwrap_or_default();
        let step = written
            .filter(|_| !out.is_empty())
            .and_then(|time| rotate.step(Timestamp::from_jiff(time), &context.host.timezone));
        Ok(Node::Sink(Box::new(FileSink {
            format: self.format(),
            config: self.clone(),
            names,
            host: context.host.clone(),
            out,
            rows: BTreeMap::new(),
            rotate,
            step,
            header: None,
            compared: false,
            doubtful: false,
        })))
    }
}

impl Rotate {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.size.is_none() && self.every.is_none() {
            let problem = Problem::at("rotate", "nothing says when to rotate");
            problems.push(problem.help("add `size: 10MiB` or `every: 1d`"));
        }
        if self.size.is_some_and(|size| size.0 == 0) {
            problems.push(Problem::at("rotate.size", "`size` must be more than nothing"));
        }
        if self.every.is_some_and(|every| every.as_micros() < 1_000_000) {
            problems.push(Problem::at("rotate.every", "`every` must be a second at least"));
        }
        if self.keep == Some(0) {
            let problem = Problem::at("rotate.keep", "`keep: 0` would remove every file at once");
            problems.push(problem.help("keep one at least"));
        }
        problems
    }
}

/// A path with `.` and `x/..` taken out, so that two spellings of one file are found to be one.
fn tidy_path(path: &Path) -> String {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if tidy.file_name().is_some() => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    tidy.to_string_lossy().into_owned()
}

struct FileSink {
    config: FileConfig,
    format: Format,
    host: Arc<Host>,
    out: Appender,
    names: Names,
    /// How rows look, by kind of item; absent for what is written as a whole.
    rows: BTreeMap<ItemKind, Option<Rows>>,
    rotate: Rotate,
    /// The step of `every` in which the file was begun or last written.
    step: Option<i64>,
    /// Of a CSV file, once it is known.
    header: Option<Vec<u8>>,
    /// Whether the file was found to begin with that header.
    compared: bool,
    /// A sync has failed: the host has to give again what came since the last one.
    doubtful: bool,
}

impl FileSink {
    /// How rows of a kind look; made at the first of them.
    fn prepare(&mut self, kind: ItemKind) -> Result<(), NodeError> {
        if self.rows.contains_key(&kind) {
            return Ok(());
        }
        let table = self.format == Format::Csv;
        let rows = match &self.config.fields {
            Some(fields) => Some(fields.clone()),
            None if table || kind == ItemKind::Readings => Some(Fields::usual(kind, table)),
            None => None,
        };
        let host = self.host.name.as_str();
        let rows = rows.map(|it| Rows::new(it, self.format, self.config.time, host.into()));
        if let Some(rows) = rows.as_ref().filter(|_| table) {
            let header = rows.header();
            if self.header.as_ref().is_some_and(|known| *known != header) {
                return Err(NodeError::Reject(format!(
                    "`{}` holds other columns than {kind} have; choose `fields` for both, or a file for each",
                    self.out.path().display()
                )));
            }
            self.header = Some(header);
        }
        self.rows.insert(kind, rows);
        Ok(())
    }

    /// Begins a new file where the present one is full, its time is over, or its columns are others.
    fn turn(&mut self, now: Timestamp) -> Result<(), NodeError> {
        let step = self.rotate.step(now, &self.host.timezone);
        let full = self.rotate.size.is_some_and(|size| self.out.len() >= size.0);
        let over = self.step.is_some() && step > self.step;
        if !self.out.is_empty() && (full || over || self.is_foreign()?) {
            // From then on nobody syncs the old file any more.
            self.settle(self.config.sync != Sync::Never, now)?;
            self.put_aside(now).map_err(|error| self.retry(&error))?;
        }
        self.step = step;
        Ok(())
    }

    /// Whether the file that was found here holds other columns than are wanted now.
    fn is_foreign(&mut self) -> Result<bool, NodeError> {
        let Some(header) = self.header.as_ref().filter(|_| !self.compared) else {
            return Ok(false);
        };
        let same = self.out.begins_with(header).map_err(|error| self.retry(&error))?;
        self.compared = same;
        Ok(!same)
    }

    /// Everything that waits is written, and durable where that is wanted.
    fn settle(&mut self, durable: bool, now: Timestamp) -> Result<(), NodeError> {
        self.leave_doubtful_file(now)?;
        self.out.write_out().map_err(|error| self.retry(&error))?;
        if !durable {
            return Ok(());
        }
        let Err(error) = self.out.sync() else { return Ok(()) };
        if !self.out.is_broken() {
            return Err(self.retry(&error));
        }
        tracing::error!(file = %self.out.path().display(), %error, "the file was not made durable");
        self.doubtful = true;
        self.leave_doubtful_file(now)
    }

    /// After a failed sync the kernel may have dropped rows, and would say at the next one that all is well, also to whoever opens the
    /// file again. So it is put aside as it is, and what came since the last sync comes again, into a new one.
    fn leave_doubtful_file(&mut self, now: Timestamp) -> Result<(), NodeError> {
        if !self.doubtful {
            return Ok(());
        }
        if self.out.is_broken() {
            self.put_aside(now).map_err(|error| self.retry(&error))?;
        }
        self.out.write_out().map_err(|error| self.retry(&error))?;
        let path = self.out.path().display();
        Err(NodeError::Fatal(format!("`{path}` could not be synced, and was put aside")))
    }

    fn put_aside(&mut self, now: Timestamp) -> io::Result<()> {
        let disk = &*self.host.disk;
        let name = self.names.free(disk, now, !self.out.is_broken())?;
        self.out.rename_to(&name)?;
        // The rows are safe where they are, so this must not hold up those to come: it is done at the next turn.
        if let Err(error) = self.names.tidy(disk, self.rotate.keep, self.config.compress) {
            tracing::warn!(file = %name.display(), %error, "a rotated file was not compressed or removed");
        }
        Ok(())
    }

    fn retry(&self, error: &io::Error) -> NodeError {
        NodeError::Retry(format!("`{}` cannot be written: {error}", self.out.path().display()))
    }

    /// Renders a batch, and writes out whenever enough has gathered.
    fn append(&mut self, items: &Items) -> io::Result<()> {
        if let Some(header) = self.header.as_ref().filter(|_| self.out.is_empty()) {
            self.out.waiting.extend_from_slice(header);
        }
        let (out, table) = (&mut self.out, &self.host.series);
        let mut rows = self.rows.get_mut(&items.kind()).and_then(Option::as_mut);
        if let Some(rows) = &mut rows {
            rows.refresh(table);
        }
        match (items, rows) {
            (Items::Readings(readings), Some(rows)) => {
                for reading in readings {
                    rows.reading(reading, table, &mut out.waiting);
                    spill(out)?;
                }
            }
            (Items::Windows(windows), Some(rows)) => {
                for window in windows {
                    for summary in &window.summaries {
                        rows.summary(window, summary, table, &mut out.waiting);
                        spill(out)?;
                    }
                }
            }
            (Items::Observations(observations), Some(rows)) => {
                for observation in observations {
                    rows.observation(observation, &mut out.waiting);
                    spill(out)?;
                }
            }
            (items, None) => {
                for index in 0..items.len() {
                    json::write_item(items, index, table, &mut out.waiting);
                    out.waiting.push(b'\n');
                    spill(out)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes out when a piece is full.
#[inline]
fn spill(out: &mut Appender) -> io::Result<()> {
    if out.waiting.len() >= PIECE { out.write_out() } else { Ok(()) }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        if batch.items.is_empty() {
            return Ok(());
        }
        self.prepare(batch.items.kind())?;
        self.turn(batch.received)?;
        let mark = self.out.mark();
        self.append(&batch.items).map_err(|error| {
            self.out.undo(mark);
            self.retry(&error)
        })
    }

    async fn flush(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.settle(self.config.sync == Sync::OnFlush, now)?;
        self.turn(now)
    }

    async fn checkpoint(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.settle(self.config.sync != Sync::Never, now)
    }

    async fn close(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.settle(self.config.sync != Sync::Never, now)?;
        self.turn(now)
    }

    fn blocks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
