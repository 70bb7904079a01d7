//! Where what enters waits for its part of the graph, in the order of its numbers; and the way in, one per source.
//!
//! What is journaled waits in memory only while the part keeps up. When it does not, it lags: the inbox keeps nothing more, and
//! the part reads what it has not seen from the journal (`docs/adr/0006-delivery.md`). What is not journaled waits or is dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::keep::{Event, Full, Journal};
use crate::batch::Items;
use crate::node::{Position, Receipt};
use crate::time::Timestamp;

/// How many bytes of items may wait in memory.
const WAITING_MAX: usize = 512 * 1024;

/// Something that entered.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) seq: u64,
    pub(crate) now: Timestamp,
    /// The source, as the part numbers it.
    pub(crate) entry: usize,
    pub(crate) received: Timestamp,
    pub(crate) items: Items,
    pub(crate) position: Option<Position>,
}

/// Where numbers come from: the journal, or a counter where nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) journal: Option<Arc<dyn Journal>>,
    counter: AtomicU64,
}

impl Ledger {
    pub(crate) fn new(journal: Option<Arc<dyn Journal>>) -> Arc<Ledger> {
        Arc::new(Ledger { journal, counter: AtomicU64::new(0) })
    }

    /// The number given last.
    pub(crate) fn last(&self) -> u64 {
        match &self.journal {
            Some(journal) => journal.last_seq(),
            None => self.counter.load(Ordering::Relaxed),
        }
    }

