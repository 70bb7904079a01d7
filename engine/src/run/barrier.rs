//! Checkpoints: when one is due, its barrier, and who has let it pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::command::Command;
use super::keep::{Checkpoint, Fill, PartCut, SinkCut};
use super::topology::{Keep, Topology};
use crate::clock::Clock;
use crate::duration::Duration;
use crate::time::Timestamp;

/// A barrier that has not passed everywhere by then is cancelled.
pub(crate) const PASS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Checkpoints are at least this far apart, however much enters.
const APART: Duration = Duration::from_secs(10);
/// After so long one is taken if anything changed.
const AFTER: Duration = Duration::from_mins(5);
/// With less than this in the journal there is no hurry.
const JOURNAL_MIN: u64 = 1 << 20;
/// When something waits for room this soon, and so often in a row if nothing else happens: the second frees what the first still needed.
const FOR_ROOM: (Duration, u32) = (Duration::from_secs(1), 2);
/// With so many times the size of the last checkpoint in the journal, it pays to take one.
const TIMES_ITS_SIZE: u64 = 4;

/// What is known of checkpoints.
#[derive(Debug)]
pub(super) struct Barriers {
    number: u64,
    /// The revision that the next checkpoint names.
    pub(super) revision: u64,
    /// The newest that is durable: when, how large, and what the journal had written by then.
    last: Option<Taken>,
    began: Timestamp,
    /// When one was last tried, and not taken.
    tried: Option<Timestamp>,
    /// The node that kept the last barrier from passing.
    blocked_by: Option<Arc<str>>,
    /// What lies in the journal up to this number the newest checkpoint does not need.
    superfluous: u64,
    /// The newest durable cut of each part, or how it began.
    cuts: Vec<(Vec<Arc<str>>, PartCut)>,
    /// Sinks that are no more and left a spool which is not empty yet.
    pub(super) gone: Vec<SinkCut>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    at: Timestamp,
    bytes: u64,
    seq: u64,
    written: u64,
    /// How often the journal had refused something by then.
    refused: u64,
    /// How many in a row found that nothing had been written since the one before.
    idle: u32,
    /// How many parts had come to their end.
    ended: usize,
}

impl Taken {
    /// What stands for the first while there is none.
    fn nothing(at: Timestamp) -> Taken {
        Taken { at, bytes: 0, seq: 0, written: 0, refused: 0, idle: 0, ended: 0 }
    }
}

/// The newest checkpoint, as others see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointState {
    /// Its number; 0 before the first.
    pub number: u64,
    /// When it was taken.
    pub at: Option<Timestamp>,
    /// How large it is.
    pub bytes: u64,
    /// The node that kept the last barrier from passing.
    pub blocked_by: Option<Arc<str>>,
}

/// Why there is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCheckpoint {
    /// A node did not let the barrier pass.
    #[error("`{0}` did not take what came before in time")]
    Blocked(Arc<str>),
    /// The disk does not take it.
    #[error("it cannot be written: {0}")]
    Disk(String),
    /// Nothing is kept here.
    #[error("nothing is kept by this engine")]
    NothingKept,
}

