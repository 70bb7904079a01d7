//! What outlives a host under test: those who send to it, those it sends to, and what goes wrong when.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::clock::HostClock;
use crate::batch::{ItemKind, Items};
use crate::duration::Duration;
use crate::node::NodeError;
use crate::reading::Reading;
use crate::registry::Delivery;
use crate::run::memory::Crash;
use crate::testing::given::Arrival;
use crate::time::Timestamp;

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) clock: Arc<HostClock>,
    start: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    senders: BTreeMap<Arc<str>, Sender>,
    stores: BTreeMap<Arc<str>, Store>,
    outages: Vec<(Arc<str>, Duration, Duration)>,
    full: Vec<(Duration, Duration)>,
    breaks: Vec<Break>,
}

/// Who sends to a source.
#[derive(Debug, Default)]
struct Sender {
    arrivals: Vec<Arrival>,
    /// What comes before this was given to the host.
    given: usize,
    /// What comes before this need not be sent again.
    kept: usize,
}

/// The other side of a sink.
#[derive(Debug, Default)]
struct Store {
    /// Each item by itself, with the stream it is of and its offset there.
    items: Vec<(Option<Uuid>, u64, Items)>,
    /// So many of them a power cut leaves.
    synced: usize,
}

/// A node that breaks.
#[derive(Debug)]
struct Break {
    node: Arc<str>,
    at: Duration,
    left: u32,
    panics: bool,
    /// When it broke, by the time that the node was told; and whether that was in this life. A replay tells a transform the same times, and it
    /// has to break again.
    broke: Vec<(Timestamp, bool)>,
}

