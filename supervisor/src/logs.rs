//! The log, kept in memory for whoever asks, and how much of it is said: per host, and per node while it runs.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures::StreamExt;
use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::control::{Chunk, Feed, Level, Lines, LogLine, LogRequest, Piece, feed};
use smollama_engine::time::Timestamp;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// How many bytes of lines are kept in memory.
const KEPT_BYTES: usize = 128 * 1024;
/// How many bytes of lines may wait for one reader.
const FEED_BYTES: usize = 256 * 1024;

/// See the module. One per process.
#[derive(Debug, Default)]
pub struct Logs {
    kept: Mutex<Kept>,
    levels: RwLock<Levels>,
    clock: SystemClock,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<(Arc<LogLine>, usize)>,
    bytes: usize,
    readers: Vec<(LogRequest, Feed<Arc<LogLine>>)>,
}

/// How much is said, beside what the command line says.
#[derive(Debug, Default)]
struct Levels {
    host: Option<(Level, Option<Timestamp>)>,
    nodes: BTreeMap<String, (Level, Option<Timestamp>)>,
}

impl Logs {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Logs> {
        Arc::default()
    }

    /// The layer that keeps lines for whoever asks: what is at least `info`, and what was asked for since.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(
        self: &Arc<Logs>,
    ) -> impl Layer<S> + use<S> {
        let info = Targets::new().with_default(LevelFilter::INFO);
        LogTap { logs: self.clone() }.with_filter(self.filter(info))
    }

    /// A filter that lets through what the command line asks for, and what was asked for since.
    #[must_use]
    pub fn filter<S>(self: &Arc<Logs>, base: Targets) -> impl Filter<S> + use<S> {
        Asked { logs: self.clone(), base }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says more or less from now on.
    pub(crate) fn set_level(&self, node: Option<String>, level: Level, until: Option<Timestamp>) {
        let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        match node {
            Some(node) => drop(levels.nodes.insert(node, (level, until))),
            None => levels.host = Some((level, until)),
        }
        drop(levels);
        // Places that were silent so far have to ask again.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Lets go of what was asked for until now; called now and then.
    pub(crate) fn expire(&self) {
        let now = self.clock.now();
        let over = |until: &Option<Timestamp>| until.is_some_and(|until| until <= now);
        let any = {
            let levels = self.levels.read().unwrap_or_else(PoisonError::into_inner);
            levels.host.iter().chain(levels.nodes.values()).any(|(_, until)| over(until))
        };
        if any {
            let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
            levels.nodes.retain(|_, (_, until)| !over(until));
            levels.host = levels.host.filter(|(_, until)| !over(until));
            drop(levels);
            tracing::callsite::rebuild_interest_cache();
        }
    }

    /// Lines as they were asked for.
    pub(crate) fn lines(&self, request: LogRequest) -> Lines {
        let (feed, listener) = feed(FEED_BYTES);
        let mut kept = self.lock();
        let fitting: Vec<_> = kept
            .lines
            .iter()
            .filter(|(line, _)| request.takes(line.level, line.node.as_deref()))
            .collect();
        let first = fitting.len().saturating_sub(request.last.unwrap_or(usize::MAX));
        for (line, bytes) in &fitting[first..] {
            feed.offer(*bytes, 1, || line.clone());
        }
        if request.follow {
            kept.readers.push((request, feed));
        }
        drop(kept);
        let chunks = listener.map(|piece| match piece {
            Piece::Missed(missed) => Chunk { lines: Vec::new(), missed },
            Piece::Kept(line) => {
                let mut lines = serde_json::to_vec(&*line).unwrap_or_default();
                lines.push(b'\n');
                Chunk { lines, missed: 0 }
            }
        });
        chunks.boxed()
    }

    fn keep(&self, line: LogLine) {
        let bytes = 96 + line.message.len() + 32 * line.fields.len();
        let line = Arc::new(line);
        let mut kept = self.lock();
        kept.readers.retain(|(request, feed)| {
            if request.takes(line.level, line.node.as_deref()) {
                feed.offer(bytes, 1, || line.clone())
            } else {
                feed.is_watched()
            }
        });
        kept.bytes += bytes;
        kept.lines.push_back((line, bytes));
        while kept.bytes > KEPT_BYTES
            && let Some((_, bytes)) = kept.lines.pop_front()
        {
            kept.bytes -= bytes;
        }
    }
}

/// The layer behind [`Logs::layer`].
#[derive(Debug)]
pub struct LogTap {
    logs: Arc<Logs>,
}

impl<S: Subscriber> Layer<S> for LogTap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut found = Found::default();
        event.record(&mut found);
        self.logs.keep(LogLine {
            time: self.logs.clock.now(),
            level: level_of(event.metadata()),
            node: found.node,
            message: found.message,
            fields: found.fields,
        });
    }
}

