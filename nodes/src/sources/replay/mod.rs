//! Reads recordings: CSV, JSON lines and Parquet, a file, many, or standard input.

mod config;
pub(super) mod files;
pub(super) mod layout;
pub(super) mod mapper;
mod parquet;
mod place;
mod reader;
mod series;
mod template;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::node::{Node, NodeError, Position, Read, Reject, Source, SourceBatch};
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::time::Timestamp;

pub use config::{Column, Format, ReplayConfig, Values};
use files::Recording;
use place::Place;
use reader::{Gathered, READINGS_MAX, RecordingReader, State};

impl NodeConfig for ReplayConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "replay";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let profile = Profile { ends: true, ids: self.ids(), ..Profile::source(Pace::Recorded) };
        if self.is_piped() { profile } else { profile.reads(&self.path) }
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let mut files: VecDeque<Recording> = files::find(self, context)?.into();
        let mut open = None;
        // The first file shows whether its fields are those of the settings. Standard input shows nothing before it runs.
        if !self.is_piped()
            && let Some(first) = files.pop_front()
        {
            let mut reader = RecordingReader::open(&first, self, context)?;
            reader.prepare_now(self, context)?;
            open = Some(reader);
        }
        let (config, context) = (self.clone(), context.clone());
        Ok(Node::Source(Box::new(Replay { config, context, files, open })))
    }
}

struct Replay {
    config: ReplayConfig,
    context: Context,
    /// Those not yet begun.
    files: VecDeque<Recording>,
    open: Option<RecordingReader>,
}

#[async_trait]
impl Source for Replay {
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        let mut gathered = Gathered::default();
        loop {
            let Some(reader) = &mut self.open else {
                let Some(next) = self.files.pop_front() else { return Ok(Read::Finished) };
                match RecordingReader::open(&next, &self.config, &self.context) {
                    Ok(reader) => self.open = Some(reader),
                    Err(problem) => return Ok(Read::Batch(lost(&next, problem.message))),
                }
                continue;
            };
            let state = match reader.prepare(&self.config, &self.context) {
                Ok(State::Ready) => {
                    gathered.readings.reserve(READINGS_MAX);
                    reader.gather(&mut gathered)
                }
                Ok(state) => state,
                Err(problem) => return Ok(Read::Batch(self.give_up(problem.message))),
            };
            // A position lies between rows. Standard input has none, and must not be waited for with readings at hand.
            let within = state == State::Hungry && reader.is_within_row();
            let whole = !within || self.config.is_piped();
            let position = (!gathered.is_empty() && whole).then(|| reader.position());
            if state == State::Ended {
                self.close();
            }
            if let Some(position) = position {
                let Gathered { readings, rejects } = gathered;
                let batch = SourceBatch::readings(readings);
                return Ok(Read::Batch(SourceBatch { rejects, position: Some(position), ..batch }));
            }
            if state == State::Hungry
                && let Some(reader) = &mut self.open
                && let Err(error) = reader.fill().await
            {
                return Ok(Read::Batch(self.give_up(format!("cannot be read further: {error}"))));
            }
        }
    }

    async fn resume(&mut self, position: &Position) -> Result<(), NodeError> {
        if self.config.is_piped() {
            return Err(NodeError::Reject("standard input cannot be read a second time".into()));
        }
        let Some((shown, place)) = Place::parse(position) else {
            let part = &position.part;
            return Err(NodeError::Reject(format!("`{part}` is no place in a recording")));
        };
        let all = self.open.iter().map(|open| &open.recording).chain(&self.files);
        let mut rest = all.skip_while(|recording| recording.shown != shown);
        let Some(recording) = rest.next() else {
            return Err(NodeError::Reject(format!("`{shown}` is no longer among the recordings")));
        };
        let open = if place.is_through() {
            None
        } else {
            let reader = RecordingReader::resume(recording, &place, &self.config, &self.context);
            Some(reader.map_err(|why| NodeError::Reject(why.message))?)
        };
        let files = rest.cloned().collect();
        (self.open, self.files) = (open, files);
        Ok(())
    }

    fn blocks(&self) -> bool {
        true
    }
}

impl Replay {
    /// Says what was left out of a file that is through.
    fn close(&mut self) -> Option<Recording> {
        let reader = self.open.take()?;
        let (rejected, skipped) = (reader.rejected, reader.skipped());
        let (node, file) = (&self.context.address, &reader.recording.shown);
        if rejected + skipped > 0 {
            tracing::info!(%node, "`{file}`: {rejected} rows were refused, {skipped} cells had no value");
        }
        Some(reader.recording)
    }

    /// Leaves the rest of a file: it goes to the dead letters by name, and the next file is next.
    fn give_up(&mut self, reason: String) -> SourceBatch {
        self.close().map_or_else(|| SourceBatch::readings(Vec::new()), |file| lost(&file, reason))
    }
}

fn lost(file: &Recording, reason: String) -> SourceBatch {
    let reject = Reject { reason, origin: file.shown.clone(), bytes: Vec::new() };
    let position = Some(Place::through(file));
    SourceBatch { rejects: vec![reject], position, ..SourceBatch::readings(Vec::new()) }
}
