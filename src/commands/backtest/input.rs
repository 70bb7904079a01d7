//! Where the readings of a backtest come from: what this host recorded, or files, put in one order.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::executor::block_on;
use serde_json::json;
use smollama_engine::backtest::UNNAMED;
use smollama_engine::batch::Items;
use smollama_engine::config::Section;
use smollama_engine::context::{Context, Host};
use smollama_engine::node::{Node, NodeError, Read, Source};
use smollama_engine::plan::Graph;
use smollama_engine::reading::Reading;
use smollama_engine::registry::NodeConfig;
use smollama_engine::time::Timestamp;
use smollama_nodes::sources::replay::ReplayConfig;
use smollama_store::history::{Error, Timeline};

use crate::terminal::Failure;

/// Readings in the order in which they take effect.
pub(super) struct Input<'a> {
    names: Vec<String>,
    is_history: bool,
    times: Range<Timestamp>,
    sources: Vec<Recorded<'a>>,
    clock: Timestamp,
    rejected: u64,
    failed: Option<String>,
}

/// One recording, with what comes next.
struct Recorded<'a> {
    next: Option<Reading>,
    from: From<'a>,
}

enum From<'a> {
    History(Box<Timeline<'a>>),
    File { source: Box<dyn Source>, read: std::vec::IntoIter<Reading> },
}

impl<'a> Input<'a> {
    /// What this host recorded.
    pub(super) fn history(
        folders: &[PathBuf],
        times: Range<Timestamp>,
        host: &'a Host,
    ) -> Result<Input<'a>, Failure> {
        let paths: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let line = Timeline::new(host.disk.clone(), &paths, times.clone(), &host.series);
        let line = line.map_err(|error| failed(&error))?;
        let sources = vec![Recorded { next: None, from: From::History(Box::new(line)) }];
        let names = folders.iter().map(|folder| folder.display().to_string()).collect();
        Ok(Input::of(names, true, times, sources))
    }

    /// Other recordings.
    pub(super) fn files(
        files: &[PathBuf],
        times: Range<Timestamp>,
        candidate: &Graph,
        host: &'a Arc<Host>,
    ) -> Result<Input<'a>, Failure> {
        let mut sources = Vec::new();
        for file in files {
            let from = if file.join("readings").is_dir() {
                let line = Timeline::new(host.disk.clone(), &[file], times.clone(), &host.series);
                From::History(Box::new(line.map_err(|error| failed(&error))?))
            } else {
                let source = replay(file, candidate, host)?;
                From::File { source, read: Vec::new().into_iter() }
            };
            sources.push(Recorded { next: None, from });
        }
        let names = files.iter().map(|file| file.display().to_string()).collect();
        Ok(Input::of(names, false, times, sources))
    }

    fn of(
        names: Vec<String>,
        is_history: bool,
        times: Range<Timestamp>,
        sources: Vec<Recorded<'a>>,
    ) -> Input<'a> {
        let clock = Timestamp::MIN;
        let (rejected, failed) = (0, None);
        let mut input = Input { names, is_history, times, sources, clock, rejected, failed };
        for place in 0..input.sources.len() {
            input.advance(place);
        }
        input
    }

    /// What the user would call the recordings.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is what this host recorded.
    pub(super) fn is_history(&self) -> bool {
        self.is_history
    }

    /// How many rows could not be read.
    pub(super) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The next reading. Of several recordings the one whose turn it is by time, then by their order: as in `run --once`.
    pub(super) fn next(&mut self) -> Option<Reading> {
        if self.failed.is_some() {
            return None;
        }
        let place = match self.sources.len() {
            1 => 0,
            _ => {
                let heads = self.sources.iter().enumerate().filter_map(|(place, source)| {
                    Some((source.next.as_ref()?.time.max(self.clock), place))
                });
                heads.min()?.1
            }
        };
        let next = self.sources.get_mut(place)?.next.take()?;
        self.clock = self.clock.max(next.time);
        self.advance(place);
        Some(next)
    }

    /// Whether all could be read to the end.
    pub(super) fn ended(&self) -> Result<(), Failure> {
        self.failed.clone().map_or(Ok(()), |why| Err(Failure::Failed(why)))
    }

    fn advance(&mut self, place: usize) {
        let Some(source) = self.sources.get_mut(place) else { return };
        source.next = loop {
            match source.from.read(self.is_history, &mut self.rejected) {
                Ok(Some(reading)) if !self.times.contains(&reading.time) => {}
                Ok(next) => break next,
                Err(why) => {
                    self.failed.get_or_insert(why);
                    break None;
                }
            }
        };
    }
}