fn level_of(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

const fn filter_of(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

struct Asked {
    logs: Arc<Logs>,
    base: Targets,
}

impl Asked {
    /// Only our own lines are raised: a library's debug lines say nothing of a node.
    fn is_ours(metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("smollama")
    }

    fn base(&self, levels: &Levels, metadata: &Metadata<'_>) -> bool {
        match levels.host {
            Some((level, _)) if Asked::is_ours(metadata) => *metadata.level() <= filter_of(level),
            _ => self.base.would_enable(metadata.target(), metadata.level()),
        }
    }
}

impl<S> Filter<S> for Asked {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        let levels = self.logs.levels.read().unwrap_or_else(PoisonError::into_inner);
        let asked = || {
            let most = levels.nodes.values().map(|(level, _)| *level).max();
            Asked::is_ours(metadata)
                && most.is_some_and(|most| *metadata.level() <= filter_of(most))
        };
        self.base(&levels, metadata) || asked()
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let levels = self.logs.levels.read().unwrap_or_else(PoisonError::into_inner);
        if levels.nodes.is_empty() {
            return true;
        }
        let mut found = Found::default();
        event.record(&mut found);
        match found.node.as_ref().and_then(|node| levels.nodes.get(node)) {
            Some((level, _)) => *metadata.level() <= filter_of(*level),
            None => self.base(&levels, metadata),
        }
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = self.logs.levels.read().unwrap_or_else(PoisonError::into_inner);
        let asked = levels.host.iter().chain(levels.nodes.values()).map(|(level, _)| *level).max();
        let base = self.base.clone().into_iter().map(|(_, level)| level);
        let base = base.chain(self.base.default_level()).max().unwrap_or(LevelFilter::OFF);
        Some(asked.map_or(base, |asked| base.max(filter_of(asked))))
    }
}

#[derive(Default)]
struct Found {
    message: String,
    node: Option<String>,
    fields: BTreeMap<String, serde_json::Value>,
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "node" => self.node = Some(format!("{value:?}")),
            name => drop(self.fields.insert(name.to_owned(), format!("{value:?}").into())),
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "node" => self.node = Some(value.to_owned()),
            name => drop(self.fields.insert(name.to_owned(), value.into())),
        }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    async fn messages(logs: &Logs, request: LogRequest) -> Vec<String> {
        let chunks: Vec<Chunk> = logs.lines(request).collect().await;
        let lines = chunks.iter().flat_map(|chunk| chunk.lines.split(|byte| *byte == b'\n'));
        let lines = lines.filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice::<LogLine>(line).unwrap().message).collect()
    }

    #[tokio::test]
    async fn the_level_of_one_node_is_changed_while_it_runs() {
        let logs = Logs::new();
        let subscriber = tracing_subscriber::registry().with(logs.layer());
        let _guard = tracing::subscriber::set_default(subscriber);
        let say = || {
            tracing::debug!(node = "p/a", "quietly a");
            tracing::debug!(node = "p/b", "quietly b");
            tracing::info!(node = "p/b", "aloud");
        };
        say();
        logs.set_level(Some("p/a".into()), Level::Debug, None);
        say();
        logs.set_level(Some("p/a".into()), Level::Error, Some(Timestamp::EPOCH));
        logs.expire();
        say();
        let all = messages(&logs, LogRequest::default()).await;
        assert_eq!(all, ["aloud", "quietly a", "aloud", "aloud"]);
        let request = LogRequest { last: Some(1), ..LogRequest::default() };
        assert_eq!(messages(&logs, request).await, ["aloud"]);
    }
}
