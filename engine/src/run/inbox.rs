//! Where what enters waits for its part of the graph, in the order of its numbers; and the way in, one per source.
//!
//! What is journaled waits in memory only while the part keeps up. When it does not, it lags: the inbox keeps nothing more, and
//! the part reads what it has not seen from the journal (`docs/adr/0006-delivery.md`). What is not journaled waits or is dropped.
//!
//! Reading from the journal costs more than handing over, and a source that is in full flow is mostly only faster than its part because it
//! has a processor and the part has none. So before memory is full a source pauses, once and briefly; a part that does not use that to
//! take everything is left to lag, and holds up nobody.

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
/// When so many wait, the part is given time to take them.
const CROWDED: usize = WAITING_MAX / 2;
/// How much time: to take what waits costs a tenth of that.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// Something that entered.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) seq: u64,
    pub(crate) now: Timestamp,
    pub(crate) to: To,
    pub(crate) received: Timestamp,
    pub(crate) items: Items,
    pub(crate) position: Option<Position>,
    /// They are last values, and no readings.
    pub(crate) retained: bool,
    /// It lies in the journal too.
    pub(crate) journaled: bool,
}

/// Where something enters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    /// Where a source does, by the number the part has for it.
    Entry(usize),
    /// At one node, past all edges: dead letters that are given once more.
    Node(Arc<str>),
}

/// More than a record of the journal takes beside its items.
const RECORD_MAX: u64 = 4 << 10;

/// Where numbers come from: the journal, or a counter where nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) journal: Option<Arc<dyn Journal>>,
    counter: AtomicU64,
    refused: AtomicU64,
    /// The number up to which the journal is known to be durable. Held while it is synced, so that one sync is for all who ask meanwhile.
    durable: Arc<tokio::sync::Mutex<u64>>,
}

impl Ledger {
    pub(crate) fn new(journal: Option<Arc<dyn Journal>>) -> Arc<Ledger> {
        Arc::new(Ledger { journal, ..Ledger::default() })
    }

    /// How often the journal had no room for what wanted to enter.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The number given last.
    pub(crate) fn last(&self) -> u64 {
        match &self.journal {
            Some(journal) => journal.last_seq(),
            None => self.counter.load(Ordering::Relaxed),
        }
    }

    /// Waits until what entered so far is durable, or the disk says no.
    pub(crate) async fn make_durable(&self) {
        let Some(journal) = self.journal.clone() else { return };
        let wanted = journal.last_seq();
        let mut durable = self.durable.clone().lock_owned().await;
        if *durable >= wanted {
            return;
        }
        let sync = move || {
            let last = journal.last_seq();
            // What the disk says stands in the status of the journal.
            if journal.sync().is_ok() {
                *durable = last;
            }
        };
        // Fails where the runtime ends.
        drop(tokio::task::spawn_blocking(sync).await);
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
    /// Everything was taken.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    arrivals: VecDeque<Arrival>,
    bytes: usize,
    lagging: bool,
    /// The part was given time to take what waits and did not use it. Until all is taken it gets no more.
    overdue: bool,
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
    /// Nothing waits; a tick is due, and the journal has no room for it.
    NoRoom,
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
            drained: Notify::new(),
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
            let drained = waiting.arrivals.is_empty();
            waiting.overdue &= !drained;
            drop(waiting);
            self.room.notify_waiters();
            if drained {
                self.drained.notify_waiters();
            }
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
            None => Found::NoRoom,
        }
    }

    /// Whether nothing waits to be taken, here or in the journal.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.lock();
        !waiting.lagging && waiting.arrivals.is_empty()
    }

    /// Lets something happen between what was taken and what comes: `note` numbers it, under the lock. `None` where something
    /// waits to be taken first, or where it was not noted.
    pub(crate) fn between(
        &self,
        now: impl FnOnce() -> Timestamp,
        note: impl FnOnce(Timestamp) -> Option<u64>,
    ) -> Option<(u64, Timestamp)> {
        let mut waiting = self.lock();
        if waiting.lagging || !waiting.arrivals.is_empty() {
            return None;
        }
        let now = now().max(waiting.latest);
        let seq = note(now)?;
        waiting.latest = now;
        Some((seq, now))
    }

    /// Waits until there may be something.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Gives the part a moment to take what waits. Returns as soon as it has.
    async fn pause(&self) {
        let mut drained = std::pin::pin!(self.drained.notified());
        drained.as_mut().enable();
        if self.lock().is_crowded() && tokio::time::timeout(PAUSE, drained).await.is_err() {
            let mut waiting = self.lock();
            waiting.overdue = !waiting.arrivals.is_empty();
        }
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

    /// Takes items for one node, past all edges.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn give_again(
        &self,
        ledger: &Ledger,
        journaled: bool,
        now: impl FnOnce() -> Timestamp,
        address: &Arc<str>,
        items: Items,
    ) -> Result<(), NoRoom> {
        let mut waiting = self.lock();
        let now = now().max(waiting.latest);
        let (position, receipt) = (None, None);
        let given = Given { received: now, items, position, receipt, retained: false };
        let taken =
            waiting.take(ledger, journaled, now, address, &To::Node(address.clone()), given);
        drop(waiting);
        self.arrived.notify_one();
        taken.map_err(|_| NoRoom)
    }

    /// Takes out what waits for single nodes.
    pub(crate) fn take_strays(&self) -> Vec<Arrival> {
        let mut waiting = self.lock();
        let (strays, others): (VecDeque<_>, _) =
            waiting.arrivals.drain(..).partition(|one| matches!(one.to, To::Node(_)));
        waiting.arrivals = others;
        waiting.bytes = waiting.arrivals.iter().map(|one| one.items.bytes()).sum();
        strays.into()
    }

    /// Puts back what [`Inbox::take_strays`] took out of this one or another.
    pub(crate) fn put(&self, arrivals: Vec<Arrival>) {
        let mut waiting = self.lock();
        waiting.arrivals.extend(arrivals);
        waiting.put_in_order();
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

/// There is no room now.
#[derive(Debug)]
pub(crate) struct NoRoom;

/// What wants to enter.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) received: Timestamp,
    pub(crate) items: Items,
    /// Where the source goes on from, where it can seek.
    pub(crate) position: Option<Position>,
    pub(crate) receipt: Option<Receipt>,
    /// They are last values, and no readings.
    pub(crate) retained: bool,
}