impl Barriers {
    pub(super) fn new(checkpoint: Option<&Checkpoint>, clock: &dyn Clock) -> Barriers {
        Barriers {
            number: checkpoint.map_or(0, |checkpoint| checkpoint.number),
            revision: checkpoint.map_or(0, |checkpoint| checkpoint.revision),
            last: None,
            began: clock.now(),
            tried: None,
            blocked_by: None,
            superfluous: checkpoint.map_or(0, superfluous),
            cuts: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The newest durable cut of each part, or how it began.
    pub(super) fn cuts(&self) -> &[(Vec<Arc<str>>, PartCut)] {
        &self.cuts
    }

    /// Notes how a part begins.
    pub(super) fn begins(&mut self, nodes: &[Arc<str>], cut: impl FnOnce() -> PartCut) {
        if !self.cuts.iter().any(|(of, _)| of == nodes) {
            self.cuts.push((nodes.to_vec(), cut()));
        }
    }
}

impl Topology {
    /// Whether a checkpoint is due; asked now and then.
    #[must_use]
    pub fn checkpoint_is_due(&self) -> bool {
        let Some(keep) = &self.options.keep else { return false };
        let (journal, now) = (&keep.journal, self.options.clock.now());
        let fill = journal.fill();
        let Taken { at, bytes, seq, written, refused, idle, ended } =
            self.barriers.last.unwrap_or(Taken::nothing(self.barriers.began));
        let passed = now.since(at);
        let headlong =
            self.parts.iter().any(|part| part.virtual_time && !part.ended.is_cancelled());
        let moved = headlong && journal.last_seq() != seq;
        let ended = self.ended_parts() > ended;
        let for_room = self.ledger.refused() > refused && idle < FOR_ROOM.1;
        if fill.written == written && !moved && !ended && !for_room {
            return false;
        }
        // One that does not pass is no reason to try all the time.
        if self.barriers.tried.is_some_and(|tried| now.since(tried) < APART) {
            return false;
        }
        let enough = JOURNAL_MIN.max(TIMES_ITS_SIZE * bytes);
        let half_full = fill.bytes * 2 > fill.cap && fill.cap > 0;
        let much = fill.written.saturating_sub(written) >= enough || half_full || ended;
        let much = much || (moved && self.options.speed.is_none());
        passed >= AFTER
            || (much && passed >= APART)
            || ((half_full || for_room) && passed >= FOR_ROOM.0)
    }

    /// How many parts have come to their end.
    fn ended_parts(&self) -> usize {
        self.parts.iter().filter(|part| part.ended.is_cancelled()).count()
    }

    /// Takes a checkpoint: a consistent cut of every part, kept once every sink has what came before it.
    ///
    /// # Errors
    /// A node does not let the barrier pass within ten seconds, or the disk does not take it. The last one stays valid.
    pub async fn checkpoint(&mut self) -> Result<(), NoCheckpoint> {
        self.checkpoint_by(Instant::now() + PASS_WITHIN).await
    }

    pub(super) async fn checkpoint_by(&mut self, deadline: Instant) -> Result<(), NoCheckpoint> {
        let Some(keep) = self.options.keep.clone() else { return Err(NoCheckpoint::NothingKept) };
        let number = self.barriers.next_number();
        let mut cuts = Vec::new();
        let mut waiting = BTreeSet::new();
        let mut asked = Vec::new();
        for part in &self.parts {
            let (reply, answer) = oneshot::channel();
            let told = part.commands.unbounded_send(Command::Barrier { number, reply });
            asked.push((part, told.is_ok(), answer));
        }
        for (part, told, answer) in asked {
            match timeout_at(deadline, answer).await {
                Ok(Ok(cut)) if told => {
                    waiting.extend(cut.sinks.iter().map(|sink| sink.address.clone()));
                    cuts.push((part.nodes.clone(), cut));
                }
                _ => {
                    // It waits for a sink that takes nothing, or for a node that does not return.
                    let blocking = part.waits_for.get().or_else(|| part.nodes.first().cloned());
                    return Err(self.blocked(blocking));
                }
            }
        }
        let late = self.passes.wait(number, waiting, deadline).await;
        if let Some(late) = late.into_iter().next() {
            return Err(self.blocked(Some(late)));
        }
        let revision = self.barriers.revision;
        self.write_checkpoint(keep, number, revision, cuts).await
    }

    fn blocked(&mut self, by: Option<Arc<str>>) -> NoCheckpoint {
        let by = by.unwrap_or_else(|| "?".into());
        self.barriers.blocked_by = Some(by.clone());
        self.barriers.tried = Some(self.options.clock.now());
        NoCheckpoint::Blocked(by)
    }

    /// Writes a checkpoint out of cuts that everything has passed, and frees the journal before it.
    pub(super) async fn write_checkpoint(
        &mut self,
        keep: Keep,
        number: u64,
        revision: u64,
        cuts: Vec<(Vec<Arc<str>>, PartCut)>,
    ) -> Result<(), NoCheckpoint> {
        let seq = keep.journal.last_seq();
        let checkpoint = Checkpoint { number, revision, ..self.checkpoint_of(seq, &cuts) };
        let (before, superfluous) = (self.barriers.superfluous, superfluous(&checkpoint));
        let dead = self.options.dead.clone();
        let blocks = keep.checkpoints.blocks() || dead.blocks();
        let written = on_a_thread(blocks, move || {
            // What was refused is nowhere else once the journal is freed.
            dead.persist()?;
            let bytes = keep.checkpoints.write(&checkpoint)?;
            // The one before can take its place should it be damaged, as long as there is room for what that needs.
            let Fill { bytes: used, cap, .. } = keep.journal.fill();
            keep.journal.free(if used * 2 > cap { superfluous } else { before });
            Ok((bytes, keep.journal.fill().written))
        })
        .await;
        match written {
            Ok((bytes, written)) => {
                let (at, ended) = (self.options.clock.now(), self.ended_parts());
                let before = self.barriers.last.filter(|last| last.written == written);
                let idle = before.map_or(0, |last| last.idle + 1);
                let refused = self.ledger.refused();
                self.barriers.last = Some(Taken { at, bytes, seq, written, refused, idle, ended });
                self.barriers.revision = revision;
                self.barriers.blocked_by = None;
                self.barriers.tried = None;
                self.barriers.superfluous = superfluous;
                self.barriers.cuts = cuts;
                Ok(())
            }
            Err(error) => {
                self.barriers.tried = Some(self.options.clock.now());
                Err(NoCheckpoint::Disk(error.to_string()))
            }
        }
    }

    /// Writes the newest checkpoint once more. Where it is the one that committed an apply, the one before names another revision: should it
    /// be damaged, that must not be what takes its place.
    pub(super) async fn copy_checkpoint(&mut self) {
        let Some((keep, last)) = self.options.keep.clone().zip(self.barriers.last) else { return };
        let mut checkpoint = self.checkpoint_of(last.seq, &self.barriers.cuts);
        checkpoint.number = self.barriers.next_number();
        let blocks = keep.checkpoints.blocks();
        let written = on_a_thread(blocks, move || keep.checkpoints.write(&checkpoint)).await;
        if let Err(error) = written {
            tracing::warn!("there is one checkpoint of what runs now, and not two: {error}");
        }
    }

    /// A checkpoint out of cuts, with what removed sinks left.
    fn checkpoint_of(&self, seq: u64, cuts: &[(Vec<Arc<str>>, PartCut)]) -> Checkpoint {
        let Barriers { number, revision, ref gone, .. } = self.barriers;
        let mut cuts: Vec<PartCut> = cuts.iter().map(|(_, cut)| cut.clone()).collect();
        if !gone.is_empty() {
            cuts.push(PartCut { sinks: gone.clone(), ..PartCut::default() });
        }
        Checkpoint { number, revision, seq, cuts }
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn checkpoint_state(&self) -> CheckpointState {
        CheckpointState {
            number: self.barriers.number,
            at: self.barriers.last.map(|last| last.at),
            bytes: self.barriers.last.map_or(0, |last| last.bytes),
            blocked_by: self.barriers.blocked_by.clone(),
        }
    }
}

/// Up to which number a checkpoint needs nothing of the journal.
fn superfluous(checkpoint: &Checkpoint) -> u64 {
    let sources = checkpoint.cuts.iter().flat_map(|cut| &cut.sources);
    sources.map(|source| source.done).min().unwrap_or(checkpoint.seq)
}

/// Does what may block on a thread for that.
async fn on_a_thread<T: Send + 'static>(
    blocks: bool,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    if !blocks {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
