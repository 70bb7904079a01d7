//! The loop of a source: ask it when it is due or whenever it has something, try again when it fails, hand over what it gave.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::dead_letter::{
    DeadContent, DeadLetter, DeadLetters, bury_rejects, of_reject, on_a_thread, say_waits,
};
use super::inbox::{Entered, Entrance, Given, Reached};
use super::retry::{Backoff, RetrySpec};
use super::slot::{panic_text, too_often};
use super::stats::NodeStats;
use crate::batch::Items;
use crate::bytes::ByteSize;
use crate::clock::Clock;
use crate::duration::Duration;
use crate::node::{NodeError, Read, Receipt, Reject, Source, SourceBatch};
use crate::registry::Pace;
use crate::time::Timestamp;

/// A live reading dated more than this ahead of the clock takes its time of receipt.
const AHEAD_MAX: Duration = Duration::from_mins(5);
/// A live reading dated before 2015-01-01T00:00:00Z, when the clock of a machine was probably never set, too.
const BEFORE: Timestamp = Timestamp::from_micros(1_420_070_400_000_000);

/// How long until it is tried again to keep what could not be understood.
const KEEP_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Makes a source anew.
pub(crate) type RebuildSource = Box<dyn Fn() -> Result<Box<dyn Source>, String> + Send + Sync>;

/// What a source gave, and when.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) batch: SourceBatch,
    pub(crate) at: Timestamp,
}

/// What a recording that is read ahead gives.
#[derive(Debug)]
pub(crate) enum Ahead {
    Batch(Received),
    /// It has come to its end. Without this its loop was only stopped.
    End,
}

/// A source that is asked, watched, and rebuilt when it breaks.
pub(crate) struct Asked {
    pub(crate) address: Arc<str>,
    pub(crate) source: Box<dyn Source>,
    pub(crate) rebuild: RebuildSource,
    pub(crate) stats: Arc<NodeStats>,
    pub(crate) failures: VecDeque<Timestamp>,
    /// It has an end, so made anew it begins anew: what it gave would come a second time.
    pub(crate) ends: bool,
    pub(crate) gave: bool,
}

impl Asked {
    /// Lets the source say what keeps it from its work.
    fn listen(&self) {
        self.stats.listen(|| self.source.trouble());
    }

    /// Asks until there is something or nothing more will come. The error says why the source was given up.
    pub(crate) async fn read(
        &mut self,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Option<SourceBatch>, String> {
        let mut backoff = Backoff::new(RetrySpec::default(), &self.address);
        loop {
            let read = AssertUnwindSafe(self.source.read(now)).catch_unwind();
            let read = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                read = read => read,
            };
            let error = match read {
                Ok(Ok(Read::Batch(batch))) => {
                    self.gave = true;
                    return Ok(Some(batch));
                }
                Ok(Ok(Read::Finished)) => return Ok(None),
                Ok(Err(error)) => error,
                Err(panic) => NodeError::Fatal(format!("it panicked: {}", panic_text(&*panic))),
            };
            self.stats.add_error();
            let pause = match error {
                NodeError::Retry(why) | NodeError::Reject(why) => {
                    if self.stats.tries().admits(Some(&self.address), &why) {
                        tracing::warn!(node = %self.address, "trying again: {why}");
                    }
                    backoff.failed()
                }
                NodeError::Fatal(why) => {
                    tracing::error!(node = %self.address, "the source failed: {why}");
                    let again = self.ends && self.gave;
                    if again || too_often(&mut self.failures, now).is_some() {
                        self.stats.set_failed();
                        return Err(format!("`{}` failed: {why}", self.address));
                    }
                    let pause = backoff.failed();
                    match (self.rebuild)() {
                        Ok(source) => {
                            self.source = source;
                            self.listen();
                        }
                        Err(why) => {
                            tracing::error!(node = %self.address, "it cannot be made anew: {why}")
                        }
                    }
                    pause
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause.unwrap_or_default()) => {}
            }
        }
    }
}