impl Given {
    /// Its two halves. The sender is told, and the place known, when the second has entered.
    pub(crate) fn in_two(self) -> (Given, Given) {
        let Given { items, .. } = &self;
        let (half, len) = (items.len() / 2, items.len());
        let (first, second) = (items.slice(0..half), items.slice(half..len));
        let first = Given { items: first, position: None, receipt: None, ..self };
        (first, Given { items: second, ..self })
    }
}

/// Something entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// There is room for more.
    WithRoom,
    /// So much waits that [`Entrance::pause`] is due.
    Crowded,
}

impl Waiting {
    /// Whether the part is to be given time to take what waits.
    fn is_crowded(&self) -> bool {
        self.bytes > CROWDED && !self.lagging && !self.overdue
    }

    /// Takes something in, or gives it back where there is no room.
    fn take(
        &mut self,
        ledger: &Ledger,
        journaled: bool,
        now: Timestamp,
        key: &Arc<str>,
        to: &To,
        given: Given,
    ) -> Result<(), Given> {
        let bytes = given.items.bytes();
        let fits = self.arrivals.is_empty() || self.bytes + bytes <= WAITING_MAX;
        // What enters a part that lags goes to the journal even where it need not be kept: the part reads on from there.
        let journal = ledger.journal.as_ref().filter(|_| journaled || self.lagging);
        let Given { received, items, position, receipt, retained } = given;
        let (seq, items, position) = if let Some(journal) = journal {
            let event = Event::Items { source: key.clone(), received, items, position, retained };
            let appended = journal.append(now, &event, receipt);
            let Event::Items { items, position, .. } = event else { return Ok(()) };
            match appended {
                Ok(seq) => (seq, items, position),
                Err(Full { receipt }) => {
                    ledger.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(Given { received, items, position, receipt, retained });
                }
            }
        } else if fits {
            receipt.into_iter().for_each(Receipt::kept);
            (ledger.number(), items, position)
        } else {
            return Err(Given { received, items, position, receipt, retained });
        };
        self.latest = now;
        self.lagging |= !fits;
        if !self.lagging {
            self.bytes += bytes;
            let (to, journaled) = (to.clone(), journal.is_some());
            let arrival = Arrival { seq, now, to, received, items, position, retained, journaled };
            self.arrivals.push_back(arrival);
        }
        Ok(())
    }
}

/// A source's way into the host.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// What the source is called in the journal.
    pub(crate) key: Arc<str>,
    ledger: Arc<Ledger>,
    link: Mutex<Link>,
}

#[derive(Debug)]
struct Link {
    inbox: Arc<Inbox>,
    entry: usize,
    journaled: bool,
    reached: Reached,
}

/// How far a source has come that can be read again from a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The last place it gave.
    pub(crate) position: Option<Position>,
    /// How many items it gave behind that.
    pub(crate) taken: u64,
}