impl World {
    pub(super) fn new(clock: Arc<HostClock>, start: Timestamp) -> World {
        World { clock, start, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sends(&self, source: &Arc<str>, arrivals: Vec<Arrival>) {
        self.lock().senders.insert(source.clone(), Sender { arrivals, given: 0, kept: 0 });
    }

    pub(super) fn is_down(&self, sink: &Arc<str>, at: Duration, lasts: Duration) {
        self.lock().outages.push((sink.clone(), at, at.saturating_add(lasts)));
    }

    pub(super) fn is_full(&self, at: Duration, lasts: Duration) {
        self.lock().full.push((at, at.saturating_add(lasts)));
    }

    pub(super) fn breaks(&self, node: &Arc<str>, at: Duration, calls: u32, panics: bool) {
        let (node, broke) = (node.clone(), Vec::new());
        self.lock().breaks.push(Break { node, at, left: calls, panics, broke });
    }

    /// A life of the host begins.
    pub(super) fn begin(&self) {
        for one in &mut self.lock().breaks {
            one.broke.iter_mut().for_each(|(_, here)| *here = false);
        }
    }

    /// What a crash leaves on the other side of the sinks that keep things on this host.
    pub(super) fn crash(&self, crash: Crash) {
        if crash == Crash::PowerCut {
            for store in self.lock().stores.values_mut() {
                let synced = store.synced;
                store.items.truncate(synced);
            }
        }
    }

    /// Where a source that is made now begins: with what was not kept where the sender is promised that, otherwise with what is said from now
    /// on.
    pub(super) fn begin_at(&self, source: &str, promises: bool) -> usize {
        let (began, start) = (self.clock.began(), self.start);
        let state = self.lock();
        let Some(sender) = state.senders.get(source) else { return 0 };
        if promises {
            return sender.kept;
        }
        let missed = sender.arrivals.partition_point(|one| one.at < start + began);
        sender.given.max(missed)
    }

    /// When a source is told the next thing.
    pub(super) fn due(&self, source: &str, next: usize) -> Option<Duration> {
        let state = self.lock();
        Some(state.senders.get(source)?.arrivals.get(next)?.at.since(self.start))
    }

    /// What a source is told by now, and where it goes on.
    pub(super) fn told(&self, source: &str, next: usize) -> (Vec<Reading>, usize) {
        let now = self.start + self.clock.passed();
        let mut state = self.lock();
        let Some(sender) = state.senders.get_mut(source) else { return (Vec::new(), next) };
        let rest = sender.arrivals.get(next..).unwrap_or_default();
        // What is said at one instant comes together.
        let first = rest.first().map(|one| one.at);
        let here = rest.iter().take_while(|one| one.at <= now && Some(one.at) == first);
        let readings: Vec<Reading> = here.map(|one| one.reading.clone()).collect();
        let upto = next + readings.len();
        sender.given = sender.given.max(upto);
        (readings, upto)
    }

    /// The host has it.
    pub(super) fn kept(&self, source: &str, upto: usize) {
        if let Some(sender) = self.lock().senders.get_mut(source) {
            sender.kept = sender.kept.max(upto);
        }
    }

    /// Whether a sink's other side takes anything.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn takes(&self, sink: &str, delivery: Delivery) -> Result<(), NodeError> {
        let now = self.clock.passed();
        let state = self.lock();
        let within = |from: Duration, to: Duration| from <= now && now < to;
        if state.outages.iter().any(|(of, from, to)| **of == *sink && within(*from, *to)) {
            return Err(NodeError::Retry("the test says that its other side is down".into()));
        }
        let is_full = state.full.iter().any(|(from, to)| within(*from, *to));
        if is_full && delivery == Delivery::Kept {
            return Err(NodeError::Retry("the test says that the disk is full".into()));
        }
        Ok(())
    }

    /// Breaks, if it is time for that. A panic here is none to the eye: no hook is called.
    ///
    /// # Errors
    /// It broke.
    pub(super) fn call(&self, node: &str, now: Timestamp) -> Result<(), NodeError> {
        let passed = self.clock.passed();
        let mut panics = None;
        for one in self.lock().breaks.iter_mut().filter(|one| *one.node == *node) {
            let again = one.broke.iter_mut().find(|(then, here)| *then == now && !*here);
            if let Some((_, here)) = again {
                *here = true;
            } else if one.left > 0 && passed >= one.at {
                one.left -= 1;
                one.broke.push((now, true));
            } else {
                continue;
            }
            panics = Some(one.panics);
            break;
        }
        match panics {
            None => Ok(()),
            Some(false) => Err(NodeError::Fatal("the test says so".into())),
            Some(true) => resume_unwind(Box::new("the test says so")),
        }
    }

    /// Whether a node is one that was made to break.
    pub(super) fn is_made_to_break(&self, node: &str) -> bool {
        self.lock().breaks.iter().any(|one| *one.node == *node)
    }

    /// Puts items on the other side of a sink, each with its stream and offset. `lasts`: all that lies there survives a power cut.
    pub(super) fn put(&self, sink: &Arc<str>, items: Vec<(Option<Uuid>, u64, Items)>, lasts: bool) {
        let mut state = self.lock();
        let store = state.stores.entry(sink.clone()).or_default();
        store.items.extend(items);
        if lasts {
            store.synced = store.items.len();
        }
    }

    /// How far the other side of a sink has come with the items of a kind of a stream.
    pub(super) fn position(&self, sink: &str, stream: Uuid, kind: ItemKind) -> u64 {
        let state = self.lock();
        let items = state.stores.get(sink).map(|store| store.items.as_slice()).unwrap_or_default();
        let mine = items.iter().filter(|(of, _, item)| *of == Some(stream) && item.kind() == kind);
        mine.map(|(_, end, _)| *end).max().unwrap_or(0)
    }

    /// All that lies on the other side of a sink.
    pub(super) fn items(&self, sink: &str) -> Vec<Items> {
        let state = self.lock();
        let items = state.stores.get(sink).map(|store| store.items.as_slice()).unwrap_or_default();
        items.iter().map(|(.., item)| item.clone()).collect()
    }
}