/// Where a source's batches go.
pub(crate) enum Way {
    /// Into the host as they come.
    Entrance(Arc<Entrance>),
    /// To a part in virtual time.
    Ahead(mpsc::Sender<Ahead>),
}

/// How a source loop runs.
pub(crate) struct SourceRun {
    pub(crate) asked: Asked,
    pub(crate) pace: Pace,
    pub(crate) every: Option<Duration>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: CancellationToken,
    pub(crate) way: Way,
    pub(crate) dead: Arc<dyn DeadLetters>,
    /// Where an earlier run stopped.
    pub(crate) resume: Reached,
    /// Set when that could not be found again.
    pub(crate) anew: Arc<AtomicBool>,
    /// What it read can wait: for a sender that is told when it is kept, or where it lies. Then nothing is dropped.
    pub(crate) waits: bool,
    /// How many seconds of a recording pass in one second, where it is played beside live sources.
    pub(crate) play: Option<f64>,
    /// Ask a polled source once only.
    pub(crate) once: bool,
}

/// So often a batch that finds no room is tried as one before it is taken apart: about five seconds.
const TRIES_AS_ONE: u32 = 250;

impl SourceRun {
    /// Runs until the source has ended, was given up, or is told to stop. Only in the first two cases has it come to its end.
    pub(crate) async fn run(mut self: Box<Self>) -> Result<(), String> {
        self.asked.listen();
        self.go_on().await;
        let done = self.ask().await;
        if let Err(panic) = AssertUnwindSafe(self.asked.source.close()).catch_unwind().await {
            let why = panic_text(&*panic);
            tracing::error!(node = %self.asked.address, "it could not be closed: it panicked: {why}");
        }
        if self.stop.is_cancelled() {
            return done;
        }
        self.asked.stats.listen(|| None);
        match &self.way {
            Way::Entrance(entrance) => entrance.end(),
            Way::Ahead(give) => {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    _ = give.send(Ahead::End) => {}
                }
            }
        }
        done
    }

    /// Goes to where an earlier run stopped.
    async fn go_on(&mut self) {
        let Some(position) = &self.resume.position else { return };
        let resumed = AssertUnwindSafe(self.asked.source.resume(position)).catch_unwind();
        let resumed = tokio::select! {
            () = self.stop.cancelled() => return,
            resumed = resumed => resumed,
        };
        let why = match resumed {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why.to_string(),
            Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
        };
        self.anew.store(true, Ordering::Relaxed);
        self.resume = Reached::default();
        if let Way::Entrance(entrance) = &self.way {
            entrance.begins_anew();
        }
        tracing::error!(node = %self.asked.address, "it cannot go on where it stopped, and begins anew: {why}");
    }

    async fn ask(&mut self) -> Result<(), String> {
        let every = match self.pace {
            Pace::Polled(default) | Pace::Simulated(default) => Some(self.every.unwrap_or(default)),
            Pace::Live | Pace::Recorded => None,
        };
        let mut due = self.clock.now();
        let mut origin = None;
        loop {
            if every.is_some() && !self.sleep_until(due).await {
                return Ok(());
            }
            let now = self.clock.now();
            let Some(mut batch) = self.asked.read(now, &self.stop).await? else { return Ok(()) };
            if let Some(speed) = self.play {
                if !self.play(batch, &mut origin, speed).await {
                    return Ok(());
                }
                continue;
            }
            let at = self.clock.now();
            if self.pace != Pace::Recorded {
                let corrected = correct_times(&mut batch.items, at);
                self.asked.stats.add_corrected(corrected);
            }
            if !self.hand_over(Received { batch, at }).await || (self.once && every.is_some()) {
                return Ok(());
            }
            if let Some(every) = every {
                // On whole steps of the clock, so that sources of one pace speak together and the machine sleeps in between; steps
                // that were missed are not made up for.
                due = self.clock.now().floor_to(every) + every;
            }
        }
    }

    /// Plays a batch of a recording beside live sources: each reading when its time has come, dated as if the recording had begun
    /// when it was first read. False when it is time to stop.
    async fn play(
        &mut self,
        batch: SourceBatch,
        origin: &mut Option<(Timestamp, Timestamp)>,
        speed: f64,
    ) -> bool {
        let SourceBatch { items, mut rejects, position, .. } = batch;
        let Items::Readings(mut readings) = items else { return true };
        // These entered before the host stopped, and no place behind them is known.
        let skip = self.resume.taken.min(readings.len() as u64);
        self.resume.taken -= skip;
        readings.drain(..usize::try_from(skip).unwrap_or(0));
        if readings.is_empty() {
            let batch = SourceBatch { rejects, position, ..SourceBatch::readings(readings) };
            let at = self.clock.now();
            return self.hand_over(Received { batch, at }).await;
        }
        let mut rest = readings.into_iter().peekable();
        while let Some(next) = rest.peek() {
            let (first, began) = *origin.get_or_insert((next.time, self.clock.now()));
            let due = |time: Timestamp| began + time.since(first).mul_f64(1.0 / speed);
            if !self.sleep_until(due(next.time)).await {
                return false;
            }
            let now = self.clock.now();
            let mut ready = Vec::new();
            while let Some(mut one) = rest.next_if(|one| due(one.time) <= now) {
                one.time = due(one.time);
                ready.push(one);
            }
            let rejects = std::mem::take(&mut rejects);
            // Only behind the last of them.
            let position = position.clone().filter(|_| rest.peek().is_none());
            let batch = SourceBatch { rejects, position, ..SourceBatch::readings(ready) };
            if !self.hand_over(Received { batch, at: now }).await {
                return false;
            }
        }
        true
    }

    /// False when it is time to stop.
    async fn sleep_until(&mut self, due: Timestamp) -> bool {
        let pause = due.since(self.clock.now()).to_std();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// False when nobody takes anything more.
    async fn hand_over(&mut self, received: Received) -> bool {
        match &self.way {
            // A recording waits: its position is kept, and nothing in it grows old.
            Way::Ahead(give) => tokio::select! {
                biased;
                () = self.stop.cancelled() => false,
                given = give.send(Ahead::Batch(received)) => given.is_ok(),
            },
            Way::Entrance(entrance) => {
                let entrance = entrance.clone();
                self.enter(&entrance, received).await
            }
        }
    }

    /// Lets a batch enter the host. What can wait does while there is no room: what a source promises, a recording, a file. The rest is
    /// dropped then, and counted.
    async fn enter(&mut self, entrance: &Entrance, received: Received) -> bool {
        let Received { batch, at } = received;
        let SourceBatch { items, rejects, position, receipt, dropped, retained } = batch;
        let stats = self.asked.stats.clone();
        stats.add_dropped(usize::try_from(dropped).unwrap_or(usize::MAX));
        stats.add_rejected(rejects.len());
        match receipt {
            None => bury_rejects(&*self.dead, &self.asked.address, &stats, at, rejects),
            // The sender hears of what could not be understood only once that is kept too.
            Some(_) if !self.keep_rejects(at, rejects).await => return false,
            Some(_) => {}
        }
        // A place is worth keeping even where nothing lies before it.
        if items.is_empty() && position.is_none() {
            receipt.into_iter().for_each(Receipt::kept);
            return true;
        }
        let mut given = Given { received: at, items, position, receipt, retained };
        // What comes behind it, where it had to be taken apart; the last of them first.
        let mut behind = Vec::new();
        let mut tries = 0;
        loop {
            let len = given.items.len();
            match entrance.enter(|| self.clock.now(), given) {
                Ok(entered) => {
                    if !retained {
                        stats.add_emitted(0, len);
                    }
                    if let Some(next) = behind.pop() {
                        given = next;
                        continue;
                    }
                    // What has entered is acknowledged meanwhile.
                    return match entered {
                        Entered::WithRoom => true,
                        Entered::Crowded => tokio::select! {
                            biased;
                            () = self.stop.cancelled() => false,
                            () = entrance.pause() => true,
                        },
                    };
                }
                Err(back) if !self.waits => {
                    if !retained {
                        stats.add_dropped(back.items.len());
                    }
                    return true;
                }
                Err(back) => given = back,
            }
            tries += 1;
            // Checkpoints have freed what they can: there may be room for a part of it.
            if tries % TRIES_AS_ONE == 0 {
                if given.items.len() > 1 {
                    let (first, rest) = given.in_two();
                    behind.push(rest);
                    given = first;
                } else if let Some(cap) = entrance.journal_below(given.items.bytes()) {
                    if !self.bury(&mut given, cap).await {
                        return false;
                    }
                    if given.position.is_none() {
                        given.receipt.into_iter().for_each(Receipt::kept);
                        let Some(next) = behind.pop() else { return true };
                        given = next;
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                () = entrance.room() => {}
            }
        }
    }
}

impl SourceRun {
    /// Puts what is larger than the journal to the dead letters, and waits until it is kept there. False when it is time to stop.
    async fn bury(&mut self, given: &mut Given, cap: u64) -> bool {
        let items = std::mem::replace(&mut given.items, Items::Readings(Vec::new()));
        if given.retained {
            // No reading is lost with them.
            return true;
        }
        self.asked.stats.add_rejected(items.len());
        let cap = ByteSize(cap);
        let reason =
            format!("larger than the journal, which holds {cap}: give `journal.size` more");
        let (node, count) = (&self.asked.address, items.len() as u64);
        if self.asked.stats.letters().admits_of(Some(node), &reason, count) {
            tracing::warn!(%node, "to the dead letters: {reason}");
        }
        let (address, content) = (self.asked.address.clone(), DeadContent::Items(items));
        self.keep_letters(vec![DeadLetter { address, time: given.received, reason, content }]).await
    }

    /// Puts what could not be understood to the dead letters, and waits until it is kept there. False when it is time to stop.
    async fn keep_rejects(&mut self, now: Timestamp, rejects: Vec<Reject>) -> bool {
        if rejects.is_empty() {
            return true;
        }
        let letter = |reject| of_reject(&self.asked.address, &self.asked.stats, now, reject);
        self.keep_letters(rejects.into_iter().map(letter).collect()).await
    }

    async fn keep_letters(&mut self, letters: Vec<DeadLetter>) -> bool {
        for letter in letters {
            while let Err(error) = self.dead.put(&letter) {
                if !self.waits_for_the_disk(&error).await {
                    return false;
                }
            }
        }
        while let Err(error) = on_a_thread(&self.dead, |dead| dead.keep()).await {
            if !self.waits_for_the_disk(&error).await {
                return false;
            }
        }
        true
    }

    /// Waits a little before the dead letters are tried again. False when it is time to stop.
    async fn waits_for_the_disk(&mut self, error: &std::io::Error) -> bool {
        say_waits(self.asked.stats.untaken(), &self.asked.address, error);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(KEEP_AGAIN) => true,
        }
    }
}

/// Gives readings without a time, or with an absurd one, the time of their receipt; says how many were absurd.
fn correct_times(items: &mut Items, now: Timestamp) -> usize {
    let Items::Readings(readings) = items else { return 0 };
    let latest = now + AHEAD_MAX;
    let mut absurd = 0;
    for reading in readings.iter_mut().filter(|one| one.time > latest || one.time < BEFORE) {
        absurd += usize::from(reading.time != Timestamp::ON_RECEIPT);
        reading.time = now;
    }
    absurd
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Reading;
    use crate::series::SeriesId;

    #[test]
    fn a_reading_without_a_time_takes_that_of_its_receipt_and_is_not_counted_as_absurd() {
        let now = Timestamp::from_micros(1_795_222_923_000_000);
        let given = [Timestamp::ON_RECEIPT, Timestamp::EPOCH, now - Duration::from_days(1)];
        let readings = given.map(|time| Reading::new(time, SeriesId::from_index(0), 1.0));
        let mut items = Items::Readings(readings.to_vec());
        assert_eq!(correct_times(&mut items, now), 1);
        let times = (0..3).map(|index| items.time(index).unwrap());
        assert_eq!(times.collect::<Vec<_>>(), [now, now, given[2]]);
    }
}