impl Reached {
    /// So many items went by, the last of them at a place.
    pub(crate) fn pass(&mut self, items: usize, position: Option<&Position>) {
        match position {
            Some(position) => *self = Reached { position: Some(position.clone()), taken: 0 },
            None => self.taken += items as u64,
        }
    }
}

impl Entrance {
    pub(crate) fn new(
        key: Arc<str>,
        ledger: Arc<Ledger>,
        inbox: &Arc<Inbox>,
        entry: usize,
        journaled: bool,
        reached: Reached,
    ) -> Arc<Entrance> {
        let link = Mutex::new(Link { inbox: inbox.clone(), entry, journaled, reached });
        Arc::new(Entrance { key, ledger, link })
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the source has come: what is before that has entered.
    pub(crate) fn reached(&self) -> Reached {
        self.link().reached.clone()
    }

    /// The source could not go on where it stopped, and is read from its beginning.
    pub(crate) fn begins_anew(&self) {
        self.link().reached = Reached::default();
    }

    /// Takes a batch in at the time the clock tells, or gives it back where there is no room now.
    pub(crate) fn enter(
        &self,
        now: impl FnOnce() -> Timestamp,
        given: Given,
    ) -> Result<Entered, Given> {
        let mut link = self.link();
        let inbox = link.inbox.clone();
        let mut waiting = inbox.lock();
        let now = now().max(waiting.latest);
        let (items, position) = (given.items.len(), given.position.clone());
        let to = To::Entry(link.entry);
        waiting.take(&self.ledger, link.journaled, now, &self.key, &to, given)?;
        let crowded = waiting.is_crowded();
        drop(waiting);
        link.reached.pass(items, position.as_ref());
        inbox.arrived.notify_one();
        Ok(if crowded { Entered::Crowded } else { Entered::WithRoom })
    }

    /// The readings that entered here and were not taken yet, as far as they wait in memory.
    pub(crate) fn waiting(&self) -> Vec<Items> {
        let link = self.link();
        let waiting = link.inbox.lock();
        let mine = |one: &&Arrival| one.to == To::Entry(link.entry) && !one.retained;
        let mine = waiting.arrivals.iter().filter(mine);
        mine.map(|one| one.items.clone()).collect()
    }

    /// Gives the part a moment to take what waits.
    pub(crate) async fn pause(&self) {
        let inbox = self.link().inbox.clone();
        inbox.pause().await;
    }

    /// How many bytes the journal holds, where not even an empty one would take so many.
    pub(crate) fn journal_below(&self, bytes: usize) -> Option<u64> {
        let cap = self.ledger.journal.as_ref()?.fill().cap;
        (cap > 0 && bytes as u64 + RECORD_MAX > cap).then_some(cap)
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
pub(crate) fn relink(moves: &[Move]) {
    let mut links: Vec<_> = moves.iter().map(|one| one.entrance.link()).collect();
    let mut arrivals: Vec<(usize, Arrival)> = Vec::new();
    for (index, (link, to)) in links.iter().zip(moves).enumerate() {
        let mut old = link.inbox.lock();
        let from = To::Entry(link.entry);
        let (mine, others): (VecDeque<_>, _) =
            old.arrivals.drain(..).partition(|one| one.to == from);
        old.arrivals = others;
        old.bytes = old.arrivals.iter().map(|one| one.items.bytes()).sum();
        let ended = old.ended.get(link.entry).copied().unwrap_or_default();
        let (lagging, latest) = (old.lagging, old.latest);
        drop(old);
        arrivals.extend(mine.into_iter().map(|one| (index, one)));
        let mut new = to.inbox.lock();
        new.lagging |= lagging;
        new.latest = new.latest.max(latest);
        new.ended[to.entry] |= ended && !to.restarts;
    }
    for (index, arrival) in arrivals {
        let Move { inbox, entry, .. } = &moves[index];
        inbox.lock().arrivals.push_back(Arrival { to: To::Entry(*entry), ..arrival });
    }
    for (link, to) in links.iter_mut().zip(moves) {
        to.inbox.lock().put_in_order();
        (link.inbox, link.entry, link.journaled) = (to.inbox.clone(), to.entry, to.journaled);
        to.inbox.arrived.notify_one();
    }
}

impl Waiting {
    /// What came from several inboxes is taken in the order of its numbers; what lies in the journal is read there by a part that lags.
    fn put_in_order(&mut self) {
        if self.lagging {
            self.arrivals.retain(|one| !one.journaled);
        }
        self.arrivals.make_contiguous().sort_by_key(|one| one.seq);
        self.bytes = self.arrivals.iter().map(|one| one.items.bytes()).sum();
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