impl From<'_> {
    fn read(&mut self, is_history: bool, rejected: &mut u64) -> Result<Option<Reading>, String> {
        match self {
            From::History(line) => {
                let next = line.next().transpose().map_err(|error| error.to_string())?;
                Ok(next.map(|mut reading| {
                    // No source scores: a score was given on the way to the sink.
                    if is_history {
                        reading.score = f64::NAN;
                    }
                    reading
                }))
            }
            From::File { source, read } => loop {
                if let Some(reading) = read.next() {
                    return Ok(Some(reading));
                }
                match block_on(source.read(Timestamp::EPOCH)) {
                    Ok(Read::Finished) => return Ok(None),
                    Ok(Read::Batch(batch)) => {
                        *rejected += batch.rejects.len() as u64;
                        if let Items::Readings(readings) = batch.items {
                            *read = readings.into_iter();
                        }
                    }
                    Err(NodeError::Retry(why) | NodeError::Reject(why) | NodeError::Fatal(why)) => {
                        return Err(why);
                    }
                }
            },
        }
    }
}

fn failed(error: &Error) -> Failure {
    Failure::Failed(format!("the history cannot be read: {error}"))
}

/// The source that reads a file, as in a pipeline.
fn replay(written: &Path, candidate: &Graph, host: &Arc<Host>) -> Result<Box<dyn Source>, Failure> {
    let (type_part, path) = match named(written, candidate)? {
        Some((type_part, path)) => (type_part, path),
        None => (UNNAMED.into(), written.to_owned()),
    };
    let wrong = |why: String| Failure::Wrong(format!("cannot read `{}`: {why}", path.display()));
    // The settings of the node, with all else by default.
    let settings = json!({ "path": path });
    let config: ReplayConfig =
        serde_json::from_value(settings).map_err(|error| wrong(error.to_string()))?;
    let context = Context::new(host.clone(), "backtest", &type_part);
    match config.build(&context) {
        Ok(Node::Source(source)) => Ok(source),
        Ok(_) => Err(wrong("it is no recording".into())),
        Err(problem) => {
            let help = problem.help.map(|help| format!("\n  help: {help}")).unwrap_or_default();
            Err(wrong(format!("{}{help}", problem.message)))
        }
    }
}

/// The type part and the file of `SOURCE=FILE`. A path that is there is a path, whatever its name.
fn named(written: &Path, candidate: &Graph) -> Result<Option<(Arc<str>, PathBuf)>, Failure> {
    let text = written.to_string_lossy();
    let Some((node, path)) = text.split_once('=').filter(|_| !written.exists()) else {
        return Ok(None);
    };
    let sources = candidate.nodes().map(|(_, node)| node);
    let sources: Vec<_> = sources.filter(|one| one.section == Section::Sources).collect();
    let is = |one: &&&_| {
        let one: &smollama_engine::plan::PlannedNode = one;
        *one.name == *node || *one.address == *node
    };
    match sources.iter().filter(is).collect::<Vec<_>>()[..] {
        [one] => Ok(Some((one.type_part.clone(), path.into()))),
        [] => {
            let names: Vec<&str> = sources.iter().map(|one| &*one.address).collect();
            let help = format!("the sources are {}", names.join(", "));
            Err(Failure::Wrong(format!("there is no source `{node}`\n  help: {help}")))
        }
        _ => {
            let help = "write it with its pipeline: `PIPELINE/SOURCE=FILE`";
            Err(Failure::Wrong(format!("more than one source is `{node}`\n  help: {help}")))
        }
    }
}
