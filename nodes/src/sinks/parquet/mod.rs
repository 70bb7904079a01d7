//! Keeps the history: Parquet files that DuckDB, pandas or any other tool opens, small and exact.

use std::path::{Component, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::{Context, Host};
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Sink};
use smollama_engine::registry::{Delivery, NodeConfig, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use smollama_store::history::{BYTES_MAX_LEAST, Error, Settings, Writer};
use uuid::Uuid;

/// How often it is asked whether files are to be merged or removed.
const MAINTENANCE: Duration = Duration::from_mins(1);

/// Keeps readings, windows and observations as Parquet files, a few bytes each, for years.
///
/// Items are gathered in memory and finalized as a small file: every `finalize`, when there are many, whenever the host takes a
/// checkpoint, and at the end. A file under its final name is whole and never changes. Each says in its metadata how far it has come, so that
/// after a crash or a power cut every item is in the history exactly once: the host replays its journal, and what is there
/// already is passed over. The files of a day that is over are merged into one, days into months and months
/// into years, until a file has 8 MiB. Values are exact, bit for bit.
///
/// Readings lie in `readings/`, windows in `windows/` (a row for each series), observations in `observations/`. In DuckDB:
/// `SELECT time, source, value FROM read_parquet('history/readings/*.parquet', union_by_name = true)`. A column that no row of a
/// file has a value in is not in that file; numbers lie in `value`; integers are exact in `value_int` (up to 2^53 they are in `value`
/// too, so that `avg(value)` is of all numbers); other values are in `value_bool`, `value_text` and `value_json`; a missing `count` is 1.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetConfig {
    /// The folder. A relative path lies in the data directory; it is made if it is missing. Default: `history`.
    pub path: PathBuf,
    /// How long items wait in memory at most before they are finalized as a file. Longer is gentler to SD cards and makes fewer files. What
    /// was not finalized comes again from the host's journal after a crash; without one it is lost. Default: `5m`.
    pub finalize: Duration,
    /// How long items are kept, such as `90d`. They go by whole files, so some stay a little longer. Default: for good.
    pub keep: Option<Duration>,
    /// How much disk all files may take together, those included that are being written. Before there would be more, the oldest files
    /// go. At least `16MiB`. Default: `1GiB`.
    pub max_size: ByteSize,
}

impl Default for ParquetConfig {
    fn default() -> ParquetConfig {
        ParquetConfig {
            path: PathBuf::from("history"),
            finalize: Duration::from_mins(5),
            keep: None,
            max_size: ByteSize::mib(1_024),
        }
    }
}

impl NodeConfig for ParquetConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "parquet";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let parts = self.path.components().filter(|part| *part != Component::CurDir);
        let folder: PathBuf = parts.collect();
        Profile::sink(&ItemKind::ALL)
            .delivery(Delivery::Kept)
            .keeps_position()
            .disk(Some(self.max_size))
            .claim("the folder", folder.display().to_string())
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push(Problem::at("path", "the folder has no name").help("write `history`"));
        }
        if self.finalize.is_zero() {
            let problem = Problem::at("finalize", "a file for every item would fill the folder");
            problems.push(problem.help("write how long items may wait, such as `5m`"));
        }
        if self.keep.is_some_and(|keep| keep < Duration::from_days(1)) {
            let problem = Problem::at("keep", "files hold up to a day, so less cannot be kept");
            problems.push(problem.help("write a day or more, such as `30d`"));
        }
        if self.max_size.0 < BYTES_MAX_LEAST {
            let problem = Problem::at("max_size", "the history needs room for at least 16MiB");
            problems.push(problem.help("write `16MiB` or more"));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let folder = context.output_path(&self.path);
        let host = context.host.clone();
        // Only checked here: until the first item comes, another node may still hold the folder.
        Writer::check(&host.disk, &folder)
            .map_err(|error| Problem::at("path", error.to_string()))?;
        Ok(Node::Sink(Box::new(ParquetSink {
            config: self.clone(),
            folder,
            host,
            writer: None,
            waiting_since: None,
            maintained: None,
        })))
    }
}

struct ParquetSink {
    config: ParquetConfig,
    folder: PathBuf,
    host: Arc<Host>,
    writer: Option<Writer>,
    /// The first flush that found items in memory. When they were received says nothing: what a replay brings is old already.
    waiting_since: Option<Timestamp>,
    /// When merging and removing was last seen to.
    maintained: Option<Timestamp>,
}

/// What the engine is to do about an error of the history.
fn node_error(error: Error) -> NodeError {
    match error {
        Error::Disk { .. } | Error::Full { .. } => NodeError::Retry(error.to_string()),
        _ => NodeError::Fatal(error.to_string()),
    }
}

impl ParquetSink {
    fn writer(&mut self) -> Result<&mut Writer, NodeError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let settings = Settings {
                    keep: self.config.keep,
                    bytes_max: self.config.max_size.0,
                    ..Settings::default()
                };
                Writer::open(&self.host.disk, self.folder.clone(), settings).map_err(node_error)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    fn finalize(&mut self) -> Result<(), NodeError> {
        if let Some(writer) = &mut self.writer {
            writer.finalize().map_err(node_error)?;
        }
        self.waiting_since = None;
        Ok(())
    }

    /// One merge at most, so that the queue before this node never waits for long. What fails here fails no item: it is said,
    /// and tried again.
    fn maintain(&mut self, now: Timestamp) -> Result<(), NodeError> {
        if self.maintained.is_some_and(|last| last <= now && now.since(last) < MAINTENANCE) {
            return Ok(());
        }
        match self.writer()?.maintain(now) {
            Ok(true) => self.maintained = None,
            Ok(false) => self.maintained = Some(now),
            Err(error) => {
                tracing::warn!(%error, folder = %self.folder.display(), "the history was not tidied");
                self.maintained = Some(now);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for ParquetSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        if batch.items.is_empty() {
            return Ok(());
        }
        let host = self.host.clone();
        let writer = self.writer()?;
        writer.append(batch, &host.series).map_err(node_error)
    }

    /// Finalizes what has waited long enough. A file for every pause of the input would be too many.
    async fn flush(&mut self, now: Timestamp) -> Result<(), NodeError> {
        if self.writer.as_ref().is_some_and(|writer| writer.rows_in_memory() > 0) {
            let since = *self.waiting_since.get_or_insert(now);
            if now.since(since) >= self.config.finalize {
                self.finalize()?;
            }
        }
        self.maintain(now)
    }

    /// A finalized file survives a power cut, and so does its name. No merge here: others wait for this.
    async fn checkpoint(&mut self, _: Timestamp) -> Result<(), NodeError> {
        self.finalize()
    }

    fn position(&mut self, stream: Uuid, kind: ItemKind) -> Option<u64> {
        match self.writer() {
            Ok(writer) => Some(writer.position(stream, kind)),
            Err(error) => {
                let folder = self.folder.display();
                tracing::warn!(%folder, "how far the history had come is not known, so items may be in it twice: {error}");
                None
            }
        }
    }

    fn reach(&mut self) -> u64 {
        self.writer().map_or(0, |writer| writer.reach())
    }

    fn keeps_position(&self) -> bool {
        true
    }

    async fn close(&mut self, _: Timestamp) -> Result<(), NodeError> {
        self.finalize()
    }

    fn blocks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