    /// A number for what is not journaled.
    pub(crate) fn number(&self) -> u64 {
        match &self.journal {
            Some(journal) => journal.skip_seq(),
            None => self.counter.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    /// Something came, or nothing more will.
    arrived: Notify,
    /// Something was taken.
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    arrivals: VecDeque<Arrival>,
    bytes: usize,
    lagging: bool,
    latest: Timestamp,
    /// By entry: whether the source will give nothing more.
    ended: Vec<bool>,
}

/// What a part finds when it looks into its inbox.
#[derive(Debug)]
pub(crate) enum Found {
    /// The next thing that entered.
    Arrival(Arrival),
    /// It lags: the next thing is in the journal.
    Lag,
    /// Nothing waits; a tick is due, and this is its number and time.
    Tick(u64, Timestamp),
    /// Nothing waits and nothing more will come.
    End,
    /// Nothing waits.
    Nothing,
}

impl Inbox {
    /// For so many sources. One that lags begins in the journal.
    pub(crate) fn new(sources: usize, lagging: bool) -> Arc<Inbox> {
        Arc::new(Inbox {
            waiting: Mutex::new(Waiting {
                lagging,
                ended: vec![false; sources],
                ..Waiting::default()
            }),
            arrived: Notify::new(),
            room: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way, so a poisoned inbox is still whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is next. `due`: when the next tick is; `now` is asked under the lock, so that times come in the order of numbers.
    pub(crate) fn look(
        &self,
        due: Option<Timestamp>,
        now: impl FnOnce() -> Timestamp,
        tick: impl FnOnce(Timestamp) -> Option<u64>,
    ) -> Found {
        let mut waiting = self.lock();
        if let Some(arrival) = waiting.arrivals.pop_front() {
            waiting.bytes = waiting.bytes.saturating_sub(arrival.items.bytes());
            drop(waiting);
            self.room.notify_waiters();
            return Found::Arrival(arrival);
        }
        if waiting.lagging {
            return Found::Lag;
        }
        if waiting.ended.iter().all(|ended| *ended) {
            return Found::End;
        }
        let Some(due) = due else { return Found::Nothing };
        let now = now().max(waiting.latest);
        if due > now {
            return Found::Nothing;
        }
        match tick(now) {
            Some(seq) => {
                waiting.latest = now;
                Found::Tick(seq, now)
            }
            None => Found::Nothing,
        }
    }

    /// Waits until there may be something.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The part has read all of the journal, as `nothing_more` makes sure while nothing can enter: what comes now waits in memory
    /// again.
    pub(crate) fn caught_up<E>(
        &self,
        nothing_more: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut waiting = self.lock();
        let done = nothing_more()?;
        if done {
            waiting.lagging = false;
        }
        Ok(done)
    }

    /// Up to which number everything that entered here was taken; `None` for one that lags. `last`: the last number given to anything.
    pub(crate) fn taken_upto(&self, last: impl FnOnce() -> u64) -> Option<u64> {
        let waiting = self.lock();
        if waiting.lagging {
            return None;
        }
        Some(waiting.arrivals.front().map_or_else(last, |first| first.seq - 1))
    }

    pub(crate) fn is_lagging(&self) -> bool {
        self.lock().lagging
    }

    /// Says that a source gives nothing more.
    pub(crate) fn end(&self, entry: usize) {
        if let Some(ended) = self.lock().ended.get_mut(entry) {
            *ended = true;
        }
        self.arrived.notify_one();
    }

    /// Which sources give nothing more.
    pub(crate) fn ended(&self) -> Vec<bool> {
        self.lock().ended.clone()
    }
}

/// What became of something that wanted to enter.
pub(crate) enum Entered {
    /// It is in.
    Taken,
    /// No room now: given back.
    Full(Items, Option<Receipt>),
}

/// A source's way into the host.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) address: Arc<str>,
    ledger: Arc<Ledger>,
    link: Mutex<Link>,
}

#[derive(Debug, Clone)]
struct Link {
    inbox: Arc<Inbox>,
    entry: usize,
    journaled: bool,
}

impl Entrance {
    pub(crate) fn new(
        address: Arc<str>,
        ledger: Arc<Ledger>,
        inbox: &Arc<Inbox>,
        entry: usize,
        journaled: bool,
    ) -> Arc<Entrance> {
        let link = Mutex::new(Link { inbox: inbox.clone(), entry, journaled });
        Arc::new(Entrance { address, ledger, link })
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch in at the time the clock tells.
    pub(crate) fn enter(
        &self,
        now: impl FnOnce() -> Timestamp,
        received: Timestamp,
        items: Items,
        position: Option<&Position>,
        receipt: Option<Receipt>,
    ) -> Entered {
        let link = self.link();
        let mut waiting = link.inbox.lock();
        let now = now().max(waiting.latest);
        let bytes = items.bytes();
        let fits = waiting.arrivals.is_empty() || waiting.bytes + bytes <= WAITING_MAX;
        let position = position.cloned();
        let (seq, items, position) = match self.ledger.journal.as_ref().filter(|_| link.journaled) {
            Some(journal) => {
                let source = self.address.clone();
                let event = Event::Items { source, received, items, position };
                let appended = journal.append(now, &event, receipt);
                let Event::Items { items, position, .. } = event else { return Entered::Taken };
                match appended {
                    Ok(seq) => (seq, items, position),
                    Err(Full { receipt }) => return Entered::Full(items, receipt),
                }
            }
            None if !fits => return Entered::Full(items, receipt),
            None => {
                if let Some(receipt) = receipt {
                    receipt.kept();
                }
                (self.ledger.number(), items, position)
            }
        };
        waiting.latest = now;
        if !fits {
            waiting.lagging = true;
        }
        if !waiting.lagging {
            waiting.bytes += bytes;
            let entry = link.entry;
            waiting.arrivals.push_back(Arrival { seq, now, entry, received, items, position });
            drop(waiting);
            link.inbox.arrived.notify_one();
        }
        Entered::Taken
    }

    /// Waits until there may be room again.
    pub(crate) async fn room(&self) {
        let inbox = self.link().inbox.clone();
        // The journal tells nobody when a checkpoint has freed some of it, so it is looked at now and then.
        let soon = std::time::Duration::from_millis(20);
        let _ = tokio::time::timeout(soon, inbox.room.notified()).await;
    }

    /// The source gives nothing more.
    pub(crate) fn end(&self) {
        let link = self.link();
        link.inbox.end(link.entry);
    }
}

/// Lets entrances lead into other inboxes, and moves over what waits in the old ones. Nothing enters meanwhile.
pub(crate) fn relink(moves: Vec<Move>) {
    let mut links: Vec<_> = moves.iter().map(|one| one.entrance.link()).collect();
    let journaled: Vec<bool> = links.iter().map(|link| link.journaled).collect();
    let mut arrivals: Vec<(usize, Arrival)> = Vec::new();
    for (index, link) in links.iter().enumerate() {
        let mut old = link.inbox.lock();
        let Waiting { arrivals: waiting, bytes, .. } = &mut *old;
        let (mine, others) = waiting.drain(..).partition(|one| one.entry == link.entry);
        *waiting = others;
        let mine: VecDeque<Arrival> = mine;
        *bytes = waiting.iter().map(|one| one.items.bytes()).sum();
        let ended = old.ended.get(link.entry).copied().unwrap_or_default();
        let ended = ended && !moves[index].restarts;
        let (lagging, latest) = (old.lagging, old.latest);
        drop(old);
        arrivals.extend(mine.into_iter().map(|one| (index, one)));
        let mut new = moves[index].inbox.lock();
        new.lagging |= lagging;
        new.latest = new.latest.max(latest);
        new.ended[moves[index].entry] = ended;
    }
    arrivals.sort_by_key(|(_, arrival)| arrival.seq);
    for (index, arrival) in arrivals {
        let Move { inbox, entry, .. } = &moves[index];
        let mut new = inbox.lock();
        // One that lags finds it in the journal, if it is there.
        if !new.lagging || !journaled[index] {
            new.bytes += arrival.items.bytes();
            new.arrivals.push_back(Arrival { entry: *entry, ..arrival });
        }
    }
    for (link, Move { inbox, entry, journaled, .. }) in links.iter_mut().zip(&moves) {
        **link = Link { inbox: inbox.clone(), entry: *entry, journaled: *journaled };
        inbox.arrived.notify_one();
    }
}

/// Where an entrance leads from now on.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) entry: usize,
    pub(crate) journaled: bool,
    /// A new source takes the old one's place: an end of the old one does not count.
    pub(crate) restarts: bool,
}
